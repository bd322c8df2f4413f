#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/stream.h"

namespace prebake::tests {

/// Bytes as a source.
class TextSource : public Source {
  public:
    explicit TextSource(std::string text) : text_(std::move(text)) {}
    std::size_t read(std::span<std::byte> buffer) override {
        const std::size_t size = std::min(buffer.size(), text_.size() - position_);
        std::memcpy(buffer.data(), text_.data() + position_, size);
        position_ += size;
        return size;
    }
    bool is_at_end() const { return position_ == text_.size(); }

  private:
    std::string text_;
    std::size_t position_ = 0;
};

/// A header block; numbers are in octal. Fields can be overwritten.
struct TarBlock {
    explicit TarBlock(std::string_view name, char type = '0', std::size_t size = 0) {
        set(0, name.substr(0, 100));
        set(100, octal(0644, 8));
        set(108, octal(0, 8));
        set(116, octal(0, 8));
        set(124, octal(size, 12));
        set(136, octal(1'000'000'000, 12));
        bytes[156] = type;
        set(257, std::string_view("ustar\00000", 8));
        set(329, octal(0, 8));
        set(337, octal(0, 8));
    }
    TarBlock& set(std::size_t offset, std::string_view field) {
        bytes.replace(offset, field.size(), field);
        return *this;
    }
    TarBlock& link(std::string_view target) { return set(157, target); }
    TarBlock& mode(unsigned mode) { return set(100, octal(mode, 8)); }
    TarBlock& owner(std::uint64_t uid, std::uint64_t gid) {
        return set(108, octal(uid, 8)).set(116, octal(gid, 8));
    }
    TarBlock& mtime(std::uint64_t seconds) { return set(136, octal(seconds, 12)); }
    TarBlock& gnu() { return set(257, std::string_view("ustar  \0", 8)); }
    TarBlock& v7() { return set(257, std::string(8, '\0')); }

    /// The block with its checksum.
    std::string str() const {
        std::string block = bytes;
        block.replace(148, 8, 8, ' ');
        unsigned sum = 0;
        for (const char c : block) sum += static_cast<unsigned char>(c);
        return block.replace(148, 8, octal(sum, 8));
    }

    static std::string octal(std::uint64_t number, std::size_t size) {
        std::string text(size, '\0');
        std::snprintf(text.data(), size, "%0*llo", static_cast<int>(size) - 1,
                      static_cast<unsigned long long>(number));
        return text;
    }

    std::string bytes = std::string(512, '\0');
};

inline std::string padded(std::string contents) {
    contents.resize((contents.size() + 511) / 512 * 512, '\0');
    return contents;
}

inline std::string tar_file(const std::string& name, const std::string& contents) {
    return TarBlock(name, '0', contents.size()).str() + padded(contents);
}

inline std::string tar_directory(const std::string& name, unsigned mode = 0755) {
    return TarBlock(name, '5').mode(mode).str();
}

inline std::string tar_symlink(const std::string& name, const std::string& target) {
    return TarBlock(name, '2').link(target).str();
}

inline std::string tar_hard_link(const std::string& name, const std::string& target) {
    return TarBlock(name, '1').link(target).str();
}

inline std::string pax_record(const std::string& keyword, const std::string& value) {
    const std::string rest = " " + keyword + "=" + value + "\n";
    std::size_t length = rest.size();
    while (std::to_string(length).size() + rest.size() != length) {
        length = std::to_string(length).size() + rest.size();
    }
    return std::to_string(length) + rest;
}

/// An extended header: of PAX (x, g), or a long name of GNU tar (L, K).
inline std::string tar_extension(char type, const std::string& body) {
    TarBlock block("././@extension", type, body.size());
    return (type == 'x' || type == 'g' ? block : block.gnu()).str() + padded(body);
}

inline std::string tar_end() {
    return std::string(1024, '\0');
}

}  // namespace prebake::tests
