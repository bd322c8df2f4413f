#pragma once

#include <string>

#include "agent/http/message.h"

namespace prebake::registry {

/// Throws the Error for an unexpected status, with the reason that the body gives (diagnosis.h),
/// but without the response's secrets:
/// 401 unauthenticated, 403 permission_denied, 404 not_found, 429 rate_limited, 408 and most 5xx
/// unavailable. `who` ("the registry") sent it; `login_hint` is the next step where other
/// credentials might help.
///
/// It is a ResponseError, except after a 401 that wants a password: repeating one that was refused
/// may lock the account.
[[noreturn]] void throw_status(http::Response& response, const std::string& who,
                               const std::string& login_hint);

}  // namespace prebake::registry
