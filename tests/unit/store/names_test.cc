#include "agent/store/names.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace prebake::store::names_test {

const oci::Digest kTarget = oci::Digest::parse("sha256:" + std::string(64, 'a'));
const oci::Digest kConfig = oci::Digest::parse("sha256:" + std::string(64, 'c'));

std::vector<oci::Reference> named(const std::string& reference) {
    return {oci::Reference::parse(reference)};
}

TEST_CASE("a name that is left to another image is no spelling of this one") {
    struct Row {
        const char* name;
        std::string except;
        std::vector<std::string> gone;
        std::vector<std::string> there;
    };
    const std::string by_digest = "docker.io/library/nginx@" + kTarget.str();
    const std::vector<Row> rows{
        {"the tag",
         "docker.io/library/nginx:1",
         {"docker.io/library/nginx:1", "library/nginx:1", "nginx:1"},
         {by_digest, kConfig.str(), "nginx:1@" + kTarget.str()}},
        {"the digest",
         by_digest,
         {by_digest, "nginx@" + kTarget.str(), "nginx:1@" + kTarget.str()},
         {"docker.io/library/nginx:1", "nginx:1", kConfig.str()}},
        {"the config", kConfig.str(), {kConfig.str()}, {"nginx:1", by_digest}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto spellings = pod_spellings(named("nginx:1"), kTarget, kConfig, {row.except});
        const auto is_spelling = [&](const std::string& text) {
            return std::find(spellings.begin(), spellings.end(), text) != spellings.end();
        };
        for (const std::string& text : row.gone) CHECK_FALSE(is_spelling(text));
        for (const std::string& text : row.there) CHECK(is_spelling(text));
    }
}

TEST_CASE("only a bare digest is a name by image ID") {
    CHECK(is_image_id(kConfig.str()));
    CHECK_FALSE(is_image_id("docker.io/library/nginx@" + kTarget.str()));
    CHECK_FALSE(is_image_id("docker.io/library/nginx:1"));
    CHECK_FALSE(is_image_id("sha256:1"));
}

TEST_CASE("names") {
    struct Row {
        const char* name;
        std::string ns;
        std::string reference;
        std::vector<std::string> expected;
    };
    const std::vector<Row> rows{
        {"CRI, by tag",
         "k8s.io",
         "nginx:1",
         {kConfig.str(), "docker.io/library/nginx@" + kTarget.str(), "docker.io/library/nginx:1"}},
        {"CRI, by digest",
         "k8s.io",
         "nginx@" + kTarget.str(),
         {kConfig.str(), "docker.io/library/nginx@" + kTarget.str()}},
        {"CRI, by both",
         "k8s.io",
         "nginx:1@" + kTarget.str(),
         {kConfig.str(), "docker.io/library/nginx@" + kTarget.str(), "docker.io/library/nginx:1"}},
        {"elsewhere, by tag", "moby", "nginx:1", {"docker.io/library/nginx:1"}},
        {"elsewhere, by digest",
         "moby",
         "nginx@" + kTarget.str(),
         {"docker.io/library/nginx@" + kTarget.str()}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(names_in(row.ns, named(row.reference), kTarget, kConfig) == row.expected);
    }
}

TEST_CASE("aliases get the names that the reference gets") {
    std::vector<oci::Reference> aliased = named("nginx:1");
    aliased.push_back(oci::Reference::parse("example.com/web:2"));
    CHECK(names_in("k8s.io", aliased, kTarget, kConfig) ==
          std::vector<std::string>{kConfig.str(), "docker.io/library/nginx@" + kTarget.str(),
                                   "docker.io/library/nginx:1", "example.com/web@" + kTarget.str(),
                                   "example.com/web:2"});
    CHECK(names_in("default", aliased, kTarget, kConfig) ==
          std::vector<std::string>{"docker.io/library/nginx:1", "example.com/web:2"});
}

TEST_CASE("labels are CRI's, and only where CRI is") {
    CHECK(name_labels("k8s.io", Pin::yes) ==
          Labels{{"io.cri-containerd.image", "managed"}, {"io.cri-containerd.pinned", "pinned"}});
    CHECK(name_labels("k8s.io", Pin::no).at("io.cri-containerd.pinned").empty());
    CHECK(name_labels("moby", Pin::yes).empty());
}

TEST_CASE("a pod may spell a Hub image in short, by tag and digest too") {
    const auto spellings = pod_spellings(named("nginx:1"), kTarget, kConfig);
    for (const std::string& wanted :
         {std::string("nginx:1"), std::string("library/nginx:1"), "nginx@" + kTarget.str(),
          "nginx:1@" + kTarget.str(), kConfig.str(), std::string("docker.io/library/nginx:1")}) {
        CHECK_MESSAGE(std::find(spellings.begin(), spellings.end(), wanted) != spellings.end(),
                      wanted);
    }
    for (const std::string& spelling : pod_spellings(named("example.com/a:1"), kTarget, kConfig)) {
        CHECK((spelling.starts_with("example.com/") || spelling == kConfig.str()));
    }
}

}  // namespace prebake::store::names_test
