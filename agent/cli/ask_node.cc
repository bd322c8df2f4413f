#include "agent/cli/ask_node.h"

#include "agent/base/error.h"
#include "agent/report/ask_daemon.h"

namespace prebake::cli {
namespace {

constexpr int kOk = 200;
constexpr int kServiceUnavailable = 503;  ///< the daemon has too many connections

report::DaemonResponse ask_somehow(const Invocation& invocation, const std::string& target,
                                   std::chrono::milliseconds patience) {
    const report::EndpointOptions& endpoint = invocation.config.endpoint;
    const std::stop_token stop = invocation.signals.token();
    try {
        return report::ask_daemon(endpoint.socket, target, patience, stop);
    } catch (const Error& error) {
        if (error.code() != Errc::permission_denied) throw;
        for (const std::string& address : endpoint.listen) {
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
