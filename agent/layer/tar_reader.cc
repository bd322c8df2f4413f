#include "agent/layer/tar_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/base/error.h"
#include "agent/layer/tar_header.h"

namespace prebake::layer {
namespace {

/// Large enough for large writes, small enough for the processor's cache.
constexpr std::size_t kBufferBytes = std::size_t{256} * 1024;

constexpr char kFileOfV7 = '\0';
constexpr char kPaxHeader = 'x';
constexpr char kGnuLongName = 'L';
constexpr char kGnuLongLink = 'K';
constexpr char kOldSparse = 'S';

Error damaged(const std::string& what) {
    return Error(Errc::corrupt, "the tar is damaged: " + what);
}

Error cut_short() {
    return Error(Errc::corrupt, "the tar is cut short");
}

bool is_zero(std::string_view block) {
    return std::ranges::all_of(block, [](char c) { return c == '\0'; });
}

std::int64_t padding_after(std::int64_t size) {
    constexpr auto kBlock = static_cast<std::int64_t>(kTarBlock);
    return (kBlock - size % kBlock) % kBlock;
}

/// Whether PAX records describe a sparse file, and in which format.
enum class SparseFormat { none, map_in_records, map_in_contents };

SparseFormat sparse_format_of(const PaxRecords& pax) {
    const std::string_view major = pax_value(pax, "GNU.sparse.major");
    const std::string_view minor = pax_value(pax, "GNU.sparse.minor");
    if (major == "0" && (minor == "0" || minor == "1")) return SparseFormat::map_in_records;
    if (major == "1" && minor == "0") return SparseFormat::map_in_contents;
    if (!major.empty() || !minor.empty()) return SparseFormat::none;
    // The two old formats had no version at first.
    return pax_value(pax, "GNU.sparse.map").empty() ? SparseFormat::none
                                                    : SparseFormat::map_in_records;
}

}  // namespace

TarReader::TarReader(Source& source)
    : source_(source), buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferBytes)) {}

/// Reads more behind what is in the buffer. Returns false at the end of the stream.
bool TarReader::fill() {
    std::memmove(buffer_.get(), buffer_.get() + begin_, buffered());
    end_ = buffered();
    begin_ = 0;
    const std::size_t got = source_.read(std::span(buffer_.get() + end_, kBufferBytes - end_));
    end_ += got;
    return got > 0;
}

/// A block, or what is left of the stream if it is less.
std::string_view TarReader::take_block() {
    while (buffered() < kTarBlock && fill()) {
    }
    const std::size_t size = std::min(buffered(), kTarBlock);
    const auto* bytes = reinterpret_cast<const char*>(buffer_.get() + begin_);
    begin_ += size;
    return {bytes, size};
}

/// Some of the contents, at most `limit` bytes and at least one.
std::span<const std::byte> TarReader::take(std::int64_t limit) {
    if (buffered() == 0 && !fill()) throw cut_short();
    const auto size = static_cast<std::size_t>(
        std::min({limit, in_archive_, static_cast<std::int64_t>(buffered())}));
    const std::span<const std::byte> bytes(buffer_.get() + begin_, size);
    begin_ += size;
    in_archive_ -= static_cast<std::int64_t>(size);
    return bytes;
}

/// The contents of an extended header or of a long name.
std::string TarReader::take_extension() {
    if (in_archive_ > static_cast<std::int64_t>(kMaxExtensionBytes)) {
        throw damaged("an extended header is longer than 1 MiB");
    }
    std::string text;
    while (in_archive_ > 0) {
        const auto bytes = take(in_archive_);
        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    return text;
}

/// Returns false if the stream ends, which is allowed in the padding.
bool TarReader::skip_to_next_header() {
    while (in_archive_ > 0) take(in_archive_);
    while (padding_ > 0) {
        if (buffered() == 0 && !fill()) return false;
        const auto size = std::min(static_cast<std::size_t>(padding_), buffered());
        begin_ += size;
        padding_ -= static_cast<std::int64_t>(size);
    }
    return true;
}

/// Returns false at the end of the archive.
bool TarReader::read_header() {
    std::string_view block = take_block();
    if (block.empty()) return false;
    if (block.size() == kTarBlock && is_zero(block)) {
        block = take_block();
        if (block.empty() || (block.size() == kTarBlock && is_zero(block))) return false;
        if (block.size() == kTarBlock) throw damaged("a block of zeros stands between two entries");
    }
    if (block.size() < kTarBlock) throw cut_short();
    const TarFormat format = parse_tar_header(block, entry_);
    header_.clear();
    if (entry_.type == kOldSparse && format == TarFormat::gnu) header_ = block;
    return true;
}

void TarReader::begin_contents() {
    const std::int64_t size = has_no_contents(entry_.type) ? 0 : entry_.size;
    if (size < 0) throw damaged("an entry has a negative size");
    in_archive_ = size;
    padding_ = padding_after(size);
    position_ = 0;
    map_.clear();
    run_ = 0;
    run_position_ = 0;
}

const TarEntry* TarReader::next() {
    PaxRecords pax;
    std::string long_name;
    std::string long_link;
    for (;;) {
        if (!skip_to_next_header() || !read_header()) return nullptr;
        begin_contents();
        if (entry_.type == kPaxHeader) {
            pax = parse_pax_records(take_extension());
        } else if (entry_.type == tar_type::kGlobalHeader) {
            const PaxRecords global = parse_pax_records(take_extension());
            if (const auto name = pax_value(global, "path"); !name.empty()) entry_.name = name;
            // Of everything else that the header says, Go hands nothing on.
            entry_.uid = 0;
            entry_.gid = 0;
            return &entry_;
        } else if (entry_.type == kGnuLongName || entry_.type == kGnuLongLink) {
            std::string text = take_extension();
            text.resize(std::min(text.size(), text.find('\0')));
            (entry_.type == kGnuLongName ? long_name : long_link) = std::move(text);
        } else {
            apply_pax_records(pax, entry_);
            if (!long_name.empty()) entry_.name = std::move(long_name);
            if (!long_link.empty()) entry_.link = std::move(long_link);
            finish_entry(pax);
            return &entry_;
        }
    }
}

/// Name and records are known; what follows from them.
void TarReader::finish_entry(const PaxRecords& pax) {
    if (entry_.type == kFileOfV7) {
        // V7 had no type for directories: their names end with a slash.
        entry_.type = entry_.name.ends_with('/') ? tar_type::kDirectory : tar_type::kFile;
    }
    begin_contents();  // again: the records may have changed the size
    if (entry_.type != kOldSparse) {
        begin_sparse(pax);
        return;
    }
    // STAR has sparse files of this type, too, with another layout.
    if (header_.empty()) throw damaged("a sparse file has an unknown format");
    entry_.size = old_sparse_size(header_);
    set_sparse(read_old_sparse_map(header_, [this] {
        const std::string_view block = take_block();
        if (block.size() < kTarBlock) throw cut_short();
        return block;
    }));
}

void TarReader::begin_sparse(const PaxRecords& pax) {
    const SparseFormat format = sparse_format_of(pax);
    if (format == SparseFormat::none) return;
    if (const auto name = pax_value(pax, "GNU.sparse.name"); !name.empty()) entry_.name = name;
    std::string_view size = pax_value(pax, "GNU.sparse.size");
    if (size.empty()) size = pax_value(pax, "GNU.sparse.realsize");
    if (!size.empty()) {
        const auto number = decimal_number(size);
        if (!number) throw damaged("the size of a sparse file is no number");
        entry_.size = *number;
    }
    if (format == SparseFormat::map_in_records) {
        set_sparse(sparse_map_of(pax));
        return;
    }
    set_sparse(read_sparse_map([this] {
        if (in_archive_ < static_cast<std::int64_t>(kTarBlock)) throw cut_short();
        in_archive_ -= static_cast<std::int64_t>(kTarBlock);
        const std::string_view block = take_block();
        if (block.size() < kTarBlock) throw cut_short();
        return block;
    }));
}

void TarReader::set_sparse(SparseMap map) {
    if (has_no_contents(entry_.type) || !is_valid(map, entry_.size)) {
        throw damaged("the map of a sparse file does not fit it");
    }
    entry_.is_sparse = true;
    map_ = std::move(map);
}

Extent TarReader::next_extent() {
    if (entry_.is_sparse) return next_sparse_extent();
    if (in_archive_ == 0) return {position_, {}};
    const std::int64_t offset = position_;
    const auto bytes = take(in_archive_);
    position_ += static_cast<std::int64_t>(bytes.size());
    return {offset, bytes};
}

Extent TarReader::next_sparse_extent() {
    if (run_ == 0 && run_position_ == 0 && in_archive_ != data_size(map_)) {
        throw damaged("a sparse file has more or less data than its map says");
    }
    while (run_ < map_.size() && run_position_ == map_[run_].length) {
        ++run_;
        run_position_ = 0;
    }
    if (run_ == map_.size()) return {entry_.size, {}};
    const SparseRun& run = map_[run_];
    const std::int64_t offset = run.offset + run_position_;
    const auto bytes = take(run.length - run_position_);
    run_position_ += static_cast<std::int64_t>(bytes.size());
    return {offset, bytes};
}

void TarReader::drain() {
    begin_ = 0;
    end_ = 0;
    while (fill()) end_ = 0;
}

}  // namespace prebake::layer
