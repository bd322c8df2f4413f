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

TEST_CASE("text that is not canonical base64 is refused") {
    for (const std::string text : {"Zg", "Zg=", "Z===", "====", "Zm9v\n", " Zm9", "Zm9v Zm9v",
                                   "Zh==", "-_-_", "Zg==Zg==", "Zm9vZ"}) {
        CAPTURE(text);
        CHECK_FALSE(base64_decode(text));
    }
}

}  // namespace
}  // namespace prebake
