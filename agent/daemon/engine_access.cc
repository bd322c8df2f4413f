#include "agent/daemon/engine_access.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "agent/http/client.h"
#include "agent/store/engine_check.h"

namespace prebake::daemon {
namespace {

using Connect = decltype(EngineAccess::connect);

/// A dockerd that does not answer a question for that long hangs.
constexpr std::chrono::seconds kPatience{30};

Connect connect_to(const std::string& host, const std::string& version) {
    // Made at the first call: on most nodes nobody asks dockerd.
    return [host, version,
            client = std::shared_ptr<http::Client>()](const std::stop_token& stop) mutable {
        if (!client) client = http::make_client({}, "prebake/" + version);
        return docker::connect(*client, docker::socket_of(host), stop, {.answer = kPatience});
    };
}

}  // namespace

EngineAccess engine_access(const NodeLoopOptions& options) {
    return {.connect = options.connect_docker
                           ? options.connect_docker
                           : connect_to(options.docker_host, options.prebake_version),
            .check = store::check_engine,
            .read_file = [] { return docker::read_daemon_file(docker::DaemonFile().path); },
            .clock = options.clock};
}

}  // namespace prebake::daemon
