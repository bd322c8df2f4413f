#include "agent/ledger/ledger_file.h"

#include <doctest/doctest.h>

#include "agent/base/file.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::ledger {
namespace {

using prebake::tests::contains;
using prebake::tests::thrown_by;

TEST_CASE("a ledger comes back as it was written") {
    const TemporaryDirectory directory;
    v1::Ledger ledger;
    ledger.set_claim("i-1");
    ledger.add_images()->set_name("reg.io/app:1");
    ledger.add_counted()->set_key("c1");
    write_ledger(directory.path(), ledger);
    std::string warning;
    const v1::Ledger read = read_ledger(directory.path(), warning);
    CHECK(warning.empty());
    CHECK(read.schema() == "prebake.v1.Ledger");
    CHECK(read.claim() == "i-1");
    REQUIRE(read.images_size() == 1);
    CHECK(read.images(0).name() == "reg.io/app:1");
    CHECK(read.counted_size() == 1);
}

TEST_CASE("no ledger is an empty one") {
    const TemporaryDirectory directory;
    std::string warning;
    CHECK(read_ledger(directory.path(), warning).schema().empty());
    CHECK(warning.empty());
}

TEST_CASE("what is no ledger is set aside, and whole") {
    struct Row {
        const char* name;
        std::string text;
        const char* ending;
    };
    const Row rows[] = {
        {"empty", "", ".corrupt"},
        {"half-written", R"({"schema": "prebake.v1.Ledger", "images": [{"na)", ".corrupt"},
        {"another document", R"({"schema": "prebake.v1.Claim"})", ".corrupt"},
        {"no schema", "{}", ".corrupt"},
        {"an array", "[]", ".corrupt"},
        {"a wrong type", R"({"schema": "prebake.v1.Ledger", "images": 3})", ".corrupt"},
        {"a negative count", R"({"schema": "prebake.v1.Ledger", "folded": -1})", ".corrupt"},
        {"not UTF-8", "{\"schema\": \"prebake.v1.Ledger\", \"claim\": \"\xff\xfe\"}", ".corrupt"},
        {"zeros", std::string(512, '\0'), ".corrupt"},
        {"too large", std::string((8UL << 20) + 1, ' '), ".corrupt"},
        {"deeply nested", std::string(100000, '['), ".corrupt"},
        {"of a later version", R"({"schema": "prebake.v2.Ledger", "images": 3})", ".newer"},
        {"of a much later one", R"({"schema": "prebake.v12.Books"})", ".newer"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const TemporaryDirectory directory;
        const std::filesystem::path path = ledger_path(directory.path());
        write_file_durably(path, row.text, 0644);
        std::string warning;
        CHECK(read_ledger(directory.path(), warning).schema().empty());
        CHECK(contains(warning, std::string("ledger.json") + row.ending));
        CHECK_FALSE(std::filesystem::exists(path));
        CHECK(read_file(path.string() + row.ending, 9UL << 20) == row.text);
        warning.clear();
        read_ledger(directory.path(), warning);
        CHECK(warning.empty());
    }
}

TEST_CASE("what cannot be read is left alone") {
    const TemporaryDirectory directory;
    std::filesystem::create_directory(ledger_path(directory.path()));
    std::string warning;
    CHECK(thrown_by([&] { read_ledger(directory.path(), warning); }).code() == Errc::io);
    CHECK(std::filesystem::is_directory(ledger_path(directory.path())));
}

}  // namespace
}  // namespace prebake::ledger
