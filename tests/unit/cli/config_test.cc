#include "agent/cli/config.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "agent/base/error.h"
#include "agent/base/toml.h"
#include "tests/unit/base/thrown.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::cli {
namespace {

Config read(const std::string& text) {
    const TemporaryDirectory directory;
    const auto file = directory.path() / "prebake.toml";
    std::ofstream(file) << text;
    return read_config(file);
}

TEST_CASE("a configuration file that others can change is refused") {
    const TemporaryDirectory directory;
    const auto file = directory.path() / "prebake.toml";
    std::ofstream(file) << "";
    CHECK(read_config(file) == Config());
    for (const mode_t mode : {0666U, 0664U}) {
        REQUIRE(::chmod(file.c_str(), mode) == 0);
        const Error error = tests::thrown_by([&] { read_config(file, WhoseFile::ours); });
        CHECK(error.code() == Errc::usage);
        CHECK(tests::contains(error.message(), file.string()));
        CHECK(tests::contains(error.message(), "owner " + std::to_string(::geteuid())));
        CHECK(error.next_step() == "run chmod go-w " + file.string());
    }
}

/// The file that packages install.
std::string read_conffile() {
    std::ifstream file(PREBAKE_CONFFILE);
    REQUIRE(file.is_open());
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The same with its keys uncommented: "#key = value" is a key, "# text" is a
/// comment.
std::string uncommented_conffile() {
    std::istringstream file(read_conffile());
    std::string text;
    for (std::string line; std::getline(file, line);) {
        const bool is_key = line.size() > 1 && line.front() == '#' && line[1] != ' ';
        text += (is_key ? line.substr(1) : line) + "\n";
    }
    return text;
}

TEST_CASE("the installed file has every key with its default, and no other key") {
    const std::string text = uncommented_conffile();
    std::vector<std::string> named;
    for (const auto& [table, keys] : parse_toml(text, "prebake.toml")) {
        for (const auto& [key, value] : *keys.as_table()) {
            named.push_back(std::string(table.str()) + "." + std::string(key.str()));
        }
    }
    std::sort(named.begin(), named.end());
    std::vector<std::string> known = config_keys();
    std::sort(known.begin(), known.end());
    CHECK(named == known);
    CHECK(read(text) == Config());
}

TEST_CASE("the installed file sets nothing") {
    for (const auto& [table, keys] : parse_toml(read_conffile(), "prebake.toml")) {
        const std::string name(table.str());
        CAPTURE(name);
        CHECK(keys.as_table()->empty());
    }
}

TEST_CASE("a configuration that differs in one key differs") {
    // Otherwise the comparison above would prove nothing.
    for (const char* text :
         {"[containerd]\naddress = \"/x\"", "[bake]\nparallel_images = 4",
          "[registry]\nattempts = 4", "[seal]\nmachine_id = \"uninitialized\"",
          "[seal]\nstop_docker = true", "[seal]\nscan_bytes = \"1GiB\"",
          "[firstboot]\nmetadata_timeout = \"1s\"", "[firstboot]\ntls_valid_for = \"1h\"",
          "[guard]\nmin_free = \"14%\"", "[hydrate]\nmode = \"on\"", "[hydrate]\nrate = \"1MiB\"",
          "[hydrate]\ndepth = 3", "[hydrate]\ndeadline = \"1h\"", "[readiness]\ndeadline = \"9m\"",
          "[report]\nlisten = []"}) {
        CAPTURE(text);
        CHECK(read(text) != Config());
    }
}

TEST_CASE("every key is read, and unset keys keep their defaults") {
    const Config config = read(R"(
[containerd]
address = "/run/other.sock"
namespaces = ["moby", "default"]
snapshotter = "native"
config = "/etc/containerd/other.toml"
[bake]
image_lists = "/srv/lists"
traces = "/srv/traces"
memory = "32MiB"
parallel_images = 2
parallel_downloads = 9
parallel_unpacks = 5
[registry]
docker_config = "/srv/config.json"
connect_timeout = "5s"
stall_timeout = "250ms"
attempts = 2
proxy = "http://me:pass@proxy.example:3128"
no_proxy = ["a.example", "10.0.0.0/8"]
[seal]
skip = ["mail-spool"]
also = ["package-caches"]
remove = ["/opt/vendor/id"]
keep = "~/.ssh/authorized_keys"
machine_id = "uninitialized"
stop_containerd = true
stop_docker = true
scan_also = ["/usr/lib/app"]
scan_skip = "/srv/data"
scan_time = "30s"
scan_bytes = "1GiB"
scan_file_bytes = "2MiB"
[firstboot]
hostname = "web-{instance_id}"
hosts = "{local_ipv4} {hostname}"
metadata_timeout = "7s"
drop_in_timeout = "8s"
tls_key = "/etc/tls/key.pem"
tls_certificate = "/etc/tls/crt.pem"
tls_form = "request"
tls_common_name = "{instance_id}"
tls_names = ["{hostname}"]
tls_valid_for = "48h"
[guard]
keep_deleted = false
max_pinned_bytes = "30GiB"
min_free = "7.5%"

[hydrate]
mode = "off"
rate = "50MiB"
depth = 128
deadline = 90
[readiness]
gates = ["ContainerdServing", "ImagesPinned"]
deadline = "90s"
[report]
socket = "/run/other/prebake.sock"
socket_group = "monitoring"
listen = ["127.0.0.1:9000", "[::1]:9001"]
ssm_inventory = false
)");
    CHECK(config.address == "/run/other.sock");
    CHECK(config.namespaces == std::vector<std::string>{"moby", "default"});
    CHECK(config.snapshotter == "native");
    CHECK(config.image_lists == "/srv/lists");
    CHECK(config.traces == "/srv/traces");
    CHECK(config.containerd_config == "/etc/containerd/other.toml");
    CHECK(config.memory == 32ULL << 20);
    CHECK(config.parallel_images == 2);
    CHECK(config.parallel_downloads == 9);
    CHECK(config.parallel_unpacks == 5);
    CHECK(config.docker_config == "/srv/config.json");
    CHECK(config.connect_timeout == std::chrono::seconds(5));
    CHECK(config.stall_timeout == std::chrono::milliseconds(250));
    CHECK(config.attempts == 2);
    using Strings = std::vector<std::string>;
    CHECK(config.proxy == "http://me:pass@proxy.example:3128");
    CHECK(config.no_proxy == Strings{"a.example", "10.0.0.0/8"});
    CHECK(config.seal.skip == Strings{"mail-spool"});
    CHECK(config.seal.also == Strings{"package-caches"});
    // The host's key is removed as well.
    CHECK(config.seal.remove == Strings{"/opt/vendor/id", "/etc/tls/key.pem", "/etc/tls/crt.pem"});
    CHECK(config.seal.keep == Strings{"~/.ssh/authorized_keys"});
    CHECK(config.seal.settings.machine_id == identity::MachineIdFormat::uninitialized);
    CHECK(config.services.containerd == identity::WhenSealing::stop);
    CHECK(config.services.docker == identity::WhenSealing::stop);
    CHECK(config.search.also == Strings{"/usr/lib/app"});
    CHECK(config.search.skip == Strings{"/srv/data"});
    CHECK(config.scan.time == std::chrono::seconds(30));
    CHECK(config.scan.bytes == 1ULL << 30);
    CHECK(config.scan.file_bytes == 2ULL << 20);
    const identity::firstboot::FirstBootOptions& first_boot = config.first_boot;
    CHECK(first_boot.hostname == "web-{instance_id}");
    CHECK(first_boot.hosts == "{local_ipv4} {hostname}");
    CHECK(first_boot.metadata.total == std::chrono::seconds(7));
    CHECK(first_boot.drop_in_limit == std::chrono::seconds(8));
    CHECK(first_boot.certificate.key_file == "/etc/tls/key.pem");
    CHECK(first_boot.certificate.certificate_file == "/etc/tls/crt.pem");
    CHECK(first_boot.certificate.kind == identity::firstboot::CertificateKind::request);
    CHECK(first_boot.certificate.common_name == "{instance_id}");
    CHECK(first_boot.certificate.names == Strings{"{hostname}"});
    CHECK(first_boot.certificate.valid_for == std::chrono::hours(48));
    CHECK(config.pin_limits.max_pinned_bytes == 30ULL << 30);
    CHECK_FALSE(config.keep_deleted);
    CHECK(config.pin_limits.min_free_ratio == 0.075);
    CHECK(config.pin_limits.min_free_bytes == 0);
    CHECK(config.hydrate_mode == hydrate::HydrateMode::off);
    CHECK(config.hydrate_rate == 50ULL << 20);
    CHECK(config.hydrate_depth == 128);
    CHECK(config.hydrate_deadline == std::chrono::seconds(90));
    CHECK(config.gates == Strings{"ContainerdServing", "ImagesPinned"});
    CHECK(config.deadline == std::chrono::seconds(90));
    CHECK(config.endpoint.socket == "/run/other/prebake.sock");
    CHECK(config.endpoint.socket_group == "monitoring");
    CHECK(config.endpoint.listen == Strings{"127.0.0.1:9000", "[::1]:9001"});
    CHECK_FALSE(config.ssm_inventory);
    CHECK(read("").attempts == Config().attempts);
}

TEST_CASE("rules of trust are read in their order") {
    const TemporaryDirectory directory;
    const auto file = directory.path() / "prebake.toml";
    std::ofstream(file) << R"(
[[trust]]
match = ["docker.io/library/*", "*.dkr.ecr.*.amazonaws.com/prod/**"]
keys = ["/etc/prebake/keys/a.pub", "keys/b.pub"]
[[trust]]
match = "quay.io/**"
require = "none"
)";
    const std::vector<trust::Rule> rules = read_config(file).trust_rules;
    REQUIRE(rules.size() == 2);
    REQUIRE(rules[0].match.size() == 2);
    CHECK(rules[0].match[0].matches("docker.io/library/nginx"));
    using Strings = std::vector<std::string>;
    CHECK(rules[0].key_files ==
          Strings{"/etc/prebake/keys/a.pub", (directory.path() / "keys/b.pub").string()});
    CHECK(rules[0].require == trust::Requirement::signature);
    CHECK(rules[0].origin == file.string() + ":2");
    CHECK(rules[1].require == trust::Requirement::none);
    CHECK(rules[1].key_files.empty());
    CHECK(rules[1].origin == file.string() + ":5");
    CHECK(read("[[trust]]\nmatch = \"a.example/**\"\nrequire = \"none\"") != Config());
}

TEST_CASE("the minimum of free disk space") {
    struct Row {
        const char* text;
        std::uint64_t bytes;
        double ratio;
    };
    // Setting one of them replaces the default of the other.
    for (const Row& row : {Row{"", 0, 0.15}, Row{"min_free = \"20GiB\"", 20ULL << 30, 0},
                           Row{"min_free = \"0\"", 0, 0}, Row{"min_free = \"0%\"", 0, 0},
                           Row{"min_free = \"25%\"", 0, 0.25}}) {
        CAPTURE(row.text);
        const Config config = read("[guard]\n" + std::string(row.text) + "\n");
        CHECK(config.pin_limits.min_free_bytes == row.bytes);
        CHECK(config.pin_limits.min_free_ratio == row.ratio);
    }
}

TEST_CASE("errors name file, line and the nearest key") {
    struct Row {
        const char* text;
        std::vector<std::string> parts;
    };
    for (const Row& row :
         {Row{"[containerd]\nadress = \"/x\"\n", {"prebake.toml:2", "adress", "\"address\""}},
          Row{"[containrd]\n", {"prebake.toml:1", "containrd", "\"containerd\""}},
          Row{"[seal]\nmachine_id = \"none\"\n",
              {"prebake.toml:2", "machine_id must be empty or uninitialized"}},
          Row{"[seal]\nstop_docker = \"yes\"\n", {"prebake.toml:2", "stop_docker"}},
          Row{"[firstboot]\ntls_form = \"letter\"\n",
              {"prebake.toml:2", "tls_form must be request or self-signed"}},
          Row{"[bake]\nmemory = 64\n",
              {"prebake.toml:2", "memory must be a size", "for example: memory = \"64MiB\""}},
          Row{"[bake]\nmemory = \"64 parsecs\"\n", {"prebake.toml:2", "64 parsecs"}},
          Row{"[bake]\nparallel_images = 0\n", {"prebake.toml:2", "from 1 to 1000"}},
          Row{"[registry]\nproxy = \"http://me:pass@p:port\"\n",
              {"prebake.toml:2", "the proxy in registry.proxy is malformed"}},
          Row{"[registry]\nproxy = \"socks5://p:1080\"\n",
              {"prebake.toml:2", "the proxy in registry.proxy is a SOCKS proxy"}},
          Row{"[guard]\nmin_free = \"%\"\n", {"prebake.toml:2", "min_free must be"}},
          Row{"[guard]\nmin_free = \"100%\"\n", {"prebake.toml:2", "min_free must be"}},
          Row{"[guard]\nmin_free = \"-1%\"\n", {"prebake.toml:2", "min_free must be"}},
          Row{"[guard]\nmin_free = \"nan%\"\n", {"prebake.toml:2", "min_free must be"}},
          Row{"[guard]\nmin_free = \"\"\n", {"prebake.toml:2", "min_free"}},
          Row{"[hydrate]\nmode = \"yes\"\n", {"prebake.toml:2", "auto or off or on"}},
          Row{"[hydrate]\ndepth = 0\n", {"prebake.toml:2", "1 to 128"}},
          Row{"[hydrate]\ndepth = 129\n", {"prebake.toml:2", "1 to 128"}},
          Row{"[hydrate]\ndeadline = \"25h\"\n", {"prebake.toml:2", "at most 24h"}},
          Row{"[hydrate]\nrate = 5\n", {"prebake.toml:2", "a size"}},
          Row{"[readiness]\ngates = [\"ImagesPined\"]\n",
              {"prebake.toml:2", "ImagesPined", "\"ImagesPinned\""}},
          Row{"[readiness]\ndeadline = \"25h\"\n", {"prebake.toml:2", "deadline", "24h"}},
          Row{"[report]\nlisten = [\"0.0.0.0:9813\"]\n",
              {"prebake.toml:2", "0.0.0.0:9813", "localhost:PORT"}},
          Row{"[report]\nssm_inventory = \"no\"\n", {"prebake.toml:2", "ssm_inventory"}},
          Row{"[[trust]]\nmach = \"a.example/*\"\n", {"prebake.toml:2", "mach", "\"match\""}},
          Row{"[[trust]]\nmatch = \"nginx\"\n",
              {"prebake.toml:2", "matches no repository", "docker.io/library/nginx"}},
          Row{"[[trust]]\nmatch = 7\n", {"match must be a list of strings"}},
          Row{"[[trust]]\nmatch = \"a.example/*\"\nkeys = \"k\"\nrequire = \"signatur\"\n",
              {"prebake.toml:4", "unknown requirement", "\"signature\""}},
          Row{"[[trust]]\nmatch = \"a.example/*\"\n", {"prebake.toml:1", "has no keys"}},
          Row{"[[trust]]\nkeys = \"k\"\n", {"prebake.toml:1", "matches no repository", "match ="}},
          Row{"[[trust]]\nmatch = \"a.example/*\"\nkeys = \"k\"\nrequire = \"none\"\n",
              {"prebake.toml:1", "requires nothing"}},
          Row{"[trust]\nmatch = \"a.example/*\"\n", {"prebake.toml:1", "[[trust]]"}},
          Row{"trust = [1]\n", {"prebake.toml:1", "[[trust]]"}},
          Row{"[[trus]]\n", {"prebake.toml:1", "\"trust\""}},
          Row{"bake = 1\n", {"prebake.toml:1", "must be a table"}},
          Row{"[bake\n", {"prebake.toml:1"}}}) {
        CAPTURE(row.text);
        try {
            read(row.text);
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.code() == Errc::usage);
            for (const std::string& part : row.parts) {
                CHECK_MESSAGE(std::string(error.what()).find(part) != std::string::npos,
                              error.what());
            }
        }
    }
}

TEST_CASE("an error of a type shows the form") {
    for (const auto& row : std::vector<std::pair<std::string, std::string>>{
             {"[readiness]\ndeadline = true\n", "deadline = \"5m\""},
             {"[readiness]\ndeadline = -1\n", "deadline = \"5m\""},
             {"[readiness]\ngates = 1\n", "gates = [\"ImagesPresent\", \"IdentityClaimed\"]"},
             {"[readiness]\ngates = [1]\n", "gates = [\"ImagesPresent\", \"IdentityClaimed\"]"},
             {"[containerd]\nnamespaces = 1\n", "namespaces = [\"k8s.io\"]"},
             {"[containerd]\naddress = 1\n", "address = \"text\""},
             {"[bake]\nparallel_images = \"3\"\n", "parallel_images = 5"},
             {"[bake]\nsandbox = true\n", "sandbox = \"auto\""},
             {"[guard]\nkeep_deleted = \"yes\"\n", "keep_deleted = true"},
             {"[guard]\nmin_free = 15\n", "min_free = \"64MiB\""},
             {"[registry]\nproxy = false\n", "proxy = \"http://proxy.example:3128\""},
             {"[report]\nlisten = false\n", "listen = [\"localhost:9813\"]"}}) {
        const std::string& text = row.first;
        CAPTURE(text);
        try {
            read(text);
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.next_step() == "for example: " + row.second);
        }
    }
}

TEST_CASE("a duration without a unit is in seconds") {
    CHECK(read("[readiness]\ndeadline = 90\n").deadline == std::chrono::seconds(90));
    CHECK(read("[readiness]\ndeadline = \"90\"\n").deadline == std::chrono::seconds(90));
}

TEST_CASE("a gate that does not exist is a condition, and the nearest is named") {
    try {
        read("[readiness]\ngates = [\"imagespresent\"]\n");
        FAIL("accepted");
    } catch (const Error& error) {
        CHECK(std::string(error.what())
                  .find("unknown condition \"imagespresent\"; did you mean "
                        "\"ImagesPresent\"?") != std::string::npos);
    }
}

TEST_CASE("a named file must exist") {
    CHECK_THROWS_AS(read_config("/does/not/exist.toml"), Error);
}

}  // namespace
}  // namespace prebake::cli
