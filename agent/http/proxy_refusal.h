#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/http/message.h"
#include "agent/http/target.h"

namespace prebake::http {

/// The error for a proxy that answered with `status` instead of carrying the request. `reason` is
/// the phrase of its status line. `headers` are those of its response.
Error proxy_refusal(const Target& target, int status, const std::string& reason,
                    const Headers& headers);

/// The next step that is always possible: not to use the proxy.
std::string way_around_proxy(const Target& target);

}  // namespace prebake::http
