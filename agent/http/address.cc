#include "agent/http/address.h"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace prebake::http {
namespace {

constexpr std::size_t kBitsOfIpv4Prefix = 96;
constexpr Address kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr Address kTranslated{0, 0x64, 0xff, 0x9b};

}  // namespace

std::optional<Address> address_of(const sockaddr& address) {
    Address bytes{};
    if (address.sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &address, sizeof v4);
        bytes = kMapped;
        std::memcpy(bytes.data() + kBitsOfIpv4Prefix / 8, &v4.sin_addr, sizeof v4.sin_addr);
        return bytes;
    }
    if (address.sa_family != AF_INET6) return std::nullopt;
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return bytes;
}

std::optional<Address> parse_address(const std::string& host) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return std::nullopt;
    const std::optional<Address> address = address_of(*found->ai_addr);
    ::freeaddrinfo(found);
    return address;
}

bool is_loopback(const Address& address) {
    constexpr Address kLoopback6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return address == kLoopback6 ||
           (have_same_prefix(address, kMapped, kBitsOfIpv4Prefix) && address[12] == 127);
}

bool is_link_local(const Address& address) {
    constexpr Address kLinkLocal6{0xfe, 0x80};
    constexpr Address kAmazon{0xfd, 0x00, 0x0e, 0xc2};
    if (have_same_prefix(address, kMapped, kBitsOfIpv4Prefix) ||
        have_same_prefix(address, kTranslated, kBitsOfIpv4Prefix)) {
        return address[12] == 169 && address[13] == 254;
    }
    return have_same_prefix(address, kLinkLocal6, 10) || have_same_prefix(address, kAmazon, 32);
}

bool have_same_prefix(const Address& a, const Address& b, std::size_t bits) {
    const std::size_t whole = std::min(bits / 8, a.size());
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) {
        return false;
    }
    const std::size_t rest = whole == a.size() ? 0 : bits % 8;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

std::vector<std::size_t> order_of_attempts(const std::vector<int>& families) {
    std::vector<std::size_t> preferred;
    std::vector<std::size_t> others;
    for (std::size_t i = 0; i < families.size(); ++i) {
        (families[i] == families.front() ? preferred : others).push_back(i);
    }
    std::vector<std::size_t> order;
    for (std::size_t i = 0; order.size() < families.size(); ++i) {
        if (i < preferred.size()) order.push_back(preferred[i]);
        if (i < others.size()) order.push_back(others[i]);
    }
    return order;
}

}  // namespace prebake::http
