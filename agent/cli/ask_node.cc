#include "agent/cli/ask_node.h"

#include <algorithm>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/report/ask_daemon.h"
#include "agent/report/listen_address.h"
#include "agent/report/port_owner.h"

namespace prebake::cli {
namespace {

constexpr int kOk = 200;
constexpr int kServiceUnavailable = 503;  ///< the daemon has too many connections

/// Where the daemon serves everything, and nobody but root listens: another user who has the port
/// must not answer for it.
std::vector<std::string> ports_of_daemon(const report::EndpointOptions& endpoint) {
    if (endpoint.tcp != report::TcpAccess::full) return {};
    std::vector<std::string> ports;
    for (const std::string& text : endpoint.listen) {
        const auto addresses = report::parse_listen(text);
        const bool is_roots = std::ranges::all_of(addresses, [](const auto& address) {
            return report::owner_of_port(address).value_or(0) == 0;
        });
        if (is_roots) ports.push_back(text);
    }
    return ports;
}

report::DaemonResponse ask_somehow(const Invocation& invocation, const std::string& target,
                                   std::chrono::milliseconds patience) {
    const report::EndpointOptions& endpoint = invocation.config.endpoint;
    const std::stop_token stop = invocation.signals.token();
    try {
        return report::ask_daemon(endpoint.socket, target, patience, stop);
    } catch (const Error& error) {
        if (error.code() != Errc::permission_denied) throw;
        for (const std::string& address : ports_of_daemon(endpoint)) {
            try {
                return report::ask_daemon_on_port(address, target, patience, stop);
            } catch (const Error& other) {
                if (other.code() == Errc::cancelled) throw;
            }
        }
        throw Error(error.code(), error.message(),
                    "run it as root, or as a member of the group " + endpoint.socket_group);
    }
}

}  // namespace

std::string ask_node(const Invocation& invocation, const std::string& target,
                     std::chrono::milliseconds patience) {
    const report::DaemonResponse response = ask_somehow(invocation, target, patience);
    if (response.status == kOk) return response.body;
    throw Error(
        response.status == kServiceUnavailable ? Errc::unavailable : Errc::failed_precondition,
        "prebaked answered " + target + " with status " + std::to_string(response.status),
        "see journalctl -u prebaked");
}

}  // namespace prebake::cli
