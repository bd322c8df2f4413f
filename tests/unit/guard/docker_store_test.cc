#include "agent/guard/docker_store.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

namespace prebake::guard::docker_store_test {

constexpr const char* kContainerd = "/run/containerd/containerd.sock";

/// One image: in this graph driver, or, if that is empty, in containerd with overlayfs.
v1::BakeRecord baked_into(const std::string& graph_driver, const std::string& ns = "moby") {
    v1::BakeRecord record;
    v1::BakedImage& image = *record.add_images();
    image.set_name("docker.io/library/a:1");
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_(ns);
    placement.set_graph_driver(graph_driver);
    placement.set_unpacked(true);
    if (graph_driver.empty()) placement.set_snapshotter("overlayfs");
    return record;
}

docker::EngineInfo engine(const std::string& version, bool uses_containerd_store) {
    docker::EngineInfo info;
    info.version = version;
    info.uses_containerd_store = uses_containerd_store;
    info.driver = uses_containerd_store ? "overlayfs" : "overlay2";
    info.data_root = "/var/lib/docker";
    return info;
}

TEST_CASE("which store dockerd uses, and what made it so") {
    using Change = std::function<void(docker::EngineInfo&, docker::DaemonFile&)>;
    const Change nothing = [](auto&, auto&) {};
    struct Row {
        const char* name;
        const char* graph_driver;
        docker::EngineInfo info;
        Change change;
        const char* in_message;  ///< empty: it is the same store
        const char* in_next_step = "";
    };
    const std::vector<Row> rows{
        {"the same graph driver", "overlay2", engine("20.10.24", false), nothing, ""},
        {"the same containerd", "", engine("28.5.2", true), nothing, ""},
        {"a fresh 28", "", engine("28.5.2", false), nothing, "before 29 uses containerd's store",
         "containerd-snapshotter to true in /etc/docker/daemon.json"},
        {"too old for it", "", engine("20.10.24", false), nothing, "before 24 has no other",
         "upgrade Docker"},
        {"29 with an old directory", "", engine("29.1.0", false), nothing,
         "/var/lib/docker/overlay2 was not empty", "containerd-snapshotter to true"},
        {"29 with the setting", "", engine("29.1.0", false),
         [](auto&, auto& file) { file.containerd_snapshotter = false; },
         "features.containerd-snapshotter = false in /etc/docker/daemon.json"},
        {"29 with a driver", "", engine("29.1.0", false),
         [](auto&, auto& file) { file.storage_driver = "overlay2"; },
         "storage-driver = overlay2 in /etc/docker/daemon.json", "remove storage-driver"},
        {"user namespaces", "", engine("29.1.0", false),
         [](auto& info, auto&) { info.has_user_namespaces = true; }, "with userns-remap",
         "remove userns-remap"},
        {"29 with an empty directory", "overlay2", engine("29.1.0", true), nothing,
         "if /var/lib/docker/overlay2 is empty", "containerd-snapshotter to false"},
        {"28 with the setting", "overlay2", engine("28.5.2", true),
         [](auto&, auto& file) { file.containerd_snapshotter = true; },
         "features.containerd-snapshotter = true", "containerd-snapshotter to false"},
        {"another graph driver", "overlay2", engine("20.10.24", false),
         [](auto& info, auto& file) { info.driver = file.storage_driver = "btrfs"; },
         "baked for overlay2, and this is Docker 20.10.24 with the graph driver btrfs",
         "set storage-driver to overlay2"},
        {"another snapshotter", "", engine("28.5.2", true),
         [](auto& info, auto&) { info.driver = "native"; }, "baked for overlayfs"},
        {"another containerd", "", engine("28.5.2", true),
         [](auto& info, auto&) {
             info.containerd_address = "/var/run/docker/containerd/containerd.sock";
         },
         "the containerd at /var/run/docker", "set containerd.address to /var/run/docker"},
        {"the same by its other name", "", engine("28.5.2", true),
         [](auto& info, auto&) { info.containerd_address = "/var/run/containerd/containerd.sock"; },
         ""},
        {"another namespace", "", engine("28.5.2", true),
         [](auto& info, auto&) {
             info.containerd_namespace = "moby-100000.100000";
             info.has_user_namespaces = true;
         },
         "dockerd uses moby-100000.100000: with userns-remap", "remove userns-remap"},
        {"rootless", "overlay2", engine("28.5.2", false),
         [](auto& info, auto&) { info.is_rootless = true; }, "rootless", "docker.host"},
    };
    for (const Row& row : rows) {
        CAPTURE(std::string(row.name));
        docker::EngineInfo info = row.info;
        docker::DaemonFile file;
        row.change(info, file);
        const auto mismatch = compare_store(baked_into(row.graph_driver), info, file, kContainerd);
        CHECK(mismatch.has_value() == !std::string(row.in_message).empty());
        if (!mismatch) continue;
        CHECK_MESSAGE(mismatch->message.find(row.in_message) != std::string::npos,
                      mismatch->message);
        CHECK_MESSAGE(mismatch->next_step.find(row.in_next_step) != std::string::npos,
                      mismatch->next_step);
    }
    // Images of others do not concern Docker.
    docker::EngineInfo other = engine("28.5.2", true);
    other.driver = "native";
    CHECK_FALSE(compare_store(baked_into("", "k8s.io"), other, {}, kContainerd));
}

TEST_CASE("with user namespaces dockerd has a graph driver for each mapping") {
    docker::EngineInfo info = engine("20.10.24", false);
    info.has_user_namespaces = true;
    info.data_root = "/var/lib/docker/100000.100000";
    ImageHealth there{.name = "a", .ns = "moby", .digest = {}, .problem = {}, .next_step = {}};
    ImageHealth missing = there;
    missing.is_present = false;
    const auto mismatch = explain_absence({missing, missing}, info, {});
    REQUIRE(mismatch);
    CHECK(mismatch->message.find("in /var/lib/docker/100000.100000") != std::string::npos);
    CHECK(mismatch->next_step.find("userns-remap") != std::string::npos);
    CHECK_FALSE(explain_absence({missing, there}, info, {}));
    CHECK_FALSE(explain_absence({}, info, {}));
    CHECK_FALSE(explain_absence({missing}, engine("20.10.24", false), {}));
}

TEST_CASE("which stores a record needs") {
    CHECK(needs_containerd({}));
    CHECK_FALSE(is_for_docker({}));
    CHECK(needs_containerd(baked_into("")));
    CHECK(is_for_docker(baked_into("")));
    CHECK_FALSE(needs_containerd(baked_into("overlay2")));
    CHECK(is_for_docker(baked_into("overlay2")));
    CHECK_FALSE(is_for_docker(baked_into("", "k8s.io")));
}

}  // namespace prebake::guard::docker_store_test
