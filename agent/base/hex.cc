#include "agent/base/hex.h"

#include <string_view>

namespace prebake {

std::string to_hex(std::span<const std::byte> bytes) {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    hex.reserve(2 * bytes.size());
    for (const std::byte byte : bytes) {
        hex.push_back(kDigits[std::to_integer<std::size_t>(byte >> 4)]);
        hex.push_back(kDigits[std::to_integer<std::size_t>(byte & std::byte{0xf})]);
    }
    return hex;
}

}  // namespace prebake
