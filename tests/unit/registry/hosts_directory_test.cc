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
    CHECK(endpoints[1] == Endpoint{.base_url = "https://reg.example"});
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
    CHECK(endpoints_below({directory / "none"})("localhost:5000") ==
          endpoints_of("localhost:5000"));
}

}  // namespace
}  // namespace prebake::registry
