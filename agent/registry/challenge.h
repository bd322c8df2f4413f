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

/// The challenge to use: Bearer with a realm before Basic; null if there is neither.
const Challenge* preferred_challenge(const std::vector<Challenge>& challenges);

}  // namespace prebake::registry
