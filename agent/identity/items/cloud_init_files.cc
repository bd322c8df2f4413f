#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "agent/base/text.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/cloud_init.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::array<const char*, 2> kConfigs{"/etc/cloud/cloud.cfg",
                                              "/etc/cloud/cloud.cfg.d/*.cfg"};
constexpr std::string_view kSudoers = "/etc/sudoers.d/90-cloud-init-users";
constexpr std::string_view kSshd = "/etc/ssh/sshd_config.d/50-cloud-init.conf";
/// The files of `cloud-init clean --configs network`, and their names in other releases.
constexpr std::array<std::string_view, 7> kNetworkFiles{
    "/etc/netplan/50-cloud-init.yaml",
    "/etc/NetworkManager/conf.d/99-cloud-init.conf",
    "/etc/NetworkManager/conf.d/30-cloud-init-ip6-addr-gen-mode.conf",
    "/etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
    "/etc/systemd/network/10-cloud-init-*.network",
    "/etc/network/interfaces.d/50-cloud-init",
    "/etc/network/interfaces.d/50-cloud-init.cfg"};

/// What Ubuntu's installer (subiquity, curtin) leaves for cloud-init. Its own hook for images,
/// /etc/cloud/clean.d/99-installer, removes the same files.
constexpr std::array<std::string_view, 6> kInstallerFiles{
    "/etc/cloud/cloud.cfg.d/50-curtin-networking.cfg",
    "/etc/cloud/cloud.cfg.d/90-installer-network.cfg",
    "/etc/cloud/cloud.cfg.d/99-installer.cfg",
    "/etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg",
    "/etc/netplan/00-installer-config.yaml",
    "/etc/netplan/00-installer-config-wifi.yaml"};
constexpr std::string_view kDisabled = "/etc/cloud/cloud-init.disabled";
constexpr std::string_view kDsIdentify = "/etc/cloud/ds-identify.cfg";

bool is_of_installer(std::string_view path) {
    return std::count(kInstallerFiles.begin(), kInstallerFiles.end(), path) != 0;
}

/// From 22.10 on, the installer disables cloud-init after the first boot.
bool is_disabled_by_installer(const machine::Root& root) {
    return read_regular(root, kDisabled)
        .value_or("")
        .starts_with("Disabled by Ubuntu live installer");
}

/// Whether cloud-init will run on a clone, when what the installer left is removed.
bool will_run(const machine::Root& root) {
    return machine::cloud_init_is_active(root) ||
           (is_disabled_by_installer(root) && root.info("/usr/bin/cloud-init") &&
            !machine::cloud_init_is_disabled_by_kernel(root));
}

/// Whether cloud-init will create users again. If it does not and the file is gone, users of a
/// clone have lost their root privileges.
bool creates_users(const machine::Root& root) {
    if (!will_run(root)) return false;
    bool has_module = false;
    for (const char* const pattern : kConfigs) {
        for (const std::string& path : root.match(pattern)) {
            const std::string text = root.read(path, kMaxTextBytes).value_or("");
            for (const std::string_view line : lines_of(text)) {
                const std::vector<std::string_view> words = words_of(line);
                if (words.size() == 2 && words[0] == "users:" && words[1] == "[]") return false;
                has_module |= std::any_of(words.begin(), words.end(), [](std::string_view word) {
                    if (word.starts_with('[')) word.remove_prefix(1);  // with its frequency
                    return word.starts_with("users-groups") || word.starts_with("users_groups");
                });
            }
        }
    }
    return has_module;
}

bool disables_network(const machine::Root& root, const std::string& path) {
    const std::string text = root.read(path, kMaxTextBytes).value_or("");
    const std::vector<std::string_view> lines = lines_of(text);
    return std::any_of(lines.begin(), lines.end(), [](std::string_view line) {
        std::string setting(line.substr(0, line.find('#')));
        std::erase_if(setting, [](char c) { return c == '"' || c == '\''; });
        return setting.find("config: disabled") != std::string::npos;
    });
}

/// Whether cloud-init will write the network configuration again. If it does not and the files are
/// gone, a clone has no network.
bool renders_network(const machine::Root& root) {
    if (!will_run(root) || machine::cloud_init_network_is_disabled_by_kernel(root)) return false;
    for (const char* const pattern : kConfigs) {
        for (const std::string& path : root.match(pattern)) {
            if (!is_of_installer(path) && disables_network(root, path)) return false;
        }
    }
    return true;
}

/// Whether a configuration of cloud-init gives somebody a password or an SSH key. Also in a
/// configuration that is the value of another one (userdata_raw).
bool creates_accounts(std::string_view text) {
    static constexpr std::array<std::string_view, 9> kKeys{"chpasswd:",
                                                           "hashed_passwd:",
                                                           "passwd:",
                                                           "password:",
                                                           "plain_text_passwd:",
                                                           "ssh-authorized-keys:",
                                                           "ssh_authorized_keys:",
                                                           "ssh-import-id:",
                                                           "ssh_import_id:"};
    const std::vector<std::string_view> lines = lines_of(text);
    return std::any_of(lines.begin(), lines.end(), [](std::string_view line) {
        line = line.substr(0, line.starts_with('#') ? 0 : line.find(" #"));
        return std::any_of(kKeys.begin(), kKeys.end(), [&](std::string_view key) {
            const std::size_t at = line.find(key);
            // Not lock_passwd.
            return at != std::string_view::npos &&
                   (at == 0 || std::string_view("_-").find(line[at - 1]) == std::string_view::npos);
        });
    });
}

}  // namespace

Changes installer_config_changes(const machine::Root& root, const ItemSettings&) {
    if (!will_run(root)) return {};
    Changes changes;
    const bool is_network_rendered = renders_network(root);
    for (const std::string_view path : kInstallerFiles) {
        // The only network configuration of a clone, if cloud-init writes none.
        if (path.starts_with("/etc/netplan/") && !is_network_rendered) continue;
        changes.push_back({Change::Kind::remove, std::string(path), {}});
    }
    if (is_disabled_by_installer(root))
        changes.push_back({Change::Kind::remove, std::string(kDisabled), {}});
    const bool is_installed_by_it = root.info("/etc/cloud/cloud.cfg.d/99-installer.cfg") ||
                                    root.info("/etc/cloud/clean.d/99-installer");
    if (is_installed_by_it && read_regular(root, kDsIdentify) == "policy: enabled\n")
        changes.push_back({Change::Kind::remove, std::string(kDsIdentify), {}});
    return changes;
}

Changes cloud_init_accounts_changes(const machine::Root& root, const ItemSettings&) {
    const bool removes_installers = will_run(root);
    Changes changes;
    for (const char* const pattern :
         {"/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg", "/var/lib/cloud/seed/*/user-data",
          "/var/lib/cloud/seed/*/vendor-data"}) {
        for (std::string& path : root.match(pattern)) {
            if (removes_installers && is_of_installer(path)) continue;
            if (creates_accounts(read_regular(root, path).value_or("")))
                changes.push_back({Change::Kind::remove, std::move(path), {}});
        }
    }
    return changes;
}

Changes cloud_init_users_changes(const machine::Root& root, const ItemSettings&) {
    if (!creates_users(root)) return {};
    return {{Change::Kind::remove, std::string(kSudoers), {}}};
}

Changes cloud_init_sshd_changes(const machine::Root& root, const ItemSettings&) {
    const std::optional<std::string> text = read_regular(root, kSshd);
    if (!text) return {};
    for (const std::string_view line : lines_of(*text)) {
        const std::vector<std::string_view> words = words_of(line);
        if (words.empty()) continue;
        // sshd allows passwords by default: the line that forbids them must stay until cloud-init
        // has written it again.
        const bool forbids_passwords = words.size() == 2 &&
                                       lower_case(words[0]) == "passwordauthentication" &&
                                       lower_case(words[1]) == "no";
        if (!forbids_passwords) return {{Change::Kind::remove, std::string(kSshd), {}}};
    }
    return {};
}

Changes cloud_init_network_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    if (!renders_network(root)) return changes;
    for (const std::string_view pattern : kNetworkFiles) {
        for (std::string& path : root.match(pattern))
            changes.push_back({Change::Kind::remove, std::move(path), {}});
    }
    return changes;
}

}  // namespace prebake::identity
