#include "agent/machine/random.h"

#include <sys/random.h>

#include "agent/base/error.h"

namespace prebake::machine {

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

std::string make_random_id() {
    std::string id = random_hex(16);
    id[12] = '4';
    constexpr std::string_view kVariant = "89ab";
    const auto digit = static_cast<std::size_t>(id[16] <= '9' ? id[16] - '0' : id[16] - 'a' + 10);
    id[16] = kVariant[digit % kVariant.size()];
    return id;
}

std::string uuid_form(std::string_view id) {
    std::string uuid(id);
    for (const std::size_t place : {8UL, 13UL, 18UL, 23UL}) uuid.insert(place, "-");
    return uuid;
}

}  // namespace prebake::machine
