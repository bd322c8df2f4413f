#include "agent/registry/hosts_file.h"

#include <algorithm>
#include <functional>
#include <string>
#include <tuple>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/base/toml.h"
#include "agent/http/url.h"
#include "agent/registry/go_duration.h"
#include "agent/registry/go_pattern.h"

namespace prebake::registry {
namespace {

constexpr const char* kNextStep = "correct it: containerd ignores the whole file as it is";

/// One table of the file: of a host, or the file itself.
class HostTable {
  public:
    HostTable(const toml::table& table, const std::filesystem::path& file)
        : table_(table), file_(file) {}

    /// Calls `read` with the value of the key, if the table has it.
    template <typename Read>
    void with(std::string_view key, Read&& read) const {
        if (const toml::node* const node = table_.get(key)) {
            at(*node, [&] { read(*node); });
        }
    }

    /// Calls `work`, whose errors get the place of the node.
    template <typename Work>
    void at(const toml::node& node, Work&& work) const {
        try {
            work();
        } catch (const Error& error) {
            throw Error(error.code(), place_of(node, file_.string()) + ": " + error.message(),
                        error.next_step().empty() ? kNextStep : error.next_step());
        }
    }

    std::string absolute(const std::string& path) const { return file_.parent_path() / path; }

  private:
    const toml::table& table_;
    const std::filesystem::path& file_;
};

void read_capabilities(const toml::node& node, Endpoint& endpoint) {
    const auto words = strings_value(node, "capabilities", "[\"pull\", \"resolve\"]");
    if (words.empty()) return;  // means all
    endpoint.pulls = endpoint.resolves = endpoint.lists_referrers = false;
    for (const std::string& given : words) {
        const std::string word = lower_case(given);
        if (word == "pull") {
            endpoint.pulls = true;
        } else if (word == "resolve") {
            endpoint.resolves = true;
        } else if (word == "referrers") {
            endpoint.lists_referrers = true;
        } else if (word != "push") {
            throw Error(Errc::usage, "unknown capability \"" + word + "\"",
                        "known ones are pull, resolve, push and referrers");
        }
    }
}

/// A file with certificate and key, a list of those, or a list of pairs of files.
std::vector<http::ClientCertificate> read_client(const toml::node& node, const HostTable& table) {
    constexpr std::string_view kExample = "[[\"client.cert\", \"client.key\"]]";
    std::vector<http::ClientCertificate> certificates;
    const auto add = [&](const std::string& certificate, const std::string& key) {
        certificates.push_back({.certificate = table.absolute(certificate),
                                .key = table.absolute(key.empty() ? certificate : key)});
    };
    const toml::array* const list = node.as_array();
    if (list == nullptr) {
        add(string_value(node, "client", kExample), "");
        return certificates;
    }
    for (const toml::node& element : *list) {
        const auto files = strings_value(element, "client", kExample);
        const bool is_pair = element.is_array();
        if (is_pair && files.size() != 2) {
            throw wrong_type("client", "pairs of a certificate and a key", kExample);
        }
        add(files[0], is_pair ? files[1] : "");
    }
    return certificates;
}

http::Headers read_headers(const toml::node& node) {
    http::Headers headers;
    const toml::table* const table = node.as_table();
    if (table == nullptr) throw wrong_type("header", "a table", "{ x-team = \"storage\" }");
    for (const auto& [name, value] : *table) {
        for (std::string& text : strings_value(value, name.str(), "\"value\"")) {
            headers.emplace_back(std::string(name.str()), std::move(text));
        }
    }
    return headers;
}

/// In the order of the file.
std::vector<std::pair<std::string, const toml::node*>> in_file_order(const toml::table& table) {
    std::vector<std::pair<std::string, const toml::node*>> nodes;
    for (const auto& [name, node] : table) nodes.emplace_back(name.str(), &node);
    std::stable_sort(nodes.begin(), nodes.end(), [](const auto& one, const auto& other) {
        const toml::source_position a = one.second->source().begin;
        const toml::source_position b = other.second->source().begin;
        return std::tie(a.line, a.column) < std::tie(b.line, b.column);
    });
    return nodes;
}

std::vector<Rewrite> read_rewrites(const toml::node& node) {
    constexpr std::string_view kExample = "{ \"^library/(.*)\" = \"mirror/$1\" }";
    std::vector<Rewrite> rewrites;
    const toml::table* const table = node.as_table();
    if (table == nullptr) throw wrong_type("rewrite", "a table", kExample);
    for (const auto& [pattern, value] : in_file_order(*table)) {
        rewrites.push_back(rewrite_of_go(pattern, string_value(*value, "rewrite", kExample)));
    }
    return rewrites;
}

/// By URL.
std::vector<std::pair<std::string, const toml::table*>> host_tables(const toml::node& node) {
    const Error other_type =
        Error(Errc::usage, "host must be tables", "for example: [host.\"https://mirror.example\"]");
    const toml::table* const hosts = node.as_table();
    if (hosts == nullptr) throw Error(other_type);
    std::vector<std::pair<std::string, const toml::table*>> tables;
    for (const auto& [url, value] : in_file_order(*hosts)) {
        if (!value->is_table()) throw Error(other_type);
        tables.emplace_back(url, value->as_table());
    }
    return tables;
}

bool is_path_kept(const HostTable& table) {
    bool kept = false;
    table.with("override_path",
               [&](const toml::node& node) { kept = bool_value(node, "override_path"); });
    return kept;
}

/// What the table says about the host, apart from its address.
Endpoint settings_of(const HostTable& table) {
    Endpoint endpoint;
    table.with("capabilities", [&](const toml::node& node) { read_capabilities(node, endpoint); });
    table.with("ca", [&](const toml::node& node) {
        for (const std::string& path : strings_value(node, "ca", "\"ca.crt\"")) {
            endpoint.tls.ca_files.push_back(table.absolute(path));
        }
    });
    table.with("client", [&](const toml::node& node) {
        endpoint.tls.client_certificates = read_client(node, table);
    });
    table.with("skip_verify", [&](const toml::node& node) {
        if (!bool_value(node, "skip_verify")) return;
        endpoint.tls.verification = http::TlsVerification::none;
    });
    table.with("header", [&](const toml::node& node) { endpoint.headers = read_headers(node); });
    table.with("dial_timeout", [&](const toml::node& node) {
        constexpr std::string_view kExample = "\"5s\"";
        const auto limit = parse_go_duration(string_value(node, "dial_timeout", kExample));
        if (!limit) throw wrong_type("dial_timeout", "a duration", kExample);
        endpoint.dial_timeout = std::chrono::ceil<std::chrono::milliseconds>(*limit);
    });
    table.with("rewrite", [&](const toml::node& node) { endpoint.rewrites = read_rewrites(node); });
    return endpoint;
}

bool has_tls_settings(const HostTable& table) {
    bool has = false;
    for (const char* key : {"ca", "client", "skip_verify"}) {
        table.with(key, [&](const toml::node&) { has = true; });
    }
    return has;
}

/// Sets address and path from the host's URL.
void set_address(Endpoint& endpoint, const std::string& text, const HostTable& table,
                 std::string_view registry, bool keeps_path) {
    const http::Url url = http::parse_url(text.starts_with("http") ? text : "https://" + text);
    endpoint.base_url = (url.tls ? "https://" : "http://") + url.host_header;
    std::string path = url.target.substr(0, url.target.find('?'));
    path = std::filesystem::path(path).lexically_normal().string();
    while (path.ends_with('/')) path.pop_back();
    if (!keeps_path && !path.ends_with("/v2")) path += "/v2";
    endpoint.path = path;
    // containerd tries TLS first where somebody configured it for a host with plain HTTP.
    if (!url.tls && url.port != "80" && has_tls_settings(table)) {
        endpoint.base_url = "https://" + url.authority();
        endpoint.falls_back_to_http = true;
    }
    const bool is_itself = url.host_header == registry ||
                           (registry == "docker.io" && url.host_header == "registry-1.docker.io");
    if (!is_itself) endpoint.mirror_of = std::string(registry);
}

}  // namespace

std::vector<Endpoint> parse_hosts_file(std::string_view text, const std::filesystem::path& file,
                                       std::string_view registry) {
    const toml::table root = parse_toml(text, file.string(), kNextStep);
    const HostTable whole(root, file);
    std::vector<Endpoint> endpoints;
    std::vector<std::pair<std::string, const toml::table*>> hosts;
    whole.with("host", [&](const toml::node& node) { hosts = host_tables(node); });
    for (const auto& [url, settings] : hosts) {
        const HostTable table(*settings, file);
        Endpoint& endpoint = endpoints.emplace_back(settings_of(table));
        const bool keeps_path = is_path_kept(table);
        whole.at(*settings, [&, address = std::cref(url)] {
            in_context("host \"" + address.get() + "\"",
                       [&] { set_address(endpoint, address, table, registry, keeps_path); });
        });
        // Messages show it, and a password in a URL must not be in any.
        const bool has_user = url.find('@') != std::string::npos;
        endpoint.tls.place = {.hosts_file = file.string(),
                              .host = has_user ? endpoint.base_url : url};
    }

    Endpoint server = settings_of(whole);
    server.tls.place = {.hosts_file = file.string()};
    const bool keeps_path = is_path_kept(whole);
    std::string address;
    whole.with("server", [&](const toml::node& node) {
        address = string_value(node, "server", "\"https://registry.example\"");
        if (!address.empty()) set_address(server, address, whole, registry, keeps_path);
    });
    if (address.empty()) {
        // Without a server, the capabilities and override_path at the top have no meaning.
        const Endpoint itself = endpoints_of(registry).front();
        server.base_url = itself.base_url;
        server.path = itself.path;
        server.pulls = server.resolves = server.lists_referrers = true;
        server.falls_back_to_http = itself.falls_back_to_http;
        if (itself.tls.verification == http::TlsVerification::none) {
            server.tls.verification = http::TlsVerification::none;
        }
    }
    endpoints.push_back(std::move(server));
    return endpoints;
}

}  // namespace prebake::registry
