#include "agent/base/error.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"

using prebake::Errc;
using prebake::Error;
using prebake::tests::thrown_by;

namespace {

struct CodeCase {
    Errc code;
    const char* name;
    bool retryable;
};

const std::vector<CodeCase> kCodes = {
    {Errc::usage, "usage", false},
    {Errc::not_found, "not_found", false},
    {Errc::unauthenticated, "unauthenticated", false},
    {Errc::permission_denied, "permission_denied", false},
    {Errc::untrusted, "untrusted", false},
    {Errc::rate_limited, "rate_limited", true},
    {Errc::unavailable, "unavailable", true},
    {Errc::timed_out, "timed_out", true},
    {Errc::corrupt, "corrupt", false},
    {Errc::unsupported, "unsupported", false},
    {Errc::too_large, "too_large", false},
    {Errc::conflict, "conflict", false},
    {Errc::failed_precondition, "failed_precondition", false},
    {Errc::no_space, "no_space", false},
    {Errc::cancelled, "cancelled", false},
    {Errc::io, "io", false},
    {Errc::internal, "internal", false},
};

}  // namespace

TEST_CASE("every code has its stable name, and is retryable or not") {
    for (const CodeCase& row : kCodes) {
        CAPTURE(row.name);
        CHECK(prebake::to_string(row.code) == row.name);
        CHECK(prebake::is_retryable(row.code) == row.retryable);
    }
}

TEST_CASE("the table above holds every code once") {
    // Errc::internal is the last enumerator; a new one before it makes this count wrong.
    std::set<Errc> codes;
    for (const CodeCase& row : kCodes) codes.insert(row.code);
    CHECK(codes.size() == static_cast<std::size_t>(Errc::internal) + 1);
    CHECK(kCodes.size() == codes.size());
}

TEST_CASE("what() is the message and the next step, if there is one") {
    const Error with_step(Errc::no_space, "the disk is full", "make room");
    CHECK(std::string(with_step.what()) == "the disk is full; make room");
    CHECK(with_step.message() == "the disk is full");
    CHECK(with_step.next_step() == "make room");
    CHECK(with_step.code() == Errc::no_space);

    const Error without(Errc::io, "read failed");
    CHECK(std::string(without.what()) == "read failed");
    CHECK(without.next_step().empty());
}

TEST_CASE("within() puts contexts in front, outermost first, and keeps code and next step") {
    const Error inner(Errc::corrupt, "digest differs", "fetch again");
    const Error outer = inner.within("layer 3").within("image nginx");
    CHECK(std::string(outer.what()) == "image nginx: layer 3: digest differs; fetch again");
    CHECK(outer.message() == "image nginx: layer 3: digest differs");
    CHECK(outer.next_step() == "fetch again");
    CHECK(outer.code() == Errc::corrupt);
    CHECK(inner.message() == "digest differs");
}

TEST_CASE("in_context() returns what the work returns, references too") {
    CHECK(prebake::in_context("sum", [] { return 2 + 3; }) == 5);
    std::string object = "here";
    std::string& same = prebake::in_context("object", [&]() -> std::string& { return object; });
    CHECK(&same == &object);
    bool ran = false;
    prebake::in_context("nothing", [&] { ran = true; });
    CHECK(ran);
}

TEST_CASE("in_context() adds its context to an Error and to nothing else") {
    const Error error = thrown_by([] {
        prebake::in_context("image nginx", [] { throw Error(Errc::not_found, "gone", "look"); });
    });
    CHECK(error.message() == "image nginx: gone");
    CHECK(error.next_step() == "look");
    CHECK(error.code() == Errc::not_found);
    CHECK_THROWS_WITH_AS(
        prebake::in_context("image nginx", [] { throw std::logic_error("defect"); }), "defect",
        std::logic_error);
}
