#include "agent/machine/random.h"

#include <sys/random.h>

#include <span>

#include "agent/base/error.h"
#include "agent/base/hex.h"

namespace prebake::machine {

std::string random_bytes(std::size_t bytes) {
    std::string random(bytes, '\0');
    // Up to 256 bytes come complete and without interruption (getrandom(2)).
    if (::getrandom(random.data(), bytes, 0) != static_cast<ssize_t>(bytes))
        throw Error(Errc::io, "cannot get random bytes from the kernel", "see dmesg(1)");
    return random;
}

std::string random_hex(std::size_t bytes) {
    const std::string random = random_bytes(bytes);
    return to_hex(std::as_bytes(std::span(random.data(), random.size())));
}

std::string random_id() {
    std::string id = random_hex(16);
    id[12] = '4';
    constexpr std::string_view kVariant = "89ab";
    const auto digit = static_cast<std::size_t>(id[16] <= '9' ? id[16] - '0' : id[16] - 'a' + 10);
    id[16] = kVariant[digit % kVariant.size()];
    return id;
}

std::string format_uuid(std::string_view id) {
    std::string uuid(id);
    for (const std::size_t place : {8UL, 13UL, 18UL, 23UL}) uuid.insert(place, "-");
    return uuid;
}

}  // namespace prebake::machine
