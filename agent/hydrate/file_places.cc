#include "agent/hydrate/file_places.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/base/freed.h"
#include "agent/layer/contained.h"

namespace prebake::hydrate {
namespace {

constexpr ByteRange kWhole{.offset = 0, .length = 1ULL << 62U};
constexpr std::uint32_t kExtentsAtOnce = 256;

/// A request with room for its answers.
struct ExtentRequest {
    alignas(fiemap)
        std::array<std::byte, sizeof(fiemap) + kExtentsAtOnce * sizeof(fiemap_extent)> room{};

    fiemap* map() { return reinterpret_cast<fiemap*>(room.data()); }
    const fiemap_extent& at(std::uint32_t i) const {
        return reinterpret_cast<const fiemap_extent*>(room.data() + sizeof(fiemap))[i];
    }
};

/// What has a place of its own, and holds the file's bytes as they are.
bool is_on_device(const fiemap_extent& extent) {
    constexpr std::uint32_t kElsewhere = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
                                         FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_DATA_INLINE |
                                         FIEMAP_EXTENT_ENCODED;
    return (extent.fe_flags & kElsewhere) == 0;
}

/// XFS's own map of a file, for its directories, of which FIEMAP does not tell. As in xfs_fs.h of
/// xfsprogs; in units of 512 bytes.
struct XfsMapEntry {
    std::int64_t offset;
    std::int64_t block;  ///< -1: a hole, -2: not allocated yet
    std::int64_t length;
    std::int32_t count;
    std::int32_t entries;
    std::int32_t flags;
    std::int32_t unused[3];
};
// The number is made of a smaller struct than the call takes.
constexpr unsigned long kGetXfsMap = _IOC(_IOC_READ | _IOC_WRITE, 'X', 56, 32);
constexpr std::uint64_t kXfsUnit = 512;

/// Nothing if it is no XFS.
std::optional<std::vector<ByteRange>> xfs_extents_of(int fd, ByteRange within) {
    std::array<XfsMapEntry, kExtentsAtOnce + 1> map{};
    std::vector<ByteRange> extents;
    // A directory has parts far behind its size.
    const auto end = static_cast<std::int64_t>(within.length / kXfsUnit);
    map[0] = {.offset = static_cast<std::int64_t>(within.offset / kXfsUnit),
              .block = 0,
              .length = end,
              .count = static_cast<std::int32_t>(map.size()),
              .entries = 0,
              .flags = 0,
              .unused = {}};
    do {
        if (ioctl(fd, kGetXfsMap, map.data()) != 0) return std::nullopt;
        for (std::int32_t i = 1; i <= map[0].entries; ++i) {
            const XfsMapEntry& entry = map[static_cast<std::size_t>(i)];
            if (entry.block < 0) continue;
            extents.push_back({static_cast<std::uint64_t>(entry.block) * kXfsUnit,
                               static_cast<std::uint64_t>(entry.length) * kXfsUnit});
        }
    } while (map[0].entries == static_cast<std::int32_t>(kExtentsAtOnce) && map[0].length > 0);
    return extents;
}

/// The plan must not change what it is about.
FileDescriptor open_to_read(int directory, const char* path) {
    constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    return open_without_access_time(directory, path, kFlags);
}

FileDescriptor open_to_read(const std::filesystem::path& path) {
    return open_to_read(AT_FDCWD, path.c_str());
}

/// What file systems without types in their directories do not say.
bool is_kind(const dirent& entry, unsigned char type, int directory, mode_t format) {
    if (entry.d_type != DT_UNKNOWN) return entry.d_type == type;
    struct stat found {};
    return fstatat(directory, entry.d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
           (found.st_mode & S_IFMT) == format;
}

}  // namespace

FileDescriptor open_in(const std::filesystem::path& root, const std::string& path) {
    const FileDescriptor directory(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return {};
    const layer::Contained inside(directory.get());
    constexpr auto kRefuse = layer::LinksAmongDirectories::refuse;
    const FileDescriptor place = inside.open(path, O_PATH, kRefuse);
    struct stat found {};
    if (!place || fstat(place.get(), &found) != 0 || !S_ISREG(found.st_mode)) return {};
    constexpr int kFlags = O_RDONLY | O_NONBLOCK;
    FileDescriptor file = inside.open(path, kFlags | O_NOATIME, kRefuse);
    if (!file && errno == EPERM) file = inside.open(path, kFlags, kRefuse);
    return file;
}

std::vector<ByteRange> extents_of(int fd, const std::filesystem::path& name, ByteRange within) {
    std::vector<ByteRange> extents;
    ExtentRequest request;
    const std::uint64_t end = within.offset + within.length;
    std::uint64_t at = within.offset;
    for (bool is_last = false; !is_last && at < end;) {
        fiemap* const map = request.map();
        std::memset(map, 0, sizeof(*map));
        map->fm_start = at;
        map->fm_length = end - at;
        map->fm_extent_count = kExtentsAtOnce;
        if (ioctl(fd, FS_IOC_FIEMAP, map) != 0) {
            const bool is_unknown = errno == EOPNOTSUPP || errno == ENOTTY;
            const Error error = errno_error("cannot tell where the device has", name);
            if (is_unknown) {
                if (auto found = xfs_extents_of(fd, within)) return std::move(*found);
            }
            throw is_unknown ? Error(Errc::unsupported, error.message()) : error;
        }
        if (map->fm_mapped_extents == 0) break;
        for (std::uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
            const fiemap_extent& extent = request.at(i);
            const std::uint64_t extent_end = extent.fe_logical + extent.fe_length;
            const std::uint64_t first = std::max(at, std::uint64_t{extent.fe_logical});
            const std::uint64_t last = std::min(end, extent_end);
            is_last = (extent.fe_flags & FIEMAP_EXTENT_LAST) != 0;
            if (first < last && is_on_device(extent)) {
                extents.push_back({extent.fe_physical + (first - extent.fe_logical), last - first});
            }
            if (extent_end <= at) return extents;  // no progress: a file system that is confused
            at = extent_end;
        }
    }
    return extents;
}

std::optional<std::uint64_t> place_of_start(int fd, const std::filesystem::path& name) {
    try {
        const std::vector<ByteRange> extents = extents_of(fd, name, {.offset = 0, .length = 1});
        if (!extents.empty()) return extents.front().offset;
    } catch (const Error&) {
        // Another file can serve as well.
    }
    return std::nullopt;
}

FilePlaces::Device& FilePlaces::device_of(dev_t number) {
    const auto known = devices_.find(number);
    if (known != devices_.end()) return known->second;
    Device device;
    device.file_system = file_systems_.find(number);
    if (device.file_system == nullptr) unknown_[number] = file_systems_.why_not(number);
    return devices_.emplace(number, std::move(device)).first->second;
}

template <typename Add>
void FilePlaces::unless_unreadable(const Add& add) {
    try {
        add();
    } catch (const Error& error) {
        // Gone since: what is removed is not read on a node either.
        if (error.code() == Errc::not_found) return;
        if (++unreadable_ == 1) first_problem_ = error.message();
    }
}

std::string FilePlaces::left_out() const {
    if (unreadable_ == 0) return {};
    std::string others;
    if (unreadable_ > 1) others = ", and " + counted(unreadable_ - 1, "other path");
    return "not in the plan: " + first_problem_ + others;
}

void FilePlaces::add_inode(Device& device, std::uint64_t inode) {
    if (device.file_system == nullptr) return;
    const InodePlaces& places = device.file_system->superblock.inodes;
    if (const auto place = places.place_of(inode)) device.chunks.add_bytes(*place, 1);
}

void FilePlaces::add_contents(Device& device, int fd, const std::filesystem::path& name,
                              ByteRange within) {
    if (device.file_system == nullptr) return;
    for (const ByteRange& extent : extents_of(fd, name, within)) {
        device.chunks.add_bytes(extent.offset, extent.length);
    }
}

void FilePlaces::add_parents(const std::filesystem::path& path) {
    for (std::filesystem::path parent = path.parent_path();; parent = parent.parent_path()) {
        if (!parents_.insert(parent).second) return;
        const FileDescriptor directory = open_to_read(parent);
        struct stat found {};
        if (!directory || fstat(directory.get(), &found) != 0) continue;
        Device& device = device_of(found.st_dev);
        add_inode(device, found.st_ino);
        unless_unreadable([&] { add_contents(device, directory.get(), parent, kWhole); });
    }
}

void FilePlaces::add_directory(const std::filesystem::path& path,
                               std::vector<std::filesystem::path>& to_visit) {
    FileDescriptor opened = open_to_read(path);
    struct stat found {};
    if (!opened || fstat(opened.get(), &found) != 0) throw errno_error("cannot read", path);
    Device& device = device_of(found.st_dev);
    add_inode(device, found.st_ino);
    add_contents(device, opened.get(), path, kWhole);
    if (device.file_system == nullptr) return;
    const std::unique_ptr<DIR, Freed<closedir>> directory(fdopendir(opened.get()));
    if (!directory) throw errno_error("cannot read", path);
    const int fd = opened.release();
    errno = 0;
    for (const dirent* entry = nullptr; (entry = readdir(directory.get())) != nullptr; errno = 0) {
        const std::string_view name(entry->d_name);
        if (name == "." || name == "..") continue;
        add_inode(device, entry->d_ino);
        if (is_kind(*entry, DT_DIR, fd, S_IFDIR)) {
            struct stat below {};
            const bool is_here = fstatat(fd, entry->d_name, &below, AT_SYMLINK_NOFOLLOW) == 0 &&
                                 below.st_dev == found.st_dev;
            if (is_here) to_visit.push_back(path / name);
        } else if (is_kind(*entry, DT_REG, fd, S_IFREG)) {
            unless_unreadable([&] {
                const FileDescriptor file = open_to_read(fd, entry->d_name);
                if (!file) throw errno_error("cannot read", path / name);
                add_contents(device, file.get(), path / name, kWhole);
            });
        }
    }
    if (errno != 0) throw errno_error("cannot read", path);
}

void FilePlaces::add_file(const std::filesystem::path& path) {
    struct stat found {};
    if (lstat(path.c_str(), &found) != 0) throw errno_error("cannot read", path);
    Device& device = device_of(found.st_dev);
    add_inode(device, found.st_ino);
    if (!S_ISREG(found.st_mode)) return;
    const FileDescriptor file = open_to_read(path);
    if (!file) throw errno_error("cannot read", path);
    add_contents(device, file.get(), path, kWhole);
}

void FilePlaces::add_tree(const std::filesystem::path& path) {
    struct stat found {};
    if (lstat(path.c_str(), &found) != 0) {
        if (errno == ENOTDIR) return;
        return unless_unreadable([&] { throw errno_error("cannot read", path); });
    }
    add_parents(path);
    if (!S_ISDIR(found.st_mode)) return unless_unreadable([&] { add_file(path); });
    std::vector<std::filesystem::path> to_visit{path};
    while (!to_visit.empty()) {
        const std::filesystem::path next = std::move(to_visit.back());
        to_visit.pop_back();
        unless_unreadable([&] { add_directory(next, to_visit); });
    }
}

void FilePlaces::add_ranges(const std::filesystem::path& root, const std::string& path,
                            const FileRanges& ranges) {
    const FileDescriptor file = open_in(root, path);
    struct stat found {};
    if (!file || fstat(file.get(), &found) != 0 || !S_ISREG(found.st_mode)) return;
    add_parents(root / path);
    Device& device = device_of(found.st_dev);
    add_inode(device, found.st_ino);
    for (const ChunkRun& run : ranges.runs()) {
        unless_unreadable([&] {
            add_contents(device, file.get(), root / path, {run.first, run.count});
        });
    }
}

Places FilePlaces::take() {
    parents_.clear();
    Places places;
    for (auto& [number, device] : devices_) {
        if (!device.chunks.empty()) places[number] = std::exchange(device.chunks, {});
    }
    return places;
}

}  // namespace prebake::hydrate
