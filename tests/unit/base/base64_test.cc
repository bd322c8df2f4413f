#include "agent/base/base64.h"

#include <doctest/doctest.h>

namespace prebake {
namespace {

TEST_CASE("the test vectors of RFC 4648, and bytes that are not text") {
    struct Row {
        std::string bytes;
        std::string text;
    };
    for (const Row& row :
         {Row{"", ""}, Row{"f", "Zg=="}, Row{"fo", "Zm8="}, Row{"foo", "Zm9v"},
          Row{"foob", "Zm9vYg=="}, Row{"fooba", "Zm9vYmE="}, Row{"foobar", "Zm9vYmFy"},
          Row{std::string(3, '\0'), "AAAA"}, Row{"\xfb\xff\xbf", "+/+/"}}) {
        CAPTURE(row.text);
        CHECK(base64_encode(row.bytes) == row.text);
        CHECK(base64_decode(row.text) == row.bytes);
    }
}

TEST_CASE("base64 is read as people store it") {
    CHECK(base64_decode("Zg") == "f");
    CHECK(base64_decode("Zm8") == "fo");
    CHECK(base64_decode("Zm9v\r\nYg==\n") == "foob");
    CHECK(base64_decode("\n").value().empty());
}

TEST_CASE("text that is not base64 is refused") {
    for (const std::string text :
         {"Zg=", "Z", "Z===", "====", " Zm9", "Zm9v Zm9v", "-_-_", "Zg==Zg==", "Zm9vZ", "Zm9v="}) {
        CAPTURE(text);
        CHECK_FALSE(base64_decode(text));
    }
}

}  // namespace
}  // namespace prebake
