#include "agent/http/client.h"

#include <doctest/doctest.h>

namespace prebake::http {
namespace {

TEST_CASE("headers are found without regard to case") {
    const Headers headers = {{"Content-Type", "a"}, {"content-type", "b"}, {"X", ""}};
    CHECK(find_header(headers, "CONTENT-TYPE") == "a");
    CHECK(find_header(headers, "x") == "");
    CHECK_FALSE(find_header(headers, "Content"));
    CHECK(find_headers(headers, "Content-Type") == std::vector<std::string>{"a", "b"});
    CHECK(find_headers(headers, "none").empty());
}

TEST_CASE("a header that is set replaces all of its name") {
    Headers headers = {{"Content-Type", "a"}, {"X", "x"}, {"content-type", "b"}};
    set_header(headers, "CONTENT-TYPE", "c");
    CHECK(headers == Headers{{"X", "x"}, {"CONTENT-TYPE", "c"}});
}

}  // namespace
}  // namespace prebake::http
