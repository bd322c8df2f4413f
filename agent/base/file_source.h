#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "agent/base/file.h"
#include "agent/base/stream.h"

namespace prebake {

/// Reads from `offset` until `buffer` is full or the file ends. Returns the number of bytes read.
/// `name` stands for the file in errors. @throws Error io.
std::size_t read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset,
                    const std::filesystem::path& name);

/// The bytes of an open regular file from an offset to its end.
class FileSource final : public Source {
  public:
    FileSource(FileDescriptor file, std::filesystem::path name, std::uint64_t offset)
        : file_(std::move(file)), name_(std::move(name)), position_(offset) {}

    std::size_t read(std::span<std::byte> buffer) override;

  private:
    FileDescriptor file_;
    std::filesystem::path name_;
    std::uint64_t position_;
};

}  // namespace prebake
