#include "agent/identity/builder_values.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/machine/test_tree.h"

namespace prebake::identity::builder_values_test {

using tests::TestTree;

constexpr const char* kSalt = "00112233445566778899aabbccddeeff";

v1::Seal seal_with(const BuilderValues& values) {
    v1::Seal seal;
    seal.set_salt(kSalt);
    for (const v1::Fingerprint& hash : hashes_of(values, kSalt)) *seal.add_values() = hash;
    return seal;
}

/// The kind of each finding, in the order of the text.
std::vector<std::string> found(ValueFinder finder, const std::string& path,
                               const std::string& text) {
    std::vector<secrets::LocatedSecret> located;
    finder.locate(path, text, 0, text.size(), located);
    std::vector<std::string> kinds;
    for (const auto& one : located) {
        CHECK(one.evidence == secrets::Evidence::value);
        kinds.emplace_back(one.kind);
    }
    return kinds;
}

TEST_CASE("values of the builder in a text, in plain and by their hashes") {
    struct Row {
        std::string name;
        std::string path;
        std::string text;
        std::string expected;  // the beginning of the kind; "" for nothing
    };
    const std::string kName = "the builder's host name";
    const std::string kMac = "the builder's MAC";
    const std::string kOther = "a MAC address";
    const std::vector<Row> rows{
        {"a name", "/etc/salt/minion", "id: golden-vm\n", kName},
        {"in upper case", "/etc/a", "ID = GOLDEN-VM\n", kName},
        {"with a domain", "/etc/a", "id: golden-vm.corp.example\n", kName},
        {"in a comment", "/etc/a", "# made on golden-vm\n", ""},
        {"of a user there", "/etc/a", "ssh-ed25519 AAAA root@golden-vm\n", kName},
        {"in a URL", "/etc/a", "url = https://golden-vm:8443/\n", kName},
        {"at the end of a sentence", "/etc/a", "This is golden-vm.\n", kName},
        {"without a line end", "/etc/a", "golden-vm", kName},
        {"a longer name", "/etc/a", "id: golden-vm2\n", ""},
        {"a part of a name", "/etc/a", "id: my-golden-vm\n", ""},
        {"a label that is not the first", "/etc/a", "id: db.golden-vm.example\n", ""},
        {"elsewhere", "/opt/a", "id: golden-vm\n", ""},
        {"in a seed", "/var/lib/cloud/seed/nocloud/meta-data", "local-hostname: golden-vm\n",
         kName},
        {"in a binary file", "/etc/a", std::string("golden-vm\0", 10), ""},
        {"a full name", "/etc/a", "id: web.corp.example\n", kName},
        {"another full name", "/etc/a", "id: web.other.example\n", ""},
        {"the label of a full name, as a word", "/etc/a", "docroot web\n", ""},
        {"the label of a full name, as a host", "/etc/a", "hostname: web\n", kName},
        {"an ordinary word", "/etc/passwd", "ubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n", ""},
        {"an ordinary word, as a host", "/etc/a.conf", "Hostname=ubuntu\n", kName},
        {"an ordinary word in a domain", "/etc/a", "deb http://ubuntu.example x\n", ""},
        {"an ordinary word in a comment", "/etc/a", "# the host ubuntu\n", ""},
        {"a setting in a comment", "/etc/a", "#hostname: ubuntu\n", ""},
        {"a short name", "/etc/a", "driver = rke2\n", ""},
        {"a short name in a path", "/etc/a", "node-token: /etc/rke2/token\n", ""},
        {"a short name in a label", "/etc/a", "node-label=role=rke2\n", ""},
        {"a short name in a comment", "/etc/a", "; the host rke2\n", ""},
        {"a short name in a domain", "/etc/a", "url: https://rke2.example\n", ""},
        {"a short name, as a node", "/etc/a", "node-name: \"rke2\"\n", kName},
        {"a short name, as an option", "/etc/a", "ARGS=--hostname-override=RKE2\n", kName},
        {"a short name, in JSON", "/etc/a", "{\"fqdn\":\"rke2.example\"}\n", kName},
        {"a short name, of ssh", "/etc/a", "Host rke2\n", kName},
        {"localhost", "/etc/a", "host: localhost\n", ""},
        {"an EC2 name", "/etc/a", "id: ip-10-0-3-17.eu-west-1.compute.internal\n", kName},
        {"an EC2 name in a comment", "/etc/a", "# ip-10-0-3-17\n", kName},
        {"an EC2 instance", "/etc/a", "id: i-0123456789abcdef0\n", "an EC2 instance"},
        {"an EC2 instance in a comment", "/etc/a", "# id: i-0123456789abcdef0\n", ""},
        {"its name in a comment", "/etc/a", "# i-0123456789abcdef0.ec2.internal\n", ""},

        // Shorter names.
        {"of postfix", "/etc/postfix/main.cf", "mydestination = base-vm, localhost\n", kName},
        {"of a web server", "/etc/apache2/a.conf", "ServerName base-vm\n", kName},
        {"in a list of k3s", "/etc/rancher/k3s/config.yaml", "tls-san:\n  - base-vm\n", kName},
        {"anywhere", "/etc/a", "backup base-vm daily\n", kName},
        {"a part of a longer name", "/etc/a", "a base-vms my-base-vm base-vm-2\n", ""},
        {"in a comment of postfix", "/etc/postfix/main.cf", "# base-vm\n", ""},
        {"with a digit", "/etc/a", "peer node7\n", kName},
        {"with too few characters", "/etc/a", "path vm1 vm1.img\n", ""},
        {"the same, by its setting", "/etc/a", "ServerAlias www vm1\n", kName},
        {"by a name", "/etc/a", "[member]\nname = \"vm1\"\n", kName},
        {"the name of a user", "/etc/a", "username: vm1\n", ""},
        {"a word, by its setting", "/etc/nginx/a", "  server_name golden;\n", kName},
        {"a word, among several", "/etc/postfix/main.cf", "mydestination = a, golden, b\n", kName},
        {"a word in a domain", "/etc/a", "domain=golden.corp.example\n", kName},
        {"a word in a list", "/etc/a.yaml", "tls-san: [a, golden]\n", kName},
        {"an item of a list", "/etc/a.yaml", "tls-san:\n- a\n# x\n\n- \"golden\"\n", kName},
        {"an item of another list", "/etc/a.yaml",
         "tls-san:\n  - a\ntags:\n  - b:\n    - x\n  - golden\n", ""},
        {"an item of hosts", "/etc/a.yaml", "hosts:\n  all:\n  - golden\nhosts:\n  - golden\n",
         kName},
        {"an item below a value", "/etc/a.yaml", "server: x\n  - golden\n", ""},
        {"a word, elsewhere", "/etc/a", "color = golden\nname: golden\nthousand=golden\n", ""},
        {"a word, in a path", "/etc/a", "server /srv/golden\n", ""},
        {"a system", "/etc/a", "server debian\ndomain=debian\ntls-san:\n  - debian\n", ""},
        {"a system, of cloud-init", "/etc/cloud/cloud.cfg",
         "system_info:\n  distro: debian\n  default_user:\n    name: debian\n", ""},
        {"a system, as a host", "/etc/a", "hosts:\n  - debian\n", kName},
        {"localhost, by its setting", "/etc/a", "mydestination = localhost, localhost.x\n", ""},
        {"words like EC2's names", "/etc/network/if-up.d/a", "ip-up ip-down ip-10-0\n", ""},

        {"netplan", "/etc/netplan/a.yaml", "        macaddress: \"00:50:56:aa:bb:cd\"\n", kOther},
        {"networkd", "/etc/systemd/network/a.link", "[Match]\nMACAddress=00:50:56:AA:BB:CD\n",
         kOther},
        {"several", "/etc/systemd/network/a.link",
         "PermanentMACAddress=02:00:00:00:00:01 00:50:56:AA:BB:CC\n", kOther},
        {"NetworkManager", "/etc/NetworkManager/system-connections/a.nmconnection",
         "mac-address=00:50:56:AA:BB:CD\n", kOther},
        {"ifcfg", "/etc/sysconfig/network-scripts/ifcfg-a", "HWADDR=\"00-50-56-aa-bb-cd\"\n",
         kOther},
        {"ifupdown", "/etc/network/interfaces", "  hwaddress ether 00:50:56:aa:bb:cd\n", kOther},
        {"udev", "/etc/udev/rules.d/a.rules", "ATTR{address}==\"00:50:56:aa:bb:cd\"\n", kOther},
        {"cloud-init", "/etc/cloud/cloud.cfg.d/a.cfg", "mac_address: '00:50:56:aa:bb:cd'\n",
         kOther},
        // Behind a word that is joined to it.
        {"a device's match", "/etc/NetworkManager/conf.d/a.conf",
         "match-device=mac:52:54:00:12:34:56\n", kOther},
        {"unmanaged devices", "/etc/NetworkManager/conf.d/a.conf",
         "unmanaged-devices=interface-name:x;mac:52:54:00:12:34:56\n", kOther},
        {"no default profile", "/etc/NetworkManager/NetworkManager.conf",
         "no-auto-default=00:50:56:aa:bb:cd,\n", kOther},
        {"dracut's name", "/etc/default/grub",
         "GRUB_CMDLINE_LINUX=\"ifname=lan0:52:54:00:12:34:56 ip=lan0:dhcp\"\n", kOther},
        {"dracut's name, like a number", "/etc/default/grub", "x=\"ifname=fade:52:54:00:12:34:56\"",
         kOther},
        {"dracut's address", "/etc/a", "\"ip=lan0:dhcp:1500:52:54:00:12:34:56\"\n", kOther},
        {"dracut's address, no MTU", "/etc/a", "\"ip=lan0:dhcp::52:54:00:12:34:56\"\n", kOther},
        {"PXELINUX", "/etc/dracut.conf.d/a.conf", "x=\"BOOTIF=01-00-50-56-aa-bb-cd\"\n", kOther},
        {"nameif", "/etc/mactab", "eth0 00:50:56:aa:bb:cd\n", kOther},
        {"nameif, a comment", "/etc/mactab", "# eth0 00:50:56:aa:bb:cd\n", ""},
        {"the end of a word", "/etc/a", "mac eth-id-00:50:56:aa:bb:cd\n", kOther},
        {"the builder's own, behind a word", "/etc/a", "x=eth0:00:50:56:aa:bb:cc\n", kMac},
        {"the builder's own, in a word", "/etc/a", "x=id-00-50-56-aa-bb-cc\n", kMac},
        {"Xen's side", "/etc/NetworkManager/NetworkManager.conf",
         "unmanaged-devices=mac:fe:ff:ff:ff:ff:ff\n", ""},
        {"behind an octet", "/etc/a", "mac:aa:00:50:56:aa:bb:cd\n", ""},
        {"a short IPv6 address", "/etc/a", "address fe80::50:56:aa:bb:cd:12\n", ""},
        {"a shorter one", "/etc/a", "address ::50:56:aa:bb:cd:12\n", ""},
        {"an IPv6 address of eight", "/etc/a", "address fd00:1:50:56:aa:bb:cd:12\n", ""},
        {"the fingerprint of a key", "/etc/a",
         "mac MD5:00:50:56:aa:bb:cd:00:50:56:aa:bb:cd:00:50:56:aa\n", ""},
        {"the fingerprint of a certificate", "/etc/a",
         "mac SHA256:00:50:56:aa:bb:cd:00:50:56:aa:bb:cd:00:50:56:aa:00:50:56:aa:bb:cd:00:50\n",
         ""},
        // File names.
        {"SUSE's file", "/etc/sysconfig/network/ifcfg-eth-id-00:50:56:aa:bb:cd", "", kOther},
        {"with hyphens, a file", "/etc/a/01-00-50-56-aa-bb-cd.link", "", ""},
        {"the builder's own, a file", "/etc/a/01-00-50-56-aa-bb-cc.link", "", kMac},
        {"an interface's file", "/etc/systemd/network/10-enx.link", "", ""},
        {"an interface's own file", "/etc/network/interfaces.d/enx005056aabbcd", "x\n", kOther},
        {"a site", "/etc/apache2/sites-available/base-vm.conf", "x\n", kName},
        {"an ordinary file", "/etc/apt/sources.list.d/debian.sources", "x\n", ""},
        {"a time", "/etc/a/backup-24-01-31-12-00-00", "", ""},
        {"a binary file", "/etc/a/golden-vm.db", std::string("x\0", 2), kName},
        {"a file elsewhere", "/opt/a/golden-vm.conf", "", ""},
        {"a file of DHCP", "/etc/dhcp/dhcpd.d/00:50:56:aa:bb:cd", "", ""},

        {"the builder's own", "/etc/a", "x 00:50:56:aa:bb:cc\n", kMac},
        {"the builder's own in a comment", "/etc/a", "# 00-50-56-AA-BB-CC\n", kMac},
        {"an interface name", "/etc/a", "auto enx005056AABBCD\n", kOther},
        {"a VLAN", "/etc/a.link", "Name=enx005056aabbcd.100\n", kOther},
        {"of a WLAN", "/etc/a", "iface wlx005056aabbcd inet dhcp\n", kOther},
        {"the builder's own interface name", "/etc/a", "# enx005056aabbcc\n", kMac},
        {"an interface name in a comment", "/etc/a", "# enx005056aabbcd\n", ""},
        {"no interface name", "/etc/a", "mac enx005056aabbcde\n", ""},
        {"the builder's own without separators", "/etc/a", "id 005056AABBCC\n", kMac},
        {"another without separators", "/etc/a", "mac 005056aabbcd\n", ""},
        {"a part of a longer number", "/etc/a", "id 00005056aabbcc\n", ""},
        {"the builder's own with dots", "/etc/a", "MACAddress=0050.56aa.bbcc\n", kMac},
        {"a client identifier", "/etc/dhcp/dhclient.conf",
         "send dhcp-client-identifier 01:00:50:56:aa:bb:cc;\n", kMac},
        {"with hyphens", "/etc/a", "id 01-00-50-56-AA-BB-CC\n", kMac},
        {"another client identifier", "/etc/a", "mac-id 01:00:50:56:aa:bb:cd\n", ""},
        {"a DUID-LLT", "/etc/a", "id ff:56:aa:bb:cc:00:01:00:01:2c:1a:7d:10:00:50:56:aa:bb:cc\n",
         kMac},
        {"in the middle of a list", "/etc/a", "id 01:00:50:56:aa:bb:cc:02\n", ""},
        {"a cut list", "/etc/a", "id 01:00:50:56:aa:bb:cc:\n", ""},
        {"no setting for it", "/etc/a", "00:50:56:aa:bb:cd 10.0.0.5\n", ""},
        {"a sample", "/etc/dhcp/dhclient.conf", "#  hardware ethernet 00:c0:c3:49:2b:57;\n", ""},
        {"of another machine", "/etc/dhcp/dhcpd.conf", "hardware ethernet 00:c0:c3:49:2b:57;\n",
         ""},
        {"of a virtual machine", "/etc/libvirt/qemu/networks/default.xml",
         "<mac address='52:54:00:aa:bb:cc'/>\n", ""},
        {"nothing but zeros", "/etc/a", "mac: 00:00:00:00:00:00\n", ""},
        {"a broadcast", "/etc/a", "mac: ff:ff:ff:ff:ff:ff\n", ""},
        {"of a group", "/etc/a", "mac: 01:00:5e:00:00:fb\n", ""},
        {"VRRP", "/etc/a", "mac: 00:00:5e:00:01:0a\n", ""},
        {"a fingerprint", "/etc/a", "mac: 00:50:56:aa:bb:cd:00:50:56:aa:bb:cd\n", ""},
        {"an IPv6 address", "/etc/a", "address 2001:db8:00:50:56:aa:bb:cd\n", ""},
        {"a GUID", "/etc/a", "address 0a00-50-56-aa-bb-cd\n", ""},
    };
    const BuilderValues values{.names = {"golden-vm", "web.corp.example", "ubuntu", "rke2",
                                         "base-vm", "golden", "debian", "vm1", "node7"},
                               .mac_addresses = {"00:50:56:aa:bb:cc"}};
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto plain = found(ValueFinder(values, {}, {}), row.path, row.text);
        const auto hashed = found(ValueFinder({}, seal_with(values), {}), row.path, row.text);
        CHECK(plain == hashed);
        CHECK(plain.empty() == row.expected.empty());
        if (!plain.empty()) CHECK(plain.front().starts_with(row.expected));
    }
}

TEST_CASE("an identity that the seal removed is found where it was copied to") {
    v1::Seal seal = seal_with({});
    v1::Fingerprint& id = *seal.add_fingerprints();
    id.set_item("machine-id");
    id.set_hash(
        hashes_of({.names = {"b08dfa6083e7567a1921a715000001fb"}, .mac_addresses = {}}, kSalt)
            .front()
            .hash());
    CHECK(found(ValueFinder({}, seal, {}), "/etc/agent.conf",
                "uuid = b08dfa6083e7567a1921a715000001fb\nother = 0a1b\n") ==
          std::vector<std::string>{"an identity of the builder"});
}

TEST_CASE("what stays on purpose is not searched for") {
    const BuilderValues values{.names = {"golden-vm"}, .mac_addresses = {"00:50:56:aa:bb:cc"}};
    const std::string text = "host: golden-vm\nmac: 00:50:56:aa:bb:cc\n";
    SealScope scope;
    scope.skip = {"hostname"};
    CHECK(found(ValueFinder(values, {}, scope), "/etc/a", text) ==
          std::vector<std::string>{"the builder's MAC address"});
    scope.skip = {"network-profiles"};
    CHECK(found(ValueFinder(values, {}, scope), "/etc/a", text) ==
          std::vector<std::string>{"the builder's host name"});
    scope = {};
    scope.only = {"ssh-host-keys"};
    CHECK(found(ValueFinder(values, {}, scope), "/etc/a", text).empty());
}

TEST_CASE("a piece of a file: only what begins in it counts, with the line before") {
    const std::string text = "# comment\nmac: 00:50:56:aa:bb:cd golden-vm\ngolden-vm\n";
    const BuilderValues values{.names = {"golden-vm"}, .mac_addresses = {}};
    for (std::size_t border = 0; border <= text.size(); ++border) {
        CAPTURE(border);
        ValueFinder finder(values, {}, {});
        std::vector<secrets::LocatedSecret> located;
        finder.locate("/etc/a", text, 0, border, located);
        finder.locate("/etc/a", text, border, text.size(), located);
        std::vector<std::size_t> offsets;
        for (const auto& one : located) offsets.push_back(one.offset);
        CHECK(offsets == std::vector<std::size_t>{15, 33, 43});
    }
}

TEST_CASE("the names of an image are read, its interfaces are not there") {
    const TestTree tree;
    tree.put("/etc/hostname", "Golden-VM\n");
    tree.put("/var/lib/cloud/data/previous-hostname", "ip-10-0-3-17\n");
    tree.put("/etc/hosts",
             "127.0.0.1 localhost\n127.0.1.1 Golden-VM golden-vm.corp.example # ours\n"
             "10.0.0.7 db.example\n");
    tree.put("/sys/class/net/eth0/address", "00:50:56:aa:bb:cc\n");
    const BuilderValues values = builder_values(tree.root());
    CHECK(values.names ==
          std::vector<std::string>{"golden-vm", "ip-10-0-3-17", "golden-vm.corp.example"});
    CHECK(values.mac_addresses.empty());
}

}  // namespace prebake::identity::builder_values_test
