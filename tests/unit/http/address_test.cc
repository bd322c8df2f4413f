#include "agent/http/address.h"

#include <doctest/doctest.h>
#include <netinet/in.h>

#include <string>
#include <vector>

namespace prebake::http {
namespace {

TEST_CASE("addresses of loopback and of the link, in every spelling") {
    struct Row {
        std::string address;
        bool is_loopback;
        bool is_link_local;
    };
    const std::vector<Row> rows = {
        {"169.254.0.0", false, true},
        {"169.254.255.255", false, true},
        {"2852039166", false, true},
        {"0xa9fea9fe", false, true},
        {"169.254.43518", false, true},
        {"169.253.1.1", false, false},
        {"10.0.0.1", false, false},
        {"fe80::1", false, true},
        {"febf::1", false, true},
        {"fec0::1", false, false},
        {"::ffff:169.254.1.1", false, true},
        {"::ffff:10.0.0.1", false, false},
        {"64:ff9b::a9fe:a9fe", false, true},
        {"64:ff9b::808:808", false, false},
        {"fd00:ec2::254", false, true},
        {"fd00:ec3::254", false, false},
        {"2001:db8::1", false, false},
        {"127.0.0.1", true, false},
        {"127.255.0.9", true, false},
        {"127.1", true, false},
        {"2130706433", true, false},
        {"128.0.0.1", false, false},
        {"::1", true, false},
        {"::ffff:127.0.0.1", true, false},
        {"::2", false, false},
        {"0.0.0.0", false, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.address);
        const auto address = parse_address(row.address);
        REQUIRE(address);
        CHECK(is_loopback(*address) == row.is_loopback);
        CHECK(is_link_local(*address) == row.is_link_local);
    }
}

TEST_CASE("a name is no address") {
    for (const char* host : {"", "localhost", "registry.example", "a9fe", "1.2.3.4.5", "::1::"}) {
        CAPTURE(host);
        CHECK_FALSE(parse_address(host));
    }
}

TEST_CASE("a socket address that is neither IPv4 nor IPv6 is no address") {
    const sockaddr unix_address{.sa_family = AF_UNIX, .sa_data = {}};
    CHECK_FALSE(address_of(unix_address));
}

TEST_CASE("prefixes of addresses") {
    const Address a = parse_address("10.1.2.255").value();
    const Address b = parse_address("10.1.2.128").value();
    for (const std::size_t bits : {0U, 96U, 120U, 121U}) CHECK(have_same_prefix(a, b, bits));
    for (const std::size_t bits : {122U, 127U, 128U, 200U})
        CHECK_FALSE(have_same_prefix(a, b, bits));
    CHECK(have_same_prefix(a, a, 128));
}

TEST_CASE("the families take turns, the preferred one first") {
    constexpr int k4 = AF_INET;
    constexpr int k6 = AF_INET6;
    using Order = std::vector<std::size_t>;
    CHECK(order_of_attempts({}).empty());
    CHECK(order_of_attempts({k4}) == Order{0});
    CHECK(order_of_attempts({k4, k4, k4}) == Order{0, 1, 2});
    CHECK(order_of_attempts({k6, k6, k6, k4, k4}) == Order{0, 3, 1, 4, 2});
    CHECK(order_of_attempts({k4, k6, k6, k6}) == Order{0, 1, 2, 3});
    CHECK(order_of_attempts({k4, k4, k6}) == Order{0, 2, 1});
}

}  // namespace
}  // namespace prebake::http
