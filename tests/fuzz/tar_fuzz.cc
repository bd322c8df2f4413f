// Whatever a layer contains, the reader returns entries or an Error; the contents of a file lie in
// order within its size, and memory stays within the reader's limits.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/stream.h"
#include "agent/layer/contained.h"
#include "agent/layer/tar_reader.h"

namespace {

using prebake::Errc;
using prebake::Error;
using prebake::layer::Extent;
using prebake::layer::TarEntry;
using prebake::layer::TarReader;

void require(bool condition) {
    if (!condition) std::abort();
}

class InputSource : public prebake::Source {
  public:
    explicit InputSource(std::string_view input) : input_(input) {}
    std::size_t read(std::span<std::byte> buffer) override {
        const std::size_t size = std::min(buffer.size(), input_.size());
        std::memcpy(buffer.data(), input_.data(), size);
        input_.remove_prefix(size);
        return size;
    }

  private:
    std::string_view input_;
};

/// Gives each block that looks like a header the right checksum, or nothing behind it would ever be
/// reached. Contents that look like one are changed, too, which does no harm.
void correct_checksums(std::string& input) {
    for (std::size_t at = 0; at + 512 <= input.size(); at += 512) {
        const std::span<char> block(input.data() + at, 512);
        if (std::memcmp(&block[257], "ustar", 5) != 0) continue;
        std::memset(&block[148], ' ', 8);
        unsigned sum = 0;
        for (const char c : block) sum += static_cast<unsigned char>(c);
        for (std::size_t digit = 6; digit-- > 0; sum /= 8) {
            block[148 + digit] = static_cast<char>('0' + sum % 8);
        }
    }
}

void check_contents(TarReader& reader, const TarEntry& entry, std::size_t input_size) {
    std::int64_t end = 0;
    std::size_t total = 0;
    for (;;) {
        const Extent extent = reader.next_extent();
        if (extent.bytes.empty()) break;
        require(extent.offset >= end);
        end = extent.offset + static_cast<std::int64_t>(extent.bytes.size());
        total += extent.bytes.size();
        require(end <= entry.size);
    }
    require(total <= input_size);
    require(entry.is_sparse || end == entry.size || end == 0);
}

void check_name(const std::string& name) {
    const std::string clean = prebake::layer::clean_path(name);
    require(clean.empty() || (clean.front() != '/' && clean.back() != '/'));
    require(prebake::layer::clean_path(clean) == clean);
    require(clean != ".." && !clean.starts_with("../") && clean.find("/../") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // The first byte says whose contents are skipped, the second whether checksums are corrected.
    if (size < 2) return 0;
    const unsigned skipped = data[0];
    std::string input(reinterpret_cast<const char*>(data) + 2, size - 2);
    if ((data[1] & 1) == 0) correct_checksums(input);
    InputSource source(input);
    TarReader reader(source);
    unsigned count = 0;
    try {
        while (const TarEntry* entry = reader.next()) {
            check_name(entry->name);
            if ((skipped >> (count++ % 8) & 1) == 0) check_contents(reader, *entry, size);
        }
        reader.drain();
        std::byte one_more{};
        require(source.read(std::span(&one_more, 1)) == 0);
    } catch (const Error& error) {
        require(error.code() == Errc::corrupt);
    }
    require(count <= size / 512);
    return 0;
}
