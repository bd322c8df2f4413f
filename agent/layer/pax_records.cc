#include "agent/layer/pax_records.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "agent/base/error.h"
#include "agent/layer/tar_numbers.h"

namespace prebake::layer {
namespace {

constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";
constexpr std::string_view kSparseOffset = "GNU.sparse.offset";
constexpr std::string_view kSparseLength = "GNU.sparse.numbytes";
constexpr std::string_view kSparseMap = "GNU.sparse.map";

Error bad_record(const std::string& what) {
    return Error(Errc::corrupt, "an extended header of the tar is damaged: " + what);
}

struct Record {
    std::string_view keyword;
    std::string_view value;
};

/// Takes "LENGTH KEYWORD=VALUE\n" from the front of `body`; the length counts the whole record.
Record take_record(std::string_view& body) {
    constexpr std::int64_t kShortest = 5;
    const std::size_t space = body.find(' ');
    if (space == std::string_view::npos) throw bad_record("a record has no length");
    const auto length = decimal_number(body.substr(0, space));
    if (!length || *length < kShortest || static_cast<std::uint64_t>(*length) > body.size() ||
        static_cast<std::uint64_t>(*length) <= space + 1) {
        throw bad_record("a record has a wrong length");
    }
    std::string_view text = body.substr(0, static_cast<std::size_t>(*length));
    body.remove_prefix(text.size());
    text.remove_prefix(space + 1);
    if (!text.ends_with('\n')) throw bad_record("a record has no end");
    text.remove_suffix(1);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) throw bad_record("a record has no value");
    return {text.substr(0, equals), text.substr(equals + 1)};
}

/// NUL may not be in a keyword; nor in the values that are texts in the old header, too. (A keyword
/// that is one of these has none.)
bool is_valid(const Record& record) {
    const bool is_text = record.keyword == "path" || record.keyword == "linkpath" ||
                         record.keyword == "uname" || record.keyword == "gname";
    const std::string_view checked = is_text ? record.value : record.keyword;
    return !record.keyword.empty() && checked.find('\0') == std::string_view::npos;
}

/// Adds a half of a pair of sparse format 0.0 to the map.
void add_to_sparse_map(const Record& record, std::string& map, std::size_t& numbers) {
    const std::string_view expected = numbers % 2 == 0 ? kSparseOffset : kSparseLength;
    if (record.keyword != expected || record.value.find(',') != std::string_view::npos) {
        throw bad_record("the map of a sparse file is out of order");
    }
    if (numbers > 0) map += ',';
    map += record.value;
    ++numbers;
}

template <typename Number>
Number required(const std::optional<Number>& number, std::string_view keyword) {
    if (!number) throw bad_record(std::string(keyword) + " is no number");
    return *number;
}

void apply_record(const std::string& keyword, const std::string& value, TarEntry& entry) {
    if (keyword == "path") {
        entry.name = value;
    } else if (keyword == "linkpath") {
        entry.link = value;
    } else if (keyword == "uid") {
        entry.uid = required(decimal_number(value), keyword);
    } else if (keyword == "gid") {
        entry.gid = required(decimal_number(value), keyword);
    } else if (keyword == "size") {
        entry.size = required(decimal_number(value), keyword);
    } else if (keyword == "mtime") {
        entry.modified_at = required(pax_time(value), keyword);
    } else if (keyword == "atime") {
        entry.accessed_at = required(pax_time(value), keyword);
    } else if (keyword == "ctime") {
        required(pax_time(value), keyword);  // no system call sets it, but a bad one is an error
    }
}

}  // namespace

PaxRecords parse_pax_records(std::string_view body) {
    PaxRecords records;
    std::string sparse_map;
    std::size_t sparse_numbers = 0;
    while (!body.empty()) {
        const Record record = take_record(body);
        if (!is_valid(record)) throw bad_record("a record contains NUL, or has no keyword");
        if (record.keyword == kSparseOffset || record.keyword == kSparseLength) {
            add_to_sparse_map(record, sparse_map, sparse_numbers);
        } else {
            records.insert_or_assign(std::string(record.keyword), std::string(record.value));
        }
    }
    if (sparse_numbers > 0) {
        records.insert_or_assign(std::string(kSparseMap), std::move(sparse_map));
    }
    return records;
}

std::string_view pax_value(const PaxRecords& records, std::string_view keyword) {
    const auto found = records.find(keyword);
    return found == records.end() ? std::string_view() : std::string_view(found->second);
}

void apply_pax_records(const PaxRecords& records, TarEntry& entry) {
    for (const auto& [keyword, value] : records) {
        if (keyword.starts_with(kXattrPrefix)) {
            // An attribute may be empty; any other empty record leaves the header's value.
            entry.xattrs.emplace_back(keyword.substr(kXattrPrefix.size()), value);
        } else if (!value.empty()) {
            apply_record(keyword, value, entry);
        }
    }
}

}  // namespace prebake::layer
