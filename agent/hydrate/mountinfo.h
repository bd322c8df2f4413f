#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::hydrate {

inline constexpr std::size_t kMaxMountinfoBytes = 16UL << 20;

/// A line of /proc/PID/mountinfo (proc(5)).
struct MountLine {
    std::string_view number;     ///< of the device: "8:1"
    std::filesystem::path root;  ///< what of the file system is mounted: "/" is all of it
    std::filesystem::path mount_point;
    std::string type;
    std::string source;
    std::vector<std::string> options;  ///< of the file system: "lowerdir=/a:/b"
};

/// Lines of another form are left out. The result refers to the text. Pure.
std::vector<MountLine> parse_mountinfo(std::string_view text);

/// An overlay, with the directories below the one that it writes to.
struct OverlayMount {
    std::filesystem::path mount_point;
    /// From the top to the bottom. Absolute, unless the line does not say what they are relative
    /// to.
    std::vector<std::filesystem::path> lowers;
};

/// The overlays of a mountinfo. Pure.
std::vector<OverlayMount> parse_overlays(std::string_view mountinfo);

}  // namespace prebake::hydrate
