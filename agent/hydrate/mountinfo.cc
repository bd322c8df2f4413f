#include "agent/hydrate/mountinfo.h"

#include <algorithm>
#include <optional>

#include "agent/base/text.h"

namespace prebake::hydrate {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(separator), text.size());
        if (end > 0) parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

/// Spaces, tabs, line ends, backslashes, and in options commas are three octal digits there.
std::string unescaped(std::string_view text) {
    const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
            is_octal(text[i + 2]) && is_octal(text[i + 3])) {
            plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                       (text[i + 3] - '0'));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

std::optional<MountLine> mount_line(std::string_view line) {
    const std::vector<std::string_view> words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words.end() - dash < 3) return std::nullopt;
    MountLine mount{.number = words[2],
                    .root = unescaped(words[3]),
                    .mount_point = unescaped(words[4]),
                    .type = std::string(dash[1]),
                    .source = unescaped(dash[2]),
                    .options = {}};
    if (words.end() - dash < 4) return mount;
    for (const std::string_view option : split(dash[3], ',')) {
        mount.options.push_back(unescaped(option));
    }
    return mount;
}

/// "/a:/b\:c": overlayfs has its own escapes, besides those of the file.
void add_paths(std::string_view list, std::vector<std::filesystem::path>& paths) {
    std::string path;
    const auto end_path = [&] {
        // Two colons: what follows has only data. It is a directory of the image, too.
        if (!path.empty()) paths.emplace_back(path);
        path.clear();
    };
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (list[i] == '\\' && i + 1 < list.size()) {
            path += list[++i];
        } else if (list[i] == ':') {
            end_path();
        } else {
            path += list[i];
        }
    }
    end_path();
}

OverlayMount overlay_in(const MountLine& line) {
    OverlayMount overlay{.mount_point = line.mount_point, .lowers = {}};
    std::filesystem::path upper;
    for (const std::string_view option : line.options) {
        const std::size_t equals = std::min(option.find('='), option.size());
        const std::string_view key = option.substr(0, equals);
        const std::string_view value = option.substr(std::min(equals + 1, option.size()));
        if (key == "lowerdir") add_paths(value, overlay.lowers);
        // One for each directory, without escapes, if it was mounted by fsconfig(2).
        if (key == "lowerdir+" || key == "datadir+") overlay.lowers.emplace_back(value);
        if (key == "upperdir") upper = value;
    }
    // Where the options would be longer than a page, paths are relative: containerd's to the
    // directory of all snapshots ("12/fs"), except for the upper directory, and dockerd's to the
    // directory of all layers ("l/ABC").
    std::filesystem::path base;
    if (!upper.empty()) base = (upper.is_absolute() ? upper : line.mount_point).parent_path();
    for (std::filesystem::path& lower : overlay.lowers) lower = base.parent_path() / lower;
    return overlay;
}

}  // namespace

std::vector<MountLine> parse_mountinfo(std::string_view text) {
    std::vector<MountLine> mounts;
    for (const std::string_view line : lines_of(text)) {
        if (auto mount = mount_line(line)) mounts.push_back(std::move(*mount));
    }
    return mounts;
}

std::vector<OverlayMount> parse_overlays(std::string_view mountinfo) {
    std::vector<OverlayMount> overlays;
    for (const MountLine& line : parse_mountinfo(mountinfo)) {
        if (line.type == "overlay") overlays.push_back(overlay_in(line));
    }
    return overlays;
}

}  // namespace prebake::hydrate
