#include "agent/http/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "agent/base/format.h"

namespace prebake::http {
namespace {

/// The kernel wants a NUL after the path.
constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

/// A header with a line break would be two headers.
void refuse_control_characters(const Headers& headers) {
    for (const auto& [name, value] : headers) {
        const bool is_clean = std::ranges::none_of(
            name + value, [](char c) { return static_cast<unsigned char>(c) < ' '; });
        if (is_clean) continue;
        throw Error(Errc::usage, "the header " + name + " would have control characters");
    }
}

bool starts_with(std::span<const std::uint8_t> bytes, std::span<const std::uint8_t> prefix) {
    return std::ranges::equal(bytes.first(prefix.size()), prefix);
}

bool is_link_local_v4(std::span<const std::uint8_t, 4> bytes) {
    return bytes[0] == 169 && bytes[1] == 254;
}

bool is_link_local_v6(std::span<const std::uint8_t, 16> bytes) {
    constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    constexpr std::array<std::uint8_t, 12> kTranslated{0, 0x64, 0xff, 0x9b};
    constexpr std::array<std::uint8_t, 4> kAmazon{0xfd, 0x00, 0x0e, 0xc2};
    if (starts_with(bytes, kMapped) || starts_with(bytes, kTranslated)) {
        return is_link_local_v4(bytes.last<4>());
    }
    return (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) || starts_with(bytes, kAmazon);
}

}  // namespace

bool is_link_local(const sockaddr& address) {
    if (address.sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &address, sizeof v4);
        std::array<std::uint8_t, 4> bytes{};
        std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
        return is_link_local_v4(bytes);
    }
    if (address.sa_family != AF_INET6) return false;
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return is_link_local_v6(bytes);
}

void Target::require_allowed(const sockaddr& address) const {
    if (allows_link_local || !is_link_local(address)) return;
    throw Error(Errc::permission_denied,
                peer +
                    " has a link-local address, where a cloud serves the credentials of this "
                    "machine",
                "find out who made the server refer to it; a registry has no reason to");
}

Target::Clock::time_point Target::within(std::chrono::milliseconds limit) const {
    return std::min(Clock::now() + limit, deadline);
}

Error Target::timed_out(const std::string& phase, std::chrono::milliseconds limit) const {
    const bool is_whole = time_limit && Clock::now() >= deadline;
    return Error(Errc::timed_out,
                 is_whole ? peer + " did not answer within " + format_duration(*time_limit)
                          : phase + " " + format_duration(limit));
}

Target target_of(const Request& request, Target::Clock::time_point now) {
    Target target{.url = parse_url(request.url),
                  .unix_socket = request.unix_socket,
                  .tls = request.tls,
                  .peer = {},
                  .pool_key = {},
                  .allows_link_local = request.allows_link_local,
                  .time_limit = request.time_limit};
    refuse_control_characters(request.headers);
    if (request.time_limit) target.deadline = now + *request.time_limit;
    if (!target.unix_socket.empty()) {
        if (target.url.tls || target.unix_socket.size() > kMaxSocketPath) {
            throw Error(Errc::usage, "\"" + target.unix_socket + "\" cannot be a unix socket");
        }
        target.peer = target.unix_socket;
        target.pool_key = "unix " + target.unix_socket;
        return target;
    }
    target.peer = target.url.authority();
    target.pool_key = target.url.origin();
    if (request.tls.verification == TlsVerification::none) target.pool_key += " unverified";
    // A connection that was made without the check must not be used where it is wanted.
    if (!request.allows_link_local) target.pool_key += " routable";
    return target;
}

}  // namespace prebake::http
