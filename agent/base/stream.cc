#include "agent/base/stream.h"

#include <array>

namespace prebake {

std::optional<std::string> read_up_to(Source& source, std::size_t limit) {
    std::string bytes;
    std::array<char, 16384> buffer;
    for (;;) {
        const std::size_t got = source.read(std::as_writable_bytes(std::span(buffer)));
        bytes.append(buffer.data(), got);
        if (bytes.size() > limit) return std::nullopt;
        if (got == 0) return bytes;
    }
}

}  // namespace prebake
