#include <algorithm>
#include <array>

#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kFstab = "/etc/fstab";
/// Ubuntu's, those of Debian and others, the Azure agent's.
constexpr std::array<std::string_view, 4> kUsualPlaces{"/swap.img", "/swapfile", "/var/swapfile",
                                                       "/mnt/resource/swapfile"};

bool is_file(const machine::Root& root, std::string_view path) {
    const std::optional<machine::FileInfo> info = root.info(path);
    return info && info->type == machine::FileType::regular;
}

/// The swap file that a line of fstab(5) names; empty if it names none.
std::string_view swap_file_in(std::string_view line) {
    const std::vector<std::string_view> words = words_of(line);
    if (words.size() < 3 || words[2] != "swap" || !words[0].starts_with('/')) return {};
    return words[0];
}

}  // namespace

Changes swap_files_changes(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string_view path : kUsualPlaces) {
        if (is_file(root, path)) changes.push_back({Change::Kind::remove, std::string(path), {}});
    }
    // The line goes with the file: otherwise the boot fails to activate it.
    const auto names_swap_file = [&](std::string_view line) {
        const std::string_view path = swap_file_in(line);
        if (path.empty() || !is_file(root, path)) return false;
        changes.push_back({Change::Kind::remove, std::string(path), {}});
        return true;
    };
    Changes rewritten;
    strip_lines(root, kFstab, names_swap_file, rewritten);
    changes.insert(changes.end(), rewritten.begin(), rewritten.end());
    return changes;
}

}  // namespace prebake::identity
