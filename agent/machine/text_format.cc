#include "agent/machine/text_format.h"

#include <arpa/inet.h>

#include <algorithm>

#include "agent/base/ascii.h"

namespace prebake::machine {
namespace {

bool is_label(std::string_view label) {
    return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
           is_word(label, 63, "-");
}

}  // namespace

bool is_ec2_instance_id(std::string_view text) {
    if (!text.starts_with("i-")) return false;
    const std::string_view digits = text.substr(2);
    return (digits.size() == 8 || digits.size() == 17) &&
           std::all_of(digits.begin(), digits.end(), is_lower_hex);
}

bool is_uuid(std::string_view text) {
    if (text.size() != 36) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool is_hyphen_due = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_hyphen_due ? text[i] != '-' : !is_lower_hex(text[i])) return false;
    }
    return true;
}

bool is_word(std::string_view text, std::size_t limit, std::string_view also) {
    return !text.empty() && text.size() <= limit &&
           std::all_of(text.begin(), text.end(), [also](char c) {
               return is_alphanumeric(c) || also.find(c) != std::string_view::npos;
           });
}

bool is_number(std::string_view text, std::size_t limit) {
    return !text.empty() && text.size() <= limit && std::all_of(text.begin(), text.end(), is_digit);
}

bool is_dns_name(std::string_view text) {
    if (text.size() > 253) return false;
    for (;;) {
        const std::size_t dot = text.find('.');
        if (!is_label(text.substr(0, dot))) return false;
        if (dot == std::string_view::npos) return true;
        text.remove_prefix(dot + 1);
    }
}

bool is_ipv4(std::string_view text) {
    in_addr address{};
    // inet_pton(3) would ignore what is after a NUL.
    return text.find('\0') == std::string_view::npos &&
           ::inet_pton(AF_INET, std::string(text).c_str(), &address) == 1;
}

bool is_printable(std::string_view text, std::size_t limit) {
    return !text.empty() && text.size() <= limit &&
           std::all_of(text.begin(), text.end(), prebake::is_printable);
}

std::string plain_text(std::string text) {
    constexpr std::size_t kMaxLength = 500;
    if (text.size() > kMaxLength) text.resize(kMaxLength);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return !prebake::is_printable(c); }, '?');
    return text;
}

}  // namespace prebake::machine
