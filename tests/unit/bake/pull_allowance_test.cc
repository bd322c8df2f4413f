#include "agent/bake/pull_allowance.h"

#include <doctest/doctest.h>

#include "tests/unit/bake/test_image.h"

namespace prebake::bake {
namespace {

using namespace std::chrono_literals;

/// An image whose index and manifest were fetched with so many bytes; 0: they are in the store.
PlannedImage planned(const std::string& name, std::uint64_t index_bytes,
                     std::uint64_t manifest_bytes) {
    PlannedImage image;
    ResolvedImage resolved = test::image_of(name, {"layer"});
    resolved.manifest.bytes_fetched = manifest_bytes;
    resolved.indexes.push_back(resolved.manifest);
    resolved.indexes.back().bytes_fetched = index_bytes;
    image.request = resolved.request;
    image.image = std::move(resolved);
    return image;
}

TEST_CASE("an image needs a pull if its index or its manifest was not in the store") {
    Plan plan;
    plan.images = {planned("docker.io/library/a:1", 100, 100),
                   planned("docker.io/library/b:1", 0, 100),
                   planned("docker.io/library/c:1", 100, 0), planned("docker.io/library/d:1", 0, 0),
                   planned("quay.io/e:1", 100, 100)};
    PlannedImage unresolved = planned("docker.io/library/f:1", 100, 100);
    unresolved.image.reset();
    plan.images.push_back(unresolved);
    const registry::RateLimit limit{.limit = 100, .remaining = 76};
    CHECK(pull_allowances(plan, {}).empty());
    const std::vector<PullAllowance> expected = {
        {.registry = "docker.io", .limit = limit, .needed = 3},
        {.registry = "ghcr.io", .limit = limit, .needed = 0}};
    CHECK(pull_allowances(plan, {{"docker.io", limit}, {"ghcr.io", limit}}) == expected);
}

TEST_CASE("an allowance is described, and a short one is a warning") {
    PullAllowance allowance{
        .registry = "docker.io",
        .limit = {.limit = 100, .remaining = 76, .window = 6h, .source = "203.0.113.7"},
        .needed = 3};
    CHECK(describe(allowance) ==
          "pulls from docker.io: 3 needed, 76 of 100 left in 6 h 00 min for 203.0.113.7");
    CHECK(warning_about(allowance).empty());
    allowance.needed = 76;
    CHECK(warning_about(allowance).empty());
    allowance.needed = 77;
    CHECK(warning_about(allowance).starts_with(
        "docker.io allows 76 more pulls now, and the bake needs 77: log in"));
    allowance.limit.window.reset();
    allowance.limit.source.clear();
    CHECK(describe(allowance) == "pulls from docker.io: 77 needed, 76 of 100 left");
}

}  // namespace
}  // namespace prebake::bake
