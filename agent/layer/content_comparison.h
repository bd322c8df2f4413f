#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "agent/base/sha256.h"
#include "agent/layer/tar_reader.h"

namespace prebake::layer {

/// Compares contents of files, block by block.
class ContentComparison {
  public:
    ContentComparison();

    /// Compares what `contents` has just returned, a file of `size` bytes, with an open file; all
    /// of it is read. Nothing if they are equal, else the hash of the entry's contents. `file` is
    /// -1 if there is none. @throws Error corrupt, as TarReader.
    std::optional<Sha256Hash> differing_from(int file, std::int64_t size, TarReader& contents);

    /// Why the last file could not be read; empty if it was.
    const std::string& obstacle() const { return obstacle_; }

    /// True if two open files have the same contents.
    bool are_equal(int file, int other);
    /// @throws Error io.
    Sha256Hash hash_of(int file);

  private:
    void expect(std::span<const std::byte> bytes);
    void expect_zeros(std::int64_t number);
    std::size_t read(int file, std::span<std::byte> buffer, std::int64_t offset);
    void begin_hashing();

    std::unique_ptr<std::byte[]> buffer_;
    int file_ = -1;
    std::int64_t position_ = 0;
    std::optional<Sha256> hash_;  // of all that was expected, once something else was found
    std::string obstacle_;
};

}  // namespace prebake::layer
