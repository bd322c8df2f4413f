#include "agent/http/target.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

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

TEST_CASE("the peer is the host with its port, or the socket") {
    CHECK(target_of(request("https://a.example/x"), kNow).peer == "a.example:443");
    CHECK(target_of(request("http://[::1]:81/x"), kNow).peer == "[::1]:81");
    CHECK(target_of(request("http://localhost/x", "/run/s"), kNow).peer == "/run/s");
}

TEST_CASE("link-local addresses") {
    struct Row {
        std::string address;
        bool is_link_local;
    };
    const std::vector<Row> rows = {
        {"169.254.0.0", true},      {"169.254.255.255", true},    {"169.253.1.1", false},
        {"10.0.0.1", false},        {"127.0.0.1", false},         {"fe80::1", true},
        {"febf::1", true},          {"fec0::1", false},           {"::ffff:169.254.1.1", true},
        {"::ffff:10.0.0.1", false}, {"64:ff9b::a9fe:a9fe", true}, {"64:ff9b::808:808", false},
        {"fd00:ec2::254", true},    {"fd00:ec3::254", false},     {"::1", false},
        {"2001:db8::1", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.address);
        sockaddr_in v4{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
        sockaddr_in6 v6{.sin6_family = AF_INET6,
                        .sin6_port = 0,
                        .sin6_flowinfo = 0,
                        .sin6_addr = {},
                        .sin6_scope_id = 0};
        const bool is_v4 = ::inet_pton(AF_INET, row.address.c_str(), &v4.sin_addr) == 1;
        if (!is_v4) REQUIRE(::inet_pton(AF_INET6, row.address.c_str(), &v6.sin6_addr) == 1);
        const void* const address =
            is_v4 ? static_cast<const void*>(&v4) : static_cast<const void*>(&v6);
        CHECK(is_link_local(*static_cast<const sockaddr*>(address)) == row.is_link_local);
    }
}

TEST_CASE("connections are shared only between equal targets") {
    Request unverified = request("https://a.example/");
    unverified.tls.verification = TlsVerification::none;
    Request restricted = request("https://a.example/");
    restricted.allows_link_local = false;
    std::set<std::string> keys;
    for (const Request& each :
         {request("https://a.example/"), unverified, restricted, request("http://a.example/"),
          request("https://a.example:444/"), request("http://a.example/", "/run/s"),
          request("http://a.example/", "/run/t")}) {
        keys.insert(target_of(each, kNow).pool_key);
    }
    CHECK(keys.size() == 7);
    CHECK(target_of(request("https://a.example/x?y"), kNow).pool_key ==
          target_of(request("https://A.example:443/z"), kNow).pool_key);
    CHECK(target_of(request("http://localhost/x", "/run/s"), kNow).pool_key ==
          target_of(request("http://localhost/y", "/run/s"), kNow).pool_key);
}

TEST_CASE("a time limit shortens every phase") {
    Request limited = request("http://a.example/");
    limited.time_limit = 1h;
    const Target target = target_of(limited, kNow);
    CHECK(target.deadline == kNow + 1h);
    CHECK(target.within(24h) == kNow + 1h);
    CHECK(target.within(1s) < kNow + 1h);
    CHECK(target.timed_out("it sent nothing for", 60s).message() ==
          "it sent nothing for 1 min 00 s");
    const Target late = target_of(limited, kNow - 2h);
    CHECK(late.timed_out("it sent nothing for", 60s).message() ==
          "a.example:80 did not answer within 1 h 00 min");
}

TEST_CASE("without a time limit there is no deadline") {
    const Target target = target_of(request("http://a.example/"), kNow);
    CHECK(target.within(24h) > kNow + 23h);
}

TEST_CASE("requests without a usable target") {
    for (const Request& each :
         {request("ftp://a/"), request("http://a/", "/" + std::string(107, 'a')),
          request("https://a/", "/run/s")}) {
        CAPTURE(each.url);
        CHECK(thrown_by([&] { target_of(each, kNow); }).code() == Errc::usage);
    }
}

}  // namespace
}  // namespace prebake::http
