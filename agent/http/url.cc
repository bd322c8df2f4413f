#include "agent/http/url.h"

#include <algorithm>
#include <boost/url.hpp>
#include <charconv>
#include <cstdint>

#include "agent/base/ascii.h"
#include "agent/base/error.h"

namespace prebake::http {
namespace {

namespace urls = boost::urls;

/// False for texts that Boost.URL 1.81 splits into an authority and a path without a slash at its
/// start: "https://a:x/", "https://a@b@c/". Other programs find another host in them.
bool ends_authority_with_slash(const urls::url_view_base& url) {
    const std::string_view path = url.encoded_path();
    return !url.has_authority() || path.empty() || path.front() == '/';
}

bool is_web(const urls::url_view_base& url) {
    return (url.scheme_id() == urls::scheme::http || url.scheme_id() == urls::scheme::https) &&
           url.has_authority() && !url.encoded_host().empty() && ends_authority_with_slash(url);
}

/// Empty or 1 to 65535: Boost and getaddrinfo(3) would wrap around.
bool is_port(std::string_view text) {
    if (text.empty()) return true;
    std::uint16_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    return failure == std::errc{} && end == text.data() + text.size() && number != 0;
}

}  // namespace

std::string Url::authority() const {
    const bool ipv6 = host.find(':') != std::string::npos;
    return (ipv6 ? "[" + host + "]" : host) + ":" + port;
}

Url parse_url(std::string_view text) {
    const auto parsed = urls::parse_uri(text);
    if (!parsed || !is_web(*parsed) || !is_port(parsed->port())) {
        throw Error(Errc::usage, "a URL is malformed or neither http nor https");
    }
    Url url;
    url.tls = parsed->scheme_id() == urls::scheme::https;
    url.host = parsed->encoded_host_address();  // not decoded: %0a must not reach the Host header
    std::ranges::transform(url.host, url.host.begin(), to_lower);
    const std::string default_port = url.tls ? "443" : "80";
    url.port = std::string(parsed->port());
    if (url.port.empty()) url.port = default_port;
    url.host_header = url.authority();
    if (url.port == default_port) url.host_header.resize(url.host_header.rfind(':'));
    url.target = std::string(parsed->encoded_target());
    if (url.target.empty() || url.target.front() != '/') url.target.insert(0, "/");
    return url;
}

std::string resolve_location(std::string_view base, std::string_view location) {
    const auto parsed_base = urls::parse_uri(base);
    const auto reference = urls::parse_uri_reference(location);
    urls::url resolved;
    if (!parsed_base || !reference || !ends_authority_with_slash(*reference) ||
        !urls::resolve(*parsed_base, *reference, resolved) || !is_web(resolved)) {
        throw Error(Errc::corrupt, "a redirect has a malformed URL");
    }
    return std::string(resolved.buffer());
}

std::string percent_encode(std::string_view text) {
    return urls::encode(text, urls::unreserved_chars);
}

}  // namespace prebake::http
