#include "agent/cli/leftover_containers.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/process.h"
#include "agent/cli/log.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/containers.h"
#include "agent/containerd/cri.h"
#include "agent/identity/item.h"
#include "agent/identity/scope.h"

namespace prebake::cli {
namespace {

/// Runs several actions, and keeps the first error.
class Attempts {
  public:
    void attempt(const std::function<void()>& work) {
        try {
            work();
        } catch (const Error& error) {
            if (!first_) first_ = error;
        }
    }
    void throw_if_failed() const {
        if (first_) throw Error(*first_);
    }

  private:
    std::optional<Error> first_;
};

bool is_sealed(std::string_view name, const identity::SealScope& scope) {
    const auto& items = identity::items();
    const auto item = std::find_if(items.begin(), items.end(),
                                   [name](const identity::Item& it) { return it.name == name; });
    return item != items.end() && identity::treatment_of(*item, scope) == identity::Treatment::seal;
}

/// With Docker's own client, because its daemon knows containers that containerd no longer has.
class Docker {
  public:
    explicit Docker(const std::stop_token& stop) : stop_(stop) {}

    static bool is_there() { return std::filesystem::exists(kSocket) && is_program("docker"); }

    /// A manager of a swarm starts its services' containers again.
    void leave_swarm() const {
        const std::string state = docker({"info", "--format", "{{.Swarm.LocalNodeState}}"});
        if (!state.starts_with("inactive")) docker({"swarm", "leave", "--force"});
    }

    void remove_containers() const {
        std::optional<Error> failure;
        // Some may end meanwhile, which docker rm takes for a failure.
        for (int round = 0; round < kRounds; ++round) {
            std::vector<std::string> remove{"rm", "--force"};
            std::istringstream ids(docker({"ps", "--all", "--quiet", "--no-trunc"}));
            const std::size_t without_ids = remove.size();
            for (std::string id; ids >> id;) remove.push_back(id);
            if (remove.size() == without_ids) return;
            try {
                docker(std::move(remove));
            } catch (const Error& error) {
                if (error.code() == Errc::cancelled) throw;
                failure = error;
            }
        }
        if (failure) throw Error(*failure);
    }

    void remove_build_cache() const { docker({"builder", "prune", "--all", "--force"}); }

  private:
    static constexpr const char* kSocket = "/run/docker.sock";
    static constexpr int kRounds = 3;
    /// A cache may have a million files.
    static constexpr std::chrono::minutes kTimeLimit{10};

    /// Of this machine, whatever the variables and contexts of the user say.
    std::string docker(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {"docker", "--host", std::string("unix://") + kSocket});
        return run_or_throw(
            {.arguments = std::move(arguments), .separates_errors = true, .time_limit = kTimeLimit},
            stop_);
    }

    const std::stop_token& stop_;
};

void remove_docker_containers(const identity::SealScope& scope, const std::stop_token& stop,
                              Attempts& attempts) {
    if (!Docker::is_there()) return;
    const Docker docker(stop);
    if (is_sealed("docker-swarm", scope)) attempts.attempt([&] { docker.leave_swarm(); });
    attempts.attempt([&] { docker.remove_containers(); });
    if (is_sealed("docker-build-cache", scope))
        attempts.attempt([&] { docker.remove_build_cache(); });
}

void remove_containerd_containers(const containerd::Connection& connection, Attempts& attempts) {
    const containerd::Cri cri(connection);
    attempts.attempt([&] {
        if (!cri.available()) return;
        const std::size_t pods = cri.remove_pods();
        if (pods > 0) log_debug("removed " + std::to_string(pods) + " pods");
    });
    for (const std::string& ns : containerd::namespaces(connection)) {
        const containerd::Containers containers(connection, ns);
        for (const containerd::Container& container : containers.list()) {
            const std::string& id = container.id;
            attempts.attempt([&] { containers.remove(id); });
        }
    }
}

}  // namespace

void remove_leftover_containers(const Invocation& invocation, const identity::SealScope& scope) {
    Attempts attempts;
    const std::stop_token stop = invocation.signals.token();
    attempts.attempt([&] { remove_docker_containers(scope, stop, attempts); });
    attempts.attempt([&] {
        if (!std::filesystem::exists(invocation.config.address)) return;
        const containerd::Connection connection(invocation.config.address, stop);
        remove_containerd_containers(connection, attempts);
    });
    attempts.throw_if_failed();
}

}  // namespace prebake::cli
