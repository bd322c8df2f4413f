#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/stream.h"
#include "agent/registry/http.h"

namespace prebake::registry {

/// What a registry has to say about an error fits into this; the rest is not read.
inline constexpr std::size_t kMaxErrorBytes = 64UL << 10;

/// The rest of `source`, or nothing if it is longer than `limit` bytes.
std::optional<std::string> read_up_to(Source& source, std::size_t limit);

/// Reads a short body to its end so that the connection can be used again; a long or broken one is
/// left.
void discard_body(HttpResponse& response);

/// `text` from outside as a part of a message: one line, without control characters, at most 300
/// bytes.
std::string printable(std::string_view text);

/// The first entry of a registry's error document, "MANIFEST_UNKNOWN: manifest unknown"
/// (distribution-spec "Error Codes"); empty if `body` is none.
std::string diagnosis(std::string_view body);

/// Throws the Error for a status that nobody asked for: 401 unauthenticated, 403 permission_denied,
/// 404 not_found, 429 rate_limited, 408 and 5xx unavailable; a RetryLaterError where the server
/// says when. `who` answered ("the registry"); `login_hint` is the next step where other
/// credentials might help.
[[noreturn]] void throw_status(HttpResponse& response, const std::string& who,
                               const std::string& login_hint);

}  // namespace prebake::registry
