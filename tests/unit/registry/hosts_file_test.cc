#include "agent/registry/hosts_file.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/base/error.h"
#include "tests/unit/http/error_of.h"

namespace prebake::registry {
namespace {

using tests::contains;
using tests::error_of;

std::vector<Endpoint> endpoints_in(const std::string& text,
                                   std::string_view registry = "docker.io") {
    return parse_hosts_file(text, "/certs.d/docker.io/hosts.toml", registry);
}

const http::TlsPlace kAtTop{.hosts_file = "/certs.d/docker.io/hosts.toml"};

Endpoint mirror(const std::string& base_url, const std::string& of = "docker.io") {
    return {.base_url = base_url,
            .tls = {.place = {.hosts_file = kAtTop.hosts_file, .host = base_url}},
            .mirror_of = of};
}

Endpoint hub() {
    return {.base_url = "https://registry-1.docker.io", .tls = {.place = kAtTop}};
}

TEST_CASE("the hosts come in the order of the file, the registry last") {
    const auto endpoints = endpoints_in(R"(
        server = "https://registry-1.docker.io"
        [host."https://z.example"]
        [host."http://b.example:5000"]
          capabilities = ["pull"]
        [host."https://a.example".header]
          x-team = ["storage", "network"]
        [host."https://a.example"]
          dial_timeout = "1.5s"
    )");
    Endpoint second = mirror("http://b.example:5000");
    second.resolves = second.lists_referrers = false;
    Endpoint third = mirror("https://a.example");
    third.headers = {{"x-team", "storage"}, {"x-team", "network"}};
    third.dial_timeout = std::chrono::milliseconds(1500);
    CHECK(endpoints == std::vector<Endpoint>{mirror("https://z.example"), second, third, hub()});
}

TEST_CASE("addresses of hosts") {
    struct Row {
        std::string url;
        std::string base_url;
        std::string path;
    };
    for (const Row& row : {
             Row{"https://m.example", "https://m.example", "/v2"},
             Row{"m.example", "https://m.example", "/v2"},
             Row{"m.example:5000", "https://m.example:5000", "/v2"},
             Row{"http://m.example", "http://m.example", "/v2"},
             Row{"https://m.example:443", "https://m.example", "/v2"},
             Row{"https://m.example/", "https://m.example", "/v2"},
             Row{"https://m.example/v2", "https://m.example", "/v2"},
             Row{"https://m.example/v2/", "https://m.example", "/v2"},
             Row{"https://m.example/v2/hub", "https://m.example", "/v2/hub/v2"},
             Row{"https://m.example/us", "https://m.example", "/us/v2"},
             Row{"https://m.example//us/./x/../", "https://m.example", "/us/v2"},
             Row{"https://[::1]:5000", "https://[::1]:5000", "/v2"},
             Row{"https://", "", ""},
         }) {
        CAPTURE(row.url);
        const std::string text = "[host.\"" + row.url + "\"]\n";
        if (row.base_url.empty()) {
            const Error error = error_of([&] { endpoints_in(text); });
            CHECK(contains(error.message(), "/certs.d/docker.io/hosts.toml:1"));
            continue;
        }
        const Endpoint endpoint = endpoints_in(text).front();
        CHECK(endpoint.base_url == row.base_url);
        CHECK(endpoint.path == row.path);
    }
}

TEST_CASE("override_path keeps the path of the host") {
    struct Row {
        std::string url;
        std::string path;
    };
    for (const Row& row :
         {Row{"https://m.example/v2/hub", "/v2/hub"}, Row{"https://m.example/hub/", "/hub"},
          Row{"https://m.example", ""}, Row{"https://m.example/", ""}}) {
        CAPTURE(row.url);
        const auto endpoints = endpoints_in("[host.\"" + row.url + "\"]\noverride_path = true\n");
        CHECK(endpoints.front().path == row.path);
        CHECK(endpoints.back() == hub());
    }
}

TEST_CASE("the keys at the top are for the server") {
    SUBCASE("that is named") {
        const auto endpoints = endpoints_in(R"(
            server = "https://cache.example/hub"
            override_path = true
            capabilities = ["pull"]
            ca = "ca.crt"
        )");
        REQUIRE(endpoints.size() == 1);
        CHECK(endpoints[0].base_url == "https://cache.example");
        CHECK(endpoints[0].path == "/hub");
        CHECK_FALSE(endpoints[0].resolves);
        CHECK(endpoints[0].mirror_of == "docker.io");
        CHECK(endpoints[0].tls.ca_files == std::vector<std::string>{"/certs.d/docker.io/ca.crt"});
    }
    SUBCASE("or for the registry itself, apart from what is about its API") {
        const auto endpoints = endpoints_in(R"(
            override_path = true
            capabilities = ["push"]
            skip_verify = true
            header = { x-a = "1" }
        )");
        Endpoint expected = hub();
        expected.tls.verification = http::TlsVerification::none;
        expected.headers = {{"x-a", "1"}};
        CHECK(endpoints == std::vector<Endpoint>{expected});
    }
    SUBCASE("an empty server is none") {
        CHECK(endpoints_in("server = \"\"") == std::vector<Endpoint>{hub()});
    }
    SUBCASE("a registry on loopback stays one") {
        Endpoint expected = endpoints_of("localhost:5000").front();
        expected.tls.place = kAtTop;
        expected.headers = {{"x-a", "1"}};
        CHECK(endpoints_in("header = { x-a = \"1\" }", "localhost:5000") ==
              std::vector<Endpoint>{expected});
    }
}

TEST_CASE("which host is the registry itself") {
    struct Row {
        std::string server;
        std::string registry;
        std::string mirror_of;
    };
    for (const Row& row : {Row{"https://registry-1.docker.io", "docker.io", ""},
                           Row{"https://docker.io", "docker.io", ""},
                           Row{"https://index.docker.io", "docker.io", "docker.io"},
                           Row{"https://reg.example", "reg.example", ""},
                           Row{"https://reg.example:5000", "reg.example:5000", ""},
                           Row{"https://reg.example:5000", "reg.example", "reg.example"}}) {
        CAPTURE(row.server);
        const auto endpoints = endpoints_in("server = \"" + row.server + "\"", row.registry);
        CHECK(endpoints.front().mirror_of == row.mirror_of);
    }
}

TEST_CASE("plain HTTP with TLS settings may speak either") {
    const auto endpoints = endpoints_in(R"(
        [host."http://a.example:5000"]
          skip_verify = false
        [host."http://b.example:80"]
          skip_verify = true
    )");
    CHECK(endpoints[0].base_url == "https://a.example:5000");
    CHECK(endpoints[0].falls_back_to_http);
    CHECK(endpoints[1].base_url == "http://b.example");
    CHECK_FALSE(endpoints[1].falls_back_to_http);
}

TEST_CASE("certificates") {
    const auto certificates = [](const std::string& value) {
        return endpoints_in("client = " + value).front().tls.client_certificates;
    };
    using Certificates = std::vector<http::ClientCertificate>;
    const std::string here = "/certs.d/docker.io/";
    CHECK(certificates("\"both.pem\"") == Certificates{{here + "both.pem", here + "both.pem"}});
    CHECK(certificates("[\"a.pem\", \"/b.pem\"]") ==
          Certificates{{here + "a.pem", here + "a.pem"}, {"/b.pem", "/b.pem"}});
    CHECK(certificates("[[\"a.cert\", \"a.key\"], [\"b.pem\", \"\"]]") ==
          Certificates{{here + "a.cert", here + "a.key"}, {here + "b.pem", here + "b.pem"}});
    CHECK(endpoints_in("ca = [\"a.crt\", \"/b.crt\"]").front().tls.ca_files ==
          std::vector<std::string>{here + "a.crt", "/b.crt"});
}

TEST_CASE("rewrites of k3s change the repository on their host") {
    const auto endpoints = endpoints_in(
        "[host.\"https://m.example\".rewrite]\n"
        "\"^never/(.*)\" = \"x/$1\"\n"
        "'(?i)^LIBRARY/(?P<image>.*)\\z' = \"mirror/${image}-image\"\n"
        "\"(.*)\" = \"all/$1\"\n");
    CHECK(endpoints.front().repository_of("library/nginx") == "mirror/nginx-image");
    CHECK(endpoints.front().rewrites.size() == 3);
    CHECK(endpoints.back().repository_of("library/nginx") == "library/nginx");
}

TEST_CASE("capabilities") {
    struct Row {
        std::string words;
        bool pulls;
        bool resolves;
        bool lists_referrers;
    };
    for (const Row& row : {Row{"", true, true, true}, Row{"capabilities = []", true, true, true},
                           Row{"capabilities = [\"pull\", \"resolve\"]", true, true, false},
                           Row{"capabilities = [\"pull\", \"Referrers\"]", true, false, true},
                           Row{"capabilities = [\"push\"]", false, false, false}}) {
        CAPTURE(row.words);
        const auto endpoints = endpoints_in("[host.\"https://m.example\"]\n" + row.words);
        CHECK(endpoints.front().pulls == row.pulls);
        CHECK(endpoints.front().resolves == row.resolves);
        CHECK(endpoints.front().lists_referrers == row.lists_referrers);
        CHECK(endpoints.back() == hub());
    }
}

TEST_CASE("unknown keys and capabilities of other operations are ignored") {
    CHECK(endpoints_in(
              "future = 1\ncapabilities = [\"Pull\", \"RESOLVE\", \"push\", \"referrers\"]") ==
          std::vector<Endpoint>{hub()});
}

TEST_CASE("what cannot be read is named with its place") {
    struct Row {
        std::string text;
        std::string message;
    };
    for (const Row& row : {
             Row{"server = [", ":1:"},
             Row{std::string("\n[\0", 3), ":2:"},
             Row{"\nserver = 1", ":2: server must be a string"},
             Row{"[host.\"https://a\"]\nca = 1", ":2: ca must be a list of strings"},
             Row{"[host.\"https://a\"]\nclient = [[\"a\"]]", ":2: client must be pairs"},
             Row{"[host.\"https://a\"]\nclient = [1]", ":2: client must be"},
             Row{"[host.\"https://a\"]\nskip_verify = \"yes\"", ":2: skip_verify must be true"},
             Row{"[host.\"https://a\"]\ndial_timeout = \"5\"", ":2: dial_timeout must be"},
             Row{"[host.\"https://a\"]\ndial_timeout = 5", ":2: dial_timeout must be"},
             Row{"[host.\"https://a\"]\nheader = \"x\"", ":2: header must be a table"},
             Row{"[host.\"https://a\"]\nheader = { x = 1 }", ":2: x must be"},
             Row{"[host.\"https://a\"]\nrewrite = { \"(\" = \"x\" }", ":2: rewrite has \"(\""},
             Row{"[host.\"https://a\"]\nrewrite = { \"(?U)a\" = \"x\" }", "does not support"},
             Row{"capabilities = [\"pulls\"]", ":1: unknown capability \"pulls\""},
             Row{"override_path = 1", ":1: override_path must be"},
             Row{"host = 1", ":1: host must be tables"},
             Row{"[host]\n\"https://a\" = 1", ":1: host must be tables"},
             Row{"server = \"http://a:x/SECRET\"", ":1: a URL is malformed"},
         }) {
        CAPTURE(row.text);
        const Error error = error_of([&] { endpoints_in(row.text); });
        CHECK(error.code() == Errc::usage);
        CAPTURE(error.message());
        CHECK(error.message().starts_with("/certs.d/docker.io/hosts.toml:"));
        CHECK(contains(error.message(), row.message));
        CHECK_FALSE(contains(error.message(), "SECRET"));
        CHECK_FALSE(error.next_step().empty());
    }
}

}  // namespace
}  // namespace prebake::registry
