#include "agent/identity/items/old_logs.h"

#include <algorithm>
#include <array>
#include <string>

#include "agent/base/ascii.h"
#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kLogs = "/var/log";
constexpr std::array<std::string_view, 8> kOldSuffixes{".gz",   ".xz", ".bz2", ".zst",
                                                       ".lzma", ".Z",  ".old", ".journal~"};

/// Whether the name holds "-20240131" or "-2024-01-31", with no digit after it.
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
        const std::size_t length = end - at - 1;  // longer with dashes after year and month
        const bool is_date =
            digits.size() == 8 && digits.starts_with("20") &&
            (length == 8 || (length == 10 && name[at + 5] == '-' && name[at + 8] == '-'));
        if (is_date && (end == name.size() || !is_digit(name[end]))) return true;
    }
    return false;
}

/// Whether a target of these items says that `directory` holds logs.
bool is_log_directory(std::string_view directory) {
    for (const Item& item : log_items()) {
        for (const Target& target : item.targets) {
            if (target.what == Target::What::all_bytes && target.pattern == directory) return true;
        }
    }
    return false;
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

/// What is mounted below /var/log is left alone, unless it is known to hold logs.
Changes logs_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    std::vector<std::string> directories{std::string(kLogs)};
    while (!directories.empty()) {
        const std::string directory = std::move(directories.back());
        directories.pop_back();
        for (const std::string& name : root.names_in(directory)) {
            std::string path = directory + "/" + name;
            const std::optional<machine::FileInfo> info = root.info(path);
            if (!info) continue;
            if (info->type == machine::FileType::directory &&
                (!info->is_mount || is_log_directory(path))) {
                directories.push_back(std::move(path));
            } else if (info->type == machine::FileType::regular && is_old_log(name)) {
                changes.push_back({Change::Kind::remove, std::move(path), {}});
            }
        }
    }
    return changes;
}

}  // namespace prebake::identity
