#include "agent/registry/auth_config.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <span>
#include <utility>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/registry/json_members.h"

namespace prebake::registry {
namespace {

namespace json = boost::json;

constexpr std::string_view kHub = "docker.io";
constexpr std::string_view kAuths = "auths";
constexpr std::string_view kHelpers = "credHelpers";
constexpr std::string_view kDefaultHelper = "credsStore";
constexpr std::array kMembers{kAuths, kHelpers, kDefaultHelper};

std::vector<std::string> parts_of(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(separator), text.size());
        if (end > 0) parts.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

std::string host_of(std::string_view text) {
    std::string host = lower_case(text);
    if (host.ends_with(":443")) host.resize(host.size() - 4);
    const bool is_hub = host == "index.docker.io" || host == "registry-1.docker.io";
    return is_hub ? std::string(kHub) : host;
}

bool is_pattern(std::string_view host) {
    const bool is_address = host.starts_with('[') && host.find(':') < host.find(']');  // of IPv6
    return host.find_first_of("*?[") != std::string_view::npos && !is_address;
}

bool matches(const std::string& pattern, const std::string& label) {
    return ::fnmatch(pattern.c_str(), label.c_str(), 0) == 0;
}

bool is_host_matched(const std::string& pattern, const std::string& host) {
    if (!is_pattern(pattern)) return pattern == host;
    // The colon of a port separates, too: a pattern without a port is for no other port.
    const auto split = [](const std::string& text) {
        const std::size_t colon = text.rfind(':');
        return std::pair(text.substr(0, colon),
                         colon == std::string::npos ? std::string() : text.substr(colon));
    };
    const auto [pattern_name, pattern_port] = split(pattern);
    const auto [name, port] = split(host);
    const std::vector<std::string> patterns = parts_of(pattern_name, '.');
    const std::vector<std::string> labels = parts_of(name, '.');
    return pattern_port == port &&
           std::equal(patterns.begin(), patterns.end(), labels.begin(), labels.end(), matches);
}

/// The entries that are for the repository, the most specific one first.
template <typename Entry>
std::vector<const Entry*> matching(const std::vector<Entry>& entries,
                                   const Repository& repository) {
    std::vector<std::pair<std::size_t, const Entry*>> found;
    for (const Entry& entry : entries) {
        if (const auto rank = AuthKey::parse(entry.key).match(repository)) {
            found.emplace_back(*rank, &entry);
        }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& one, const auto& other) { return one.first > other.first; });
    std::vector<const Entry*> result;
    result.reserve(found.size());
    for (const auto& [rank, entry] : found) result.push_back(entry);
    return result;
}

}  // namespace

AuthKey AuthKey::parse(std::string_view key) {
    const std::size_t scheme = key.find("://");
    if (scheme != std::string_view::npos) key.remove_prefix(scheme + 3);
    const std::size_t slash = std::min(key.find('/'), key.size());
    return {.host = host_of(key.substr(0, slash)), .path = parts_of(key.substr(slash), '/')};
}

std::optional<std::size_t> AuthKey::match(const Repository& repository) const {
    if (!is_host_matched(host, host_of(repository.registry))) return std::nullopt;
    const std::vector<std::string> wanted = parts_of(repository.path, '/');
    const auto begins_with = [&](std::span<const std::string> parts) {
        return parts.size() <= wanted.size() &&
               std::equal(parts.begin(), parts.end(), wanted.begin());
    };
    std::span<const std::string> parts = path;
    const bool may_be_api = !path.empty() && (path.front() == "v1" || path.front() == "v2");
    if (may_be_api && !begins_with(parts)) parts = parts.subspan(1);
    if (!begins_with(parts)) return std::nullopt;
    return 2 * parts.size() + (is_pattern(host) ? 0 : 1);
}

AuthConfig::AuthConfig(std::string_view text, std::string name) : name_(std::move(name)) {
    boost::system::error_code failure;
    const json::value document = json::parse(text, failure);
    if (failure || !document.is_object()) {
        throw Error(Errc::usage, name_ + " is not a JSON object",
                    "correct it, or create it again with docker login or skopeo login");
    }
    const json::object& config = document.as_object();
    const bool is_legacy = std::ranges::none_of(
        kMembers, [&](std::string_view member) { return member_at(config, member) != nullptr; });
    if (const auto* auths = is_legacy ? &config : object_at(config, kAuths)) {
        for (const auto& [key, value] : *auths) {
            if (!value.is_object()) continue;
            const json::object& entry = value.as_object();
            entries_.push_back({.key = std::string(key),
                                .auth = text_at(entry, "auth"),
                                .plain = {.username = text_at(entry, "username"),
                                          .password = text_at(entry, "password"),
                                          .identity_token = text_at(entry, "identitytoken"),
                                          .registry_token = text_at(entry, "registrytoken"),
                                          .note = {}}});
        }
    }
    if (const auto* helpers = object_at(config, kHelpers)) {
        for (const auto& [key, value] : *helpers) {
            if (!value.is_string()) continue;
            helpers_.push_back({.key = std::string(key),
                                .name = std::string(std::string_view(value.as_string()))});
        }
    }
    default_helper_ = text_at(config, kDefaultHelper);
}

std::optional<Credentials> AuthConfig::find(const Repository& repository) const {
    for (const Entry* const entry : matching(entries_, repository)) {
        Credentials credentials = decode(*entry);
        if (!credentials.anonymous()) return credentials;
    }
    return std::nullopt;
}

std::string AuthConfig::helper_for(const Repository& repository) const {
    const auto helpers = matching(helpers_, repository);
    return helpers.empty() ? std::string() : helpers.front()->name;
}

Credentials AuthConfig::decode(const Entry& entry) const {
    Credentials credentials = entry.plain;
    credentials.source = name_;
    if (!entry.auth.empty()) {
        const auto pair = base64_decode(entry.auth);
        const auto colon = pair ? pair->find(':') : std::string::npos;
        if (colon == std::string::npos) {
            throw Error(Errc::usage,
                        name_ + " has no base64 of user:password in auths, " + entry.key,
                        "correct it, or create it again with docker login or skopeo login");
        }
        credentials.username = pair->substr(0, colon);
        credentials.password = pair->substr(colon + 1);
        // Some writers pad the pair with NULs.
        while (credentials.password.ends_with('\0')) credentials.password.pop_back();
    }
    if (!credentials.identity_token.empty()) credentials.username.clear();
    return credentials;
}

}  // namespace prebake::registry
