#include "agent/http/url.h"

#include <algorithm>
#include <boost/url.hpp>
#include <charconv>
#include <cstdint>
#include <utility>
#include <vector>

#include "agent/base/ascii.h"
#include "agent/base/error.h"
#include "agent/base/text.h"

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

/// A URL or a reference to one (RFC 3986 appendix B), without its fragment.
struct Parts {
    std::string scheme;
    std::optional<std::string> authority;
    std::string path;
    std::optional<std::string> query;
};

bool is_scheme(std::string_view text) {
    const auto belongs = [](char c) {
        return is_alphanumeric(c) || c == '+' || c == '-' || c == '.';
    };
    return !text.empty() && !is_digit(text.front()) && std::ranges::all_of(text, belongs);
}

bool is_web_scheme(std::string_view scheme) {
    return lower_case(scheme) == "http" || lower_case(scheme) == "https";
}

Parts split(std::string_view text) {
    text = trimmed(text);
    text = text.substr(0, text.find('#'));
    Parts parts;
    const std::size_t colon = std::min(text.find_first_of(":/?"), text.size());
    if (colon < text.size() && text[colon] == ':' && is_scheme(text.substr(0, colon))) {
        parts.scheme = text.substr(0, colon);
        text.remove_prefix(colon + 1);
    }
    if (text.starts_with("//")) {
        text.remove_prefix(2);
        parts.authority = text.substr(0, text.find_first_of("/?"));
        text.remove_prefix(parts.authority->size());
    }
    const std::size_t question = text.find('?');
    parts.path = text.substr(0, question);
    if (question != std::string_view::npos) parts.query = text.substr(question + 1);
    return parts;
}

/// RFC 3986 section 5.2.4.
std::string without_dot_segments(std::string_view path) {
    std::vector<std::string_view> kept;
    for (bool is_last = false; !is_last;) {
        path.remove_prefix(1);  // the slash
        const std::size_t slash = path.find('/');
        is_last = slash == std::string_view::npos;
        const std::string_view segment = path.substr(0, slash);
        path.remove_prefix(segment.size());
        const bool is_dots = segment == "." || segment == "..";
        if (segment == ".." && !kept.empty()) kept.pop_back();
        if (!is_dots) kept.push_back(segment);
        if (is_dots && is_last) kept.emplace_back();
    }
    std::string result;
    for (const std::string_view segment : kept) result.append("/").append(segment);
    return result;
}

/// What a reference without an authority means beside `base` (RFC 3986 section 5.2.2).
Parts beside(const Parts& base, Parts reference) {
    reference.authority = base.authority;
    if (reference.path.empty()) {
        reference.path = base.path;
        if (!reference.query) reference.query = base.query;
        return reference;
    }
    if (reference.path.front() != '/') {
        const std::size_t slash = base.path.rfind('/');
        const std::string folder =
            slash == std::string::npos ? "/" : base.path.substr(0, slash + 1);
        reference.path.insert(0, folder);
    }
    reference.path = without_dot_segments(reference.path);
    return reference;
}

/// Go, curl and browsers repair such URLs, too, and storage behind registries sends them.
std::string encode_disallowed(std::string_view text) {
    constexpr std::string_view kAllowed = "-._~!$&'()*+,;=:@/?";
    std::string encoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool is_encoded =
            c == '%' && i + 2 < text.size() && is_hex(text[i + 1]) && is_hex(text[i + 2]);
        const bool is_allowed = is_alphanumeric(c) || kAllowed.find(c) != std::string_view::npos;
        encoded += is_encoded || is_allowed ? std::string(1, c) : percent_encode(text.substr(i, 1));
    }
    return encoded;
}

Error malformed_reference() {
    return Error(Errc::corrupt, "a URL that it refers to is malformed or neither http nor https");
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
    if (parsed->has_userinfo()) url.user = parsed->user() + ":" + parsed->password();
    return url;
}

std::string resolve_reference(std::string_view base, std::string_view reference) {
    const Parts from = split(base);
    Parts to = split(reference);
    if (to.scheme.empty()) {
        to.scheme = from.scheme;
        if (!to.authority) to = beside(from, std::move(to));
    }
    if (!to.authority || !is_web_scheme(to.scheme)) throw malformed_reference();
    std::string url = to.scheme + "://" + *to.authority + encode_disallowed(to.path);
    if (to.query) url += "?" + encode_disallowed(*to.query);
    try {
        parse_url(url);
    } catch (const Error&) {
        throw malformed_reference();
    }
    return url;
}

std::string percent_encode(std::string_view text) {
    return urls::encode(text, urls::unreserved_chars);
}

std::optional<std::string> percent_decode(std::string_view text) {
    const auto encoded = urls::make_pct_string_view(text);
    if (!encoded) return std::nullopt;
    return encoded->decode();
}

}  // namespace prebake::http
