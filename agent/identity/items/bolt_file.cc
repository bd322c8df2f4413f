#include "agent/identity/items/bolt_file.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

// The format is that of go.etcd.io/bbolt (page.go, bucket.go): numbers in the order of the machine,
// which is little-endian on all that containers run on here.
namespace prebake::identity {
namespace {

constexpr std::uint32_t kMagic = 0xED0CDAED;
constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kPageHeader = 16;    // u64 id, u16 flags, u16 count, u32 overflow
constexpr std::size_t kElement = 16;       // u32 flags, u32 position, u32 size of key, u32 of value
constexpr std::size_t kBucketHeader = 16;  // u64 page of the root (0: inline), u64 sequence
constexpr std::uint16_t kLeafPage = 0x02;
constexpr std::uint32_t kBucketElement = 0x01;
constexpr std::size_t kMaxPageSize = 64UL << 10;
/// More pages than one belong to a root page with long values. Larger ones are not understood.
constexpr std::uint32_t kMaxOverflow = 256;

template <typename Number>
std::optional<Number> number_at(std::string_view bytes, std::size_t at) {
    Number number{};
    if (at > bytes.size() || bytes.size() - at < sizeof number) return std::nullopt;
    std::memcpy(&number, bytes.data() + at, sizeof number);
    return number;
}

std::optional<std::string> read_at(int fd, std::uint64_t offset, std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t done = 0;
    while (done < size) {
        const ssize_t count =
            ::pread(fd, bytes.data() + done, size - done, static_cast<off_t>(offset + done));
        if (count <= 0) return std::nullopt;
        done += static_cast<std::size_t>(count);
    }
    return bytes;
}

struct Meta {
    std::uint32_t page_size = 0;
    std::uint64_t root = 0;  ///< page
    std::uint64_t transaction = 0;
};

/// One of the two; the one with the higher transaction counts.
std::optional<Meta> meta_at(int fd, std::uint64_t offset) {
    constexpr std::size_t kMetaSize = 64;
    const auto page = read_at(fd, offset, kPageHeader + kMetaSize);
    if (!page) return std::nullopt;
    const std::string_view meta = std::string_view(*page).substr(kPageHeader);
    if (number_at<std::uint32_t>(meta, 0) != kMagic ||
        number_at<std::uint32_t>(meta, 4) != kVersion)
        return std::nullopt;
    return Meta{*number_at<std::uint32_t>(meta, 8), *number_at<std::uint64_t>(meta, 16),
                *number_at<std::uint64_t>(meta, 48)};
}

std::optional<Meta> newest_meta(int fd) {
    std::optional<Meta> newest = meta_at(fd, 0);
    // The first may be damaged: then the size of a page is not known, but nearly always this.
    const std::uint32_t page_size = newest ? newest->page_size : 4096;
    const std::optional<Meta> second = meta_at(fd, page_size);
    if (second && (!newest || second->transaction > newest->transaction)) newest = second;
    if (!newest || newest->page_size < 512 || newest->page_size > kMaxPageSize) return std::nullopt;
    return newest;
}

/// A page with those that it overflows into.
std::optional<std::string> page_of(int fd, const Meta& meta, std::uint64_t number) {
    constexpr std::uint64_t kMaxNumber = 1ULL << 40;
    if (number > kMaxNumber) return std::nullopt;
    const std::uint64_t offset = number * meta.page_size;
    const auto header = read_at(fd, offset, kPageHeader);
    if (!header) return std::nullopt;
    const std::uint32_t overflow = number_at<std::uint32_t>(*header, 12).value_or(0);
    if (overflow > kMaxOverflow) return std::nullopt;
    return read_at(fd, offset, (overflow + std::size_t{1}) * meta.page_size);
}

/// The value of a bucket's name in the page of the root; empty: it is not there.
std::optional<std::string> bucket_in(std::string_view page, std::string_view name) {
    if (number_at<std::uint16_t>(page, 8) != kLeafPage) return std::nullopt;
    const std::size_t count = number_at<std::uint16_t>(page, 10).value_or(0);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t element = kPageHeader + i * kElement;
        const auto flags = number_at<std::uint32_t>(page, element);
        const auto position = number_at<std::uint32_t>(page, element + 4);
        const auto key_size = number_at<std::uint32_t>(page, element + 8);
        const auto value_size = number_at<std::uint32_t>(page, element + 12);
        if (!value_size) return std::nullopt;
        const std::size_t key = element + *position;
        if (key > page.size() || page.size() - key < std::size_t{*key_size} + *value_size)
            return std::nullopt;
        if (page.substr(key, *key_size) != name) continue;
        if ((*flags & kBucketElement) == 0) return std::nullopt;
        return std::string(page.substr(key + *key_size, *value_size));
    }
    return std::string();
}

}  // namespace

std::optional<bool> is_bolt_bucket_empty(int fd, std::string_view bucket) {
    const std::optional<Meta> meta = newest_meta(fd);
    if (!meta) return std::nullopt;
    const std::optional<std::string> root = page_of(fd, *meta, meta->root);
    if (!root) return std::nullopt;
    const std::optional<std::string> value = bucket_in(*root, bucket);
    if (!value) return std::nullopt;
    if (value->empty()) return true;
    const auto number = number_at<std::uint64_t>(*value, 0);
    if (!number) return std::nullopt;
    const std::optional<std::string> page =
        *number == 0 ? value->substr(std::min(value->size(), kBucketHeader))
                     : page_of(fd, *meta, *number);
    if (!page) return std::nullopt;
    const auto flags = number_at<std::uint16_t>(*page, 8);
    const auto count = number_at<std::uint16_t>(*page, 10);
    if (!count) return std::nullopt;
    return flags == kLeafPage && *count == 0;
}

}  // namespace prebake::identity
