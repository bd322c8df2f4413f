#include "agent/report/ask_daemon.h"

#include <algorithm>

#include "agent/base/error.h"
#include "agent/base/stream.h"
#include "agent/http/client.h"

namespace prebake::report {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxBodyBytes = 4UL << 20;
/// The kernel accepts connections for the daemon: only a daemon that hangs takes longer.
constexpr milliseconds kConnectTime{5000};

constexpr const char* kShowStatus = "see systemctl status prebaked";

Error too_large() {
    return Error(Errc::too_large, "prebaked sends more than 4 MiB");
}

DaemonResponse exchange(const http::Request& request, const std::stop_token& stop) {
    const milliseconds limit = *request.time_limit;
    const auto client =
        http::make_client({.connect = std::min(limit, kConnectTime), .stall = limit}, "prebake");
    const auto response = client->send(request, stop);
    if (!response->content_length) throw Error(Errc::corrupt, "it sends no Content-Length");
    if (*response->content_length > kMaxBodyBytes) throw too_large();
    auto body = read_up_to(*response, kMaxBodyBytes);
    if (!body) throw too_large();
    return {.status = response->status, .body = *std::move(body)};
}

/// The error of the HTTP client in terms of the daemon.
Error explained(const Error& error, const std::string& place) {
    if (error.code() == Errc::unavailable) {
        return Error(error.code(), "prebaked does not answer on " + place + ": " + error.message(),
                     kShowStatus);
    }
    if (error.code() == Errc::timed_out) {
        return Error(error.code(), "prebaked did not answer in time on " + place, kShowStatus);
    }
    if (error.code() == Errc::permission_denied) {
        return Error(error.code(), "no permission to use " + place,
                     "run it as root, or join the group prebake");
    }
    if (error.code() == Errc::corrupt) {
        return Error(error.code(), "the response on " + place + " is invalid: " + error.message(),
                     "check that prebaked is the process that listens there");
    }
    return error.within("cannot ask prebaked on " + place);
}

/// `place` is the name in errors.
DaemonResponse ask(const std::string& host, const std::string& socket, const std::string& place,
                   const std::string& target, milliseconds time_limit,
                   const std::stop_token& stop) {
    const http::Request request{.method = http::Method::get,
                                .url = "http://" + host + target,
                                .headers = {{"Connection", "close"}},
                                .body = {},
                                .tls = {},
                                .unix_socket = socket,
                                .time_limit = time_limit};
    try {
        return exchange(request, stop);
    } catch (const Error& error) {
        throw explained(error, place);
    }
}

}  // namespace

DaemonResponse ask_daemon(const std::filesystem::path& socket, const std::string& target,
                          milliseconds time_limit, const std::stop_token& stop) {
    return ask("localhost", socket.string(), socket.string(), target, time_limit, stop);
}

DaemonResponse ask_daemon_on_port(const std::string& address, const std::string& target,
                                  milliseconds time_limit, const std::stop_token& stop) {
    return ask(address, "", "http://" + address, target, time_limit, stop);
}

}  // namespace prebake::report
