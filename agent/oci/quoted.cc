#include "agent/oci/quoted.h"

#include <cstddef>

namespace prebake::oci {
namespace {

constexpr std::size_t kMaxQuotedBytes = 200;

void append_printable(std::string& to, char character) {
    if (character >= 0x20 && character < 0x7f) {
        to.push_back(character);
        return;
    }
    static constexpr std::string_view kDigits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(character);
    to.append("\\x");
    to.push_back(kDigits[byte >> 4]);
    to.push_back(kDigits[byte & 0xf]);
}

}  // namespace

std::string quoted(std::string_view text) {
    std::string result = "\"";
    for (const char character : text.substr(0, kMaxQuotedBytes))
        append_printable(result, character);
    if (text.size() > kMaxQuotedBytes) result.append("...");
    result.push_back('"');
    return result;
}

std::string quoted(char character) {
    std::string result = "'";
    append_printable(result, character);
    result.push_back('\'');
    return result;
}

}  // namespace prebake::oci
