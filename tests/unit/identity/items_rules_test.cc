#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/identity/items/builder_names.h"
#include "agent/identity/items/hosts.h"
#include "agent/identity/items/old_logs.h"
#include "agent/identity/items/registry_config.h"
#include "agent/identity/items/temporary_files.h"
#include "agent/identity/survey.h"
#include "tests/unit/identity/items_fixtures.h"
#include "tests/unit/machine/in_child.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::identity {
namespace {

/// What `survey` finds for an item in a tree of `files`: "remove /a", "truncate /b", "write /c".
std::vector<std::string> pending(std::string_view item_name, const std::vector<FixtureFile>& files,
                                 const ItemSettings& settings = {}) {
    const TemporaryDirectory directory;
    make(directory.path(), files);
    const machine::Root root(directory.path());
    const auto item = std::find_if(items().begin(), items().end(),
                                   [item_name](const Item& it) { return it.name == item_name; });
    REQUIRE(item != items().end());
    const Pending found = survey(root, *item, settings, {});
    CHECK(found.problems.empty());
    std::vector<std::string> changes;
    for (const Change& change : found.changes) {
        constexpr const char* kKinds[] = {"remove ", "truncate ", "write "};
        changes.push_back(kKinds[static_cast<int>(change.kind)] + change.path);
        // Whatever was found is not found any more once it is done.
        apply(root, change);
    }
    CHECK(survey(root, *item, settings, {}).changes.empty());
    return changes;
}

using Changed = std::vector<std::string>;

}  // namespace

TEST_CASE("machine-id: every state, in both formats") {
    const std::string id = "4c2b7f0e9d1a4b6f8c3e5d7a9b1c2d3e\n";
    const FixtureFile systemd = stays("/usr/lib/systemd/systemd", "ELF", 0755);
    const Changed none;
    const Changed write{"write /etc/machine-id"};
    const Changed truncate{"truncate /etc/machine-id"};
    const Changed dbus{"remove /var/lib/dbus/machine-id"};
    struct Row {
        const char* name;
        std::vector<FixtureFile> files;
        Changed if_empty_wanted;
        Changed if_uninitialized_wanted;
    };
    const std::vector<Row> rows{
        {"an id", {gone("/etc/machine-id", id, 0444)}, truncate, write},
        {"empty", {gone("/etc/machine-id", "", 0444)}, none, write},
        {"uninitialized", {gone("/etc/machine-id", "uninitialized\n", 0444)}, truncate, none},
        {"uninitialized without an end",
         {gone("/etc/machine-id", "uninitialized")},
         truncate,
         write},
        {"much too long", {gone("/etc/machine-id", std::string(9000, 'a'))}, truncate, write},
        {"missing where systemd boots", {systemd}, write, write},
        {"missing where nothing boots", {stays("/etc/hostname", "")}, none, none},
        {"a link to dbus's",
         {gone_link("/etc/machine-id", "/var/lib/dbus/machine-id"),
          gone("/var/lib/dbus/machine-id", id)},
         {dbus[0], write[0]},
         {dbus[0], write[0]}},
        {"a link into nowhere", {gone_link("/etc/machine-id", "/run/machine-id")}, write, write},
        {"dbus links to it",
         {gone("/etc/machine-id", ""), stays_link("/var/lib/dbus/machine-id", "/etc/machine-id")},
         none,
         write},
        {"dbus links to it, relatively",
         {gone("/etc/machine-id", ""),
          stays_link("/var/lib/dbus/machine-id", "../../../etc/machine-id")},
         none,
         write},
        {"dbus links elsewhere",
         {gone("/etc/machine-id", ""), gone("/srv/old-id", id),
          gone_link("/var/lib/dbus/machine-id", "/srv/old-id")},
         dbus,
         {dbus[0], write[0]}},
        {"dbus has a copy",
         {gone("/etc/machine-id", ""), gone("/var/lib/dbus/machine-id", id)},
         dbus,
         {dbus[0], write[0]}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(pending("machine-id", row.files) == row.if_empty_wanted);
        CHECK(pending("machine-id", row.files, {MachineIdFormat::uninitialized}) ==
              row.if_uninitialized_wanted);
    }
}

TEST_CASE("machine-id: a link is replaced, its target is not changed") {
    const TemporaryDirectory directory;
    make(directory.path(),
         {gone_link("/etc/machine-id", "/srv/machine-id"), stays("/srv/machine-id", "ours\n")});
    const machine::Root root(directory.path());
    for (const Item& item : items()) {
        if (item.name != "machine-id") continue;
        for (const Change& change : survey(root, item, {}, {}).changes) apply(root, change);
    }
    CHECK(root.read("/srv/machine-id", 100) == "ours\n");
    REQUIRE(root.info("/etc/machine-id"));
    CHECK(root.info("/etc/machine-id")->type == machine::FileType::regular);
    CHECK(root.info("/etc/machine-id")->size == 0);
}

TEST_CASE("hosts: the builder's names are removed, all else stays") {
    const std::vector<std::string> names{"builder"};
    const std::string local = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n";
    struct Row {
        const char* name;
        std::string before;
        std::string after;  // the same: nothing to do
    };
    const std::vector<Row> rows{
        {"nothing of it", local + "10.0.0.9 db.example db\n", local + "10.0.0.9 db.example db\n"},
        {"Debian's own line", local + "127.0.1.1 builder.example builder\n", local},
        {"127.0.1.1 under another name", local + "127.0.1.1\tformer\n", local},
        {"by its address", local + "10.0.3.17 builder\n", local},
        {"with a domain", local + "10.0.3.17 builder.example\n", local},
        {"beside localhost", "127.0.0.1 localhost builder\n", "127.0.0.1 localhost\n"},
        {"beside another", local + "10.0.3.17 builder cache # x\n", local + "10.0.3.17 cache\n"},
        {"an EC2 name", local + "10.0.3.17 ip-10-0-3-17.ec2.internal ip-10-0-3-17\n", local},
        {"an EC2 resource name", local + "10.0.3.17 i-0123456789abcdef0.ec2.internal\n", local},
        {"in capitals", local + "10.0.3.17 BUILDER\n", local},
        {"a longer name", local + "10.0.3.18 builder2\n", local + "10.0.3.18 builder2\n"},
        {"not an EC2 name", local + "10.0.0.1 ip-cam\n", local + "10.0.0.1 ip-cam\n"},
        {"no localhost", "10.0.0.9 db\n", local + "10.0.0.9 db\n"},
        {"localhost in a comment only", "# localhost\n", local + "# localhost\n"},
        {"empty", "", local},
        {"Amazon Linux", "127.0.0.1   localhost localhost.localdomain\n::1  localhost6\n",
         "127.0.0.1   localhost localhost.localdomain\n::1  localhost6\n"},
        {"blank lines and comments", local + "\n# ours\n\n", local + "\n# ours\n\n"},
        {"no end of line", "127.0.0.1 localhost", "127.0.0.1 localhost"},
        {"a first boot's block",
         local + "# prebake: begin\n10.0.3.17 node\n# prebake: end\n10.0.0.9 db\n",
         local + "10.0.0.9 db\n"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const std::optional<std::string> sealed = sealed_hosts(row.before, names);
        CHECK(sealed.value_or(row.before) == row.after);
        CHECK(sealed.has_value() == (row.before != row.after));
        CHECK_FALSE(sealed_hosts(row.after, names));
    }
}

TEST_CASE("hosts: two full names must be equal") {
    CHECK(names_builder("db.a.example", {"db.a.example"}));
    CHECK(names_builder("db", {"db.a.example"}));
    CHECK_FALSE(names_builder("db.b.example", {"db.a.example"}));
    CHECK(names_builder("db.b.example", {"db"}));
    CHECK_FALSE(names_builder("ip-10-0-3", {}));
    CHECK_FALSE(names_builder("i-love", {}));
}

TEST_CASE("resolv-conf: only a generated file is removed") {
    struct Row {
        const char* name;
        FixtureFile file;
        bool goes;
    };
    const std::string path = "/etc/resolv.conf";
    const std::vector<Row> rows{
        {"NetworkManager's", gone(path, "# Generated by NetworkManager\nnameserver 10.0.0.2\n"),
         true},
        {"dhclient's", gone(path, "; generated by /usr/sbin/dhclient-script\n"), true},
        {"cloud-init's", gone(path, "; Created by cloud-init automatically, do not edit.\n"), true},
        {"a copy of resolved's", gone(path, "# This is managed by man:systemd-resolved(8).\n"),
         true},
        {"dhcpcd's", gone(path, "# Generated by dhcpcd from eth0.dhcp\n"), true},
        {"resolvconf's",
         gone(path, "# Dynamic resolv.conf(5) file generated by resolvconf(8)\n#  DO NOT EDIT\n"),
         true},
        {"netconfig's", gone(path, "### /etc/resolv.conf file autogenerated by netconfig!\n"),
         true},
        {"Puppet's", gone(path, "# This file is managed by Puppet\n"), false},
        {"Ansible's", gone(path, "# Managed by Ansible, not by NetworkManager\n"), false},
        {"a script's of like name", gone(path, "# generated by resolvconfig2\n"), false},
        {"an administrator's", gone(path, "# ours\nnameserver 192.0.2.53\n"), false},
        {"named like a sign", gone(path, "search generated by\n"), false},
        {"resolved's link", gone_link(path, "../run/systemd/resolve/stub-resolv.conf"), false},
        {"any link", gone_link(path, "/run/NetworkManager/resolv.conf"), false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(pending("resolv-conf", {row.file}) ==
              (row.goes ? Changed{"remove /etc/resolv.conf"} : Changed{}));
    }
}

TEST_CASE("resolv-conf: a link stays even if its target was generated") {
    CHECK(pending("resolv-conf",
                  {gone_link("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"),
                   gone("/run/systemd/resolve/resolv.conf", "# managed by systemd-resolved\n")})
              .empty());
}

TEST_CASE("iscsi-initiator: a request for a name where it is supported, else no file") {
    const std::string path = "/etc/iscsi/initiatorname.iscsi";
    const FixtureFile named = gone(path, "InitiatorName=iqn.1994-05.com.redhat:a1b2\n", 0600);
    const FixtureFile asking = gone(path, "GenerateName=yes\n", 0600);
    const FixtureFile script = stays("/usr/lib/open-iscsi/startup-checks.sh");
    CHECK(pending("iscsi-initiator", {named}) == Changed{"remove " + path});
    CHECK(pending("iscsi-initiator", {asking}) == Changed{"remove " + path});
    CHECK(pending("iscsi-initiator", {named, script}) == Changed{"write " + path});
    CHECK(pending("iscsi-initiator", {named, stays("/lib/open-iscsi/startup-checks.sh")}) ==
          Changed{"write " + path});
    CHECK(pending("iscsi-initiator", {asking, script}).empty());
    // It is not installed: a file must not appear.
    CHECK(pending("iscsi-initiator", {script}).empty());
}

TEST_CASE("cloud-init-sshd: what only forbids passwords stays") {
    const std::string path = "/etc/ssh/sshd_config.d/50-cloud-init.conf";
    CHECK(pending("cloud-init-sshd", {gone(path, "PasswordAuthentication no\n")}).empty());
    CHECK(pending("cloud-init-sshd", {gone(path, "# by us\npasswordauthentication NO\n")}).empty());
    CHECK(pending("cloud-init-sshd", {gone(path, "PasswordAuthentication yes\n")}) ==
          Changed{"remove " + path});
    CHECK(
        pending("cloud-init-sshd", {gone(path, "PasswordAuthentication no\nPermitRootLogin yes\n")})
            .size() == 1);
}

TEST_CASE("cloud-init-network: nothing else would restore the network") {
    const FixtureFile rendered = gone("/etc/netplan/50-cloud-init.yaml", "network: {}\n", 0600);
    const FixtureFile program = stays("/usr/bin/cloud-init");
    const auto configured = [](const std::string& text) {
        return stays("/etc/cloud/cloud.cfg.d/99-net.cfg", text);
    };
    CHECK(pending("cloud-init-network", {rendered, program}).size() == 1);
    CHECK(pending("cloud-init-network", {rendered}).empty());
    CHECK(pending("cloud-init-network",
                  {rendered, program, stays("/etc/cloud/cloud-init.disabled", "")})
              .empty());
    CHECK(pending("cloud-init-network",
                  {rendered, program, configured("network: {config: disabled}\n")})
              .empty());
    CHECK(pending("cloud-init-network",
                  {rendered, program, configured("network:\n  config: disabled\n")})
              .empty());
    CHECK(pending("cloud-init-network",
                  {rendered, program, configured("# network: {config: disabled}\n")})
              .size() == 1);
}

TEST_CASE("installer-config: only if cloud-init configures the clone then") {
    const FixtureFile program = stays("/usr/bin/cloud-init", "", 0755);
    const FixtureFile netplan = gone("/etc/netplan/00-installer-config.yaml", "network: {}\n");
    const FixtureFile rendered = gone("/etc/netplan/50-cloud-init.yaml", "network: {}\n");
    const FixtureFile no_network =
        gone("/etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg",
             "network: {config: disabled}\n");
    const FixtureFile disabled = gone("/etc/cloud/cloud-init.disabled",
                                      "Disabled by Ubuntu live installer after first boot.\n");
    const FixtureFile disabled_by_us = stays("/etc/cloud/cloud-init.disabled", "");
    const FixtureFile kernel = stays("/proc/cmdline", "ro quiet cloud-init=disabled\n");
    const FixtureFile policy = stays("/etc/cloud/ds-identify.cfg", "policy: enabled\n");
    const auto ours = [](const std::string& text) {
        return stays("/etc/cloud/cloud.cfg.d/99-ours.cfg", text);
    };
    const FixtureFile no_network_by_kernel =
        stays("/proc/cmdline", "ro network-config=disabled quiet\n");
    const FixtureFile kept = stays(netplan.path, netplan.contents);
    const FixtureFile kept_wifi = stays("/etc/netplan/00-installer-config-wifi.yaml");
    const FixtureFile kept_rendered = stays(rendered.path, rendered.contents);
    struct Row {
        const char* name;
        std::vector<FixtureFile> files;
        std::size_t of_installer;
        std::size_t of_cloud_init;
    };
    const std::vector<Row> rows{
        {"20.04 and 22.04", {program, netplan, no_network, rendered}, 2, 1},
        {"24.04", {program, netplan, disabled, rendered}, 2, 1},
        {"no cloud-init", {netplan, no_network, rendered}, 0, 0},
        {"disabled by the administrator", {program, netplan, disabled_by_us, rendered}, 0, 0},
        {"disabled in the boot loader", {program, netplan, disabled, kernel, rendered}, 0, 0},
        {"a policy of the administrator", {program, policy}, 0, 0},
        {"no network by the administrator",
         {program, kept, kept_wifi, no_network, ours("network: {config: disabled}\n"),
          kept_rendered},
         1,
         0},
        {"the same, in quotes",
         {program, kept, kept_wifi, no_network, ours("network:\n  \"config\": \"disabled\"\n"),
          kept_rendered},
         1,
         0},
        {"no network by the boot loader",
         {program, kept, no_network_by_kernel, no_network, kept_rendered},
         1,
         0},
        {"24.04, no network by the administrator",
         {program, kept, disabled, ours("network: {config: disabled}\n"), kept_rendered},
         1,
         0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK(pending("installer-config", row.files).size() == row.of_installer);
        CHECK(pending("cloud-init-network", row.files).size() == row.of_cloud_init);
    }
}

TEST_CASE("cloud-init-users: the file stays if nothing writes it again") {
    const FixtureFile sudoers = gone("/etc/sudoers.d/90-cloud-init-users", "a ALL=(ALL) ALL\n");
    const FixtureFile program = stays("/usr/bin/cloud-init");
    const auto config = [](const std::string& text) { return stays("/etc/cloud/cloud.cfg", text); };
    const FixtureFile usual = config("users:\n - default\ncloud_init_modules:\n - users-groups\n");
    struct Row {
        const char* name;
        std::vector<FixtureFile> files;
        bool goes;
    };
    const std::vector<Row> rows{
        {"as packaged", {program, usual}, true},
        {"as packaged by a later release",
         {program, config("cloud_init_modules:\n - users_groups\n")},
         true},
        {"with its frequency",
         {program, config("cloud_init_modules:\n - [users-groups, always]\n")},
         true},
        {"not installed", {usual}, false},
        {"switched off", {program, usual, stays("/etc/cloud/cloud-init.disabled", "")}, false},
        {"its generator's verdict", {program, usual, stays("/run/cloud-init/disabled", "")}, false},
        {"without the module", {program, config("users:\n - default\n")}, false},
        {"with the module in a comment", {program, config("# - users-groups\n")}, false},
        {"told to create nobody",
         {program, usual, stays("/etc/cloud/cloud.cfg.d/90-ours.cfg", "users: [] # none\n")},
         false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        std::vector<FixtureFile> files = row.files;
        files.push_back(sudoers);
        CHECK(pending("cloud-init-users", files) ==
              (row.goes ? Changed{"remove " + sudoers.path} : Changed{}));
    }
}

TEST_CASE("a clone of a server keeps its data, and what the data is bound to") {
    struct Row {
        const char* item;
        std::vector<FixtureFile> files;
        Changed changes;
    };
    const FixtureFile raft = stays("/opt/consul/raft/raft.db");
    const FixtureFile id = gone("/opt/consul/node-id");
    const FixtureFile swarm = stays("/var/lib/docker/swarm/docker-state.json");
    const Changed id_goes{"remove " + id.path};
    const std::vector<Row> rows{
        {"consul", {id}, id_goes},
        {"consul", {id, stays("/opt/consul/serf/local.snapshot")}, id_goes},
        {"consul", {id, raft}, {}},
        {"consul", {id, raft, gone("/var/lib/consul/node-id")}, {"remove /var/lib/consul/node-id"}},
        {"consul-data", {id}, {}},
        {"consul-data", {id, raft}, {id_goes[0], "remove /opt/consul/raft"}},
        {"docker", {swarm}, {}},
        {"docker-swarm", {swarm}, {"remove /var/lib/docker/swarm"}},
        {"nomad",
         {stays("/opt/nomad/data/server/node-id"), stays("/opt/nomad/data/client/state.db")},
         {}},
        {"puppet", {stays("/etc/puppet/ssl/ca/ca_key.pem")}, {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.item);
        CAPTURE(row.files.size());
        CHECK(pending(row.item, row.files) == row.changes);
    }
}

TEST_CASE("hostid: stays if ZFS pools have it") {
    const FixtureFile id = gone("/etc/hostid", "abcd");
    CHECK(pending("hostid", {id}) == Changed{"remove /etc/hostid"});
    CHECK(pending("hostid", {id, stays("/etc/zfs/zpool.cache")}).empty());
}

TEST_CASE("docker and containerd: state below another root is found") {
    const FixtureFile docker = stays("/etc/docker/daemon.json", R"({"data-root": "/data/docker"})");
    CHECK(pending("docker", {docker, gone("/data/docker/engine-id")}) ==
          Changed{"remove /data/docker/engine-id"});
    CHECK(pending("docker", {stays("/etc/docker/daemon.json", "{broken"),
                             gone("/var/lib/docker/engine-id", "")}) ==
          Changed{"remove /var/lib/docker/engine-id"});
    CHECK(pending("docker", {stays("/etc/docker/daemon.json", R"({"data-root": "/d/../etc"})"),
                             gone("/etc/engine-id")})
              .empty());
    CHECK(pending("docker-swarm", {docker, gone("/data/docker/swarm/state.json")}) ==
          Changed{"remove /data/docker/swarm"});
    CHECK(pending("docker-containers", {docker, gone("/data/docker/containers/9f2a/hosts")}) ==
          Changed{"remove /data/docker/containers/9f2a"});
    const std::string uuid = "/data/containerd/io.containerd.grpc.v1.introspection/uuid";
    const auto config = [](const std::string& text) {
        return stays("/etc/containerd/config.toml", text);
    };
    for (const char* const text :
         {"version = 2\nroot = \"/data/containerd\"\n",
          "root='/data/containerd' # here\nstate = \"/run/containerd\"\n"}) {
        CAPTURE(text);
        CHECK(pending("containerd", {config(text), gone(uuid)}) == Changed{"remove " + uuid});
    }
    // Of a plugin, not of containerd.
    CHECK(pending("containerd", {config("[plugins.x]\nroot = \"/data/containerd\"\n"), gone(uuid)})
              .empty());
    CHECK(pending("containerd-containers",
                  {config("root = \"/data/containerd\"\n"),
                   gone("/data/containerd/io.containerd.runtime.v2.task/k8s.io/9f2a/work")}) ==
          Changed{"remove /data/containerd/io.containerd.runtime.v2.task/k8s.io/9f2a"});
}

TEST_CASE("registry-credentials: credentials are removed, helpers stay") {
    using Verdict = RegistryConfig::Verdict;
    struct Row {
        const char* name;
        const char* before;
        Verdict verdict;
        const char* rest;
    };
    const std::vector<Row> rows{
        {"a password", R"({"auths":{"r":{"auth":"dTpw"}}})", Verdict::removed, ""},
        {"a token", R"({"auths":{"r":{"identitytoken":"t"}}})", Verdict::removed, ""},
        {"a helper beside it", R"({"auths":{"r":{"auth":"dTpw"}},"credsStore":"ecr-login"})",
         Verdict::rewritten, "{\"credsStore\":\"ecr-login\"}\n"},
        {"one of two", R"({"auths":{"r":{"auth":"dTpw"},"s":{}}})", Verdict::rewritten,
         "{\"auths\":{\"s\":{}}}\n"},
        {"headers", R"({"HttpHeaders":{"Authorization":"x"},"auths":{}})", Verdict::removed, ""},
        {"a helper alone", R"({"credHelpers":{"r":"ecr-login"}})", Verdict::stays, ""},
        {"empty entries", R"({"auths":{"r":{}},"credsStore":"pass"})", Verdict::stays, ""},
        {"an empty password", R"({"auths":{"r":{"auth":""}}})", Verdict::stays, ""},
        {"an entry of another form", R"({"auths":{"r":"dTpw"}})", Verdict::removed, ""},
        {"auths of another form", R"({"auths":["dTpw"],"a":1})", Verdict::rewritten, "{\"a\":1}\n"},
        {"no JSON", "auth = dTpw", Verdict::removed, ""},
        {"another JSON", "[1]", Verdict::removed, ""},
        {"an empty object", "{}", Verdict::stays, ""},
        {"an empty file", " \n", Verdict::stays, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const RegistryConfig config = without_credentials(row.before);
        CHECK(config.verdict == row.verdict);
        CHECK(config.rest == row.rest);
        if (config.verdict == Verdict::rewritten)
            CHECK(without_credentials(config.rest).verdict == Verdict::stays);
    }
}

TEST_CASE("network-profiles: a UUID that another profile refers to stays") {
    const std::string path = "/etc/NetworkManager/system-connections/";
    const FixtureFile bridge = gone(path + "br0.nmconnection", "[connection]\nuuid=aa-bb\n", 0600);
    CHECK(pending("network-profiles", {bridge}).size() == 1);
    CHECK(pending("network-profiles",
                  {bridge, stays(path + "p.nmconnection", "[connection]\ncontroller=aa-bb\n")})
              .empty());
    CHECK(pending("network-profiles",
                  {gone_link("/etc/sysconfig/network-scripts/ifcfg-eth0", "/srv/ifcfg"),
                   stays("/srv/ifcfg", "HWADDR=02:11\n")})
              .empty());
}

TEST_CASE("network-profiles: ifcfg files refer to each other, and to keyfiles") {
    const std::string path = "/etc/sysconfig/network-scripts/ifcfg-";
    const FixtureFile bond = gone(path + "bond0", "DEVICE=bond0\nUUID=\"AA-BB\"\n");
    CHECK(pending("network-profiles", {bond}) == Changed{"write " + path + "bond0"});
    const FixtureFile keyfile =
        gone("/etc/NetworkManager/system-connections/bond0.nmconnection", "uuid=aa-bb\n", 0600);
    for (const char* const line :
         {"MASTER_UUID=aa-bb\n", "BRIDGE_UUID=\"aa-bb\"\n", "TEAM_MASTER_UUID='AA-BB'\n",
          "PHYSDEV=aa-bb\n", "SECONDARY_UUIDS=\"cc-dd aa-bb\"\n"}) {
        CAPTURE(line);
        CHECK(pending("network-profiles", {bond, stays(path + "eth0", line)}).empty());
        CHECK(pending("network-profiles", {keyfile, stays(path + "eth0", line)}).empty());
    }
    for (const char* const line : {"MASTER_UUID=aa-bb-cc\n", "MASTER_UUID=\n", "X=xaa-bb\n"}) {
        CAPTURE(line);
        CHECK(pending("network-profiles", {bond, stays(path + "eth0", line)}).size() == 1);
    }
    // Its own UUID alone is referred to by nobody, however often.
    CHECK(pending("network-profiles", {bond, gone(path + "eth0", "UUID=AA-BB\n")}).size() == 2);
}

TEST_CASE("logs: a file system of their own is cleaned if it is known to hold logs") {
    const TemporaryDirectory directory;
    make(directory.path(),
         {stays("/var/log/audit/"), stays("/var/log/backup/"), gone("/disk/audit.log"),
          gone("/disk/audit.log.1"), gone("/disk/empty", "")});
    const std::string found = tests::in_own_mounts([&]() -> std::string {
        for (const char* const target : {"/var/log/audit", "/var/log/backup"})
            tests::bind(directory.path() / "disk", directory.path().string() + target);
        const machine::Root root(directory.path());
        const auto item = std::find_if(items().begin(), items().end(),
                                       [](const Item& it) { return it.name == "logs"; });
        std::string told;
        const Pending pending = survey(root, *item, {}, {});
        for (const Change& change : pending.changes) {
            told += change.path + "\n";
            apply(root, change);
        }
        told += std::to_string(survey(root, *item, {}, {}).changes.size()) + " left\n";
        // Other problems come from mounts of this machine.
        for (const Error& problem : pending.problems) {
            const std::string_view text = problem.what();
            told += text.find("/var/log/backup") != std::string_view::npos ? "backup\n" : text;
        }
        return told;
    });
    CHECK(found == "/var/log/audit/audit.log\n/var/log/audit/audit.log.1\n0 left\nbackup\n");
}

TEST_CASE("logs: names of logs that are no longer written") {
    for (const char* const name :
         {"syslog.1", "audit.log.12", "syslog.2.gz", "messages-20240131", "secure-20240131.xz",
          "app-2024-01-31.log", "app.20240131.log", "access.log-20240131-1706659200", "x.old",
          "amazon-ssm-agent-audit-2024-01-31", "system@0005-1.journal~", "boot.log-20240131"}) {
        CAPTURE(name);
        CHECK(is_old_log(name));
    }
    for (const char* const name :
         {"syslog", "audit.log", "postgresql-15-main.log", "wtmp", "node-12345678.log", "app-2.log",
          "x.12345", "x-202401311.log", "x-2024-0131", "journal", "", ".", "20240131"}) {
        CAPTURE(name);
        CHECK_FALSE(is_old_log(name));
    }
}

TEST_CASE("temporary-files: directories of this boot's services are in use") {
    const std::string boot = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    CHECK(is_in_use("systemd-private-" + boot + "-chronyd.service-x1Y2", boot));
    CHECK(is_in_use("snap-private-tmp", boot));
    CHECK(is_in_use(".X11-unix", boot));
    CHECK_FALSE(is_in_use("systemd-private-ffff2c3d4e5f60718293a4b5c6d7e8f9-a.service-x", boot));
    CHECK_FALSE(is_in_use("systemd-private-x", ""));
    CHECK_FALSE(is_in_use("packer-" + boot, boot));
    CHECK_FALSE(is_in_use("script_1234.sh", boot));
}

}  // namespace prebake::identity
