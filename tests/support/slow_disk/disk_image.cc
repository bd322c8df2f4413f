#include "tests/support/slow_disk/disk_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <system_error>

namespace slow_disk {
namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

int checked(int result, const std::string& what) {
    if (result < 0) fail(what);
    return result;
}

void read_all(int fd, std::span<char> out, std::uint64_t offset) {
    while (!out.empty()) {
        const ssize_t count = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) fail("cannot read the backing file");
        out = out.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
}

void write_all(int fd, std::span<const char> data, std::uint64_t offset) {
    while (!data.empty()) {
        const ssize_t count = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) fail("cannot write the backing file");
        data = data.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
}

std::uint64_t size_of(int fd) {
    struct stat about {};
    checked(::fstat(fd, &about), "cannot stat the backing file");
    return static_cast<std::uint64_t>(about.st_size);
}

}  // namespace

File::~File() {
    if (fd_ >= 0) ::close(fd_);
}

DiskImage::DiskImage(const std::string& path)
    : file_(checked(::open(path.c_str(), O_RDWR | O_CLOEXEC), "cannot open " + path)),
      changes_(checked(::memfd_create("slow_disk", MFD_CLOEXEC), "no memory for changes")),
      size_(size_of(file_.fd())) {
    checked(::ftruncate(changes_.fd(), static_cast<off_t>(size_)), "no memory for changes");
}

std::uint64_t DiskImage::block_bytes(std::uint64_t block) const {
    return std::min(kBlockBytes, size_ - block * kBlockBytes);
}

void DiskImage::read(std::span<char> out, std::uint64_t offset) const {
    const std::shared_lock lock(mutex_);
    while (!out.empty()) {  // as many blocks at once as are in the same file
        std::uint64_t block = offset / kBlockBytes;
        const bool from_changes = is_changed(block);
        std::uint64_t end = (block + 1) * kBlockBytes;
        while (end < offset + out.size() && is_changed(++block) == from_changes) {
            end += kBlockBytes;
        }
        const auto part = out.first(std::min<std::size_t>(out.size(), end - offset));
        read_all(from_changes ? changes_.fd() : file_.fd(), part, offset);
        out = out.subspan(part.size());
        offset += part.size();
    }
}

void DiskImage::copy_block(std::uint64_t block) {
    std::array<char, kBlockBytes> bytes{};
    const std::span data(bytes.data(), block_bytes(block));
    read_all(file_.fd(), data, block * kBlockBytes);
    write_all(changes_.fd(), data, block * kBlockBytes);
}

void DiskImage::write(std::span<const char> data, std::uint64_t offset) {
    if (data.empty()) return;
    const std::unique_lock lock(mutex_);
    if (changed_.empty()) {
        write_all(file_.fd(), data, offset);
        return;
    }
    const std::uint64_t end = offset + data.size();
    const std::uint64_t last = (end - 1) / kBlockBytes;
    for (std::uint64_t block = offset / kBlockBytes; block <= last; ++block) {
        const std::uint64_t from = block * kBlockBytes;
        const bool is_whole = offset <= from && from + block_bytes(block) <= end;
        if (!changed_[block] && !is_whole) copy_block(block);
        changed_[block] = true;
    }
    write_all(changes_.fd(), data, offset);
}

void DiskImage::take_snapshot() {
    const std::unique_lock lock(mutex_);
    std::array<char, kBlockBytes> bytes{};
    for (std::uint64_t block = 0; block < changed_.size(); ++block) {
        if (!changed_[block]) continue;
        const std::span data(bytes.data(), block_bytes(block));
        read_all(changes_.fd(), data, block * kBlockBytes);
        write_all(file_.fd(), data, block * kBlockBytes);
    }
    changed_.assign((size_ + kBlockBytes - 1) / kBlockBytes, false);
}

void DiskImage::discard_changes() {
    const std::unique_lock lock(mutex_);
    std::fill(changed_.begin(), changed_.end(), false);
    checked(::ftruncate(changes_.fd(), 0), "cannot give back memory");
    checked(::ftruncate(changes_.fd(), static_cast<off_t>(size_)), "no memory for changes");
}

std::vector<Range> DiskImage::holes() const {
    const std::shared_lock lock(mutex_);
    std::vector<Range> found;
    for (std::uint64_t at = 0; at < size_;) {
        const off_t data = ::lseek(file_.fd(), static_cast<off_t>(at), SEEK_DATA);
        if (data < 0 && errno != ENXIO) fail("cannot look for holes");
        const std::uint64_t end = data < 0 ? size_ : static_cast<std::uint64_t>(data);
        if (end > at) found.push_back({at, end - at});
        if (data < 0) break;
        const off_t hole = ::lseek(file_.fd(), data, SEEK_HOLE);
        if (hole < 0) fail("cannot look for holes");
        at = static_cast<std::uint64_t>(hole);
    }
    return found;
}

}  // namespace slow_disk
