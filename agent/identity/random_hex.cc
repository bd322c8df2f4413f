#include "agent/identity/random_hex.h"

#include <sys/random.h>

#include "agent/base/error.h"

namespace prebake::identity {

std::string random_bytes(std::size_t bytes) {
    std::string random(bytes, '\0');
    // Up to 256 bytes come whole and cannot be interrupted, getrandom(2).
    if (::getrandom(random.data(), bytes, 0) != static_cast<ssize_t>(bytes))
        throw Error(Errc::io, "the kernel gave no random bytes", "see dmesg(1)");
    return random;
}

std::string random_hex(std::size_t bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    std::string hex;
    for (const char character : random_bytes(bytes)) {
        const auto byte = static_cast<unsigned char>(character);
        hex += kDigits[byte >> 4];
        hex += kDigits[byte & 15];
    }
    return hex;
}

}  // namespace prebake::identity
