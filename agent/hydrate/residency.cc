#include "agent/hydrate/residency.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::hydrate {
namespace {

/// The same on every architecture; libc has neither the number nor the call yet.
constexpr long kCachestat = 451;

// As in linux/mman.h since 6.5.
struct CachestatRange {
    std::uint64_t offset;
    std::uint64_t length;
};
struct CachestatCounts {
    std::uint64_t cached;
    std::uint64_t dirty;
    std::uint64_t writeback;
    std::uint64_t evicted;
    std::uint64_t recently_evicted;
};

constexpr const char* kThisFile = "of a file";  // it has no name here: callers add it

std::uint64_t page_bytes() {
    static const auto bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return bytes;
}

std::uint64_t size_of(int fd) {
    struct stat status = {};
    if (::fstat(fd, &status) != 0) throw errno_error("cannot read the status", kThisFile);
    return static_cast<std::uint64_t>(status.st_size);
}

long call_cachestat(int fd, CachestatRange& range, CachestatCounts& counts) {
    return ::syscall(kCachestat, fd, &range, &counts, 0U);
}

std::uint64_t pages_by_cachestat(int fd, std::uint64_t offset, std::uint64_t length) {
    CachestatRange range{.offset = offset, .length = length};
    CachestatCounts counts = {};
    if (call_cachestat(fd, range, counts) == 0) return counts.cached + counts.evicted;
    if (errno == ENOSYS) {
        throw Error(Errc::unsupported, "this kernel does not have cachestat(2)");
    }
    throw errno_error("cannot ask for the cached pages", kThisFile);
}

/// Address space that shows a part of a file. Nothing is read.
class MappedPart {
  public:
    MappedPart(int fd, std::uint64_t offset, std::uint64_t length)
        : address_(::mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset))),
          length_(length) {
        if (address_ == MAP_FAILED) throw errno_error("cannot map a part", kThisFile);
    }
    ~MappedPart() { ::munmap(address_, length_); }
    MappedPart(const MappedPart&) = delete;
    MappedPart& operator=(const MappedPart&) = delete;

    void* address() const { return address_; }

  private:
    void* address_;
    std::size_t length_;
};

FileRanges ranges_by_mincore(int fd) {
    constexpr std::uint64_t kWindow = 256ULL << 20;
    const std::uint64_t page = page_bytes();
    const std::uint64_t size = size_of(fd);
    FileRanges ranges;
    std::vector<unsigned char> pages;
    for (std::uint64_t offset = 0; offset < size; offset += kWindow) {
        const std::uint64_t length = std::min(kWindow, size - offset);
        const MappedPart part(fd, offset, length);
        pages.assign((length + page - 1) / page, 0);
        if (::mincore(part.address(), length, pages.data()) != 0) {
            throw errno_error("cannot ask for the cached pages", kThisFile);
        }
        for (std::size_t i = 0; i < pages.size(); ++i) {
            if ((pages[i] & 1) == 0) continue;
            ranges.add(ChunkRun{.first = offset + i * page, .count = page});
        }
    }
    return ranges;
}

}  // namespace

std::string_view to_string(ResidencyMethod method) {
    return method == ResidencyMethod::cachestat ? "cachestat" : "mincore";
}

ResidencyMethod residency_method() {
    const FileDescriptor any(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    CachestatRange range{.offset = 0, .length = 1};
    CachestatCounts counts = {};
    const bool works = any && call_cachestat(any.get(), range, counts) == 0;
    return works ? ResidencyMethod::cachestat : ResidencyMethod::mincore;
}

FileRanges ranges_by_halves(std::uint64_t size, std::uint64_t page, const CountPages& count) {
    struct Window {
        std::uint64_t first;  // in pages
        std::uint64_t pages;
    };
    FileRanges ranges;
    std::vector<Window> open;
    if (size > 0) open.push_back({.first = 0, .pages = (size + page - 1) / page});
    while (!open.empty()) {
        const Window window = open.back();
        open.pop_back();
        const std::uint64_t cached = count(window.first * page, window.pages * page);
        if (cached == 0) continue;
        if (cached >= window.pages || window.pages == 1) {
            ranges.add(ChunkRun{.first = window.first * page, .count = window.pages * page});
            continue;
        }
        const std::uint64_t half = window.pages / 2;
        open.push_back({.first = window.first + half, .pages = window.pages - half});
        open.push_back({.first = window.first, .pages = half});  // the next one: in file order
    }
    return ranges;
}

FileRanges cached_ranges(int fd, ResidencyMethod method) {
    if (method == ResidencyMethod::mincore) return ranges_by_mincore(fd);
    return ranges_by_halves(size_of(fd), page_bytes(),
                            [fd](std::uint64_t offset, std::uint64_t length) {
                                return pages_by_cachestat(fd, offset, length);
                            });
}

void drop_from_cache(int fd) {
    const int failure = ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (failure == 0) return;
    errno = failure;
    throw errno_error("cannot drop the cache", kThisFile);
}

}  // namespace prebake::hydrate
