#include <algorithm>
#include <array>
#include <string>

#include "agent/identity/items/all.h"
#include "agent/identity/items/log_names.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kLogs = "/var/log";
/// Often file systems of their own, so that they cannot fill the machine's (CIS: audit). Only what
/// a target names is cleaned if it is a mount point.
constexpr std::array<std::string_view, 8> kOwnFileSystems{
    "/var/log/audit", "/var/log/apache2", "/var/log/httpd",      "/var/log/mariadb",
    "/var/log/mysql", "/var/log/nginx",   "/var/log/postgresql", "/var/log/remote"};
constexpr std::array<std::string_view, 8> kOldSuffixes{".gz",   ".xz", ".bz2", ".zst",
                                                       ".lzma", ".Z",  ".old", ".journal~"};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// "-20240131" or "-2024-01-31" and no further digit.
bool holds_date(std::string_view name) {
    for (std::size_t at = name.find_first_of("-._"); at != std::string_view::npos;
         at = name.find_first_of("-._", at + 1)) {
        std::string digits;
        std::size_t end = at + 1;
        while (end < name.size() && digits.size() < 8 &&
               (is_digit(name[end]) || name[end] == '-')) {
            if (is_digit(name[end])) digits += name[end];
            ++end;
        }
        const std::size_t length = end - at - 1;  // with dashes: after the year and the month
        const bool is_date =
            digits.size() == 8 && digits.starts_with("20") &&
            (length == 8 || (length == 10 && name[at + 5] == '-' && name[at + 8] == '-'));
        if (is_date && (end == name.size() || !is_digit(name[end]))) return true;
    }
    return false;
}

bool is_ours(std::string_view directory, const machine::FileInfo& info) {
    return !info.is_mount || std::find(kOwnFileSystems.begin(), kOwnFileSystems.end(), directory) !=
                                 kOwnFileSystems.end();
}

/// What is mounted below /var/log is left alone, unless it is known to hold logs.
Changes old_logs(const machine::Root& root) {
    Changes changes;
    std::vector<std::string> directories{std::string(kLogs)};
    while (!directories.empty()) {
        const std::string directory = std::move(directories.back());
        directories.pop_back();
        for (const std::string& name : root.names_in(directory)) {
            std::string path = directory + "/" + name;
            const std::optional<machine::FileInfo> info = root.info(path);
            if (!info) continue;
            if (info->type == machine::FileType::directory && is_ours(path, *info)) {
                directories.push_back(std::move(path));
            } else if (info->type == machine::FileType::regular && is_old_log(name)) {
                changes.push_back({Change::Kind::remove, std::move(path), {}});
            }
        }
    }
    return changes;
}

Changes further(const machine::Root& root, const ItemSettings&) {
    return old_logs(root);
}

}  // namespace

bool is_old_log(std::string_view name) {
    if (std::any_of(kOldSuffixes.begin(), kOldSuffixes.end(),
                    [name](std::string_view suffix) { return name.ends_with(suffix); })) {
        return true;
    }
    const std::string_view extension = name.substr(std::min(name.rfind('.'), name.size()));
    const bool is_number = extension.size() > 1 && extension.size() <= 4 &&
                           std::all_of(extension.begin() + 1, extension.end(), is_digit);
    return is_number || holds_date(name);
}

Item logs_item() {
    Item item{
        .name = "logs",
        .order = 1090,
        .why =
            "Logs tell who built the image, where and how, and hold what programs should not "
            "have logged.",
        .back =
            "The daemons go on in the emptied files, journald makes a directory for the new "
            "machine-id.",
        .targets =
            {
                // Under the builder's machine-id; the directory itself makes journald persistent.
                {Target::What::contents, "/var/log/journal"},
                // Names of pods and containers.
                {Target::What::contents, "/var/log/pods"},
                {Target::What::contents, "/var/log/containers"},
                // sadc takes an emptied file for a broken one.
                {Target::What::file, "/var/log/sa/sa*"},
                {Target::What::file, "/var/log/sysstat/sa*"},
                // A place in a journal that is no more.
                {Target::What::file, "/var/lib/rsyslog/imjournal.state"},
                // Emptied: owner and mode stay, and who has a file open writes on.
                {Target::What::all_bytes, "/var/log"},
            },
        .further = further,
        .further_says = "removes rotated, compressed and dated logs below /var/log",
    };
    for (const std::string_view place : kOwnFileSystems)
        item.targets.push_back({Target::What::all_bytes, place});
    return item;
}

}  // namespace prebake::identity
