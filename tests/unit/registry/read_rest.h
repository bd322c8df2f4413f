#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "agent/base/stream.h"

namespace prebake::tests {

/// All that is left of `source`, read `piece` bytes at a time.
inline std::string read_rest(Source& source, std::size_t piece) {
    std::string text;
    std::string buffer(piece, '\0');
    for (;;) {
        const std::size_t got = source.read(std::as_writable_bytes(std::span(buffer)));
        text.append(buffer, 0, got);
        if (got < piece) return text;
    }
}

}  // namespace prebake::tests
