#include "agent/report/router.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/format.h"

namespace prebake::report {
namespace {

struct ResourcePath {
    std::string_view path;
    Resource resource;
    /// The only allowed query parameter, without effect. Those of the status have one.
    std::string_view parameter;
};

constexpr std::array<ResourcePath, 7> kPaths{{
    {"/v1/status", Resource::status, {}},
    {"/v1/images", Resource::images, {}},
    {"/v1/ledger", Resource::ledger, {}},
    {"/v1/trace", Resource::trace, {}},
    // Probes of Kubernetes components send it; our answer is always verbose.
    {"/readyz", Resource::readyz, "verbose"},
    {"/livez", Resource::livez, "verbose"},
    {"/metrics", Resource::metrics, {}},
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
    for (const auto& rule : kPaths) {
        known += (known.empty() ? "" : ", ") + std::string(rule.path);
    }
    return Error(Errc::not_found, "there is no " + in_quotes(path), "use one of " + known);
}

Error bad_query(std::string_view query, const ResourcePath& rule) {
    std::string next_step = "send the request without a query";
    if (rule.resource == Resource::status) {
        next_step = "use wait=SECONDS, 0 to " + std::to_string(kMaxWait.count()) +
                    ", and for=ready or for=hydrated";
    }
    return Error(Errc::usage,
                 "unknown query " + in_quotes(query) + " for " + std::string(rule.path), next_step);
}

struct Query {
    std::optional<std::chrono::seconds> wait = {};
    std::optional<Goal> goal = {};
};

std::optional<std::chrono::seconds> parse_wait(std::string_view text) {
    unsigned seconds = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, failure] = std::from_chars(text.data(), end, seconds);
    if (failure != std::errc() || rest != end || seconds > kMaxWait.count()) return std::nullopt;
    return std::chrono::seconds(seconds);
}

std::optional<Goal> parse_goal(std::string_view text) {
    if (text == "ready") return Goal::ready;
    if (text == "hydrated") return Goal::hydrated;
    return std::nullopt;
}

/// wait and for, each at most once. Returns nothing for an unknown parameter or a bad value.
std::optional<Query> parse_status_query(std::string_view text) {
    Query query;
    while (!text.empty()) {
        const std::string_view part = text.substr(0, text.find('&'));
        text.remove_prefix(std::min(text.size(), part.size() + 1));
        const std::string_view name = part.substr(0, part.find('='));
        const std::string_view value = part.substr(std::min(part.size(), name.size() + 1));
        if (name == "wait" && !query.wait) {
            query.wait = parse_wait(value);
            if (!query.wait) return std::nullopt;
        } else if (name == "for" && !query.goal) {
            query.goal = parse_goal(value);
            if (!query.goal) return std::nullopt;
        } else {
            return std::nullopt;
        }
    }
    return query;
}

/// As parse_status_query(), for any document. Others have at most one parameter, without effect.
std::optional<Query> parse_query(std::string_view text, const ResourcePath& rule) {
    if (text.empty()) return Query();
    if (rule.resource == Resource::status) return parse_status_query(text);
    const bool is_known =
        !rule.parameter.empty() && text.substr(0, text.find('=')) == rule.parameter;
    return is_known ? std::optional(Query()) : std::nullopt;
}

Route error_route(unsigned status, const Error& error) {
    return {.error = error_response(status, error)};
}

}  // namespace

Route route(const Request& request) {
    std::string_view target = request.target;
    std::string_view host = request.host;
    if (host.empty() && request.socket_kind == SocketKind::tcp) {
        return error_route(
            400, Error(Errc::usage, "the request has no Host header", "send Host: localhost"));
    }
    // The absolute form, which servers must accept (RFC 9112, 3.2.2). Its authority is the host.
    constexpr std::string_view kScheme = "http://";
    if (lower(target.substr(0, kScheme.size())) == kScheme) {
        target.remove_prefix(kScheme.size());
        host = target.substr(0, target.find_first_of("/?"));
        target.remove_prefix(host.size());
    }
    if (request.socket_kind == SocketKind::tcp && !is_loopback_host(host)) {
        return error_route(421,
                           Error(Errc::permission_denied,
                                 "the host " + in_quotes(host) + " is not this machine's loopback",
                                 "send Host: localhost"));
    }

    const std::string_view path = target.substr(0, target.find('?'));
    const auto* const rule =
        std::ranges::find_if(kPaths, [&](const ResourcePath& each) { return each.path == path; });
    if (rule == kPaths.end()) return error_route(404, unknown_path(path));
    const bool is_readiness =
        rule->resource == Resource::readyz || rule->resource == Resource::livez;
    if (request.is_readiness_only && !is_readiness) {
        return error_route(403, Error(Errc::permission_denied,
                                      "only /readyz and /livez are served over TCP (report.tcp)",
                                      "use the unix socket (report.socket)"));
    }
    if (request.method != "GET" && request.method != "HEAD") {
        Route route =
            error_route(405, Error(Errc::usage, in_quotes(request.method) + " is not allowed",
                                   "the endpoint is read-only: use GET or HEAD"));
        route.error.allow = "GET, HEAD";
        return route;
    }
    const std::string_view query = target.substr(std::min(target.size(), path.size() + 1));
    const auto parameters = parse_query(query, *rule);
    if (!parameters) return error_route(400, bad_query(query, *rule));
    return {.resource = rule->resource,
            .wait = parameters->wait.value_or(std::chrono::seconds(0)),
            .goal = parameters->goal.value_or(Goal::ready)};
}

}  // namespace prebake::report
