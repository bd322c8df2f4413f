#pragma once

#include <string>

#include "agent/http/message.h"

namespace prebake::registry {

/// One more is an error. Registries redirect once or twice.
inline constexpr int kMaxRedirects = 10;

/// True for the statuses whose Location is followed (RFC 9110 section 15.4).
bool is_redirect(int status);

/// Where a redirect leads.
struct Redirect {
    std::string url;
    /// "Basic …" if the URL has user information, as Go has it; for requests without another one.
    std::string authorization = {};
};

/// Where `response`, to a request for `url`, redirects to.
/// @throws ResponseError corrupt without a usable Location; permission_denied out of TLS.
Redirect redirect_of(const http::Response& response, const std::string& url);

}  // namespace prebake::registry
