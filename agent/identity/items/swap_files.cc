#include <algorithm>
#include <array>

#include "agent/identity/items/all.h"
#include "agent/identity/items/lines.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kFstab = "/etc/fstab";
/// Of Ubuntu, Debian and others, the Azure agent.
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

Changes further(const machine::Root& root, const ItemSettings&) {
    Changes changes;
    for (const std::string_view path : kUsualPlaces) {
        if (is_file(root, path)) changes.push_back({Change::Kind::remove, std::string(path), {}});
    }
    // Without its line the boot does not fail to switch on a file that is no more.
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

}  // namespace

Item swap_files_item() {
    return {
        .name = "swap-files",
        .order = 330,
        .why = "A swap file holds what was in the builder's memory, keys and passwords included.",
        .back =
            "Nobody; an image whose clones need swap makes it at first boot, with cloud-init's "
            "swap module or a drop-in.",
        .further = further,
        .further_says =
            "removes /swapfile, /swap.img and whatever file /etc/fstab names as swap, "
            "with its line there; it must be switched off before; to keep one, skip the item "
            "([seal] keep would keep the file without its line)",
    };
}

}  // namespace prebake::identity
