#include "agent/ledger/digest_key.h"

#include <charconv>

namespace prebake::ledger {
namespace {

constexpr std::string_view kAlgorithm = "sha256:";
constexpr std::size_t kWordDigits = 16;

bool is_lower_hex(std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::optional<DigestKey> parse_digest(std::string_view text) {
    DigestKey key{};
    if (text.size() != kAlgorithm.size() + key.size() * kWordDigits) return std::nullopt;
    if (!text.starts_with(kAlgorithm)) return std::nullopt;
    text.remove_prefix(kAlgorithm.size());
    if (!is_lower_hex(text)) return std::nullopt;
    for (std::uint64_t& word : key) {
        std::from_chars(text.data(), text.data() + kWordDigits, word, 16);
        text.remove_prefix(kWordDigits);
    }
    return key;
}

std::string to_text(const DigestKey& digest) {
    std::string text(kAlgorithm);
    for (const std::uint64_t word : digest) {
        std::array<char, kWordDigits> digits{};
        const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), word, 16).ptr;
        const auto written = static_cast<std::size_t>(end - digits.data());
        text.append(kWordDigits - written, '0').append(digits.data(), written);
    }
    return text;
}

}  // namespace prebake::ledger
