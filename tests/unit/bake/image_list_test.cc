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

TEST_CASE("one name as two kinds is refused, and both places are named") {
    ImageRequest artifact = request("chart:1", "b.toml:7");
    artifact.kind = ImageKind::artifact;
    CHECK(merge_requests({artifact, artifact}).front().kind == ImageKind::artifact);
    try {
        merge_requests({request("chart:1", "a.txt:3"), artifact});
        FAIL("merged");
    } catch (const Error& error) {
        CHECK(error.code() == Errc::usage);
        CHECK(std::string(error.what())
                  .find("as two kinds: image (a.txt:3) and artifact (b.toml:7)") !=
              std::string::npos);
    }
}

TEST_CASE("the sandbox image is added where pods need it and no list names it") {
    const std::string name = "registry.k8s.io/pause:3.9";
    const auto listed = [](const std::string& reference, const std::string& ns,
                           const std::string& alias = {}) {
        ImageRequest made = request(reference);
        made.namespaces = {ns};
        if (!alias.empty()) made.aliases = {oci::Reference::parse(alias)};
        return made;
    };
    struct Row {
        const char* what;
        ImageRequest request;
        bool is_added;
    };
    const Row rows[] = {
        {"not listed", listed("nginx:1", "k8s.io"), true},
        {"another version", listed("registry.k8s.io/pause:3.6", "k8s.io"), true},
        {"listed", listed(name, "k8s.io"), false},
        {"listed with a digest", listed(name + "@" + kDigestA, "k8s.io"), false},
        {"an alias", listed("example.com/pause:1", "k8s.io", name), false},
        {"listed for Docker only", listed(name, "moby"), false},
        {"nothing for pods", listed("nginx:1", "moby"), false},
    };
    const oci::Platform arm = oci::Platform::parse("linux/arm64");
    for (const Row& row : rows) {
        CAPTURE(row.what);
        const std::vector<ImageRequest> all = add_sandbox({row.request}, name, arm);
        REQUIRE(all.size() == (row.is_added ? 2U : 1U));
        if (!row.is_added) continue;
        CHECK(all[1].is_sandbox);
        CHECK(all[1].reference.str() == name);
        CHECK(all[1].namespaces == std::vector<std::string>{"k8s.io"});
        CHECK(all[1].platform == arm);
    }
    const auto both = add_sandbox({listed(name, "moby"), listed("nginx:1", "k8s.io")}, name, arm);
    CHECK(both.size() == 3);
}

TEST_CASE("a problem of the sandbox image names the setting that omits it") {
    ImageRequest sandbox = request("registry.k8s.io/pause:3.9");
    sandbox.is_sandbox = true;
    const Error error = explained(sandbox, Error(Errc::unavailable, "no route", "try again"));
    CHECK(error.code() == Errc::unavailable);
    CHECK(error.message().find("CRI needs this image for every pod: no route") == 0);
    CHECK(error.next_step().find("try again; ") == 0);
    CHECK(error.next_step().find("sandbox = \"never\"") != std::string::npos);
    CHECK(explained(request("nginx:1"), error).message() == error.message());
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

TEST_CASE("an image that is listed for two platforms is warned about once") {
    ImageRequest arm = request("nginx");
    arm.platform = oci::Platform::parse("linux/arm64");
    CHECK(warnings_for({request("nginx"), arm, request("redis")}).size() == 2);
}

TEST_CASE("the runtime docker means the namespace moby") {
    ImageRequest docker = request("nginx:1");
    docker.runtime = Runtime::docker;
    ImageRequest both = docker;
    both.namespaces = {"k8s.io", "moby"};
    const auto filled = with_defaults({docker, both, request("redis:7")}, {});
    CHECK(filled[0].namespaces == std::vector<std::string>{"moby"});
    CHECK(filled[1].namespaces == std::vector<std::string>{"k8s.io", "moby"});
    CHECK(filled[2].namespaces == std::vector<std::string>{"k8s.io"});
    CHECK(is_for_docker(filled[0]));
    CHECK(is_for_docker(filled[1]));
    CHECK_FALSE(is_for_docker(filled[2]));

    docker.namespaces = {"k8s.io"};
    CHECK_THROWS_WITH(with_defaults({docker}, {}), doctest::Contains("moby"));
}

TEST_CASE("moby is Docker's unless the runtime is containerd") {
    for (const auto& [runtime, is_docker] :
         {std::pair{Runtime::automatic, true}, std::pair{Runtime::containerd, false},
          std::pair{Runtime::docker, true}}) {
        const auto filled =
            with_defaults({request("nginx:1")}, {.namespaces = {"moby"}, .runtime = runtime});
        CHECK(filled[0].namespaces == std::vector<std::string>{"moby"});
        CHECK(is_for_docker(filled[0]) == is_docker);
    }
}

TEST_CASE("into a graph driver go unpacked images alone") {
    ImageRequest both = request("nginx:1");
    both.namespaces = {"k8s.io", "moby"};
    ImageRequest pods = request("redis:7");
    pods.namespaces = {"k8s.io"};
    const auto placed = place_in_graph_driver({both, pods});
    CHECK(placed[0].in_graph_driver);
    CHECK(placed[0].namespaces == std::vector<std::string>{"k8s.io"});
    CHECK_FALSE(placed[1].in_graph_driver);
    CHECK(merge_requests({pods, placed[0], both})[1].in_graph_driver);

    both.unpack = false;
    CHECK_THROWS_WITH(place_in_graph_driver({both}), doctest::Contains("test:1"));
}

}  // namespace
}  // namespace prebake::bake
