#include "agent/identity/items/bolt_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::identity {
namespace bolt_file_test {

constexpr std::size_t kPage = 4096;

template <typename Number>
std::string bytes_of(Number number) {
    return {reinterpret_cast<const char*>(&number), sizeof number};
}

struct Entry {
    std::string key;
    std::string value;
    std::uint32_t flags = 0;  // 1: a bucket
};

/// A leaf's header, elements, keys and values, as bbolt writes them.
std::string leaf(std::uint64_t number, const std::vector<Entry>& entries, std::uint16_t flags = 2) {
    std::string page = bytes_of(number) + bytes_of(flags) +
                       bytes_of(static_cast<std::uint16_t>(entries.size())) +
                       bytes_of(std::uint32_t{0});
    std::string data;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const std::size_t rest = (entries.size() - i) * 16;  // elements up to the data
        page += bytes_of(entries[i].flags) +
                bytes_of(static_cast<std::uint32_t>(rest + data.size())) +
                bytes_of(static_cast<std::uint32_t>(entries[i].key.size())) +
                bytes_of(static_cast<std::uint32_t>(entries[i].value.size()));
        data += entries[i].key + entries[i].value;
    }
    return page + data;
}

/// A bucket on a page of its own, or, with 0, the page that follows in `inner`.
Entry bucket(const std::string& name, std::uint64_t page, const std::string& inner = {}) {
    return {name, bytes_of(page) + bytes_of(std::uint64_t{0}) + inner, 1};
}

std::string meta(std::uint64_t number, std::uint64_t root, std::uint64_t transaction) {
    std::string page = bytes_of(number) + bytes_of(std::uint16_t{4}) + std::string(6, '\0');
    page += bytes_of(std::uint32_t{0xED0CDAED}) + bytes_of(std::uint32_t{2}) +
            bytes_of(static_cast<std::uint32_t>(kPage)) + bytes_of(std::uint32_t{0});
    return page + bytes_of(root) + bytes_of(std::uint64_t{0}) + bytes_of(std::uint64_t{2}) +
           bytes_of(std::uint64_t{6}) + bytes_of(transaction) + bytes_of(std::uint64_t{0});
}

std::string file_of(const std::vector<std::string>& pages) {
    std::string file;
    for (std::string page : pages) {
        page.resize(kPage);
        file += page;
    }
    return file;
}

std::string verdict(const std::string& contents, const char* name = "_main") {
    const TemporaryDirectory directory;
    std::ofstream(directory / "db", std::ios::binary) << contents;
    const FileDescriptor fd(::open((directory / "db").c_str(), O_RDONLY | O_CLOEXEC));
    const std::optional<bool> is_empty = is_bolt_bucket_empty(fd.get(), name);
    return !is_empty ? "unknown" : *is_empty ? "empty" : "entries";
}

TEST_CASE("bolt: buckets with and without entries") {
    const std::string records = leaf(4, {{"a", "1"}, {"b", "2"}});
    const std::string inlined = leaf(0, {{"a", "1"}});
    struct Row {
        const char* name;
        std::string root;
        std::string page;  // number 4
        const char* verdict;
    };
    const std::vector<Row> rows{
        {"inline, empty", leaf(3, {bucket("_main", 0, leaf(0, {}))}), {}, "empty"},
        {"inline, with an entry", leaf(3, {bucket("_main", 0, inlined)}), {}, "entries"},
        {"a page, with entries", leaf(3, {bucket("_main", 4)}), records, "entries"},
        {"a page, empty", leaf(3, {bucket("_main", 4)}), leaf(4, {}), "empty"},
        {"a page of branches", leaf(3, {bucket("_main", 4)}), leaf(4, {{"a", ""}}, 1), "entries"},
        {"missing", leaf(3, {bucket("_index", 0, inlined)}), {}, "empty"},
        {"the second of two",
         leaf(3, {bucket("_index", 0, inlined), bucket("_main", 0, leaf(0, {}))}),
         {},
         "empty"},
        {"no buckets", leaf(3, {}), {}, "empty"},
        {"a value of that name", leaf(3, {{"_main", "1", 0}}), {}, "unknown"},
        {"too many buckets for one page", leaf(3, {{"_main", ""}}, 1), {}, "unknown"},
        {"a page that is not there", leaf(3, {bucket("_main", 900)}), {}, "unknown"},
        {"an absurd page", leaf(3, {bucket("_main", ~0ULL)}), {}, "unknown"},
        {"a short header", leaf(3, {{"_main", "x", 1}}), {}, "unknown"},
        {"an inline page that is cut", leaf(3, {bucket("_main", 0, "x")}), {}, "unknown"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(verdict(file_of({meta(0, 3, 2), meta(1, 3, 1), "", row.root, row.page})) ==
              row.verdict);
    }
}

TEST_CASE("bolt: the newer of two metas counts, and a damaged file does not count as empty") {
    const std::string with = leaf(3, {bucket("_main", 0, leaf(0, {{"a", "1"}}))});
    const std::string without = leaf(4, {bucket("_main", 0, leaf(0, {}))});
    CHECK(verdict(file_of({meta(0, 3, 2), meta(1, 4, 3), "", with, without})) == "empty");
    CHECK(verdict(file_of({meta(0, 3, 4), meta(1, 4, 3), "", with, without})) == "entries");
    CHECK(verdict(file_of({"torn", meta(1, 3, 3), "", with})) == "entries");
    CHECK(verdict(file_of({meta(0, 3, 4), "torn", "", with})) == "entries");
    CHECK(verdict("") == "unknown");
    CHECK(verdict("no database") == "unknown");
    CHECK(verdict(file_of({"torn", "torn", "", with})) == "unknown");
    std::string overlong = leaf(3, {bucket("_main", 0, leaf(0, {}))});
    overlong.replace(16 + 8, 4, bytes_of(std::uint32_t{0xffffffff}));  // the size of its key
    CHECK(verdict(file_of({meta(0, 3, 2), meta(1, 3, 1), "", overlong})) == "unknown");
    std::string overflow = with;
    overflow.replace(12, 4, bytes_of(std::uint32_t{0xffffffff}));
    CHECK(verdict(file_of({meta(0, 3, 2), meta(1, 3, 1), "", overflow})) == "unknown");
}

}  // namespace bolt_file_test
}  // namespace prebake::identity
