#include "agent/registry/redirect.h"

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/http/url.h"
#include "agent/registry/retry.h"

namespace prebake::registry {

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Redirect redirect_of(const http::Response& response, const std::string& url) {
    const http::Url from = http::parse_url(url);
    try {
        const auto location = http::find_header(response.headers, "Location");
        if (!location || location->empty()) {
            throw Error(Errc::corrupt, from.authority() + " redirects without a Location");
        }
        Redirect redirect{.url = in_context(from.authority(), [&] {
                              return http::resolve_reference(url, *location);
                          })};
        const http::Url to = http::parse_url(redirect.url);
        if (from.tls && !to.tls) {
            throw Error(
                Errc::permission_denied,
                from.authority() + " redirects to " + to.origin() + ", which is not encrypted",
                "let it redirect to https");
        }
        if (to.user) redirect.authorization = "Basic " + base64_encode(*to.user);
        return redirect;
    } catch (const Error& error) {
        throw ResponseError(error, response.status, {});
    }
}

}  // namespace prebake::registry
