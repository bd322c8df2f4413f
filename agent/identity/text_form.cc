#include "agent/identity/text_form.h"

#include <arpa/inet.h>

#include <algorithm>

namespace prebake::identity {
namespace {

// Not those of <cctype>: they depend on the locale, and are undefined for negative characters.
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_alphanumeric(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_hex_digit(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

bool is_label(std::string_view label) {
    return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
           is_word(label, 63, "-");
}

}  // namespace

bool is_ec2_instance_id(std::string_view text) {
    if (!text.starts_with("i-")) return false;
    const std::string_view digits = text.substr(2);
    return (digits.size() == 8 || digits.size() == 17) &&
           std::all_of(digits.begin(), digits.end(), is_hex_digit);
}

bool is_uuid(std::string_view text) {
    if (text.size() != 36) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool is_hyphen_due = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_hyphen_due ? text[i] != '-' : !is_hex_digit(text[i])) return false;
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
    // A NUL inside would end the text for inet_pton(3) only.
    return text.find('\0') == std::string_view::npos &&
           ::inet_pton(AF_INET, std::string(text).c_str(), &address) == 1;
}

bool is_printable(std::string_view text, std::size_t limit) {
    return !text.empty() && text.size() <= limit &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string plain_text(std::string text) {
    constexpr std::size_t kMaxLength = 500;
    if (text.size() > kMaxLength) text.resize(kMaxLength);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return text;
}

std::string lower_case(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return lower;
}

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        lines.push_back(text.substr(0, text.find('\n')));
        text.remove_prefix(std::min(text.size(), lines.back().size() + 1));
    }
    return lines;
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kWhiteSpace = " \t\r\n\f\v";
    const std::size_t first = text.find_first_not_of(kWhiteSpace);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

}  // namespace prebake::identity
