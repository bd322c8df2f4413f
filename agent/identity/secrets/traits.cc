#include <algorithm>
#include <string>
#include <vector>

#include "agent/base/text.h"
#include "agent/identity/secrets/rule.h"

namespace prebake::identity::secrets {
namespace {

using Words = std::vector<std::string_view>;

bool is_among(const Words& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

/// Programs and documents among settings.
const Words& source_extensions() {
    static const Words words{"c",  "cc", "go", "h",   "html", "js", "md",  "php", "pl",
                             "pm", "py", "rb", "rst", "svg",  "ts", "xsd", "xslt"};
    return words;
}

const Words& settings_extensions() {
    static const Words words{"cfg",        "cnf",    "conf",    "config", "env",     "ini",
                             "kubeconfig", "list",   "mount",   "netdev", "network", "nmconnection",
                             "properties", "repo",   "service", "sh",     "socket",  "sources",
                             "tfstate",    "tfvars", "timer",   "toml",   "yaml",    "yml"};
    return words;
}

const Words& settings_names() {
    static const Words words{"auth.json",   "config",           "config.json",
                             "credentials", "credentials.json", "daemon.json",
                             "ecs.config",  "environment",      "kubeconfig"};
    return words;
}

}  // namespace

FileTraits traits_of(std::string_view path) {
    const std::string name = lower_case(path.substr(path.rfind('/') + 1));
    const std::size_t dot = name.rfind('.');
    const std::string extension =
        dot == std::string::npos || dot == 0 ? std::string() : name.substr(dot + 1);
    const auto lies_in = [&](std::string_view directory) {
        return path.find(directory) != std::string_view::npos;
    };
    const bool is_json = extension == "json" || name == ".dockercfg" || name == ".dockerconfigjson";

    FileTraits traits;
    // Settings of packages are samples, and the same on every machine.
    traits.settings = !path.starts_with("/usr/share/") &&
                      !is_among(source_extensions(), extension) &&
                      (path.starts_with("/etc/") || path.starts_with("/usr/local/etc/") ||
                       name.starts_with('.') || is_among(settings_names(), name) ||
                       is_among(settings_extensions(), extension));
    traits.colons = is_json || extension == "config" || extension == "yaml" || extension == "yml" ||
                    extension == "tfstate" || extension == "kubeconfig" || name == "kubeconfig" ||
                    lies_in("/.kube/") || lies_in("/etc/kubernetes/") || lies_in("/etc/cloud/");
    traits.netrc = name == ".netrc" || name == "_netrc" || name == "netrc" || name == "auth.conf" ||
                   lies_in("/auth.conf.d/");
    traits.pgpass = name == ".pgpass" || name == "pgpass.conf";
    traits.wireguard = path.starts_with("/etc/wireguard/") && name.find("pub") == std::string::npos;
    traits.token_file = name == "known_tokens.csv" || name == "token_auth.csv";
    return traits;
}

}  // namespace prebake::identity::secrets
