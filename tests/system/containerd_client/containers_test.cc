// Removal of containers that run, have ended, or never started.

#include <algorithm>
#include <filesystem>

#include "agent/base/process.h"
#include "agent/containerd/containers.h"
#include "agent/containerd/cri.h"
#include "tests/system/containerd_client/daemon_under_test.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::containerd {
namespace {

using test::socket_under_test;
using test::TestNamespace;

/// A root file system of one static program.
class Rootfs {
  public:
    Rootfs() {
        std::filesystem::create_directory(directory_.path() / "bin");
        std::filesystem::copy_file("/bin/busybox", directory_.path() / "bin/busybox");
    }
    std::string path() const { return directory_.path(); }

  private:
    TemporaryDirectory directory_;
};

std::string ctr(const std::string& ns, std::vector<std::string> arguments) {
    Command command{.arguments = {"ctr", "-a", socket_under_test(), "-n", ns}};
    command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
    return run_or_throw(command, {});
}

bool has(const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

TEST_CASE("containers are killed and removed in every state") {
    const TestNamespace space;
    const std::string& ns = space.scope().ns;
    const Rootfs rootfs;
    ctr(ns,
        {"run", "--detach", "--rootfs", rootfs.path(), "running", "/bin/busybox", "sleep", "600"});
    // Process 1 of a namespace is usually a shell without signal handlers.
    ctr(ns, {"run", "--detach", "--rootfs", rootfs.path(), "ended", "/bin/busybox", "true"});
    ctr(ns, {"container", "create", "--rootfs", rootfs.path(), "never-begun", "/bin/busybox"});

    const Containers containers(space.connection(), ns);
    REQUIRE(containers.list().size() == 3);
    CHECK(has(namespaces(space.connection()), ns));
    REQUIRE(ctr(ns, {"task", "list", "--quiet"}).find("running") != std::string::npos);

    const auto running = containers.find("running");
    REQUIRE(running);
    CHECK(running->id == "running");
    CHECK_FALSE(containers.find("another"));
    const std::set<std::string> started = containers.started();
    CHECK(started.contains("running"));
    CHECK_FALSE(started.contains("never-begun"));

    for (const Container& container : containers.list()) containers.remove(container.id);
    CHECK(containers.list().empty());
    CHECK(ctr(ns, {"task", "list", "--quiet"}).empty());
    CHECK(ctr(ns, {"container", "list", "--quiet"}).empty());
    CHECK_NOTHROW(containers.remove("running"));
}

TEST_CASE("remove_pods() without pods removes nothing") {
    const Connection connection(socket_under_test(), {});
    CHECK(Cri(connection).remove_pods() == 0);
}

}  // namespace
}  // namespace prebake::containerd
