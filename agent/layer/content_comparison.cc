#include "agent/layer/content_comparison.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/file.h"

namespace prebake::layer {
namespace {

/// As much as the tar has ready at a time.
constexpr std::size_t kBlockBytes = std::size_t{256} * 1024;

std::span<const std::byte> zeros() {
    static constexpr std::array<std::byte, 4096> kZeros{};
    return kZeros;
}

}  // namespace

ContentComparison::ContentComparison()
    : buffer_(std::make_unique_for_overwrite<std::byte[]>(kBlockBytes)) {}

std::size_t ContentComparison::read(int file, std::span<std::byte> buffer, std::int64_t offset) {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
        const ssize_t got = ::pread(file, buffer.data() + filled, buffer.size() - filled,
                                    offset + static_cast<off_t>(filled));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) obstacle_ = std::generic_category().message(errno);
        if (got <= 0) break;
        filled += static_cast<std::size_t>(got);
    }
    return filled;
}

/// What was expected so far is equal to the beginning of the file.
void ContentComparison::begin_hashing() {
    hash_.emplace();
    for (std::int64_t done = 0; done < position_;) {
        const auto wanted = static_cast<std::size_t>(
            std::min<std::int64_t>(position_ - done, static_cast<std::int64_t>(kBlockBytes)));
        const std::size_t got = read(file_, {buffer_.get(), wanted}, done);
        if (got == 0) throw Error(Errc::io, "a file became shorter while it was read");
        hash_->update(std::span<const std::byte>(buffer_.get(), got));
        done += static_cast<std::int64_t>(got);
    }
}

void ContentComparison::expect(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto block = bytes.first(std::min(bytes.size(), kBlockBytes));
        if (!hash_) {
            const std::size_t got = read(file_, {buffer_.get(), block.size()}, position_);
            const bool is_equal =
                got == block.size() && std::memcmp(buffer_.get(), block.data(), got) == 0;
            if (!is_equal) begin_hashing();
        }
        if (hash_) hash_->update(block);
        position_ += static_cast<std::int64_t>(block.size());
        bytes = bytes.subspan(block.size());
    }
}

void ContentComparison::expect_zeros(std::int64_t number) {
    while (number > 0) {
        const auto size = std::min<std::int64_t>(number, static_cast<std::int64_t>(zeros().size()));
        expect(zeros().first(static_cast<std::size_t>(size)));
        number -= size;
    }
}

std::optional<Sha256Hash> ContentComparison::differing_from(int file, std::int64_t size,
                                                            TarReader& contents) {
    file_ = file;
    position_ = 0;
    hash_.reset();
    obstacle_.clear();
    struct stat status = {};
    const bool may_be_equal = file >= 0 && ::fstat(file, &status) == 0 && status.st_size == size;
    if (!may_be_equal) begin_hashing();
    for (;;) {
        const Extent extent = contents.next_extent();
        if (extent.bytes.empty()) break;
        expect_zeros(extent.offset - position_);
        expect(extent.bytes);
    }
    expect_zeros(size - position_);
    if (!hash_) return std::nullopt;
    return hash_->finish();
}

bool ContentComparison::are_equal(int file, int other) {
    struct stat status = {};
    struct stat other_status = {};
    if (::fstat(file, &status) != 0 || ::fstat(other, &other_status) != 0) return false;
    if (status.st_size != other_status.st_size) return false;
    constexpr std::size_t kHalf = kBlockBytes / 2;
    for (std::int64_t offset = 0; offset < status.st_size;) {
        const std::size_t got = read(file, {buffer_.get(), kHalf}, offset);
        const std::size_t too = read(other, {buffer_.get() + kHalf, kHalf}, offset);
        if (got == 0 || got != too) return false;
        if (std::memcmp(buffer_.get(), buffer_.get() + kHalf, got) != 0) return false;
        offset += static_cast<std::int64_t>(got);
    }
    return true;
}

Sha256Hash ContentComparison::hash_of(int file) {
    obstacle_.clear();
    Sha256 hash;
    for (std::int64_t offset = 0;;) {
        const std::size_t got = read(file, {buffer_.get(), kBlockBytes}, offset);
        if (!obstacle_.empty()) throw Error(Errc::io, "cannot read a file: " + obstacle_);
        if (got == 0) return hash.finish();
        hash.update(std::span<const std::byte>(buffer_.get(), got));
        offset += static_cast<std::int64_t>(got);
    }
}

}  // namespace prebake::layer
