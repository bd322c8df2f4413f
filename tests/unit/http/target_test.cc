#include "agent/http/target.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

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

TEST_CASE("connections are shared only between equal targets") {
    Request unverified = request("https://a.example/");
    unverified.tls = TlsVerification::none;
    std::set<std::string> keys;
    for (const Request& each :
         {request("https://a.example/"), unverified, request("http://a.example/"),
          request("https://a.example:444/"), request("http://a.example/", "/run/s"),
          request("http://a.example/", "/run/t")}) {
        keys.insert(target_of(each, kNow).pool_key);
    }
    CHECK(keys.size() == 6);
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
