#include "agent/http/proxy.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "agent/base/ascii.h"
#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/http/address.h"

namespace prebake::http {
namespace {

constexpr std::size_t kBitsOfIpv4 = 32;
constexpr std::size_t kBitsOfIpv6 = 128;

Error malformed_proxy(const ProxySetting& setting, const std::string& reason) {
    return Error(Errc::usage, "the proxy in " + setting.source + " is malformed: " + reason,
                 "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, and percent-encode "
                 "what is neither a letter nor a digit in the password");
}

std::string decoded_part(const ProxySetting& setting, std::string_view text) {
    auto decoded = percent_decode(text);
    if (!decoded) {
        throw malformed_proxy(setting, "its user name or password has a % that encodes nothing");
    }
    return *std::move(decoded);
}

std::string basic_authorization(const ProxySetting& setting, std::string_view user_info) {
    const std::size_t colon = std::min(user_info.find(':'), user_info.size());
    const std::string user = decoded_part(setting, user_info.substr(0, colon));
    const std::string_view password = user_info.substr(std::min(colon + 1, user_info.size()));
    return "Basic " + base64_encode(user + ":" + decoded_part(setting, password));
}

/// The host that a request is for.
struct RequestedHost {
    std::string name;
    std::string port;
    std::optional<Address> address;  ///< if the name spells one
};

/// "10.0.0.0/8"; nothing if it is no address range.
std::optional<bool> in_address_range(std::string_view entry, const RequestedHost& host) {
    const std::size_t slash = entry.find('/');
    if (slash == entry.npos) return std::nullopt;
    const std::string_view text = entry.substr(slash + 1);
    std::size_t bits = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), bits);
    const auto network = parse_address(std::string(entry.substr(0, slash)));
    if (!network || failure != std::errc{} || end != text.data() + text.size()) return false;
    const bool is_v6 = entry.find(':') != entry.npos;
    if (bits > (is_v6 ? kBitsOfIpv6 : kBitsOfIpv4)) return false;
    if (!is_v6) bits += kBitsOfIpv6 - kBitsOfIpv4;
    return host.address && have_same_prefix(*network, *host.address, bits);
}

/// Separates ":PORT" from a name or an address; an address of IPv6 with a port has brackets.
std::pair<std::string_view, std::string_view> split_port(std::string_view entry) {
    std::string_view port;
    const std::size_t colon = entry.rfind(':');
    const bool is_bare_ipv6 = entry.find(':') != colon && !entry.starts_with('[');
    if (colon != entry.npos && !is_bare_ipv6 && !entry.ends_with(']')) {
        port = entry.substr(colon + 1);
        entry = entry.substr(0, colon);
    }
    if (entry.starts_with('[') && entry.ends_with(']')) entry = entry.substr(1, entry.size() - 2);
    return {entry, port};
}

bool name_matches(std::string_view pattern, std::string_view name) {
    if (pattern.starts_with("*.")) pattern.remove_prefix(1);
    if (pattern.starts_with('.')) return name.ends_with(pattern);
    return name == pattern || name.ends_with("." + std::string(pattern));
}

bool is_exempt(std::string_view entry, const RequestedHost& host) {
    if (entry == "*") return true;
    if (const auto found = in_address_range(entry, host)) return *found;
    const auto [pattern, port] = split_port(entry);
    if (pattern.empty() || (!port.empty() && port != host.port)) return false;
    if (const auto address = parse_address(std::string(pattern))) return address == host.address;
    return name_matches(pattern, host.name);
}

std::vector<std::string> entries_of(std::string_view no_proxy) {
    std::vector<std::string> entries(1);
    for (const char c : no_proxy) {
        if (c != ',' && !is_white_space(c)) {
            entries.back() += to_lower(c);
        } else if (!entries.back().empty()) {
            entries.emplace_back();
        }
    }
    if (entries.back().empty()) entries.pop_back();
    return entries;
}

}  // namespace

ProxySettings proxies_of_environment(
    const std::function<std::string(const char* name)>& environment) {
    const auto first_of = [&](const char* upper, const char* lower) {
        ProxySetting setting{.url = environment(upper), .source = upper};
        if (trimmed(setting.url).empty()) setting = {.url = environment(lower), .source = lower};
        if (trimmed(setting.url).empty()) setting = {};
        return setting;
    };
    const bool is_cgi = !environment("REQUEST_METHOD").empty();
    return {.for_http = first_of(is_cgi ? "http_proxy" : "HTTP_PROXY", "http_proxy"),
            .for_https = first_of("HTTPS_PROXY", "https_proxy"),
            .no_proxy = first_of("NO_PROXY", "no_proxy").url};
}

std::vector<std::pair<std::string, std::string>> variables_of(const ProxySettings& settings) {
    const auto& http = settings.for_http.url;
    const auto& https = settings.for_https.url;
    const bool has_password = (http + https).find('@') != std::string::npos;
    if (has_password || (http.empty() && https.empty())) return {};
    const std::string no_proxy = settings.no_proxy + (settings.no_proxy.empty() ? "" : ",") +
                                 "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,"
                                 "fd00:ec2::23,metadata.google.internal";
    // Programs differ in which case they read.
    return {{"HTTP_PROXY", http},   {"http_proxy", http},   {"HTTPS_PROXY", https},
            {"https_proxy", https}, {"NO_PROXY", no_proxy}, {"no_proxy", no_proxy}};
}

Proxy parse_proxy(const ProxySetting& setting) {
    // By hand: passwords with an '@' are common, and not every reader of URLs takes them.
    std::string_view rest = trimmed(setting.url);
    std::string scheme = "http";
    if (const std::size_t end = rest.find("://"); end != rest.npos) {
        scheme = lower_case(rest.substr(0, end));
        rest.remove_prefix(end + 3);
    }
    if (scheme.starts_with("socks")) {
        throw Error(
            Errc::usage,
            "the proxy in " + setting.source + " is a SOCKS proxy, which prebake cannot use",
            "name an HTTP proxy, or exempt the registries from it");
    }
    if (scheme != "http" && scheme != "https") {
        throw malformed_proxy(setting, "it begins with neither http:// nor https://");
    }
    const std::size_t end_of_authority = std::min(rest.find_first_of("/?#"), rest.size());
    const std::string_view authority = rest.substr(0, end_of_authority);
    // Otherwise a password with a slash would be mistaken for a host.
    if (rest.substr(end_of_authority).find('@') != rest.npos) {
        throw malformed_proxy(setting, "there is an @ after its host");
    }
    const std::size_t at = authority.rfind('@');
    const bool has_user = at != authority.npos;
    Proxy proxy{.server = {}, .authorization = {}, .source = setting.source};
    try {
        proxy.server = parse_url(scheme + "://" +
                                 std::string(has_user ? authority.substr(at + 1) : authority));
    } catch (const Error&) {
        throw malformed_proxy(setting, "it has no host, or a port that is no number");
    }
    if (has_user) proxy.authorization = basic_authorization(setting, authority.substr(0, at));
    return proxy;
}

std::optional<Proxy> proxy_for(const ProxySettings& settings, const Url& url) {
    const ProxySetting& setting = url.tls ? settings.for_https : settings.for_http;
    if (trimmed(setting.url).empty()) return std::nullopt;
    const RequestedHost host{
        .name = url.host, .port = url.port, .address = parse_address(url.host)};
    if (host.name == "localhost") return std::nullopt;
    if (host.address && (is_loopback(*host.address) || is_link_local(*host.address))) {
        return std::nullopt;
    }
    const std::vector<std::string> entries = entries_of(settings.no_proxy);
    const bool exempt = std::any_of(entries.begin(), entries.end(), [&](const std::string& entry) {
        return is_exempt(entry, host);
    });
    if (exempt) return std::nullopt;
    return parse_proxy(setting);
}

}  // namespace prebake::http
