#include "agent/layer/file_facts.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "agent/base/format.h"
#include "agent/layer/file_attributes.h"

namespace prebake::layer {
namespace {

constexpr std::array<std::string_view, 5> kWrittenByMachine{
    "security.selinux", "security.ima", "security.evm", "system.posix_acl_access",
    "security.SMACK64"};

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

mode_t kind_of(const TarEntry& entry) {
    switch (entry.type) {
        case tar_type::kDirectory:
            return S_IFDIR;
        case tar_type::kFile:
            return S_IFREG;
        case tar_type::kSymlink:
            return S_IFLNK;
        default:
            return node_mode(entry) & S_IFMT;
    }
}

}  // namespace

bool is_compared_xattr(const std::string& name) {
    return !name.starts_with("trusted.") &&
           std::ranges::find(kWrittenByMachine, name) == kWrittenByMachine.end();
}

FileEssence essence_of(const TarEntry& entry) {
    FileEssence essence{.kind = kind_of(entry)};
    if (essence.kind == S_IFREG) essence.size = entry.size;
    if (essence.kind == S_IFLNK) essence.link = entry.link;
    if (essence.kind == S_IFCHR || essence.kind == S_IFBLK) essence.device = device_number(entry);
    return essence;
}

void apply_attributes(const TarEntry& entry, mode_t kind, FileAttributes& attributes) {
    const auto uid = static_cast<uid_t>(entry.uid);
    const auto gid = static_cast<gid_t>(entry.gid);
    if (uid != static_cast<uid_t>(-1)) attributes.uid = uid;
    if (gid != static_cast<gid_t>(-1)) attributes.gid = gid;
    // chown(2) removes it.
    if (kind != S_IFDIR) attributes.xattrs.erase("security.capability");
    const bool takes_user_xattrs = kind == S_IFREG || kind == S_IFDIR;
    for (const auto& [name, value] : entry.xattrs) {
        if (!is_compared_xattr(name)) continue;
        if (name.starts_with("user.") && !takes_user_xattrs) continue;
        attributes.xattrs[name] = value;
    }
    attributes.permissions = permissions_of(entry);
    attributes.modified_at = nanoseconds_of(times_of(entry)[1]);
}

bool is_same_time(std::int64_t nanoseconds, const timespec& found) {
    if (nanoseconds_of(found) == nanoseconds) return true;
    const std::int64_t seconds = nanoseconds / kNanosecondsPerSecond;
    const bool is_last_of_32_bits = found.tv_sec == INT32_MAX && seconds > INT32_MAX;
    return found.tv_nsec == 0 && (found.tv_sec == seconds || is_last_of_32_bits);
}

std::string text_of(const FileEssence& essence) {
    const std::string device =
        std::to_string(major(essence.device)) + ":" + std::to_string(minor(essence.device));
    switch (essence.kind) {
        case 0:
            return "nothing";
        case S_IFREG:
            return "a regular file of " + counted(static_cast<std::uint64_t>(essence.size), "byte");
        case S_IFDIR:
            return "a directory";
        case S_IFLNK:
            return "a link to " + printable(essence.link);
        case S_IFCHR:
            return essence.device == 0 ? "a whiteout" : "a character device " + device;
        case S_IFBLK:
            return "a block device " + device;
        case S_IFIFO:
            return "a fifo";
        default:
            return "a file of another kind";
    }
}

std::string time_text(std::int64_t nanoseconds) {
    const timespec time = timespec_of(nanoseconds);
    struct tm fields = {};
    ::gmtime_r(&time.tv_sec, &fields);
    std::array<char, 48> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &fields);
    std::string result(text.data(), size);
    if (time.tv_nsec != 0) {
        std::snprintf(text.data(), text.size(), ".%09ld", time.tv_nsec);
        result += text.data();
        result.erase(result.find_last_not_of('0') + 1);
    }
    return result + "Z";
}

}  // namespace prebake::layer
