#include "agent/http/target.h"

#include <sys/un.h>

#include <algorithm>
#include <cstddef>

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

}  // namespace

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
                  .verification = request.tls,
                  .peer = {},
                  .pool_key = {},
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
    if (request.tls == TlsVerification::none) target.pool_key += " unverified";
    return target;
}

}  // namespace prebake::http
