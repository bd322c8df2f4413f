#include "agent/registry/endpoint.h"

#include <doctest/doctest.h>

namespace prebake::registry {
namespace {

const http::TlsSettings kTrusted{};
const http::TlsSettings kNone{.verification = http::TlsVerification::none};

TEST_CASE("the endpoint of a registry") {
    struct Row {
        std::string registry;
        std::string base_url;
        http::TlsSettings tls;
        bool falls_back_to_http = false;
    };
    const std::vector<Row> rows = {
        {"docker.io", "https://registry-1.docker.io", kTrusted},
        {"ghcr.io", "https://ghcr.io", kTrusted},
        {"registry.example:5000", "https://registry.example:5000", kTrusted},
        {"registry.example:80", "https://registry.example:80", kTrusted},
        {"[2001:db8::1]:5000", "https://[2001:db8::1]:5000", kTrusted},
        {"[2001:db8::1]", "https://[2001:db8::1]", kTrusted},
        {"localhost", "https://localhost", kNone},
        {"localhost:443", "https://localhost:443", kNone},
        {"localhost:80", "http://localhost:80", kNone},
        {"localhost:5000", "https://localhost:5000", kNone, true},
        {"127.8.9.1:5000", "https://127.8.9.1:5000", kNone, true},
        {"[::1]:5000", "https://[::1]:5000", kNone, true},
        {"[::1]", "https://[::1]", kNone},
        {"a.localhost:5000", "https://a.localhost:5000", kTrusted},
        {"localhost.example:5000", "https://localhost.example:5000", kTrusted},
        {"127.example:5000", "https://127.example:5000", kTrusted},
        {"128.0.0.1:5000", "https://128.0.0.1:5000", kTrusted},
    };
    for (const Row& row : rows) {
        CAPTURE(row.registry);
        CHECK(endpoints_of(row.registry) ==
              std::vector<Endpoint>{{.base_url = row.base_url,
                                     .tls = row.tls,
                                     .falls_back_to_http = row.falls_back_to_http}});
    }
}

TEST_CASE("other hosts are connected to like the endpoint, loopback apart") {
    const Endpoint loopback{"https://localhost:5000", kNone};
    const Endpoint elsewhere{"https://ghcr.io", kTrusted};
    const Endpoint skips{"https://mirror.example", kNone};
    const http::TlsSettings own_ca{.ca_files = {"/ca.pem"}};
    CHECK(tls_towards("127.0.0.1", loopback) == kNone);
    CHECK(tls_towards("::1", loopback) == kNone);
    CHECK(tls_towards("cdn.example", loopback) == kTrusted);
    CHECK(tls_towards("localhost", elsewhere) == kTrusted);
    CHECK(tls_towards("cdn.example", skips) == kNone);
    CHECK(tls_towards("cdn.example", {"https://mirror.example", own_ca}) == own_ca);
    // Messages name the endpoint's settings in each case.
    const http::TlsPlace place{.hosts_file = "/d/hosts.toml", .host = "https://localhost:5000"};
    Endpoint placed = loopback;
    placed.tls.place = place;
    for (const char* host : {"cdn.example", "localhost"}) {
        CHECK(tls_towards(host, placed).place == place);
    }
}

TEST_CASE(
    "a token service elsewhere is verified, with the endpoint's CAs, and sees no certificate") {
    const http::TlsSettings own{.verification = http::TlsVerification::none,
                                .ca_files = {"/ca.pem"},
                                .client_certificates = {{.certificate = "/c", .key = "/k"}}};
    const Endpoint mirror{"https://mirror.example:5000", own};
    CHECK(tls_for_service("mirror.example", mirror) == own);
    for (const char* const host : {"auth.example", "a.mirror.example", "localhost"}) {
        CHECK(tls_for_service(host, mirror) == http::TlsSettings{.ca_files = {"/ca.pem"}});
    }
    const Endpoint loopback{"https://localhost:5000", kNone};
    CHECK(tls_for_service("localhost", loopback) == kNone);
    CHECK(tls_for_service("127.0.0.1", loopback) == kNone);
    CHECK(tls_for_service("auth.example", loopback) == kTrusted);
}

TEST_CASE("where credentials may go after a redirect") {
    struct Row {
        const char* url;
        http::TlsSettings tls;
        const char* from;
        bool may;
    };
    for (const Row& row : {
             Row{"https://b.example/", kTrusted, "https://a.example", true},
             Row{"https://b.example/", kTrusted, "http://a.example", true},
             Row{"https://b.example/", kNone, "https://a.example", false},
             Row{"http://b.example/", kTrusted, "http://a.example", false},
             Row{"https://a.example:81/", kNone, "https://a.example", true},
             Row{"http://a.example:81/", kTrusted, "http://a.example", true},
             Row{"http://localhost:81/", kTrusted, "http://a.example", true},
         }) {
        CAPTURE(row.url);
        CHECK(keeps_secrets(http::parse_url(row.url), row.tls, {row.from}) == row.may);
    }
}

TEST_CASE("headers of an endpoint are for its own host, and replace none of a request") {
    const Endpoint endpoint{
        .base_url = "https://reg.example:5000",
        .headers = {{"X-Team", "a"}, {"x-team", "b"}, {"accept", "c"}, {"Authorization", "d"}}};
    struct Row {
        const char* url;
        http::Headers headers;
        http::Headers expected;
    };
    const http::Headers both = {{"X-Team", "a"}, {"x-team", "b"}};
    for (const Row& row : {
             Row{"https://reg.example:5000/", {}, endpoint.headers},
             Row{"https://REG.example/t", {}, endpoint.headers},
             Row{"https://reg.example/",
                 {{"Accept", "mine"}, {"authorization", "mine"}},
                 {{"Accept", "mine"}, {"authorization", "mine"}, both[0], both[1]}},
             Row{"https://auth.example/", {{"Accept", "mine"}}, {{"Accept", "mine"}}},
         }) {
        CAPTURE(row.url);
        http::Request request{
            .method = http::Method::get, .url = row.url, .headers = row.headers, .body = {}};
        add_headers_of(endpoint, request);
        CHECK(request.headers == row.expected);
    }
}

}  // namespace
}  // namespace prebake::registry
