#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace prebake {

/// A stream of bytes that is read once, front to back, by one thread.
class Source {
  public:
    virtual ~Source() = default;
    /// Fills `buffer` from its start, and waits for bytes as long as needed. Returns the number of
    /// bytes written into it: fewer than `buffer.size()` only at the end of the stream, then 0.
    /// @throws Error if the stream fails.
    virtual std::size_t read(std::span<std::byte> buffer) = 0;
};

/// The rest of `source`, or nothing if it is longer than `limit` bytes.
std::optional<std::string> read_up_to(Source& source, std::size_t limit);

}  // namespace prebake
