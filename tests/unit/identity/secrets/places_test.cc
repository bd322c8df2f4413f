#include "agent/identity/secrets/places.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>

#include "tests/unit/machine/test_tree.h"

namespace prebake::identity::secrets {
namespace {

TEST_CASE("a user's link excludes nothing from the search" * doctest::test_suite("root")) {
    if (::geteuid() != 0) {
        MESSAGE("not run: only root can give a link to somebody");
        return;
    }
    const tests::TestTree tree;
    const auto link_of_user = [&](const std::string& path, const std::string& target) {
        tree.link(path, target);
        REQUIRE(::lchown(tree.at(path).c_str(), 1000, 1000) == 0);
    };
    tree.put("/home/alice/.local/share/docker/file", "");
    tree.put("/srv/app/file", "");
    tree.put("/srv/other/file", "");
    tree.put("/srv/share/docker/file", "");
    link_of_user("/home/eve/.local/share/docker", "/srv/app");
    // A link of root that a user's link leads on.
    link_of_user("/home/eve/disk", "/srv/other");
    tree.link("/var/lib/containerd", "/home/eve/disk");
    // On the way to a place.
    link_of_user("/home/mallory/.local", "/srv");
    const SearchArea area = search_area(tree.root(), {}, {});
    CHECK(area.problems.empty());
    for (const char* path : {"/srv/app", "/srv/other", "/srv/share/docker"}) {
        CAPTURE(path);
        CHECK(area.why_left_out(path, {}).empty());
    }
    CHECK(area.why_left_out("/home/alice/.local/share/docker", {}) == "container images");
}

}  // namespace
}  // namespace prebake::identity::secrets
