#include "agent/oci/platform.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/oci/manifest.h"
#include "tests/unit/base/thrown.h"

using prebake::Errc;
using prebake::oci::Descriptor;
using prebake::oci::Digest;
using prebake::oci::Index;
using prebake::oci::Platform;
using prebake::tests::contains;
using prebake::tests::thrown_by;

namespace {

constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";

/// A child of an index, identified by `id`; without a platform if `platform` is empty.
struct Child {
    std::string id;
    std::string platform;
    std::string media_type = kManifestType;
    std::map<std::string, std::string> annotations = {};
};

Index make_index(const std::vector<Child>& children) {
    Index index{.media_type = kIndexType, .manifests = {}};
    for (const Child& child : children) {
        std::optional<Platform> platform;
        if (!child.platform.empty()) platform = Platform::parse(child.platform);
        index.manifests.push_back(Descriptor{.media_type = child.media_type,
                                             .digest = Digest::of(child.id),
                                             .size = 1,
                                             .annotations = child.annotations,
                                             .platform = platform});
    }
    return index;
}

struct Text {
    const char* given;
    const char* normal;
};

}  // namespace

TEST_CASE("Platform::parse() accepts the forms of people and of containerd") {
    for (const Text& row : std::vector<Text>{
             {"linux/amd64", "linux/amd64"},
             {"amd64", "linux/amd64"},
             {"x86_64", "linux/amd64"},
             {"linux/x86-64", "linux/amd64"},
             {"linux/amd64/v1", "linux/amd64"},
             {"linux/amd64/v2", "linux/amd64/v2"},
             {"linux/amd64/V3", "linux/amd64/v3"},
             {"Linux/AMD64", "linux/amd64"},
             {"arm64", "linux/arm64"},
             {"aarch64", "linux/arm64"},
             {"linux/arm64/v8", "linux/arm64"},
             {"linux/arm64/8", "linux/arm64"},
             {"linux/arm64/v8.0", "linux/arm64"},
             {"linux/arm64/v8.2", "linux/arm64/v8.2"},
             {"linux/arm64/v9", "linux/arm64/v9"},
             {"arm", "linux/arm/v7"},
             {"linux/arm", "linux/arm/v7"},
             {"linux/arm/6", "linux/arm/v6"},
             {"linux/arm/v5", "linux/arm/v5"},
             {"armhf", "linux/arm/v7"},
             {"armel", "linux/arm/v6"},
             {"linux/armel/v7", "linux/arm/v6"},
             {"i386", "linux/386"},
             {"linux/386", "linux/386"},
             {"s390x", "linux/s390x"},
             {"ppc64le", "linux/ppc64le"},
             {"linux/riscv64", "linux/riscv64"},
             {"windows/amd64", "windows/amd64"},
             {"macos/arm64", "darwin/arm64"},
             {"wasi/wasm", "wasi/wasm"},
             {"linux/arch-of_2031", "linux/arch-of_2031"},
         }) {
        CAPTURE(row.given);
        const Platform platform = Platform::parse(row.given);
        CHECK(platform.str() == row.normal);
        CHECK(Platform::parse(platform.str()) == platform);
    }
}

TEST_CASE("Platform::parse() refuses other texts and names them") {
    for (const Text& row : std::vector<Text>{
             {"", "a part of it is empty"},
             {"/", "a part of it is empty"},
             {"linux/", "a part of it is empty"},
             {"/amd64", "a part of it is empty"},
             {"linux//v7", "a part of it is empty"},
             {"linux/arm/", "a part of it is empty"},
             {"linux/arm/v7/x", "more than three parts"},
             {"linux", "no architecture that is known"},
             {"amd46", "no architecture that is known"},
             {"amd64/linux", "operating system has to stand first"},
             {"arm64/v8", "operating system has to stand first"},
             {"linux/*", "other characters"},
             {"linux/amd64 ", "other characters"},
             {"linux,amd64", "other characters"},
             {"windows(10.0.17763)/amd64", "other characters"},
         }) {
        CAPTURE(row.given);
        const auto error = thrown_by([&] { Platform::parse(row.given); });
        CHECK(error.code() == Errc::usage);
        CHECK(contains(error.message(), "invalid platform \"" + std::string(row.given) + "\""));
        CHECK_MESSAGE(contains(error.message(), row.normal), error.message());
        CHECK_FALSE(error.next_step().empty());
    }
}

TEST_CASE("fields of a document are normalised, and never refused") {
    CHECK(Platform::normalised("", "amd64", "") == Platform{"linux", "amd64", ""});
    CHECK(Platform::normalised("macOS", "AArch64", "V8") == Platform{"darwin", "arm64", ""});
    CHECK(Platform::normalised("linux", "i386", "v9") == Platform{"linux", "386", ""});
    CHECK(Platform::normalised("linux", "arm", "v8") == Platform{"linux", "arm", "v8"});
    CHECK(Platform::normalised("linux", "arm", "odd") == Platform{"linux", "arm", "odd"});
    CHECK(Platform::normalised("unknown", "unknown", "") == Platform{"unknown", "unknown", ""});
    CHECK(Platform::normalised("linux", "", "") == Platform{"linux", "", ""});
}

TEST_CASE("uname's machine names become Go's") {
    for (const Text& row : std::vector<Text>{
             {"x86_64", "linux/amd64"},
             {"aarch64", "linux/arm64"},
             {"i386", "linux/386"},
             {"i686", "linux/386"},
             {"armv5tel", "linux/arm/v5"},
             {"armv6l", "linux/arm/v6"},
             {"armv7l", "linux/arm/v7"},
             {"armv8l", "linux/arm/v8"},
             {"s390x", "linux/s390x"},
             {"ppc64le", "linux/ppc64le"},
             {"riscv64", "linux/riscv64"},
             {"loongarch64", "linux/loong64"},
         }) {
        CAPTURE(row.given);
        CHECK(prebake::oci::platform_of_machine(row.given).str() == row.normal);
    }
}

TEST_CASE("the host is a platform that parse() knows") {
    const Platform host = Platform::host();
    CHECK(host.os == "linux");
    CHECK(Platform::parse(host.str()) == host);
}

TEST_CASE("runnable_on() is containerd's order") {
    struct Case {
        const char* wanted;
        std::vector<std::string> runnable;
    };
    const std::vector<Case> rows = {
        {"amd64", {"linux/amd64", "linux/386"}},
        {"linux/amd64/v1", {"linux/amd64", "linux/386"}},
        {"linux/amd64/v2", {"linux/amd64/v2", "linux/amd64", "linux/386"}},
        {"linux/amd64/v4",
         {"linux/amd64/v4", "linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"}},
        {"linux/amd64/odd", {"linux/amd64/odd", "linux/386"}},
        {"386", {"linux/386"}},
        {"arm", {"linux/arm/v7", "linux/arm/v6", "linux/arm/v5"}},
        {"linux/arm/v8", {"linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"}},
        {"linux/arm/v6", {"linux/arm/v6", "linux/arm/v5"}},
        {"linux/arm/v5", {"linux/arm/v5"}},
        {"linux/arm/odd", {"linux/arm/odd"}},
        {"arm64", {"linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"}},
        {"linux/arm64/v8.2",
         {"linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64", "linux/arm/v8", "linux/arm/v7",
          "linux/arm/v6", "linux/arm/v5"}},
        {"linux/arm64/v9",
         {"linux/arm64/v9", "linux/arm64/v8.5", "linux/arm64/v8.4", "linux/arm64/v8.3",
          "linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64", "linux/arm/v8", "linux/arm/v7",
          "linux/arm/v6", "linux/arm/v5"}},
        {"linux/arm64/v9.1",
         {"linux/arm64/v9.1", "linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64/v8.5",
          "linux/arm64/v8.4", "linux/arm64/v8.3", "linux/arm64/v8.2", "linux/arm64/v8.1",
          "linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"}},
        {"linux/arm64/odd", {"linux/arm64/odd"}},
        {"linux/arm64/v999999999", {"linux/arm64/v999999999"}},
        {"s390x", {"linux/s390x"}},
        {"windows/amd64", {"windows/amd64", "windows/386"}},
    };
    for (const Case& row : rows) {
        CAPTURE(row.wanted);
        std::vector<std::string> runnable;
        for (const Platform& platform : prebake::oci::runnable_on(Platform::parse(row.wanted))) {
            runnable.push_back(platform.str());
        }
        CHECK(runnable == row.runnable);
    }
}

TEST_CASE("select_platform() takes the best child") {
    const std::map<std::string, std::string> attestation = {
        {"vnd.docker.reference.type", "attestation-manifest"}};
    struct Case {
        const char* name;
        const char* wanted;
        std::vector<Child> children;
        std::optional<std::string> selected;  ///< id
    };
    const std::vector<Case> rows = {
        {"exact", "amd64", {{"a", "linux/arm64"}, {"b", "linux/amd64"}}, "b"},
        {"none", "s390x", {{"a", "linux/arm64"}, {"b", "linux/amd64"}}, std::nullopt},
        {"empty index", "amd64", {}, std::nullopt},
        {"other operating system", "amd64", {{"a", "windows/amd64"}}, std::nullopt},
        {"document order among equals", "amd64", {{"a", "amd64"}, {"b", "amd64"}}, "a"},
        {"386 runs on amd64", "amd64", {{"a", "linux/arm64"}, {"b", "linux/386"}}, "b"},
        {"amd64 does not run on 386", "386", {{"a", "linux/amd64"}}, std::nullopt},
        {"amd64 before 386", "amd64", {{"a", "linux/386"}, {"b", "linux/amd64"}}, "b"},
        {"a plain host never takes v2", "amd64", {{"a", "linux/amd64/v2"}}, std::nullopt},
        {"v3 takes the best",
         "linux/amd64/v3",
         {{"a", "amd64"}, {"b", "linux/amd64/v2"}, {"c", "linux/amd64/v4"}},
         "b"},
        {"v3 takes plain amd64", "linux/amd64/v3", {{"a", "linux/386"}, {"b", "amd64"}}, "b"},
        {"arm/v7 takes v6 before v5",
         "arm",
         {{"a", "linux/arm/v5"}, {"b", "linux/arm/v6"}, {"c", "linux/arm/v8"}},
         "b"},
        {"arm64 takes 32 bits", "arm64", {{"a", "linux/arm/v6"}, {"b", "linux/arm/v7"}}, "b"},
        {"arm64/v8 is arm64", "arm64", {{"a", "linux/arm/v7"}, {"b", "linux/arm64/v8"}}, "b"},
        {"no platform is better than nothing", "amd64", {{"a", "arm64"}, {"b", ""}}, "b"},
        {"no platform comes last", "amd64", {{"a", ""}, {"b", "linux/386"}}, "b"},
        {"first without platform", "amd64", {{"a", ""}, {"b", ""}}, "a"},
        {"nested index", "amd64", {{"a", "arm64"}, {"b", "", kIndexType}}, "b"},
        {"nested index with platform", "amd64", {{"a", ""}, {"b", "amd64", kIndexType}}, "b"},
        {"no platform and no image", "amd64", {{"a", "", "application/json"}}, std::nullopt},
        {"attestation", "amd64", {{"a", "unknown/unknown"}, {"b", "amd64"}}, "b"},
        {"only attestations", "amd64", {{"a", "unknown/unknown"}}, std::nullopt},
        {"asked for unknown", "unknown/unknown", {{"a", "unknown/unknown"}}, std::nullopt},
        {"attestation without platform",
         "amd64",
         {{"a", "", kManifestType, attestation}, {"b", ""}},
         "b"},
        {"attestation with platform",
         "amd64",
         {{"a", "amd64", kManifestType, attestation}, {"b", "amd64"}},
         "b"},
    };
    for (const Case& row : rows) {
        CAPTURE(row.name);
        const Index index = make_index(row.children);
        const Descriptor* selected =
            prebake::oci::select_platform(index, Platform::parse(row.wanted));
        REQUIRE((selected != nullptr) == row.selected.has_value());
        if (selected) CHECK(selected->digest == Digest::of(*row.selected));
    }
}

TEST_CASE("a child that cannot be used is no obstacle, unless it is the one that is needed") {
    using prebake::oci::select_declared;
    Index index = make_index({{"a", "arm64"}, {"b", "386"}});
    const prebake::Error problem(Errc::unsupported, "sha512");
    index.unusable.push_back({.platform = Platform::parse("s390x"), .problem = problem});
    CHECK(select_declared(index, Platform::parse("amd64")) == &index.manifests[1]);
    CHECK(prebake::oci::select_platform(index, Platform::parse("s390x")) == nullptr);
    CHECK(thrown_by([&] { select_declared(index, Platform::parse("s390x")); }).message() ==
          "sha512");
    // The best platform decides, as containerd would find it.
    index.unusable.push_back({.platform = Platform::parse("amd64"), .problem = problem});
    CHECK_THROWS(select_declared(index, Platform::parse("amd64")));
}

TEST_CASE("the selected child points into the index") {
    const Index index = make_index({{"a", "arm64"}, {"b", "amd64"}});
    CHECK(prebake::oci::select_platform(index, Platform::parse("amd64")) == &index.manifests[1]);
}

TEST_CASE("platforms_of() lists each platform once, without attestations") {
    const auto platforms_of = [](const Index& index) {
        return prebake::oci::list_platforms(prebake::oci::platforms_of(index));
    };
    CHECK(platforms_of(make_index({})) == "none");
    CHECK(platforms_of(make_index({{"a", ""}, {"b", "unknown/unknown"}})) == "none");
    CHECK(
        platforms_of(make_index(
            {{"a", "amd64"}, {"b", "unknown/unknown"}, {"c", "arm"}, {"d", "amd64"}, {"e", ""}})) ==
        "linux/amd64, linux/arm/v7");
}

TEST_CASE("list_platforms() is one harmless line for every index") {
    const auto platforms_of = [](const Index& index) {
        return prebake::oci::list_platforms(prebake::oci::platforms_of(index));
    };
    Index index = make_index({{"a", "amd64"}});
    index.manifests[0].platform->variant = "\x1b[2J\n";
    CHECK(platforms_of(index) == "\"linux/amd64/\\x1b[2J\\x0a\"");

    std::vector<Child> children;
    for (int i = 0; i < 100; ++i) children.push_back({"a", "linux/arch" + std::to_string(i)});
    const std::string list = platforms_of(make_index(children));
    CHECK(contains(list, "linux/arch39 and 60 more"));
}
