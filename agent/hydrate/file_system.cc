#include "agent/hydrate/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/file_source.h"
#include "agent/hydrate/disk.h"
#include "agent/hydrate/mountinfo.h"

namespace prebake::hydrate {
namespace {

bool is_device(const std::filesystem::path& path, dev_t number) {
    struct stat found {};
    return stat(path.c_str(), &found) == 0 && S_ISBLK(found.st_mode) && found.st_rdev == number;
}

std::filesystem::path device_of(const Mount& mount) {
    if (is_device(mount.source, mount.number)) return mount.source;
    // The name that udev gives every device; /dev/root and the like do not exist.
    std::filesystem::path by_number = "/dev/block/" + device_text(mount.number);
    std::error_code ignored;
    std::filesystem::path real = std::filesystem::canonical(by_number, ignored);
    return ignored ? by_number : real;
}

}  // namespace

std::string uuid_by_udev(dev_t number, const std::filesystem::path& links,
                         const std::filesystem::path& sys) {
    std::error_code problem;
    const std::filesystem::path known =
        std::filesystem::canonical(sys / "dev/block" / device_text(number), problem);
    if (problem) return {};
    for (const auto& link : std::filesystem::directory_iterator(links, problem)) {
        // By its name, which the kernel has given: a private /dev may not have the node.
        const std::filesystem::path target = std::filesystem::read_symlink(link.path(), problem);
        if (!problem && target.filename() == known.filename()) return link.path().filename();
    }
    return {};
}

std::vector<Mount> parse_mounts(std::string_view mountinfo) {
    std::vector<Mount> mounts;
    for (MountLine& line : parse_mountinfo(mountinfo)) {
        const dev_t number = device_number(line.number);
        if (major(number) == 0) continue;
        mounts.push_back({.number = number,
                          .root = std::move(line.root),
                          .mount_point = std::move(line.mount_point),
                          .type = std::move(line.type),
                          .source = std::move(line.source),
                          .options = std::move(line.options)});
    }
    return mounts;
}

FileSystems::FileSystems(Detail detail)
    : detail_(detail),
      mounts_(parse_mounts(read_file("/proc/self/mountinfo", kMaxMountinfoBytes))) {}

FileSystems::Known FileSystems::read(dev_t number) const {
    Known known{.number = number, .file_system = nullptr, .why_not = {}};
    const Mount* mount = nullptr;
    for (const Mount& candidate : mounts_) {
        if (candidate.number != number) continue;
        if (mount == nullptr || (mount->root != "/" && candidate.root == "/")) mount = &candidate;
    }
    if (mount == nullptr) {
        known.why_not = "it is not on a block device of its own";
        return known;
    }
    const std::filesystem::path path = device_of(*mount);
    const FileDescriptor device(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const std::optional<std::uint64_t> bytes =
        device ? bytes_of_open_device(device.get()) : std::nullopt;
    if (!bytes) {
        return without_device(*mount, path, errno_error("cannot read", path).message());
    }
    try {
        std::optional<Superblock> superblock = read_superblock(
            [&](std::uint64_t offset, std::span<std::byte> buffer) {
                return read_at(device.get(), buffer, offset, path);
            },
            detail_);
        if (!superblock) {
            known.why_not = "places of files on " + mount->type + " are not known";
            return known;
        }
        known.file_system =
            std::make_unique<FileSystem>(FileSystem{.number = number,
                                                    .mount_point = mount->mount_point,
                                                    .device = path,
                                                    .bytes = *bytes,
                                                    .superblock = std::move(*superblock),
                                                    .unread = {}});
    } catch (const Error& error) {
        known.why_not = error.message();
    }
    return known;
}

/// The sandbox of a bake, and containers, open no devices. The kernel still tells where files are.
FileSystems::Known FileSystems::without_device(const Mount& mount,
                                               const std::filesystem::path& device,
                                               const std::string& problem) const {
    Known known{.number = mount.number, .file_system = nullptr, .why_not = problem};
    const bool is_ext = mount.type == "ext4" || mount.type == "ext3" || mount.type == "ext2";
    const auto is_realtime = [](const std::string& option) { return option.starts_with("rtdev="); };
    const bool is_xfs = mount.type == "xfs" && std::ranges::none_of(mount.options, is_realtime);
    const std::string uuid = uuid_by_udev(mount.number);
    const std::uint64_t bytes = bytes_of_device(mount.number);
    if ((!is_ext && !is_xfs) || uuid.empty() || bytes == 0) return known;
    known.file_system = std::make_unique<FileSystem>(FileSystem{
        .number = mount.number,
        .mount_point = mount.mount_point,
        .device = device,
        .bytes = bytes,
        .superblock = {.type = is_xfs ? "xfs" : "ext4", .uuid = uuid, .inodes = {}, .basics = {}},
        .unread = problem});
    return known;
}

const FileSystems::Known& FileSystems::known(dev_t number) {
    const auto found = std::ranges::find(known_, number, &Known::number);
    return found == known_.end() ? known_.emplace_back(read(number)) : *found;
}

const FileSystem* FileSystems::find(dev_t number) {
    return known(number).file_system.get();
}

std::string FileSystems::why_not(dev_t number) {
    return known(number).why_not;
}

}  // namespace prebake::hydrate
