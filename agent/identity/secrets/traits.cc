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

/// Whether a PHP file is one of settings (wp-config.php, settings.php, config/database.php), not a
/// program, a sample or texts of a user interface.
bool is_php_settings(std::string_view path, std::string_view name) {
    const auto has = [](std::string_view text, const Words& parts) {
        return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
            return text.find(part) != std::string_view::npos;
        });
    };
    const std::string_view above = path.substr(0, path.rfind('/') + 1);
    return (has(name, {"config", "settings", "parameters", "secrets", "database"}) ||
            above.ends_with("/config/")) &&
           !has(name, {"sample", "example", "dist", "default."}) &&
           !has(path, {"/lang/", "/languages/", "/locale/", "/translations/"});
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
    traits.php = extension == "php" && is_php_settings(path, name);
    // Settings of packages are samples, and the same on every machine.
    traits.settings =
        !path.starts_with("/usr/share/") &&
        (traits.php || !is_among(source_extensions(), extension)) &&
        (traits.php || path.starts_with("/etc/") || path.starts_with("/usr/local/etc/") ||
         name.starts_with('.') || is_among(settings_names(), name) ||
         is_among(settings_extensions(), extension));
    traits.colons = is_json || extension == "config" || extension == "yaml" || extension == "yml" ||
                    extension == "tfstate" || extension == "kubeconfig" || name == "kubeconfig" ||
                    lies_in("/.kube/") || lies_in("/etc/kubernetes/") || lies_in("/etc/cloud/");
    traits.netrc = name == ".netrc" || name == "_netrc" || name == "netrc" || name == "auth.conf" ||
                   lies_in("/auth.conf.d/");
    traits.pgpass = name == ".pgpass" || name == "pgpass.conf";
    traits.wireguard = path.starts_with("/etc/wireguard/") && name.find("pub") == std::string::npos;
    traits.erlang = name == ".erlang.cookie";
    traits.wazuh = name == "client.keys";
    traits.token_file = name == "known_tokens.csv" || name == "token_auth.csv";
    return traits;
}

}  // namespace prebake::identity::secrets
