#include "agent/cli/leftover_containers.h"

#include <filesystem>
#include <functional>
#include <optional>
#include <sstream>

#include "agent/base/error.h"
#include "agent/base/process.h"
#include "agent/cli/log.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/containers.h"
#include "agent/containerd/cri.h"

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

/// With Docker's own client, because its daemon knows containers that containerd no longer has.
void remove_docker_containers(const std::stop_token& stop) {
    if (!std::filesystem::exists("/run/docker.sock") || !is_program("docker")) return;
    Command remove{.arguments = {"docker", "rm", "--force"}};
    std::istringstream ids(
        run_or_throw({.arguments = {"docker", "ps", "--all", "--quiet", "--no-trunc"}}, stop));
    const std::size_t without_ids = remove.arguments.size();
    for (std::string id; ids >> id;) remove.arguments.push_back(id);
    if (remove.arguments.size() > without_ids) run_or_throw(remove, stop);
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

void remove_leftover_containers(const Invocation& invocation) {
    Attempts attempts;
    attempts.attempt([&] { remove_docker_containers(invocation.signals.token()); });
    attempts.attempt([&] {
        if (!std::filesystem::exists(invocation.config.address)) return;
        const containerd::Connection connection(invocation.config.address,
                                                invocation.signals.token());
        remove_containerd_containers(connection, attempts);
    });
    attempts.throw_if_failed();
}

}  // namespace prebake::cli
