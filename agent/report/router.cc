#include "agent/report/router.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/format.h"

namespace prebake::report {
namespace {

struct Resource {
    std::string_view path;
    Document document;
    std::string_view parameter;  ///< the only allowed query parameter
};

constexpr std::array<Resource, 6> kResources{{
    {"/v1/status", Document::status, "wait"},
    {"/v1/images", Document::images, {}},
    {"/v1/ledger", Document::ledger, {}},
    // Probes of Kubernetes components send it; our answer is always verbose.
    {"/readyz", Document::readyz, "verbose"},
    {"/livez", Document::livez, "verbose"},
    {"/metrics", Document::metrics, {}},
}};

/// Limit for text of a client in an answer.
constexpr std::size_t kMaxQuotedBytes = 80;

std::string in_quotes(std::string_view text) {
    return '"' + shorten(printable(text), kMaxQuotedBytes) + '"';
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return result;
}

/// Any port is allowed, because an SSM session forwards another port.
bool is_loopback_host(std::string_view host) {
    const std::string name = lower(host);
    for (const std::string_view known : {"localhost", "127.0.0.1", "[::1]"}) {
        if (!name.starts_with(known)) continue;
        const std::string_view rest = std::string_view(name).substr(known.size());
        if (rest.empty()) return true;
        return rest.size() <= 6 && rest[0] == ':' && std::ranges::all_of(rest.substr(1), is_digit);
    }
    return false;
}

Error unknown_path(std::string_view path) {
    std::string known;
    for (const auto& resource : kResources) {
        known += (known.empty() ? "" : ", ") + std::string(resource.path);
    }
    return Error(Errc::not_found, "there is no " + in_quotes(path), "use one of " + known);
}

Error bad_query(std::string_view query, const Resource& resource) {
    std::string next_step = "send the request without a query";
    if (resource.document == Document::status) {
        next_step = "use wait=SECONDS, 0 to " + std::to_string(kMaxWait.count());
    }
    return Error(Errc::usage,
                 "unknown query " + in_quotes(query) + " for " + std::string(resource.path),
                 next_step);
}

/// A query has at most one parameter. Returns nothing for an unknown parameter or a bad value.
std::optional<std::chrono::seconds> parse_query(std::string_view query, const Resource& resource) {
    if (query.empty()) return std::chrono::seconds(0);
    const std::string_view name = query.substr(0, query.find('='));
    if (resource.parameter.empty() || name != resource.parameter) return std::nullopt;
    if (resource.document != Document::status) return std::chrono::seconds(0);
    query.remove_prefix(std::min(query.size(), name.size() + 1));
    unsigned seconds = 0;
    const char* const end = query.data() + query.size();
    const auto [rest, failure] = std::from_chars(query.data(), end, seconds);
    if (failure != std::errc() || rest != end || seconds > kMaxWait.count()) return std::nullopt;
    return std::chrono::seconds(seconds);
}

Route refused(unsigned status, const Error& error) {
    return {.refusal = refusal(status, error)};
}

}  // namespace

Route route(const Request& request) {
    std::string_view target = request.target;
    std::string_view host = request.host;
    if (host.empty() && request.transport == Transport::tcp) {
        return refused(
            400, Error(Errc::usage, "the request has no Host header", "send Host: localhost"));
    }
    // The absolute form, which servers must accept (RFC 9112, 3.2.2). Its authority is the host.
    constexpr std::string_view kScheme = "http://";
    if (lower(target.substr(0, kScheme.size())) == kScheme) {
        target.remove_prefix(kScheme.size());
        host = target.substr(0, target.find_first_of("/?"));
        target.remove_prefix(host.size());
    }
    if (request.transport == Transport::tcp && !is_loopback_host(host)) {
        return refused(421, Error(Errc::permission_denied,
                                  "the host " + in_quotes(host) + " is not this machine's loopback",
                                  "send Host: localhost"));
    }

    const std::string_view path = target.substr(0, target.find('?'));
    const auto* const resource =
        std::ranges::find_if(kResources, [&](const Resource& each) { return each.path == path; });
    if (resource == kResources.end()) return refused(404, unknown_path(path));
    if (request.method != "GET" && request.method != "HEAD") {
        Route route = refused(405, Error(Errc::usage, in_quotes(request.method) + " is not allowed",
                                         "the endpoint is read-only: use GET or HEAD"));
        route.refusal.allow = "GET, HEAD";
        return route;
    }
    const std::string_view query = target.substr(std::min(target.size(), path.size() + 1));
    const auto wait = parse_query(query, *resource);
    if (!wait) return refused(400, bad_query(query, *resource));
    return {.document = resource->document, .wait_until_ready = *wait};
}

}  // namespace prebake::report
