#include "agent/registry/hosts_directory.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "agent/base/error.h"
#include "tests/unit/http/error_of.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::registry {
namespace {

using tests::contains;
using tests::error_of;

void write_file(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
}

TEST_CASE("the directory of a registry") {
    struct Row {
        std::string name;
        std::vector<std::string> there;
        std::string registry;
        std::string found;  ///< empty: none
    };
    for (const Row& row : {
             Row{"none", {}, "reg.example", ""},
             Row{"its own", {"1/reg.example"}, "reg.example", "1/reg.example"},
             Row{"another one's", {"1/reg.example"}, "other.example", ""},
             Row{"all", {"1/_default"}, "reg.example", "1/_default"},
             Row{"its own before all",
                 {"1/_default", "1/reg.example"},
                 "reg.example",
                 "1/reg.example"},
             Row{"a port", {"1/reg.example:5000"}, "reg.example:5000", "1/reg.example:5000"},
             Row{"a port without a colon",
                 {"1/reg.example_5000_", "1/reg.example:5000"},
                 "reg.example:5000",
                 "1/reg.example_5000_"},
             Row{"the port counts", {"1/reg.example"}, "reg.example:5000", ""},
             Row{"Docker Hub", {"1/docker.io"}, "docker.io", "1/docker.io"},
             Row{"the second root", {"2/reg.example"}, "reg.example", "2/reg.example"},
             Row{"a root with all hides the next one",
                 {"1/_default", "2/reg.example"},
                 "reg.example",
                 "1/_default"},
         }) {
        CAPTURE(row.name);
        const TemporaryDirectory directory;
        for (const std::string& each : row.there) {
            std::filesystem::create_directories(directory / each);
        }
        const auto found = find_hosts_directory({directory / "1", directory / "2"}, row.registry);
        CHECK(found == (row.found.empty() ? "" : directory / row.found));
    }
}

TEST_CASE("without a hosts.toml the certificates are for the registry itself") {
    const TemporaryDirectory directory;
    const std::filesystem::path own = directory / "reg.example";
    for (const char* name :
         {"b.crt", "a.crt", "one.cert", "one.key", "both.cert", "x.key", "note"}) {
        write_file(own / name, "");
    }
    std::filesystem::create_directories(own / "directory.crt");
    SUBCASE("no file") {}
    SUBCASE("an empty file") {
        write_file(own / "hosts.toml", "");
    }
    const auto endpoints = endpoints_below({directory.path()})("reg.example");
    REQUIRE(endpoints.size() == 1);
    CHECK(endpoints[0].base_url == "https://reg.example");
    CHECK(endpoints[0].tls.verification == http::TlsVerification::system_trust_store);
    CHECK(endpoints[0].tls.ca_files ==
          std::vector<std::string>{(own / "a.crt").string(), (own / "b.crt").string()});
    const std::string both = (own / "both.cert").string();
    CHECK(endpoints[0].tls.client_certificates ==
          std::vector<http::ClientCertificate>{
              {both, both}, {(own / "one.cert").string(), (own / "one.key").string()}});
}

TEST_CASE("a hosts.toml comes before certificates") {
    const TemporaryDirectory directory;
    write_file(directory / "reg.example/a.crt", "");
    write_file(directory / "reg.example/hosts.toml", "[host.\"https://m.example\"]\n");
    const auto endpoints = endpoints_below({directory.path()})("reg.example");
    REQUIRE(endpoints.size() == 2);
    CHECK(endpoints[0].base_url == "https://m.example");
    const http::TlsPlace place{.hosts_file = (directory / "reg.example/hosts.toml").string()};
    CHECK(endpoints[1] == Endpoint{.base_url = "https://reg.example", .tls = {.place = place}});
}

TEST_CASE("a hosts.toml that cannot be used is an error") {
    const TemporaryDirectory directory;
    const std::filesystem::path file = directory / "reg.example/hosts.toml";
    write_file(file, "[host\n");
    CHECK(contains(error_of([&] { endpoints_below({directory.path()})("reg.example"); }).message(),
                   file.string() + ":1:"));
    std::filesystem::permissions(file, std::filesystem::perms::others_write,
                                 std::filesystem::perm_options::add);
    CHECK(error_of([&] { endpoints_below({directory.path()})("reg.example"); }).code() ==
          Errc::untrusted);
}

TEST_CASE("without a directory a registry is asked itself") {
    const TemporaryDirectory directory;
    Endpoint expected = endpoints_of("localhost:5000").front();
    CHECK(endpoints_below({})("localhost:5000") == std::vector{expected});
    expected.tls.place = {.hosts_file = (directory / "none/localhost:5000/hosts.toml").string(),
                          .host = "https://localhost:5000"};
    CHECK(endpoints_below({directory / "none"})("localhost:5000") == std::vector{expected});
}

TEST_CASE("the place of TLS settings is the file that counts") {
    struct Row {
        std::string name;
        std::vector<std::pair<std::string, std::string>> files;  ///< with their text
        std::string registry;
        std::vector<http::TlsPlace> places;  ///< of each endpoint; files below the directory
    };
    const std::string hub = "https://registry-1.docker.io";
    for (const Row& row : {
             Row{"no file",
                 {},
                 "reg.example:5000",
                 {{"1/reg.example:5000/hosts.toml", "https://reg.example:5000"}}},
             Row{"no file for Docker Hub", {}, "docker.io", {{"1/docker.io/hosts.toml", hub}}},
             Row{"certificates alone",
                 {{"2/docker.io/a.crt", ""}},
                 "docker.io",
                 {{"2/docker.io/hosts.toml", hub}}},
             Row{"certificates for all",
                 {{"2/_default/a.crt", ""}},
                 "docker.io",
                 {{"2/_default/hosts.toml", ""}}},
             Row{"a server",
                 {{"1/docker.io/hosts.toml", "server = \"https://127.0.0.1:1\""}},
                 "docker.io",
                 {{"1/docker.io/hosts.toml", ""}}},
             Row{"mirrors for all",
                 {{"2/_default/hosts.toml", "[host.\"m.example\"]\n[host.\"http://n.example\"]"}},
                 "reg.example",
                 {{"2/_default/hosts.toml", "m.example"},
                  {"2/_default/hosts.toml", "http://n.example"},
                  {"2/_default/hosts.toml", ""}}},
             Row{"a mirror with a password",
                 {{"1/docker.io/hosts.toml", "[host.\"https://u:SECRET@m.example\"]"}},
                 "docker.io",
                 {{"1/docker.io/hosts.toml", "https://m.example"}, {"1/docker.io/hosts.toml", ""}}},
         }) {
        CAPTURE(row.name);
        const TemporaryDirectory directory;
        for (const auto& [file, text] : row.files) write_file(directory / file, text);
        std::vector<http::TlsPlace> places;
        for (const Endpoint& endpoint :
             endpoints_below({directory / "1", directory / "2"})(row.registry)) {
            places.push_back(endpoint.tls.place);
        }
        std::vector<http::TlsPlace> expected = row.places;
        for (http::TlsPlace& place : expected) place.hosts_file = directory / place.hosts_file;
        CHECK(places == expected);
    }
}

}  // namespace
}  // namespace prebake::registry
