#include "agent/layer/tar_reader.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/layer/tar_builder.h"

namespace prebake::layer {
namespace {

using namespace std::string_literals;
using tests::contains;
using tests::pax_record;
using tests::tar_end;
using tests::tar_extension;
using tests::tar_file;
using tests::TarBlock;
using tests::thrown_by;

/// The contents of the entry, with the zeros of its holes.
std::string contents_of(TarReader& reader, const TarEntry& entry) {
    std::string contents(static_cast<std::size_t>(entry.size), '\0');
    for (;;) {
        const Extent extent = reader.next_extent();
        if (extent.bytes.empty()) return contents;
        const auto* bytes = reinterpret_cast<const char*>(extent.bytes.data());
        contents.replace(static_cast<std::size_t>(extent.offset), extent.bytes.size(), bytes,
                         extent.bytes.size());
    }
}

/// Each entry as "TYPE NAME -> LINK: CONTENTS".
std::vector<std::string> read_all(const std::string& tar) {
    tests::TextSource source(tar);
    TarReader reader(source);
    std::vector<std::string> entries;
    while (const TarEntry* entry = reader.next()) {
        std::string text = std::string(1, entry->type) + " " + entry->name;
        if (!entry->link.empty()) text += " -> " + entry->link;
        if (entry->type == tar_type::kFile) text += ": " + contents_of(reader, *entry);
        entries.push_back(text);
    }
    reader.drain();
    CHECK(source.is_at_end());
    return entries;
}

using Entries = std::vector<std::string>;

TEST_CASE("names and types of entries") {
    struct Row {
        const char* name;
        std::string tar;
        Entries entries;
    };
    const std::string long_name = std::string(150, 'n') + "/" + std::string(150, 'm');
    const Row rows[] = {
        {"USTAR", tar_file("a", "b"), {"0 a: b"}},
        {"a name of 100 bytes",
         tar_file(std::string(100, 'x'), ""),
         {"0 " + std::string(100, 'x') + ": "}},
        {"a prefix", TarBlock("n").set(345, "p/q").str(), {"0 p/q/n: "}},
        {"V7 has no prefix", TarBlock("n").v7().set(345, "p/q").str(), {"0 n: "}},
        {"V7's file", TarBlock("n", '\0').v7().str(), {"0 n: "}},
        {"V7's directory", TarBlock("n/", '\0').v7().str(), {"5 n/"}},
        {"a directory with a size",
         TarBlock("n", '5', 512).str() + tar_file("a", ""),
         {"5 n", "0 a: "}},
        {"a link", tests::tar_symlink("l", "t"), {"2 l -> t"}},
        {"STAR has a shorter prefix",
         TarBlock("n")
             .set(345, "p")
             .set(476, TarBlock::octal(5, 12) + TarBlock::octal(6, 12))
             .set(508, "tar\0"s)
             .str(),
         {"0 p/n: "}},
        {"a GNU header with a prefix, as old versions of Go wrote it",
         TarBlock("n").gnu().set(345, "pre/fix").str(),
         {"0 pre/fix/n: "}},
        {"a GNU header with times",
         TarBlock("n").gnu().set(345, TarBlock::octal(5, 12)).str(),
         {"0 n: "}},
        {"a long name of GNU tar",
         tar_extension('L', long_name + "\0"s) + tar_file("x", "c"),
         {"0 " + long_name + ": c"}},
        {"a long link of GNU tar",
         tar_extension('K', long_name) + tests::tar_symlink("x", "y"),
         {"2 x -> " + long_name}},
        {"PAX",
         tar_extension('x', pax_record("path", long_name)) + tar_file("x", "c"),
         {"0 " + long_name + ": c"}},
        {"the last of two extended headers",
         tar_extension('x', pax_record("path", "one")) +
             tar_extension('x', pax_record("linkpath", "l")) + tests::tar_symlink("x", "y"),
         {"2 x -> l"}},
        {"a long name of GNU tar above PAX",
         tar_extension('L', "gnu") + tar_extension('x', pax_record("path", "pax")) +
             tar_file("x", ""),
         {"0 gnu: "}},
        {"PAX says another size",
         tar_extension('x', pax_record("size", "3")) + TarBlock("x", '0', 0).str() +
             tests::padded("abc"),
         {"0 x: abc"}},
        {"PAX makes a file of V7 a directory",
         tar_extension('x', pax_record("path", "d/")) + TarBlock("x", '\0').str(),
         {"5 d/"}},
        {"a header for the archive, and what is after it",
         tar_extension('g', pax_record("path", "all") + pax_record("uid", "x")) + tar_file("x", ""),
         {"g all", "0 x: "}},
        {"a header for the archive loses the extended header before it",
         tar_extension('x', pax_record("path", "lost")) + tar_extension('g', "") +
             tar_file("x", ""),
         {"g ././@extension", "0 x: "}},
        {"an unknown type has contents",
         TarBlock("x", '7', 5).str() + tests::padded("12345") + tar_file("y", ""),
         {"7 x", "0 y: "}},
        {"an extended header at the end",
         tar_file("a", "") + tar_extension('x', pax_record("path", "b")),
         {"0 a: "}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(read_all(row.tar + tar_end()) == row.entries);
    }
}

TEST_CASE("where an archive ends") {
    const std::string file = tar_file("a", "12345");
    const std::string zeros(512, '\0');
    for (const std::string& end :
         {tar_end(), ""s, zeros, tar_end() + "behind it", tar_end() + file}) {
        CHECK(read_all(file + end) == Entries{"0 a: 12345"});
    }
    CHECK(read_all("").empty());
    CHECK(read_all(zeros).empty());
    // The padding may be missing, but no byte of the contents.
    CHECK(read_all(file.substr(0, 512 + 5)) == Entries{"0 a: 12345"});
    for (const std::string& cut :
         {file.substr(0, 512 + 4), file.substr(0, 512), file.substr(0, 511), file + zeros + "x",
          file + zeros + file, tar_extension('x', pax_record("path", "b")).substr(0, 515)}) {
        CHECK(thrown_by([&] { read_all(cut); }).code() == Errc::corrupt);
    }
}

TEST_CASE("fields of a header") {
    tests::TextSource source(TarBlock("n")
                                 .mode(04755)
                                 .owner(1000, 2000)
                                 .mtime(77)
                                 .gnu()
                                 .set(329, "0000007\0"s)
                                 .set(337, "\x80\0\0\0\0\0\x01\0"s)
                                 .set(345, TarBlock::octal(99, 12))
                                 .str() +
                             tar_extension('x', pax_record("SCHILY.xattr.user.a", "b")) +
                             TarBlock("m").str());
    TarReader reader(source);
    const TarEntry first = *reader.next();
    CHECK(first.mode == 04755);
    CHECK(first.uid == 1000);
    CHECK(first.gid == 2000);
    CHECK((first.modified_at == TarTime::unix(77)));
    CHECK((first.accessed_at == TarTime::unix(99)));
    CHECK(first.device_major == 7);
    CHECK(first.device_minor == 256);
    CHECK(first.xattrs.empty());
    const TarEntry* second = reader.next();
    CHECK(second->xattrs.size() == 1);
    CHECK((second->accessed_at == TarTime{}));
    CHECK(reader.next() == nullptr);
}

TEST_CASE("headers that Go refuses") {
    std::string wrong_sum = tar_file("a", "");
    wrong_sum[0] = 'b';
    const std::string too_long(TarReader::kMaxExtensionBytes + 1, 'x');
    struct Row {
        const char* name;
        std::string tar;
    };
    const Row rows[] = {
        {"a wrong checksum", wrong_sum},
        {"a size that is no number", TarBlock("a").set(124, "garbage").str()},
        {"a negative size", TarBlock("a").set(124, std::string(12, '\xff')).str()},
        {"a mode that is no number", TarBlock("a").set(100, "garbage").str()},
        {"a device number that is none, of a file", TarBlock("a").set(329, "garbage").str()},
        {"an extended header that is too long", tar_extension('x', too_long) + tar_file("a", "")},
        {"a long name that is too long", tar_extension('L', too_long) + tar_file("a", "")},
        {"PAX with a negative size",
         tar_extension('x', pax_record("size", "-1")) + tar_file("a", "")},
        {"a bad record", tar_extension('x', "x") + tar_file("a", "")},
        {"an old sparse file that is not GNU's", TarBlock("a", 'S').str()},
        {"noise", std::string(512, 'x')},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(thrown_by([&] { read_all(row.tar + tar_end()); }).code() == Errc::corrupt);
    }
    // Sun's tar summed signed bytes.
    std::string sun = TarBlock("\xff").bytes;
    int sum = 0;
    for (std::size_t i = 0; i < sun.size(); ++i)
        sum += i >= 148 && i < 156 ? ' ' : static_cast<signed char>(sun[i]);
    sun.replace(148, 8, TarBlock::octal(static_cast<unsigned>(sum), 8));
    CHECK(read_all(sun) == Entries{"0 \xff: "});
    // Devices have their numbers in fields that V7 did not have.
    CHECK(read_all(TarBlock("a").v7().set(329, "garbage").str()) == Entries{"0 a: "});
}

TEST_CASE("sparse files") {
    const std::string expected = "0 s: \0\0ab\0c\0\0"s;
    const auto sparse = [](const std::string& records, const std::string& data) {
        return tar_extension('x', records) + TarBlock("s", '0', data.size()).str() +
               tests::padded(data) + tar_file("next", "n");
    };
    const auto run = [](const char* offset, const char* length) {
        return pax_record("GNU.sparse.offset", offset) + pax_record("GNU.sparse.numbytes", length);
    };
    const std::string map_0 =
        pax_record("GNU.sparse.size", "8") + pax_record("GNU.sparse.numblocks", "2");
    const std::string map_1 = map_0 + pax_record("GNU.sparse.map", "2,2,5,1");
    const std::string version_1 = pax_record("GNU.sparse.major", "1") +
                                  pax_record("GNU.sparse.minor", "0") +
                                  pax_record("GNU.sparse.realsize", "8");
    const std::string table = tests::padded("2\n2\n2\n5\n1\n");
    CHECK(read_all(sparse(map_0 + run("2", "2") + run("5", "1"), "abc")) ==
          Entries{expected, "0 next: n"});
    CHECK(read_all(sparse(map_1, "abc")) == Entries{expected, "0 next: n"});
    CHECK(read_all(sparse(version_1, table + "abc")) == Entries{expected, "0 next: n"});
    CHECK(read_all(sparse(version_1 + pax_record("GNU.sparse.name", "other"), table + "abc"))[0] ==
          "0 other: \0\0ab\0c\0\0"s);
    // An unknown version is a file like any other.
    CHECK(read_all(sparse(pax_record("GNU.sparse.major", "2") + map_1, "abc"))[0] == "0 s: abc");

    for (const std::string& bad :
         {sparse(map_1, "ab"), sparse(map_1, "abcd"), sparse(version_1, "abc"),
          sparse(version_1, tests::padded("1\n8\n1\n") + "a"),
          sparse(map_1 + pax_record("GNU.sparse.size", "x"), "abc"),
          tar_extension('x', map_1) + TarBlock("s", '5').str()}) {
        CHECK(thrown_by([&] { read_all(bad); }).code() == Errc::corrupt);
    }

    // Skipped, too, also with a wrong amount of data.
    tests::TextSource source(sparse(map_1, "abcd"));
    TarReader reader(source);
    CHECK(reader.next()->size == 8);
    CHECK(reader.next()->name == "next");

    TarBlock old("s", 'S', 3);
    old.gnu()
        .set(386, TarBlock::octal(2, 12) + TarBlock::octal(2, 12))
        .set(410, TarBlock::octal(5, 12) + TarBlock::octal(1, 12));
    old.set(483, TarBlock::octal(8, 12));
    tests::TextSource old_source(old.str() + tests::padded("abc"));
    TarReader old_reader(old_source);
    const TarEntry* entry = old_reader.next();
    CHECK(entry->type == 'S');
    CHECK(contents_of(old_reader, *entry) == "\0\0ab\0c\0\0"s);
    CHECK(old_reader.next() == nullptr);
}

TEST_CASE("contents longer than the buffer, read in part or not at all") {
    std::string large;
    for (int i = 0; large.size() < 1'000'000; ++i) large += std::to_string(i) + ",";
    const std::string tar =
        tar_file("large", large) + tar_file("next", "n") + tar_file("large", large);
    const auto entries = read_all(tar);
    REQUIRE(entries.size() == 3);
    CHECK(entries[0] == "0 large: " + large);
    CHECK(entries[2] == "0 large: " + large);

    tests::TextSource source(tar);
    TarReader reader(source);
    reader.next();
    CHECK_FALSE(reader.next_extent().bytes.empty());
    CHECK(reader.next()->name == "next");
    CHECK(reader.next()->name == "large");
    CHECK(reader.next() == nullptr);
}

}  // namespace
}  // namespace prebake::layer
