#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "agent/identity/survey.h"
#include "tests/unit/identity/items_fixtures.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::identity {
namespace {

namespace fs = std::filesystem;

/// Everything that matters of a file; empty if there is none.
std::string describe(const fs::path& path) {
    const fs::file_status status = fs::symlink_status(path);
    if (!fs::exists(status)) return {};
    std::ostringstream text;
    if (fs::is_symlink(status)) {
        text << "link to " << fs::read_symlink(path).string();
        return text.str();
    }
    text << std::oct << static_cast<unsigned>(status.permissions()) << " ";
    if (fs::is_directory(status)) {
        text << "directory";
    } else {
        text << "file " << std::ifstream(path, std::ios::binary).rdbuf();
    }
    return text.str();
}

fs::path below(const fs::path& root, const FixtureFile& file) {
    std::string path = file.path;
    if (path.ends_with('/')) path.pop_back();
    return root / fs::path(path).relative_path();
}

/// As `file` must be when its item is sealed.
std::string expected(const FixtureFile& file, const std::string& before) {
    switch (file.after) {
        case FixtureFile::After::gone:
            return {};
        case FixtureFile::After::as_before:
            return before;
        case FixtureFile::After::says: {
            const std::string form = before.substr(0, before.find(' '));
            return form + " file " + file.says;
        }
    }
    return {};
}

const Item* find_item(std::string_view name) {
    const auto item = std::find_if(items().begin(), items().end(),
                                   [name](const Item& it) { return it.name == name; });
    return item == items().end() ? nullptr : &*item;
}

/// Seals one item as seal() does; false if something could not be looked at.
bool seal_item(const machine::Root& root, const Item& item) {
    const Pending pending = survey(root, item, {}, {});
    for (const Change& change : pending.changes) apply(root, change);
    return pending.problems.empty();
}

/// One or two short sentences.
bool is_description(std::string_view text) {
    const std::size_t first_end = std::min(text.find(". "), text.size());
    return text.size() > 1 && text.size() <= 200 && text.ends_with('.') &&
           text.find(". ", first_end + 1) == std::string_view::npos &&
           text.find('\n') == std::string_view::npos && text.find("  ") == std::string_view::npos;
}

bool is_pattern(std::string_view pattern) {
    return (pattern.starts_with('/') || pattern.starts_with("~/")) && !pattern.ends_with('/') &&
           pattern.find("//") == std::string_view::npos &&
           pattern.find("..") == std::string_view::npos;
}

bool holds_wildcard(std::string_view pattern) {
    return pattern.find_first_of("*?[") != std::string_view::npos;
}

}  // namespace

TEST_CASE("items: each one describes itself") {
    std::set<std::string_view> names;
    for (const Item& item : items()) {
        CAPTURE(item.name);
        CHECK(names.insert(item.name).second);
        CHECK_FALSE(item.name.empty());
        CHECK(item.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
              std::string_view::npos);
        CHECK(is_description(item.why));
        CHECK(is_description(item.regeneration));
        CHECK((!item.targets.empty() || item.extra_changes != nullptr));
        CHECK((item.extra_changes != nullptr) == !item.extra_description.empty());
        for (const Target& target : item.targets) CHECK(is_pattern(target.pattern));
        for (const std::string_view proof : item.proofs) CHECK(is_pattern(proof));
        // What is never removed, or only on request, cannot be removed from a clone unasked.
        CHECK((item.by_default == Default::on || item.on_clone == OnClone::keep));
    }
}

TEST_CASE("items: the order of work that their rules need") {
    std::vector<std::string_view> order;
    for (const Item& item : items()) order.push_back(item.name);
    const auto place_of = [&order](std::string_view name) {
        const auto place = std::find(order.begin(), order.end(), name);
        REQUIRE(place != order.end());
        return place - order.begin();
    };
    // These two look for the names that the others remove.
    for (const char* const first : {"hosts", "mail-name"}) {
        CHECK(place_of(first) < place_of("hostname"));
        CHECK(place_of(first) < place_of("cloud-init"));
    }
    // A part is reported by its own item, and not by the one that removes the whole directory.
    CHECK(place_of("nomad") < place_of("nomad-data"));
    CHECK(place_of("tailscale") < place_of("tailscale-data"));
    CHECK(place_of("nodeadm") < place_of("kubeadm"));
    CHECK(place_of("installer-remains") < place_of("logs"));
    CHECK(place_of("login-records") < place_of("logs"));
    // What a build needs until its end, and what it writes until then.
    const std::vector<std::string_view> last{"ssm-agent", "login-records", "resolv-conf",
                                             "temporary-files", "logs"};
    CHECK(std::equal(last.rbegin(), last.rend(), order.rbegin()));
}

TEST_CASE("items: each one has a fixture, and each fixture an item") {
    std::set<std::string_view> with_fixture;
    for (const Fixture& fixture : all_fixtures()) {
        CAPTURE(fixture.item);
        CHECK(find_item(fixture.item) != nullptr);
        CHECK(with_fixture.insert(fixture.item).second);
        const auto stays_as_it_is = [](const FixtureFile& file) {
            return file.after == FixtureFile::After::as_before;
        };
        CHECK(std::any_of(fixture.files.begin(), fixture.files.end(), stays_as_it_is));
        CHECK_FALSE(std::all_of(fixture.files.begin(), fixture.files.end(), stays_as_it_is));
    }
    for (const Item& item : items()) {
        CAPTURE(item.name);
        CHECK(with_fixture.count(item.name) == 1);
    }
}

TEST_CASE("items: each one is found and sealed, and other files are not changed") {
    for (const Fixture& fixture : all_fixtures()) {
        const Item* const item = find_item(fixture.item);
        REQUIRE(item != nullptr);
        CAPTURE(item->name);
        const TemporaryDirectory directory;
        make(directory.path(), fixture.files);
        const machine::Root root(directory.path());
        for (const Target& target : item->targets) {
            CAPTURE(target.pattern);
            if (holds_wildcard(target.pattern)) CHECK_FALSE(root.match(target.pattern).empty());
        }
        std::vector<std::string> before;
        for (const FixtureFile& file : fixture.files)
            before.push_back(describe(below(directory.path(), file)));

        CHECK_FALSE(survey(root, *item, {}, {}).changes.empty());
        CHECK(seal_item(root, *item));

        const Pending after = survey(root, *item, {}, {});
        CHECK(after.changes.empty());
        CHECK(after.problems.empty());
        for (std::size_t i = 0; i < fixture.files.size(); ++i) {
            const FixtureFile& file = fixture.files[i];
            CAPTURE(file.path);
            CHECK_FALSE(before[i].empty());
            CHECK(describe(below(directory.path(), file)) == expected(file, before[i]));
        }
    }
}

TEST_CASE("items: proofs match before the seal, and not after") {
    for (const Fixture& fixture : all_fixtures()) {
        const Item* const item = find_item(fixture.item);
        REQUIRE(item != nullptr);
        if (item->proofs.empty()) continue;
        CAPTURE(item->name);
        const TemporaryDirectory directory;
        make(directory.path(), fixture.files);
        const machine::Root root(directory.path());
        std::vector<std::pair<std::string, std::string>> proofs;
        for (const std::string_view pattern : item->proofs) {
            for (const std::string& path : root.match(pattern))
                proofs.emplace_back(path, root.read(path, 1 << 20).value_or(""));
        }
        CHECK_FALSE(proofs.empty());
        seal_item(root, *item);
        for (const auto& proof : proofs) {
            CAPTURE(proof.first);
            CHECK_FALSE(proof.second.empty());
            CHECK(root.read(proof.first, 1 << 20).value_or("") != proof.second);
        }
    }
}

TEST_CASE("items: a machine with all items is sealed in one pass") {
    const TemporaryDirectory directory;
    std::set<std::string> made;
    for (const Fixture& fixture : all_fixtures()) {
        for (const FixtureFile& file : fixture.files) {
            if (made.insert(file.path).second) make(directory.path(), {file});
        }
    }
    const machine::Root root(directory.path());
    for (const Item& item : items()) {
        if (item.by_default == Default::report) continue;
        CAPTURE(item.name);
        CHECK(seal_item(root, item));
    }
    for (const Item& item : items()) {
        CAPTURE(item.name);
        const Pending pending = survey(root, item, {}, {});
        CHECK(pending.problems.empty());
        CHECK(pending.changes.empty() == (item.by_default != Default::report));
    }
    // What makes the tree a machine, and what was baked.
    for (const char* const path :
         {"/etc/machine-id", "/etc/hosts", "/etc/fstab", "/etc/passwd", "/etc/ssh/sshd_config",
          "/var/lib/docker/image/overlay2/repositories.json",
          "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", "/tmp", "/var/tmp"}) {
        CAPTURE(path);
        CHECK(root.info(path));
    }
}

TEST_CASE("items: a tree with nothing in it is clean") {
    const TemporaryDirectory directory;
    const machine::Root root(directory.path());
    for (const Item& item : items()) {
        CAPTURE(item.name);
        const Pending pending = survey(root, item, {}, {});
        CHECK(pending.changes.empty());
        CHECK(pending.problems.empty());
    }
}

TEST_CASE("items: a clone of a booted machine loses no data") {
    const TemporaryDirectory directory;
    std::set<std::string> made;
    for (const Fixture& fixture : all_fixtures()) {
        for (const FixtureFile& file : fixture.files) {
            if (made.insert(file.path).second) make(directory.path(), {file});
        }
    }
    const machine::Root root(directory.path());
    const auto is_there = [&root](const char* path) { return root.info(path).has_value(); };
    const std::vector<const char*> data{"/opt/consul/data/raft/raft.db",
                                        "/opt/consul/data/node-id",
                                        "/opt/consul/serf/local.keyring",
                                        "/opt/nomad/data/server/raft/raft.db",
                                        "/opt/nomad/data/client/state.db",
                                        "/opt/nomad/data/alloc/9f2a/alloc/data/db",
                                        "/var/lib/docker/swarm/raft/wal-v3-encrypted/0-0.wal",
                                        "/var/lib/docker/volumes/db/_data/PG_VERSION",
                                        "/var/lib/etcd/member/snap/db",
                                        "/var/lib/rancher/k3s/server/db/state.db",
                                        "/etc/puppetlabs/puppet/ssl/ca/ca_key.pem",
                                        "/var/lib/tailscale/files/admin-uid-1/photo.jpg",
                                        "/var/lib/containers/storage/secrets/secrets.json"};
    for (const char* const path : data) {
        CAPTURE(path);
        REQUIRE(is_there(path));
    }
    for (const Item& item : items()) {
        if (item.on_clone == OnClone::renew) CHECK(seal_item(root, item));
    }
    for (const char* const path : data) {
        CAPTURE(path);
        CHECK(is_there(path));
    }
    CHECK_FALSE(is_there("/opt/consul/node-id"));
    CHECK_FALSE(is_there("/var/lib/docker/engine-id"));
}

TEST_CASE("items: what a clone of a booted machine loses identifies a machine, not its users") {
    const std::set<std::string_view> renewed{"cloud-init",
                                             "consul",
                                             "containerd",
                                             "dhcp-leases",
                                             "docker",
                                             "ecs-agent",
                                             "google-agent",
                                             "hostid",
                                             "hostname",
                                             "hosts",
                                             "iscsi-initiator",
                                             "kubelet",
                                             "kubelet-state",
                                             "localhost-certificate",
                                             "machine-id",
                                             "netdata",
                                             "network-manager",
                                             "nomad",
                                             "nvme-host",
                                             "osquery",
                                             "pod-network",
                                             "puppet",
                                             "random-seed",
                                             "salt",
                                             "snakeoil-certificate",
                                             "ssh-host-keys",
                                             "ssm-agent",
                                             "tailscale",
                                             "teleport",
                                             "zerotier"};
    for (const Item& item : items()) {
        CAPTURE(item.name);
        CHECK((item.on_clone == OnClone::renew) == (renewed.count(item.name) == 1));
    }
}

}  // namespace prebake::identity
