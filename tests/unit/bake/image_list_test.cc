#include "agent/bake/image_list.h"

#include <doctest/doctest.h>

#include "agent/base/error.h"

namespace prebake::bake {
namespace {

const std::string kDigestA = "sha256:" + std::string(64, 'a');
const std::string kDigestB = "sha256:" + std::string(64, 'b');

ImageRequest request(const std::string& reference, const std::string& origin = "test:1") {
    return {.reference = oci::Reference::parse(reference),
            .platform = {},
            .namespaces = {},
            .aliases = {},
            .origin = origin};
}

TEST_CASE("requests for one image merge, in the order of first mention") {
    ImageRequest first = request("nginx:1");
    first.namespaces = {"k8s.io"};
    first.pin = false;
    first.keep_layers = false;
    ImageRequest again = request("docker.io/library/nginx:1");
    again.namespaces = {"moby", "k8s.io"};
    again.aliases = {oci::Reference::parse("example.com/nginx:1")};
    const auto merged = merge_requests({first, request("redis:7"), again});
    REQUIRE(merged.size() == 2);
    CHECK(merged[0].reference.str() == "docker.io/library/nginx:1");
    CHECK(merged[0].namespaces == std::vector<std::string>{"k8s.io", "moby"});
    CHECK(merged[0].aliases.size() == 1);
    CHECK(merged[0].pin);
    CHECK(merged[0].keep_layers);
    CHECK(merged[1].reference.str() == "docker.io/library/redis:7");
}

TEST_CASE("a digest given once holds for the name") {
    const auto merged = merge_requests({request("nginx:1"), request("nginx:1@" + kDigestA)});
    REQUIRE(merged.size() == 1);
    CHECK(merged[0].reference.digest == oci::Digest::parse(kDigestA));
}

TEST_CASE("one name with two digests is refused, and both places are named") {
    try {
        merge_requests(
            {request("nginx:1@" + kDigestA, "a.txt:3"), request("nginx:1@" + kDigestB, "b.txt:7")});
        FAIL("merged");
    } catch (const Error& error) {
        CHECK(error.code() == Errc::usage);
        const std::string text = error.what();
        for (const std::string& part : {std::string("nginx:1"), std::string("a.txt:3"),
                                        std::string("b.txt:7"), kDigestA, kDigestB}) {
            CHECK_MESSAGE(text.find(part) != std::string::npos, part);
        }
    }
}

TEST_CASE("the same repository by two digests, without a tag, is two images") {
    CHECK(merge_requests({request("nginx@" + kDigestA), request("nginx@" + kDigestB)}).size() == 2);
}

TEST_CASE("the same name for two platforms is two entries") {
    ImageRequest arm = request("nginx:1");
    arm.platform = oci::Platform::parse("linux/arm64");
    CHECK(merge_requests({request("nginx:1"), arm}).size() == 2);
}

TEST_CASE("one name with two digests is refused for different platforms too") {
    ImageRequest arm = request("nginx:1@" + kDigestB);
    arm.platform = oci::Platform::parse("linux/arm64");
    CHECK_THROWS_AS(merge_requests({request("nginx:1@" + kDigestA), arm}), Error);
}

TEST_CASE("what an entry leaves open means the default, before entries are merged") {
    const Defaults defaults{.namespaces = {"k8s.io", "k8s.io", "moby"},
                            .platform = oci::Platform::parse("linux/arm64")};
    ImageRequest special = request("nginx:1");
    special.namespaces = {"default"};
    special.platform = defaults.platform;
    const auto merged = merge_requests(with_defaults({request("nginx:1"), special}, defaults));
    REQUIRE(merged.size() == 1);
    CHECK(merged[0].namespaces == std::vector<std::string>{"k8s.io", "moby", "default"});
    CHECK(merged[0].platform == defaults.platform);
}

TEST_CASE("warnings") {
    struct Row {
        std::string reference;
        std::size_t warnings;
    };
    for (const Row& row : {Row{"nginx", 1}, Row{"nginx:latest", 1}, Row{"nginx:1.27", 0},
                           Row{"nginx@" + kDigestA, 0}, Row{"nginx:latest@" + kDigestA, 0}}) {
        CAPTURE(row.reference);
        CHECK(warnings_for({request(row.reference)}).size() == row.warnings);
    }
}

}  // namespace
}  // namespace prebake::bake
