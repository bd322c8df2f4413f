#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/identity/items/docker_layers.h"
#include "agent/identity/items/docker_settings.h"
#include "agent/identity/protected_places.h"
#include "agent/identity/survey.h"
#include "tests/unit/machine/test_tree.h"

namespace prebake::identity {
namespace docker_state_test {

using Lines = std::vector<std::string>;

const std::string kDocker = "/var/lib/docker";

/// "remove /a", "write /b (note)", "problem: ..."
Lines found(const tests::TestTree& tree, std::string_view name) {
    const auto item = std::find_if(items().begin(), items().end(),
                                   [name](const Item& it) { return it.name == name; });
    REQUIRE(item != items().end());
    const Pending pending = survey(tree.root(), *item, {}, {});
    Lines lines;
    for (const Change& change : pending.changes) {
        const std::string kind = change.kind == Change::Kind::remove ? "remove " : "write ";
        lines.push_back(kind + change.path + (change.note.empty() ? "" : " (" + change.note + ")"));
    }
    for (const Error& problem : pending.problems) lines.push_back("problem: " + problem.message());
    return lines;
}

void seal_item(const tests::TestTree& tree, std::string_view name) {
    const auto item = std::find_if(items().begin(), items().end(),
                                   [name](const Item& it) { return it.name == name; });
    REQUIRE(item != items().end());
    const machine::Root root = tree.root();
    for (const Change& change : survey(root, *item, {}, {}).changes) apply(root, change);
}

/// A store of layers as dockerd makes it.
class Store {
  public:
    Store(const tests::TestTree& tree, std::string driver, std::string layers)
        : tree_(tree), records_(kDocker + "/image/" + driver + "/layerdb"), layers_(layers) {}

    void image(const std::string& layer) const {
        tree_.put(records_ + "/sha256/of-" + layer + "/cache-id", layer);
        put(layer);
    }
    void container(const std::string& id, const std::string& layer) const {
        tree_.put(records_ + "/mounts/" + id + "/mount-id", layer);
        tree_.put(records_ + "/mounts/" + id + "/init-id", layer + "-init");
        put(layer);
        put(layer + "-init");
    }
    void put(const std::string& layer) const { tree_.put(layers_ + "/" + layer + "/diff/x", "x"); }
    std::string layer(const std::string& name) const { return layers_ + "/" + name; }
    std::string mounts(const std::string& id) const { return records_ + "/mounts/" + id; }

  private:
    const tests::TestTree& tree_;
    std::string records_;
    std::string layers_;
};

std::string name_of(char digit) {
    return std::string(64, digit);
}

TEST_CASE("docker: options in units and in the files of their options") {
    struct Row {
        const char* text;
        Lines values;
    };
    const std::vector<Row> rows{
        {"ExecStart=/usr/bin/dockerd -H fd:// --data-root=/data/docker\n", {"/data/docker"}},
        {"ExecStart=/usr/bin/dockerd --data-root /data/docker -H fd://\n", {"/data/docker"}},
        {"ExecStart=/usr/bin/dockerd \\\n  --data-root \\\n  /data/docker\n", {"/data/docker"}},
        {"DOCKER_OPTS=\"--graph=/a -H fd://\"\n", {"/a"}},
        {"OPTIONS='--graph /a'\n", {"/a"}},
        {"DOCKER_OPTS=--data-root=/a\n", {"/a"}},
        {"OPTIONS=\"-g /a\"\n", {"/a"}},
        {"OPTIONS=\"-g=/a --data-root=/b\"\n", {"/a", "/b"}},
        {"OPTIONS=-g/a\n", {"/a"}},
        {"# DOCKER_OPTS=\"--data-root=/a\"\n; --data-root=/b\n", {}},
        {"ExecStart=/usr/bin/dockerd --data-root-x=/a --group=docker -gx\n", {}},
        {"ExecStart=/usr/bin/dockerd --data-root", {}},
        {"", {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        CHECK(values_of_flags(row.text, {"--data-root", "--graph", "-g"}) == row.values);
    }
}

TEST_CASE("docker: every data root that is configured is known") {
    const tests::TestTree tree;
    const Lines usual{"/var/lib/docker", "/var/snap/docker/common/var-lib-docker"};
    CHECK(docker_settings(tree.root()).data_roots == usual);
    tree.put("/etc/docker/daemon.json",
             R"({"data-root": "/data/docker/", "pidfile": "/data/pid"})");
    tree.put("/etc/systemd/system/docker.service.d/root.conf",
             "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd --graph /srv/docker "
             "--config-file=/etc/ours.json --pidfile /run/ours.pid\n"
             "ExecStartPre=/usr/bin/install -d -g /srv/group /x\n");
    tree.put("/etc/default/docker", "DOCKER_OPTS=\"-g /mnt/docker\"\n");
    tree.make_directory("/mnt/docker/volumes");
    tree.put("/etc/ours.json", R"({"data-root": "/ours", "graph": "/../etc"})");
    tree.make_directory("/data/docker/100000.100000/overlay2");
    const DockerSettings settings = docker_settings(tree.root());
    Lines expected = usual;
    for (const char* const path :
         {"/srv/docker", "/mnt/docker", "/data/docker", "/ours", "/data/docker/100000.100000"})
        expected.emplace_back(path);
    CHECK(settings.data_roots == expected);
    CHECK(settings.files == Lines{"/etc/docker/daemon.json", "/etc/ours.json"});
    CHECK(settings.pid_files == Lines{"/data/pid"});

    for (const std::string& root : expected) {
        CAPTURE(root);
        CHECK(touches(root + "/overlay2/x", image_places(tree.root())));
        tree.put(root + "/engine-id", "6f1e");
        tree.put(root + "/swarm/state.json", "{}");
        tree.put(root + "/containers/9f2a/hosts", "");
        tree.put(root + "/network/files/local-kv.db", "");
    }
    tree.put("/data/pid", "612");
    for (const char* const item :
         {"docker", "docker-swarm", "docker-containers", "docker-networks"}) {
        CAPTURE(item);
        const std::size_t others = std::string_view(item) == "docker" ? 1 : 0;
        CHECK(found(tree, item).size() == expected.size() + others);
        seal_item(tree, item);
        CHECK(found(tree, item).empty());
    }
    CHECK_FALSE(tree.has("/ours/engine-id"));
}

TEST_CASE("docker: a configuration that cannot be read stops only its own items") {
    const tests::TestTree tree;
    tree.put("/etc/docker/daemon.json", std::string(2UL << 20, ' '));
    tree.put("/etc/hostid", "abcd");
    CHECK(found(tree, "docker-swarm").size() == 1);
    CHECK(found(tree, "hostid") == Lines{"remove /etc/hostid"});
}

TEST_CASE("docker: what containers wrote goes, and the images stay") {
    struct Row {
        const char* driver;
        std::string layers;
    };
    const std::vector<Row> rows{{"overlay2", kDocker + "/overlay2"},
                                {"fuse-overlayfs", kDocker + "/fuse-overlayfs"},
                                {"vfs", kDocker + "/vfs/dir"}};
    for (const Row& row : rows) {
        CAPTURE(row.driver);
        const tests::TestTree tree;
        const Store store(tree, row.driver, row.layers);
        store.image(name_of('1'));
        store.image(std::string(25, '2'));  // that BuildKit has made
        store.container("9f2a", name_of('a'));
        // Somebody removed the files of this one, and not its layer.
        store.put(name_of('b'));
        store.put(name_of('b') + "-init");
        // A seal was killed between the two.
        store.put(name_of('c') + "-init");
        store.put(std::string(25, 'd'));  // of a build
        store.put("l");
        store.put("lost+found");
        Lines expected{"remove " + store.mounts("9f2a")};
        for (const std::string& name : {name_of('a'), name_of('a') + "-init", name_of('b'),
                                        name_of('b') + "-init", name_of('c') + "-init"})
            expected.push_back("remove " + store.layer(name));
        std::sort(expected.begin(), expected.end());
        CHECK(found(tree, "docker-containers") == expected);
        seal_item(tree, "docker-containers");
        CHECK(found(tree, "docker-containers").empty());
        tree.put(kDocker + "/buildkit/history.db", "xyz");
        CHECK(found(tree, "docker-build-cache") ==
              Lines{"remove " + kDocker + "/buildkit (4 B)",
                    "remove " + store.layer(std::string(25, 'd'))});
        seal_item(tree, "docker-build-cache");
        CHECK(found(tree, "docker-build-cache").empty());
        for (const std::string& name : {name_of('1'), std::string(25, '2'), std::string("l")})
            CHECK(tree.has(store.layer(name)));
    }
}

TEST_CASE("docker: a layer that an image may need is never spare") {
    struct Row {
        const char* name;
        void (*prepare)(const tests::TestTree&, const Store&);
        Lines containers;
        Lines cache;
    };
    const std::string layer = kDocker + "/overlay2/" + name_of('1');
    const std::string cache_id =
        kDocker + "/image/overlay2/layerdb/sha256/of-" + name_of('1') + "/cache-id";
    const std::vector<Row> rows{
        {"a container's record names it",
         [](const tests::TestTree& tree, const Store& store) {
             tree.put(store.mounts("9f2a") + "/mount-id", name_of('1'));
         },
         {"remove " + kDocker + "/image/overlay2/layerdb/mounts/9f2a"},
         {}},
        {"there is an init layer of its name",
         [](const tests::TestTree&, const Store& store) { store.put(name_of('1') + "-init"); },
         {"remove " + layer + "-init"},
         {}},
        {"no record of any image",
         [](const tests::TestTree& tree, const Store&) {
             std::filesystem::remove_all(tree.at(kDocker + "/image/overlay2/layerdb/sha256"));
         },
         {},
         {}},
        {"a name that leads elsewhere",
         [](const tests::TestTree& tree, const Store& store) {
             tree.put(store.mounts("9f2a") + "/mount-id", "../../../etc");
         },
         {"remove " + kDocker + "/image/overlay2/layerdb/mounts/9f2a"},
         {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const tests::TestTree tree;
        const Store store(tree, "overlay2", kDocker + "/overlay2");
        store.image(name_of('1'));
        row.prepare(tree, store);
        CHECK(found(tree, "docker-containers") == row.containers);
        CHECK(found(tree, "docker-build-cache") == row.cache);
    }
    for (const char* const damaged : {"", "torn", "../../etc"}) {
        CAPTURE(damaged);
        const tests::TestTree tree;
        const Store store(tree, "overlay2", kDocker + "/overlay2");
        store.image(name_of('1'));
        store.container("9f2a", name_of('a'));
        tree.put(cache_id, damaged);
        const Lines problem{"problem: " + tree.at(cache_id).string() +
                            " does not say where the layer of an image is"};
        CHECK(found(tree, "docker-containers") == problem);
        CHECK(found(tree, "docker-build-cache") == problem);
    }
}

TEST_CASE("docker: what only Docker can remove is a problem, and nothing hides it") {
    const tests::TestTree tree;
    const std::string config = R"({"Driver":"overlayfs","Config":{"Env":["TOKEN=x"]}})";
    tree.put(kDocker + "/containers/9f2a/config.v2.json", config);
    tree.put(kDocker + "/containers/9f2b/config.v2.json", config);
    tree.put(kDocker + "/image/identity-cache.db", "bolt");
    tree.put(kDocker + "/buildkit/containerd-overlayfs/metadata_v2.db", "not empty");
    const Lines containers{"problem: 2 containers in " + tree.at(kDocker).string() +
                           " cannot be removed without Docker: what they wrote is in containerd's "
                           "store"};
    CHECK(found(tree, "docker-containers") == containers);
    seal_item(tree, "docker-containers");
    CHECK(found(tree, "docker-containers") == containers);
    CHECK(found(tree, "docker-build-cache") ==
          Lines{"problem: the build cache of " + tree.at(kDocker).string() +
                " cannot be removed without Docker: it is in containerd's store"});
    CHECK(tree.has(kDocker + "/image/identity-cache.db"));

    // The same containers with a graph driver, which has their records.
    const Store store(tree, "overlayfs", kDocker + "/overlayfs");
    store.container("9f2a", name_of('a'));
    CHECK(found(tree, "docker-containers") ==
          Lines{"problem: the files of Docker's containers in " + tree.at(kDocker).string() +
                " cannot be removed without Docker: its storage driver is overlayfs"});
}

TEST_CASE("docker: settings of one machine are not mistaken for those of all") {
    struct Row {
        const char* json;
        const char* note;  // empty: nothing to report
    };
    const std::vector<Row> rows{
        {R"({"hosts": ["tcp://10.0.0.5:2376", "fd://"]})", "hosts"},
        {R"({"hosts": ["tcp://[fd00::5]:2376"]})", "hosts"},
        {R"({"hosts": ["tcp://0.0.0.0:2376", "unix:///run/docker.sock"]})", ""},
        {R"({"hosts": ["tcp://127.0.0.1:2375", "tcp://[::1]:2375", "tcp://[::]:2375"]})", ""},
        {R"({"swarm-default-advertise-addr": "10.0.0.5"})", "swarm-default-advertise-addr"},
        {R"({"swarm-default-advertise-addr": "10.0.0.5:2377", "ip": "10.0.0.5"})",
         "ip, swarm-default-advertise-addr"},
        {R"({"swarm-default-advertise-addr": "ens5"})", ""},
        {R"({"host-gateway-ips": ["10.0.0.5", "fd00::5"]})", "host-gateway-ips"},
        {R"({"cluster-advertise": "10.0.0.5:2376"})", "cluster-advertise"},
        {R"({"metrics-addr": "127.0.0.1:9323"})", ""},
        {R"({"node-generic-resources": ["NVIDIA-GPU=GPU-fef8089b", "FPGA=2"]})",
         "node-generic-resources"},
        {R"({"node-generic-resources": ["NVIDIA-GPU=2", "color=red"]})", ""},
        {R"({"labels": ["tier=web"], "registry-mirrors": ["https://mirror.example"]})", ""},
        {R"({"hosts": "10.0.0.5", "ip": 7})", "hosts"},
        {"[]", ""},
        {"{broken", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.json);
        const tests::TestTree tree;
        tree.put("/etc/docker/daemon.json", row.json);
        const std::string note = row.note;
        CHECK(found(tree, "docker-host-settings") ==
              (note.empty() ? Lines{} : Lines{"write /etc/docker/daemon.json (" + note + ")"}));
    }
}

}  // namespace docker_state_test
}  // namespace prebake::identity
