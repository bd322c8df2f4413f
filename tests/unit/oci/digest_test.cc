#include "agent/oci/digest.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "agent/oci/quoted.h"
#include "tests/unit/base/thrown.h"

using prebake::Errc;
using prebake::oci::Digest;
using prebake::tests::contains;
using prebake::tests::thrown_by;

namespace {

const std::string kHex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct RefusedCase {
    const char* name;
    std::string text;
    Errc code;
    const char* reason;
};

const std::vector<RefusedCase> kRefused = {
    {"empty", "", Errc::usage, "does not start with sha256:"},
    {"hex alone", kHex, Errc::usage, "does not start with sha256:"},
    {"algorithm alone", "sha256", Errc::usage, "does not start with sha256:"},
    {"no hash", "sha256:", Errc::usage, "0 hex digits instead of 64"},
    {"63 digits", "sha256:" + kHex.substr(1), Errc::usage, "63 hex digits instead of 64"},
    {"65 digits", "sha256:" + kHex + "0", Errc::usage, "65 hex digits instead of 64"},
    {"upper-case digit", "sha256:A" + kHex.substr(1), Errc::usage, "'A' is upper-case"},
    {"no hex digit", "sha256:g" + kHex.substr(1), Errc::usage, "'g' is not a hex digit"},
    {"white space in front", " sha256:" + kHex, Errc::usage, "algorithm \" sha256\""},
    {"white space behind", "sha256:" + kHex + " ", Errc::usage, "' ' is not a hex digit"},
    {"newline behind", "sha256:" + kHex + "\n", Errc::usage, "'\\x0a' is not a hex digit"},
    {"zero byte behind", "sha256:" + kHex + std::string(1, '\0'), Errc::usage, "'\\x00'"},
    {"second colon", "sha256::" + kHex.substr(1), Errc::usage, "':' is not a hex digit"},
    {"path for a hash", "sha256:../../../etc/passwd", Errc::usage, "'.' is not a hex digit"},
    {"empty algorithm", ":" + kHex, Errc::usage, "algorithm \"\""},
    {"upper-case algorithm", "SHA256:" + kHex, Errc::usage, "algorithm \"SHA256\""},
    {"algorithm ends with separator", "sha256+:" + kHex, Errc::usage, "algorithm \"sha256+\""},
    {"algorithm starts with separator", "+b64:" + kHex, Errc::usage, "algorithm \"+b64\""},
    {"algorithm with two separators", "a+.b:" + kHex, Errc::usage, "algorithm \"a+.b\""},
    {"sha512", "sha512:" + kHex + kHex, Errc::unsupported, "algorithm \"sha512\""},
    {"sha384", "sha384:" + kHex + kHex.substr(32), Errc::unsupported, "algorithm \"sha384\""},
    {"never registered", "md5:d41d8cd98f00b204e9800998ecf8427e", Errc::unsupported, "\"md5\""},
    {"multihash", "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
     Errc::unsupported, "\"multihash+base58\""},
    {"other algorithm, no hash", "sha512:", Errc::usage, "not an encoded hash"},
    {"other algorithm, bad hash", "sha512:../x", Errc::usage, "not an encoded hash"},
};

}  // namespace

TEST_CASE("the text of a sha256 digest survives parsing") {
    const Digest digest = Digest::parse("sha256:" + kHex);
    CHECK(digest.str() == "sha256:" + kHex);
    CHECK(digest.hex() == kHex);
    CHECK(digest.short_form() == "sha256:0123456789ab");
    CHECK(Digest::try_parse("sha256:" + kHex) == digest);
    CHECK(digest.hash()[0] == std::byte{0x01});
    CHECK(digest.hash()[31] == std::byte{0xef});
}

TEST_CASE("any other text is refused with the reason") {
    for (const RefusedCase& row : kRefused) {
        CAPTURE(row.name);
        const auto error = thrown_by([&] { Digest::parse(row.text); });
        CHECK(error.code() == row.code);
        CHECK_MESSAGE(contains(error.message(), row.reason), error.message());
        CHECK_FALSE(error.next_step().empty());
        CHECK_FALSE(Digest::try_parse(row.text).has_value());
    }
}

TEST_CASE("every byte that is not a lower-case hex digit is refused") {
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) continue;
        CAPTURE(byte);
        std::string text = "sha256:" + kHex;
        text[30] = c;
        CHECK(thrown_by([&] { Digest::parse(text); }).code() == Errc::usage);
        CHECK_FALSE(Digest::try_parse(text).has_value());
    }
}

TEST_CASE("Digest::of() hashes") {
    CHECK(Digest::of("{}").str() ==
          "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    CHECK(Digest::of("a") != Digest::of("b"));
    CHECK(Digest::of("a") == Digest::parse(Digest::of("a").str()));
}

TEST_CASE("digests have the order of their texts") {
    std::set<Digest> digests;
    std::set<std::string> texts;
    for (int i = 0; i < 100; ++i) {
        const Digest digest = Digest::of(std::to_string(i));
        digests.insert(digest);
        texts.insert(digest.str());
    }
    CHECK(digests.size() == 100);
    std::vector<std::string> in_order;
    for (const Digest& digest : digests) in_order.push_back(digest.str());
    CHECK(in_order == std::vector<std::string>(texts.begin(), texts.end()));
}

TEST_CASE("digests are keys of hashed containers") {
    prebake::oci::DigestMap<int> numbers;
    for (int i = 0; i < 100; ++i) numbers.emplace(Digest::of(std::to_string(i % 50)), i);
    CHECK(numbers.size() == 50);
    CHECK(numbers.at(Digest::of("7")) == 7);
    const prebake::oci::DigestSet set = {Digest::of("a"), Digest::of("b"), Digest::of("a")};
    CHECK(set.size() == 2);
    CHECK(set.contains(Digest::of("b")));
}

TEST_CASE("a digest takes no memory besides its 32 bytes") {
    static_assert(sizeof(Digest) == 32);
    static_assert(std::is_trivially_copyable_v<Digest>);
}

TEST_CASE("quoted() makes foreign text harmless") {
    using prebake::oci::quoted;
    struct Case {
        const char* name;
        std::string text;
        std::string quoted;
    };
    for (const Case& row : std::vector<Case>{
             {"plain", "nginx:1.27", "\"nginx:1.27\""},
             {"empty", "", "\"\""},
             {"terminal escape", "\x1b[2J", "\"\\x1b[2J\""},
             {"line break", "a\nb", "\"a\\x0ab\""},
             {"not ASCII", "\xc3\xa9", "\"\\xc3\\xa9\""},
             {"delete", "\x7f", "\"\\x7f\""},
             {"200 bytes", std::string(200, 'x'), "\"" + std::string(200, 'x') + "\""},
             {"201 bytes", std::string(201, 'x'), "\"" + std::string(200, 'x') + "...\""}}) {
        CAPTURE(row.name);
        CHECK(quoted(row.text) == row.quoted);
    }
    CHECK(quoted('$') == "'$'");
    CHECK(quoted('\0') == "'\\x00'");
}
