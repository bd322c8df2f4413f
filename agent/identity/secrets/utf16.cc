#include "agent/identity/secrets/utf16.h"

#include <algorithm>
#include <cstring>

namespace prebake::identity::secrets {
namespace {

constexpr std::size_t kUtf16Input = 64UL << 10;

constexpr char32_t kReplacement = 0xfffd;

bool is_high(char32_t unit) {
    return unit >= 0xd800 && unit < 0xdc00;
}
bool is_low(char32_t unit) {
    return unit >= 0xdc00 && unit < 0xe000;
}

char32_t byte_of(char c) {
    return static_cast<unsigned char>(c);
}

char32_t unit_at(const char* bytes, ByteOrder order) {
    const char32_t first = byte_of(bytes[0]);
    const char32_t second = byte_of(bytes[1]);
    return order == ByteOrder::little ? second << 8U | first : first << 8U | second;
}

void append_utf8(std::string& text, char32_t c) {
    const auto add = [&](char32_t byte) { text += static_cast<char>(byte); };
    if (c < 0x80) return add(c);
    if (c < 0x800) {
        add(0xc0 | c >> 6U);
    } else if (c < 0x10000) {
        add(0xe0 | c >> 12U);
        add(0x80 | (c >> 6U & 0x3f));
    } else {
        add(0xf0 | c >> 18U);
        add(0x80 | (c >> 12U & 0x3f));
        add(0x80 | (c >> 6U & 0x3f));
    }
    add(0x80 | (c & 0x3f));
}

/// Whether nearly all of it is ASCII in this order.
bool is_mostly_ascii(std::string_view sample, ByteOrder order) {
    std::size_t ascii = 0;
    for (std::size_t at = 0; at + 1 < sample.size(); at += 2) {
        const char32_t unit = unit_at(sample.data() + at, order);
        const bool is_text = (unit >= ' ' && unit < 0x7f) || (unit >= '\t' && unit <= '\r');
        if (is_text) ++ascii;
    }
    // Of ten characters, nine: texts have some dashes and quotation marks that are not ASCII.
    return ascii * 10 >= sample.size() / 2 * 9;
}

}  // namespace

std::optional<ByteOrder> utf16_order(std::string_view beginning) {
    // A zero after the little-endian mark makes it the mark of UTF-32.
    if (beginning.starts_with("\xff\xfe") && beginning.substr(2, 2) != std::string_view("\0\0", 2))
        return ByteOrder::little;
    if (beginning.starts_with("\xfe\xff")) return ByteOrder::big;
    constexpr std::size_t kSample = 1024;
    constexpr std::size_t kLeast = 16;
    const std::string_view sample = beginning.substr(0, kSample);
    if (sample.size() < kLeast) return {};
    if (sample.find('\0') > 1) return {};  // nearly all files: one of the first two bytes is zero
    for (const ByteOrder order : {ByteOrder::little, ByteOrder::big}) {
        if (is_mostly_ascii(sample, order)) return order;
    }
    return {};
}

Utf16AsUtf8::Utf16AsUtf8(ByteSource& utf16, ByteOrder order)
    : utf16_(utf16), order_(order), input_(kUtf16Input) {}

void Utf16AsUtf8::rewind() {
    utf16_.rewind();
    filled_ = taken_ = 0;
    output_.clear();
    high_ = 0;
}

void Utf16AsUtf8::append(char32_t unit) {
    if (high_ != 0 && is_low(unit)) {
        append_utf8(output_, 0x10000 + ((high_ - 0xd800) << 10U) + (unit - 0xdc00));
        high_ = 0;
        return;
    }
    if (high_ != 0) append_utf8(output_, kReplacement);
    high_ = is_high(unit) ? unit : 0;
    if (high_ == 0) append_utf8(output_, is_low(unit) ? kReplacement : unit);
}

/// Fills the output. False at the end.
bool Utf16AsUtf8::convert() {
    output_.clear();
    taken_ = 0;
    while (output_.empty()) {
        const std::size_t got = utf16_.read(input_.data() + filled_, input_.size() - filled_);
        if (got == 0) return false;
        filled_ += got;
        const std::size_t whole = filled_ - filled_ % 2;
        for (std::size_t at = 0; at < whole; at += 2) append(unit_at(input_.data() + at, order_));
        if (whole < filled_) input_[0] = input_[whole];
        filled_ -= whole;
    }
    return true;
}

std::size_t Utf16AsUtf8::read(char* to, std::size_t size) {
    if (taken_ == output_.size() && !convert()) return 0;
    const std::size_t count = std::min(size, output_.size() - taken_);
    std::memcpy(to, output_.data() + taken_, count);
    taken_ += count;
    return count;
}

}  // namespace prebake::identity::secrets
