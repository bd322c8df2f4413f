#include "agent/layer/tar_header.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "agent/base/error.h"
#include "agent/layer/tar_numbers.h"

namespace prebake::layer {
namespace {

struct Field {
    std::size_t offset;
    std::size_t size;
};

constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kModified{136, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kType = 156;
constexpr Field kLink{157, 100};
constexpr Field kMagic{257, 6};
constexpr Field kVersion{263, 2};
constexpr Field kMajor{329, 8};
constexpr Field kMinor{337, 8};
constexpr Field kUstarPrefix{345, 155};
constexpr Field kGnuAccessed{345, 12};
constexpr Field kGnuChanged{357, 12};
constexpr Field kGnuRealSize{483, 12};
constexpr Field kStarPrefix{345, 131};
constexpr Field kStarAccessed{476, 12};
constexpr Field kStarChanged{488, 12};
constexpr Field kStarTrailer{508, 4};

/// A header block, whose fields are read one by one.
class Block {
  public:
    explicit Block(std::string_view bytes) : bytes_(bytes) {}

    std::string_view raw(Field field) const { return bytes_.substr(field.offset, field.size); }
    std::string_view text(Field field) const {
        const std::string_view bytes = raw(field);
        return bytes.substr(0, bytes.find('\0'));
    }
    std::int64_t number(Field field, const char* what) const {
        const auto number = header_number(raw(field));
        if (!number) {
            throw Error(Errc::corrupt, std::string("a header of the tar is damaged: its ") + what +
                                           " is no number");
        }
        return *number;
    }
    TarTime time(Field field, const char* what) const { return TarTime::unix(number(field, what)); }
    bool has_right_checksum() const;
    TarFormat format() const;

  private:
    std::string_view bytes_;
};

/// The sum counts the checksum's own field as spaces.
bool Block::has_right_checksum() const {
    const auto expected = octal_number(raw(kChecksum));
    if (!expected) return false;
    std::int64_t sum = 0;
    std::int64_t high_bytes = 0;
    for (const char c : bytes_) {
        const auto byte = static_cast<unsigned char>(c);
        sum += byte;
        high_bytes += byte >> 7;
    }
    for (const char c : raw(kChecksum)) {
        const auto byte = static_cast<unsigned char>(c);
        sum += ' ' - byte;
        high_bytes -= byte >> 7;
    }
    return *expected == sum || *expected == sum - 256 * high_bytes;
}

TarFormat Block::format() const {
    const std::string_view magic = raw(kMagic);
    if (magic == std::string_view("ustar\0", 6)) {
        return raw(kStarTrailer) == std::string_view("tar\0", 4) ? TarFormat::star
                                                                 : TarFormat::ustar;
    }
    const bool is_gnu = magic == "ustar " && raw(kVersion) == std::string_view(" \0", 2);
    return is_gnu ? TarFormat::gnu : TarFormat::v7;
}

/// Old versions of Go wrote a prefix into GNU headers, which have times there. If these are no
/// numbers, it is one of those.
std::string_view gnu_times_or_prefix(const Block& block, TarEntry& entry) {
    const auto optional_time = [&block](Field field) {
        const std::string_view raw = block.raw(field);
        return raw.front() == '\0' ? std::optional<std::int64_t>(0) : header_number(raw);
    };
    const auto accessed = optional_time(kGnuAccessed);
    if (accessed && optional_time(kGnuChanged)) {
        if (block.raw(kGnuAccessed).front() != '\0') entry.accessed_at = TarTime::unix(*accessed);
        return {};
    }
    const std::string_view prefix = block.text(kUstarPrefix);
    const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    return std::ranges::all_of(prefix, is_ascii) ? prefix : std::string_view();
}

/// The fields that came after Unix V7. Returns the prefix of the name.
std::string_view parse_newer_fields(const Block& block, TarFormat format, TarEntry& entry) {
    entry.device_major = block.number(kMajor, "major device number");
    entry.device_minor = block.number(kMinor, "minor device number");
    switch (format) {
        case TarFormat::v7:
            break;
        case TarFormat::ustar:
            return block.text(kUstarPrefix);
        case TarFormat::gnu:
            return gnu_times_or_prefix(block, entry);
        case TarFormat::star:
            entry.accessed_at = block.time(kStarAccessed, "access time");
            block.time(kStarChanged, "change time");  // unused, but a bad one is an error
            return block.text(kStarPrefix);
    }
    return {};
}

}  // namespace

TarFormat parse_tar_header(std::string_view bytes, TarEntry& entry) {
    const Block block(bytes);
    if (!block.has_right_checksum()) {
        throw Error(Errc::corrupt, "a header of the tar is damaged: its checksum is wrong");
    }
    const TarFormat format = block.format();
    entry.type = bytes[kType];
    entry.name = block.text(kName);
    entry.link = block.text(kLink);
    entry.size = block.number(kSize, "size");
    entry.is_sparse = false;
    entry.mode = block.number(kMode, "mode");
    entry.uid = block.number(kUid, "owner");
    entry.gid = block.number(kGid, "group");
    entry.modified_at = block.time(kModified, "time");
    entry.accessed_at = {};
    entry.device_major = 0;
    entry.device_minor = 0;
    entry.xattrs.clear();
    if (format != TarFormat::v7) {
        const std::string_view prefix = parse_newer_fields(block, format, entry);
        if (!prefix.empty()) entry.name.insert(0, std::string(prefix) + "/");
    }
    return format;
}

std::int64_t old_sparse_size(std::string_view block) {
    return Block(block).number(kGnuRealSize, "size");
}

bool has_no_contents(char type) {
    return type >= tar_type::kHardLink && type <= tar_type::kFifo;
}

}  // namespace prebake::layer
