#include "agent/ledger/ledger_file.h"

#include <doctest/doctest.h>
#include <google/protobuf/util/message_differencer.h>

#include "agent/base/file.h"
#include "agent/base/json.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::ledger {
namespace {

using prebake::tests::contains;
using prebake::tests::thrown_by;

TEST_CASE("a ledger is read as it was written") {
    const TemporaryDirectory directory;
    v1::LedgerState ledger;
    ledger.set_claim("i-1");
    ledger.add_images()->set_name("reg.io/app:1");
    ledger.add_counted()->set_key("c1");
    write_ledger(directory.path(), ledger);
    std::string warning;
    const v1::LedgerState read = read_ledger(directory.path(), warning);
    CHECK(warning.empty());
    CHECK(read.schema() == "prebake.v1.Ledger");
    CHECK(read.claim() == "i-1");
    REQUIRE(read.images_size() == 1);
    CHECK(read.images(0).name() == "reg.io/app:1");
    CHECK(read.counted_size() == 1);
}

/// As a version wrote it in which the file was a v1::Ledger.
const std::string kOldFile = R"({
"schema": "prebake.v1.Ledger", "claim": "i-1 2026-01-01T00:00:00Z",
"since": "2026-01-01T00:00:01Z", "updatedAt": "2026-01-02T00:00:00.5Z",
"sinceClaim": {"starts": "4", "hits": "2", "partials": "1", "misses": "1", "bytesServed": "120",
               "bytesPulled": "50", "hitRatio": 0, "byteHitRatio": 0},
"bootId": "boot-1", "boot": {"starts": "1", "misses": "1"},
"images": [{"name": "reg.io/app:1", "namespace": "k8s.io", "digest": "sha256:01", "baked": true,
            "starts": "3", "hits": "2", "partials": "1", "bytesServed": "120", "repins": "1"}],
"other": {"name": "other", "starts": "1", "misses": "1", "bytesPulled": "50"}, "folded": 2,
"gaps": [{"from": "2026-01-01T01:00:00Z", "to": "2026-01-01T01:00:09Z",
          "cause": "daemon_stopped", "foundAfter": 1}], "gapsTotal": 1, "neverUsed": [],
"counted": [{"namespace": "k8s.io", "key": "c1"}, {"namespace": "moby", "key": "c2-init"}],
"pulledLayers": [{"namespace": "k8s.io", "digest": "sha256:02"}],
"unpinned": [{"namespace": "k8s.io", "name": "reg.io/app:1", "evicted": true}],
"times": {"readyAt": "2026-01-01T00:00:08Z", "kernelToReadySeconds": 8},
"bootLayers": ["sha256:03"], "uncountedSince": "2026-01-01T23:00:00Z",
"settled": [{"digest": "sha256:04", "storedAt": "2026-01-01T23:30:00Z"}],
"restored": [{"namespace": "moby", "name": "reg.io/app:1", "removed": true}],
"firstStarts": {"cold": 2, "coldMeanSeconds": 9.5}})";

TEST_CASE("the file of the last version is read without loss") {
    const TemporaryDirectory directory;
    write_file_durably(ledger_path(directory.path()), kOldFile, 0644);
    std::string warning;
    const v1::LedgerState read = read_ledger(directory.path(), warning);
    CHECK(warning.empty());
    const auto& descriptor = *v1::LedgerState::descriptor();
    const auto& reflection = *v1::LedgerState::GetReflection();
    for (int i = 0; i < descriptor.field_count(); ++i) {
        const auto* field = descriptor.field(i);
        CAPTURE(field->name());
        CHECK((field->is_repeated() ? reflection.FieldSize(read, field) > 0
                                    : reflection.HasField(read, field)));
    }
    CHECK(read.since_claim().starts() == 4);
    CHECK(read.images(0).bytes_served() == 120);
    CHECK(read.gaps(0).cause() == "daemon_stopped");
    REQUIRE(read.counted_size() == 2);
    CHECK(read.counted(1).key() == "c2-init");
    CHECK(read.pulled_layers(0).digest() == "sha256:02");
    CHECK(read.unpinned(0).evicted());
    CHECK(read.restored(0).removed());
    CHECK(read.times().kernel_to_ready_seconds() == 8);
    CHECK(read.boot_layers(0) == "sha256:03");
    CHECK(read.settled(0).digest() == "sha256:04");
    CHECK(read.first_starts().cold_mean_seconds() == 9.5);

    write_ledger(directory.path(), read);
    using google::protobuf::util::MessageDifferencer;
    CHECK(MessageDifferencer::Equals(read_ledger(directory.path(), warning), read));
}

TEST_CASE("the last version and `prebake status` read the file as a Ledger") {
    v1::LedgerState state;
    from_json(kOldFile, state, "old file", "");
    v1::Ledger ledger;
    from_json(to_json(state, JsonForm::line), ledger, "new file", "");
    CHECK(ledger.schema() == "prebake.v1.Ledger");
    CHECK(ledger.since_claim().hits() == 2);
    CHECK(ledger.images_size() == 1);
    CHECK(ledger.gaps_total() == 1);
}

TEST_CASE("the fields of Ledger are the same in LedgerState") {
    const auto& ledger = *v1::Ledger::descriptor();
    const auto& state = *v1::LedgerState::descriptor();
    for (int i = 0; i < ledger.field_count(); ++i) {
        const auto* field = ledger.field(i);
        if (field->name() == "never_used") continue;  // only in reports
        CAPTURE(field->name());
        const auto* same = state.FindFieldByNumber(field->number());
        REQUIRE(same != nullptr);
        CHECK(same->name() == field->name());
        CHECK(same->cpp_type() == field->cpp_type());
        CHECK(same->message_type() == field->message_type());
        CHECK(same->is_repeated() == field->is_repeated());
    }
    CHECK(state.FindFieldByNumber(v1::Ledger::kNeverUsedFieldNumber) == nullptr);
}

TEST_CASE("a missing ledger is an empty one") {
    const TemporaryDirectory directory;
    std::string warning;
    CHECK(read_ledger(directory.path(), warning).schema().empty());
    CHECK(warning.empty());
}

TEST_CASE("a file that is not a ledger is renamed and not changed") {
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

TEST_CASE("a file that cannot be read is not changed") {
    const TemporaryDirectory directory;
    std::filesystem::create_directory(ledger_path(directory.path()));
    std::string warning;
    CHECK(thrown_by([&] { read_ledger(directory.path(), warning); }).code() == Errc::io);
    CHECK(std::filesystem::is_directory(ledger_path(directory.path())));
}

}  // namespace
}  // namespace prebake::ledger
