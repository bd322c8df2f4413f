#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace prebake::identity::secrets {

/// Bytes to search, one after another.
class ByteSource {
  public:
    virtual ~ByteSource() = default;

    /// Reads up to `size` bytes; 0 only at the end. @throws Error io.
    virtual std::size_t read(char* to, std::size_t size) = 0;

    /// Starts again from the first byte. @throws Error io.
    virtual void rewind() = 0;
};

/// The bytes of an open file.
class FileBytes : public ByteSource {
  public:
    /// Does not own `fd`. `name` is for errors.
    FileBytes(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

    std::size_t read(char* to, std::size_t size) override;
    void rewind() override;

  private:
    const int fd_;
    const std::string name_;
};

}  // namespace prebake::identity::secrets
