#include "agent/bake/layer_tree.h"

#include <doctest/doctest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "agent/base/capabilities.h"
#include "tests/unit/base/bytes_source.h"
#include "tests/unit/layer/tar_builder.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::bake::layer_tree_test {

constexpr CapabilityMask kSome = capability(CAP_CHOWN) | capability(CAP_DAC_OVERRIDE) |
                                 capability(CAP_MKNOD) | capability(CAP_SYS_ADMIN);

CapabilityMask effective() {
    return own_capabilities().effective & kSome;
}

/// A layer with a directory and a file of another user.
void write_tree(const std::filesystem::path& directory) {
    const std::string tar = tests::TarBlock("of-other", '5').mode(0700).owner(1000, 1000).str() +
                            tests::tar_file("of-other/file", "x") + tests::tar_end();
    const oci::Descriptor layer{.media_type = "application/vnd.oci.image.layer.v1.tar",
                                .digest = oci::Digest::of(tar),
                                .size = tar.size(),
                                .annotations = {},
                                .platform = {}};
    tests::BytesSource bytes(tar);
    StageTimes times;
    LayerTree tree(directory, LayerTree::Place::staging, layer::Whiteouts::apply);
    CHECK(tree.write(bytes, layer, times, [] { CHECK(effective() == kSome); }) == layer.digest);
    CHECK(effective() == 0);
    struct stat status {};
    REQUIRE(::lstat((directory / "of-other").c_str(), &status) == 0);
    CHECK(status.st_uid == 1000);
    tree.finish({});
    CHECK(effective() == 0);
}

TEST_SUITE("root") {
    TEST_CASE("a thread has the capabilities for trees only while it writes one") {
        if (::geteuid() != 0) {
            MESSAGE("not run: only root");
            return;
        }
        std::jthread([] {
            keep_back_tree_capabilities();
            CHECK_MESSAGE(effective() == kSome, "programs would get them back");
            REQUIRE(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
            keep_back_tree_capabilities();
            CHECK(effective() == 0);
            CHECK(obstacle_to_writing_trees().empty());
            const TemporaryDirectory place;
            const std::filesystem::path directory = place.path() / "tree";
            std::filesystem::create_directory(directory);
            write_tree(directory);
            CHECK_MESSAGE(!std::filesystem::exists(directory), "removed with what others own");
        }).join();
    }

    TEST_CASE("a capability that is not permitted is an obstacle") {
        std::jthread([] {
            CapabilitySets sets = own_capabilities();
            sets.effective &= ~kSome;
            sets.permitted &= ~capability(CAP_MKNOD);
            set_own_capabilities(sets);
            CHECK_MESSAGE(obstacle_to_writing_trees().empty(), "only device nodes need it");
            sets.permitted &= ~capability(CAP_SYS_ADMIN);
            set_own_capabilities(sets);
            CHECK(obstacle_to_writing_trees() == "it lacks CAP_SYS_ADMIN");
        }).join();
    }
}

}  // namespace prebake::bake::layer_tree_test
