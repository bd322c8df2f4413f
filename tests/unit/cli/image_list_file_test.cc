#include "agent/cli/image_list_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/base/error.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::cli {
namespace {

std::optional<std::string> lookup(const std::string& name) {
    if (name == "VERSION") return "1.27";
    if (name == "EMPTY") return "";
    return std::nullopt;
}

std::string message_of(const std::string& text) {
    try {
        parse_image_list(text, "list", lookup);
    } catch (const Error& error) {
        CHECK((error.code() == Errc::usage || error.code() == Errc::unsupported));
        return error.what();
    }
    return "accepted";
}

TEST_CASE("variables") {
    CHECK(expand_variables("a:${VERSION}-x", lookup) == "a:1.27-x");
    CHECK(expand_variables("a:${MISSING:-2}${EMPTY:-3}", lookup) == "a:23");
    CHECK(expand_variables("a$b", lookup) == "a$b");
    for (const char* bad : {"${MISSING}", "${EMPTY}", "${VERSION"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(expand_variables(bad, lookup), Error);
    }
}

TEST_CASE("plain text") {
    const auto requests = parse_image_list(
        "# comment\n\n nginx:${VERSION}  # the web server\r\n[::1]:5000/a:1\n", "list", lookup);
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].reference.str() == "docker.io/library/nginx:1.27");
    CHECK(requests[0].origin == "list:3");
    CHECK(requests[1].reference.registry == "[::1]:5000");
}

TEST_CASE("TOML") {
    const std::string digest = "sha256:" + std::string(64, 'a');
    const auto requests = parse_image_list(R"(
[[image]]
ref = "nginx:${VERSION}"
platform = "linux/arm64"
namespaces = ["k8s.io", "moby"]
aliases = ["example.com/nginx:1"]
pin = false
unpack = false
keep_layers = false

[[image]]
ref = "redis"
digest = ")" + digest + "\"\n",
                                           "list", lookup);
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].reference.tag == "1.27");
    CHECK(requests[0].platform == oci::Platform::parse("linux/arm64"));
    CHECK(requests[0].namespaces == std::vector<std::string>{"k8s.io", "moby"});
    CHECK(requests[0].aliases.size() == 1);
    CHECK_FALSE(requests[0].pin);
    CHECK_FALSE(requests[0].unpack);
    CHECK_FALSE(requests[0].keep_layers);
    CHECK(requests[0].origin == "list:3");
    CHECK(requests[1].reference.str() == "docker.io/library/redis@" + digest);
    CHECK(requests[1].pin);
}

TEST_CASE("errors in a list name their place, what is wrong there and the right form") {
    struct Row {
        const char* name;
        std::string text;
        std::vector<std::string> parts;
    };
    const std::string example = "for example: docker.io/library/nginx:1.27";
    const std::vector<Row> rows{
        {"unset variable", "a:1\nb:${NOPE}\n", {"list:2:1", "NOPE is not set", "${NOPE:-default}"}},
        {"unusual variable",
         "b:${nope}\n",
         {"list:1:1", "variable is not set", "${NAME:-default}"}},
        {"empty variable", "b:${EMPTY}\n", {"list:1:1", "empty"}},
        {"no brace", "  b:${NOPE\n", {"list:1:3", "closing brace"}},
        {"space", "a:1\n  nginx 1.27\n", {"list:2:8", "space", example}},
        {"upper case", "a:1\nghcr.io/Acme/web:V1\n", {"list:2:9", "upper-case", example}},
        {"URL", "https://ghcr.io/a\n", {"list:1:1", "URL", "scheme"}},
        {"odd character", "nginx:1.27,\n", {"list:1:11", "no reference has such a character"}},
        {"two slashes", "a//b\n", {"list:1:1", "[REGISTRY/]REPOSITORY[:TAG]"}},
        {"behind a variable", "${VERSION}a b\n", {"list:1:1", "space"}},
        {"bad TOML", "[[image]]\nref = \n", {"list:2:7", "value", "[[image]]"}},
        {"no quotes",
         "[[image]]\nref = docker.io/a\n",
         {"list:2:7", "value type", "ref = \"docker.io"}},
        {"colon for equals", "[[image]]\nref: \"a\"\n", {"list:2:4", "expected '='"}},
        {"unknown key",
         "[[image]]\nref = \"a:1\"\n platfrom = \"linux/amd64\"\n",
         {"list:3:2", "unknown key", "did you mean \"platform\"?"}},
        {"unknown kind",
         "[[image]]\nref = \"a:1\"\nkind = \"chart\"\n",
         {"list:3:8", "kind is none of image, artifact, volume"}},
        {"an artifact to unpack",
         "[[image]]\nref = \"a:1\"\nkind = \"artifact\"\nunpack = true\n",
         {"list:4:10", "an artifact is not unpacked"}},
        {"unknown table", "[[images]]\nref = \"a:1\"\n", {"list:1:3", "did you mean \"image\"?"}},
        {"no ref", "[[image]]\npin = true\n", {"list:1", "ref"}},
        {"wrong type",
         "[[image]]\nref = \"a:1\"\npin = \"yes\"\n",
         {"list:3:7", "pin", "true or false"}},
        {"one bracket", "[image]\nref = \"a:1\"\n", {"list:1", "[[image]]"}},
        {"odd reference", "[[image]]\nref = \"a b\"\n", {"list:2:7", "ref", "space", example}},
        {"odd alias",
         "[[image]]\nref = \"a:1\"\naliases = [\"a b\"]\n",
         {"list:3:11", "alias", "space", example}},
        {"odd namespace",
         "[[image]]\nref = \"a:1\"\nnamespaces = [\"a/b\"]\n",
         {"list:3:14", "namespaces", "[\"k8s.io\"]"}},
        {"odd platform",
         "[[image]]\nref = \"a:1\"\nplatform = \"a b\"\n",
         {"list:3:12", "platform", "\"linux/arm64\""}},
        {"odd digest",
         "[[image]]\nref = \"a:1\"\ndigest = \"b\"\n",
         {"list:3:10", "digest", "\"sha256:<64 hexadecimal digits>\""}},
        {"digest twice",
         "[[image]]\nref = \"a@sha256:" + std::string(64, 'a') +
             "\"\ndigest = \"sha256:" + std::string(64, 'b') + "\"\n",
         {"list:3:10", "contradicts"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::string message = message_of(row.text);
        for (const std::string& part : row.parts) {
            CHECK_MESSAGE(message.find(part) != std::string::npos, message);
        }
    }
}

TEST_CASE("no message quotes a file: it may be none of ours, and hold a secret") {
    const std::string secret = "Swordfish9";
    const std::string image = "[[image]]\nref = \"a:1\"\n";
    const std::vector<std::string> files{
        "root:$y$j9T$" + secret + ":19000:0:99999:7:::\n",
        "-----BEGIN OPENSSH KEY-----\n" + secret + "\n",
        "a:1\n" + secret + " " + secret + "\n",
        secret + "\n",
        secret + "/" + secret + "\n",
        "https://me:" + secret + "@github.com\n",
        "me:" + secret + "@host/path\n",
        "machine github.com login me password " + secret + "\n",
        "{\"auths\": {\"ghcr.io\": {\"auth\": \"" + secret + "\"}}}\n",
        "[default]\naws_secret_access_key = " + secret + "\n",
        "password = " + secret + "\n",
        "password = '" + secret + "'\n",
        secret + " = 1\n",
        secret + "=\n",
        "x = " + secret + "\n",
        "x = t" + secret + "\n",
        "x = 1" + secret + "\n",
        "x = inf" + secret + "\n",
        "x = \"\\u" + secret + "\"\n",
        "[" + secret + "]\n[" + secret + "]\n",
        "[[" + secret + "]]\n[" + secret + "]\n",
        "x = 1\n[" + secret + "]\n[x." + secret + "]\n",
        secret + ".a = 1\n" + secret + ".a = 2\n",
        "[a]\n\"expected '" + secret + "\" = 1\n\"expected '" + secret + "\" = 2\n",
        "a:${" + secret + "}\n",
        "${" + secret + "\n",
        "${:-" + secret + " " + secret + "}\n",
        "a@sha256:" + secret + "\n",
        "a@sha512:" + secret + "\n",
        "[::1" + secret + "]:5000/a\n",
        "example.com:" + secret + "/a\n",
        "[[image]]\nref = \"" + secret + "\"\n",
        "[[image]]\nref = \"a@sha512:" + secret + "\"\n",
        "[[image]]\nref = \"a:${" + secret + "}\"\n",
        "password=${UNSET}" + secret + "\n",
        image + secret + " = true\n",
        image + "digest = \"" + secret + "\"\n",
        image + "digest = \"sha512:" + secret + "\"\n",
        image + "platform = \"" + secret + "/" + secret + "/" + secret + "/x\"\n",
        image + "namespaces = [\"" + secret + "/\"]\n",
        image + "aliases = [\"" + secret + "\"]\n",
        image + "aliases = [\"a@sha256:" + secret + "\"]\n",
        image + "pin = \"" + secret + "\"\n",
        image + "[image." + secret + "]\n",
        std::string("\0\x7f", 2) + secret,
    };
    for (const std::string& file : files) {
        CAPTURE(file);
        const std::string message = message_of(file);
        CHECK(message.starts_with("list:"));
        for (std::size_t at = 0; at + 4 <= secret.size(); ++at)
            CHECK_MESSAGE(message.find(secret.substr(at, 4)) == std::string::npos, message);
    }
}

TEST_CASE("files that are not lists") {
    const TemporaryDirectory directory;
    CHECK_THROWS_AS(read_image_list(directory.path().string(), WhoseFile::ours, lookup), Error);
    CHECK_THROWS_AS(
        read_image_list((directory.path() / "missing").string(), WhoseFile::ours, lookup), Error);
    const auto empty = directory.path() / "empty";
    std::ofstream(empty) << "# nothing\n";
    CHECK_THROWS_AS(read_image_list(empty.string(), WhoseFile::ours, lookup), Error);
}

TEST_CASE("a list that others can change is refused, and the error says what to do") {
    const TemporaryDirectory directory;
    const std::string list = directory.path() / "list";
    std::ofstream(list) << "nginx:1\n";
    CHECK(read_image_list(list, WhoseFile::invokers, lookup).size() == 1);
    REQUIRE(::chmod(list.c_str(), 0666) == 0);
    const auto error_for = [&](WhoseFile whose) {
        return tests::thrown_by([&] { read_image_list(list, whose, lookup); });
    };
    const Error named = error_for(WhoseFile::invokers);
    CHECK(named.code() == Errc::usage);
    CHECK(tests::contains(named.message(), list));
    CHECK(tests::contains(named.message(), "mode 0666"));
    CHECK(named.next_step() ==
          "run chmod go-w " + list + ", or pass the list as it is: -f - < " + list);
    CHECK(error_for(WhoseFile::ours).next_step() == "run chmod go-w " + list);
}

TEST_CASE("kinds") {
    const auto requests = parse_image_list(
        "[[image]]\nref = \"a:1\"\n"
        "[[image]]\nref = \"b:1\"\nkind = \"artifact\"\n"
        "[[image]]\nref = \"c:1\"\nkind = \"artifact\"\nunpack = false\n"
        "[[image]]\nref = \"d:1\"\nkind = \"volume\"\n",
        "list", lookup);
    for (const auto& each : {requests, parse_image_list(lock_text(requests), "lock", lookup)}) {
        REQUIRE(each.size() == 4);
        CHECK(each[0].kind == bake::ImageKind::image);
        CHECK(each[0].unpack);
        CHECK(each[1].kind == bake::ImageKind::artifact);
        CHECK_FALSE(each[1].unpack);
        CHECK_FALSE(each[2].unpack);
        CHECK(each[3].kind == bake::ImageKind::volume);
        CHECK(each[3].unpack);
    }
}

TEST_CASE("a lock is a list: reading it gives the same requests") {
    const auto requests =
        parse_image_list("[[image]]\nref = \"nginx:1@sha256:" + std::string(64, 'a') +
                             "\"\nplatform = \"linux/arm/v7\"\nnamespaces = [\"moby\"]\n"
                             "aliases = [\"a:2\"]\nkeep_layers = false\n"
                             "trace = \"a.json\"\n",
                         "list", lookup);
    const auto again = parse_image_list(lock_text(requests), "lock", lookup);
    REQUIRE(again.size() == 1);
    CHECK(again[0].reference == requests[0].reference);
    CHECK(again[0].platform == requests[0].platform);
    CHECK(again[0].namespaces == requests[0].namespaces);
    CHECK(again[0].aliases == requests[0].aliases);
    CHECK(again[0].pin == requests[0].pin);
    CHECK(again[0].keep_layers == requests[0].keep_layers);
    CHECK(again[0].traces == requests[0].traces);
}

TEST_CASE("traces are files beside the list") {
    const auto traces_of = [](const std::string& value, const std::string& list) {
        return parse_image_list("[[image]]\nref = \"a:1\"\ntrace = " + value + "\n", list, lookup)
            .front()
            .traces;
    };
    using Names = std::vector<std::string>;
    CHECK(traces_of("\"a.json\"", "/etc/lists/l.toml") == Names{"/etc/lists/a.json"});
    CHECK(traces_of("[\"../a.json\", \"/b.json\"]", "/etc/lists/l.toml") ==
          Names{"/etc/a.json", "/b.json"});
    CHECK(traces_of("\"a.json\"", "stdin") == Names{"a.json"});
    CHECK(traces_of("[]", "l.toml").empty());
    CHECK_THROWS_AS(traces_of("\"\"", "l.toml"), Error);
    CHECK_THROWS_AS(traces_of("1", "l.toml"), Error);
}

}  // namespace
}  // namespace prebake::cli
