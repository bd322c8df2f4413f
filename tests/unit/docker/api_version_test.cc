#include "agent/docker/api_version.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/unit/base/thrown.h"

namespace prebake::docker::api_version_test {
namespace {

using tests::contains;
using tests::thrown_by;

TEST_CASE("texts that are versions, and others") {
    CHECK(parse_api_version("1.41") == ApiVersion{1, 41});
    CHECK(ApiVersion{1, 9} < ApiVersion{1, 24});
    for (const char* text :
         {"", "1", "1.", ".41", "1.41.2", "v1.41", "1.x", "-1.2", "1.-2", "1.99999999999"}) {
        CHECK_MESSAGE(!parse_api_version(text), text);
    }
}

TEST_CASE("the version that both sides speak") {
    struct Row {
        std::string engine;
        ApiVersion oldest;
        ApiVersion newest;
        ApiVersion expected;
    };
    const Row rows[] = {
        {"1.12, which names no oldest one", {}, {1, 24}, {1, 24}},
        {"20.10", {1, 12}, {1, 41}, {1, 41}},
        {"26.1", {1, 24}, {1, 45}, {1, 45}},
        {"28.5", {1, 24}, {1, 51}, {1, 47}},
        {"29.0", {1, 44}, {1, 52}, {1, 47}},
        {"29.7", {1, 40}, {1, 55}, {1, 47}},
        {"one with just ours", {1, 47}, {1, 60}, {1, 47}},
        {"another major version", {1, 44}, {2, 0}, {1, 47}},
    };
    for (const Row& row : rows) {
        INFO(row.engine);
        CHECK(common_version({row.oldest, row.newest}, "Docker") == row.expected);
    }
}

TEST_CASE("engines with which there is no common version") {
    const Error newer = thrown_by([] { common_version({{1, 52}, {1, 56}}, "Docker 30.0.1"); });
    CHECK(newer.code() == Errc::unsupported);
    CHECK(contains(newer.message(), "Docker 30.0.1"));
    CHECK(contains(newer.message(), "1.52 to 1.56"));
    CHECK(contains(newer.message(), "1.24 to 1.47"));
    CHECK(contains(newer.next_step(), "min-api-version"));
    const Error older = thrown_by([] { common_version({{1, 12}, {1, 23}}, "Docker 1.11.2"); });
    CHECK(older.code() == Errc::unsupported);
    CHECK(contains(older.message(), "1.12 to 1.23"));
    CHECK(older.next_step() == "update Docker");
}

}  // namespace
}  // namespace prebake::docker::api_version_test
