#include "agent/layer/pax_records.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/layer/tar_builder.h"

namespace prebake::layer {
namespace {

using tests::thrown_by;
using namespace std::string_literals;
using namespace std::string_view_literals;

TEST_CASE("records of an extended header") {
    const PaxRecords records = parse_pax_records(
        tests::pax_record("path", "a\nb=c") + tests::pax_record("path", "second") +
        tests::pax_record("comment", "x\0y"s) + tests::pax_record("empty", ""));
    CHECK(pax_value(records, "path") == "second");
    CHECK(pax_value(records, "comment") == "x\0y"sv);
    CHECK(records.contains("empty"));
    CHECK(pax_value(records, "missing").empty());
    CHECK(parse_pax_records("").empty());
    CHECK(pax_value(parse_pax_records("+8 a=bc\n"), "a") == "bc");
    CHECK(pax_value(parse_pax_records("00009 a=\n"), "a").empty());
}

TEST_CASE("records that Go refuses") {
    const std::string_view rows[] = {
        "x"sv,
        "5"sv,
        " a=b\n"sv,
        "-6 a=b\n"sv,
        "4 =\n"sv,           // too short
        "5 a=\n\n"sv,        // a line too much
        "7 a=b\n"sv,         // longer than the body
        "6 a=bc\n"sv,        // no end where it says
        "6 abc\n"sv,         // no value
        "6 =bc\n"sv,         // no keyword
        "0000006 a=b\n"sv,   // ends in its own length
        "8 a\0b=c\n"sv,      // NUL in the keyword
        "11 path=a\0\n"sv,   // NUL in a name
        "12 uname=a\0\n"sv,  // the same
        "24 GNU.sparse.offset=0\n22 GNU.sparse.offset=0\n"sv,
        "25 GNU.sparse.numbytes=1\n"sv,
        "25 GNU.sparse.offset=0,1\n"sv,
    };
    for (const std::string_view row : rows) {
        CAPTURE(row);
        CHECK(thrown_by([&] { parse_pax_records(row); }).code() == Errc::corrupt);
    }
}

TEST_CASE("records replace what the header said, empty ones do not") {
    TarEntry entry;
    entry.name = "header";
    entry.link = "target";
    entry.uid = 1;
    apply_pax_records({{"path", "new"},
                       {"linkpath", ""},
                       {"uid", ""},
                       {"gid", "-5"},
                       {"size", "99"},
                       {"mtime", "7.5"},
                       {"atime", "8"},
                       {"uname", "nobody"},
                       {"SCHILY.xattr.user.a", "b"},
                       {"SCHILY.xattr.user.empty", ""},
                       {"SCHILY.acl.access", "user::rwx"},
                       {"LIBARCHIVE.xattr.user.c", "eA=="}},
                      entry);
    CHECK(entry.name == "new");
    CHECK(entry.link == "target");
    CHECK(entry.uid == 1);
    CHECK(entry.gid == -5);
    CHECK(entry.size == 99);
    CHECK((entry.modified_at == TarTime::unix(7, 500'000'000)));
    CHECK((entry.accessed_at == TarTime::unix(8)));
    CHECK(entry.xattrs ==
          std::vector<std::pair<std::string, std::string>>{{"user.a", "b"}, {"user.empty", ""}});
    for (const char* keyword : {"uid", "gid", "size", "mtime", "atime", "ctime"}) {
        CAPTURE(keyword);
        CHECK(thrown_by([&] {
                  apply_pax_records({{keyword, "x"}}, entry);
              }).code() == Errc::corrupt);
    }
}

}  // namespace
}  // namespace prebake::layer
