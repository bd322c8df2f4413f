#include "agent/http/target.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/unit/base/thrown.h"

namespace prebake::http {
namespace {

using namespace std::chrono_literals;
using tests::thrown_by;

const Target::Clock::time_point kNow = Target::Clock::now();

Request request(std::string url, std::string unix_socket = {}) {
    Request made;
    made.url = std::move(url);
    made.unix_socket = std::move(unix_socket);
    return made;
}

ProxySettings through_proxy(std::string url) {
    return {.for_http = {.url = url, .source = "HTTP_PROXY"},
            .for_https = {.url = url, .source = "HTTPS_PROXY"},
            .no_proxy = "exempt.example"};
}

TEST_CASE("the peer is the host with its port, or the socket") {
    CHECK(target_of(request("https://a.example/x"), {}, kNow).peer == "a.example:443");
    CHECK(target_of(request("http://[::1]:81/x"), {}, kNow).peer == "[::1]:81");
    CHECK(target_of(request("http://localhost/x", "/run/s"), {}, kNow).peer == "/run/s");
}

TEST_CASE("connections are shared only between equal targets") {
    Request unverified = request("https://a.example/");
    unverified.tls.verification = TlsVerification::none;
    Request restricted = request("https://a.example/");
    restricted.allows_link_local = false;
    std::set<std::string> keys;
    Request with_ca = request("https://a.example/");
    with_ca.tls.ca_files = {"/ca"};
    Request with_cas = with_ca;
    with_cas.tls.ca_files = {"/ca", "/ca2"};
    Request with_client = request("https://a.example/");
    with_client.tls.client_certificates = {{.certificate = "/c", .key = "/k"}};
    Request with_other_key = request("https://a.example/");
    with_other_key.tls.client_certificates = {{.certificate = "/c", .key = "/l"}};
    for (const Request& each :
         {request("https://a.example/"), unverified, restricted, with_ca, with_cas, with_client,
          with_other_key, request("http://a.example/"), request("https://a.example:444/"),
          request("http://a.example/", "/run/s"), request("http://a.example/", "/run/t")}) {
        keys.insert(target_of(each, {}, kNow).pool_key);
    }
    for (const char* proxy : {"http://p:1", "http://p:2", "https://p:1"}) {
        keys.insert(target_of(request("https://a.example/"), through_proxy(proxy), kNow).pool_key);
    }
    CHECK(keys.size() == 14);
    CHECK(target_of(request("https://a.example/x?y"), {}, kNow).pool_key ==
          target_of(request("https://A.example:443/z"), {}, kNow).pool_key);
    CHECK(target_of(request("http://localhost/x", "/run/s"), {}, kNow).pool_key ==
          target_of(request("http://localhost/y", "/run/s"), {}, kNow).pool_key);
}

TEST_CASE("targets behind a proxy") {
    const ProxySettings proxies = through_proxy("http://me:SECRET@p:1");
    const Target tls = target_of(request("https://a.example/"), proxies, kNow);
    CHECK(tls.is_tunnelled());
    CHECK(tls.peer == "a.example:443 (through the proxy p:1)");
    CHECK(tls.host() == "a.example:443");
    CHECK_FALSE(tests::contains(tls.pool_key, "SECRET"));
    const Target plain = target_of(request("http://a.example/"), proxies, kNow);
    CHECK(plain.proxy);
    CHECK_FALSE(plain.is_tunnelled());
    for (const Request& direct :
         {request("http://exempt.example/"), request("http://a.example/", "/run/s")}) {
        const Target target = target_of(direct, proxies, kNow);
        CHECK_FALSE(target.proxy);
        CHECK_FALSE(target.is_tunnelled());
    }
}

TEST_CASE("the text of a request") {
    Request sent = request("http://a.example:81/v2/?x=y");
    sent.method = Method::post;
    sent.headers = {{"user-agent", "mine"}, {"X", "1"}, {"Accept", "a"}};
    sent.body = "a=b";
    CHECK(text_of(sent, target_of(sent, {}, kNow), "agent") ==
          "POST /v2/?x=y HTTP/1.1\r\nHost: a.example:81\r\nAccept-Encoding: identity\r\n"
          "user-agent: mine\r\nX: 1\r\nAccept: a\r\nContent-Length: 3\r\n\r\na=b");
    Request listed = request("http://a.example/x");
    listed.headers = {{"x-team", "a"}, {"X-Team", "b"}, {"USER-AGENT", "mine"}};
    CHECK(text_of(listed, target_of(listed, {}, kNow), "agent") ==
          "GET /x HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: identity\r\n"
          "x-team: a\r\nX-Team: b\r\nUSER-AGENT: mine\r\n\r\n");
    const Request plain = request("http://a.example/x");
    CHECK(text_of(plain, target_of(plain, through_proxy("http://me:pass@p:1"), kNow), "agent") ==
          "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: agent\r\n"
          "Accept-Encoding: identity\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n\r\n");
    const Request tls = request("https://a.example/x");
    const Target tunnelled = target_of(tls, through_proxy("http://me:pass@p:1"), kNow);
    CHECK(text_of(tls, tunnelled, "agent") ==
          "GET /x HTTP/1.1\r\nHost: a.example\r\nUser-Agent: agent\r\n"
          "Accept-Encoding: identity\r\n\r\n");
    CHECK(text_of_connect(tunnelled, "agent") ==
          "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nUser-Agent: agent\r\n"
          "Proxy-Authorization: Basic bWU6cGFzcw==\r\n\r\n");
}

TEST_CASE("a time limit shortens every phase") {
    Request limited = request("http://a.example/");
    limited.time_limit = 1h;
    const Target target = target_of(limited, {}, kNow);
    CHECK(target.deadline == kNow + 1h);
    CHECK(target.within(24h) == kNow + 1h);
    CHECK(target.within(1s) < kNow + 1h);
    CHECK(target.timed_out("it sent nothing for", 60s).message() ==
          "it sent nothing for 1 min 00 s");
    const Target late = target_of(limited, {}, kNow - 2h);
    CHECK(late.timed_out("it sent nothing for", 60s).message() ==
          "a.example:80 did not answer within 1 h 00 min");
}

TEST_CASE("without a time limit there is no deadline") {
    const Target target = target_of(request("http://a.example/"), {}, kNow);
    CHECK(target.within(24h) > kNow + 23h);
}

TEST_CASE("requests without a usable target") {
    for (const Request& each :
         {request("ftp://a/"), request("http://a/", "/" + std::string(107, 'a')),
          request("https://a/", "/run/s")}) {
        CAPTURE(each.url);
        CHECK(thrown_by([&] { target_of(each, {}, kNow); }).code() == Errc::usage);
    }
}

}  // namespace
}  // namespace prebake::http
