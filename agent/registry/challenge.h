#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::registry {

/// One way to authenticate that a 401 offers (RFC 9110 section 11.6.1).
struct Challenge {
    std::string scheme;                             ///< lower case
    std::map<std::string, std::string> parameters;  ///< names in lower case, values unquoted

    /// Empty if there is none.
    std::string parameter(std::string_view name) const;
    bool operator==(const Challenge&) const = default;
};

/// All challenges of all WWW-Authenticate headers, in order. Never fails: malformed parts are
/// skipped.
std::vector<Challenge> parse_challenges(const std::vector<std::string>& headers);

/// Whether a response with this status asks for an authorization, or for another one: 401, or 403
/// with insufficient_scope (RFC 6750 section 3.1).
bool asks_for_authorization(int status, const std::vector<Challenge>& challenges);

/// The challenge to use: Bearer with a realm before Basic; null if there is neither.
const Challenge* preferred_challenge(const std::vector<Challenge>& challenges);

}  // namespace prebake::registry
