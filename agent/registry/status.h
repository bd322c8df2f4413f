#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/http/message.h"

namespace prebake::registry {

/// No more than this is read of the body of an error response.
inline constexpr std::size_t kMaxErrorBytes = 64UL << 10;

/// The first entry of a registry's error document, "MANIFEST_UNKNOWN: manifest unknown"
/// (distribution-spec "Error Codes"); as one line of at
/// most 300 bytes; empty if `body` is not such a document.
std::string diagnosis(std::string_view body);

/// Throws the Error for an unexpected status: 401 unauthenticated, 403 permission_denied,
/// 404 not_found, 429 rate_limited, 408 and 5xx unavailable; a RetryLaterError where the server
/// says when. `who` ("the registry") sent it; `login_hint` is the next step where other
/// credentials might help.
[[noreturn]] void throw_status(http::Response& response, const std::string& who,
                               const std::string& login_hint);

}  // namespace prebake::registry
