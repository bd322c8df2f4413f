#include "agent/containerd/connection.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"

namespace prebake::containerd {
namespace {

using tests::contains;
using tests::thrown_by;

TEST_CASE("an error ends the session if containerd is gone or a stop was requested") {
    for (int number = 0; number <= static_cast<int>(Errc::internal); ++number) {
        const auto code = static_cast<Errc>(number);
        CAPTURE(code);
        CHECK(ends_session(Error(code, "x")) ==
              (code == Errc::unavailable || code == Errc::cancelled));
    }
}

TEST_CASE("names of namespaces are checked") {
    for (const std::string& valid :
         {std::string("k8s.io"), std::string("default"), std::string("a"), std::string("A-1_b.c"),
          std::string(76, 'a')}) {
        CAPTURE(valid);
        CHECK_NOTHROW(validate_namespace(valid));
    }
    for (const std::string& invalid :
         {std::string(), std::string("."), std::string("a."), std::string("-a"),
          std::string("a--b"), std::string("a b"), std::string("a/b"), std::string("a\n"),
          std::string("\xc3\xa4"), std::string(77, 'a')}) {
        CAPTURE(invalid);
        CHECK(thrown_by([&] { validate_namespace(invalid); }).code() == Errc::usage);
    }
}

TEST_CASE("an address is a path, with or without unix://") {
    CHECK(Connection("/run/a.sock", {}).address() == "/run/a.sock");
    CHECK(Connection("unix:///run/a.sock", {}).address() == "/run/a.sock");
    CHECK_NOTHROW(Connection("/" + std::string(106, 'a'), {}));
    for (const std::string& invalid :
         {std::string(), std::string("unix://"), std::string("tcp://127.0.0.1:1"),
          "/" + std::string(107, 'a')}) {
        CAPTURE(invalid);
        CHECK(thrown_by([&] { Connection(invalid, {}); }).code() == Errc::usage);
    }
}

TEST_CASE("a socket that is missing or that nobody listens on is named") {
    const Connection connection("/nonexistent/containerd.sock", {});
    const Error error = thrown_by([&] { static_cast<void>(connection.version()); });
    CHECK(error.code() == Errc::unavailable);
    CHECK(contains(error.message(), "/nonexistent/containerd.sock"));
    CHECK(contains(error.message(), "the socket does not exist"));
    CHECK(contains(error.next_step(), "--address"));
}

}  // namespace
}  // namespace prebake::containerd
