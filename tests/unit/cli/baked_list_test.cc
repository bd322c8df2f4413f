#include "agent/cli/baked_list.h"

#include <doctest/doctest.h>

namespace prebake::cli {
namespace {

v1::BakedImage& add_image(v1::BakeRecord& record, const std::string& name,
                          const std::string& platform) {
    v1::BakedImage& image = *record.add_images();
    image.set_name(name);
    image.set_platform(platform);
    image.mutable_target()->set_digest("sha256:m");
    image.mutable_manifest()->set_digest("sha256:m");
    image.mutable_manifest()->set_size(1);
    image.mutable_config()->set_digest("sha256:c");
    image.mutable_config()->set_size(10);
    for (int i = 0; i < 2; ++i) {  // one layer, twice
        image.add_layers()->set_digest("sha256:l");
        image.mutable_layers(i)->set_size(100);
    }
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_("k8s.io");
    placement.set_pinned(true);
    return image;
}

TEST_CASE("without the daemon: as baked and as counted") {
    v1::BakeRecord record;
    add_image(record, "a", "linux/amd64").add_placements()->set_namespace_("moby");
    add_image(record, "a", "linux/arm64").mutable_placements(0)->set_pinned(false);
    v1::Ledger counted;
    for (const char* ns : {"k8s.io", "moby"}) {
        v1::LedgerImage& image = *counted.add_images();
        image.set_name("a");
        image.set_namespace_(ns);
        image.set_platform("linux/amd64");
        image.set_digest("sha256:m");
        image.set_starts(3);
    }
    // The tag pointed to another image for a while.
    *counted.add_images() = counted.images(0);
    counted.mutable_images(2)->set_digest("sha256:other");
    const v1::BakedImages list = baked_list(record, {}, counted);
    REQUIRE(list.images_size() == 2);
    CHECK(list.images(0).platform() == "linux/amd64");
    CHECK(list.images(0).bytes() == 111);
    CHECK(list.images(0).pinned());
    CHECK(list.images(0).starts() == 6);
    CHECK(list.images(0).namespaces_size() == 2);
    CHECK(list.images(1).platform() == "linux/arm64");
    CHECK(list.images(1).starts() == 0);
    CHECK_FALSE(list.images(1).pinned());
}

TEST_CASE("with the daemon: as it is now") {
    v1::BakeRecord record;
    add_image(record, "a", "linux/amd64");
    v1::NodeImages daemon;
    v1::ImageState& state = *daemon.add_images();
    state.set_name("a");
    state.set_namespace_("k8s.io");
    state.set_platform("linux/amd64");
    state.set_digest("sha256:m");
    state.set_starts(2);
    const v1::BakedImages list = baked_list(record, daemon, {});
    CHECK_FALSE(list.images(0).pinned());
    CHECK(list.images(0).starts() == 2);
}

}  // namespace
}  // namespace prebake::cli
