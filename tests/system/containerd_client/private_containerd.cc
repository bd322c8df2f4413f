#include "tests/system/containerd_client/private_containerd.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/wait.h"
#include "agent/containerd/connection.h"
#include "tests/system/containerd_client/daemon_under_test.h"

namespace prebake::test {
namespace {

constexpr std::chrono::seconds kStartPatience{300};

[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

/// The program that listens on `socket`.
std::filesystem::path executable_behind(const std::string& socket) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    socket.copy(name.sun_path, sizeof name.sun_path - 1);
    const FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
        fail("cannot connect to " + socket);
    }
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) fail("no peer");
    return std::filesystem::read_symlink("/proc/" + std::to_string(peer.pid) + "/exe");
}

}  // namespace

PrivateContainerd::PrivateContainerd(std::size_t disk_bytes)
    : executable_(executable_behind(socket_under_test())) {
    std::string pattern = std::filesystem::temp_directory_path() / "prebake-containerd.XXXXXX";
    if (!::mkdtemp(pattern.data())) fail("cannot make a temporary directory");
    directory_ = pattern;
    const auto root = directory_ / "root";
    std::filesystem::create_directory(root);
    if (disk_bytes > 0) {
        const std::string options = "size=" + std::to_string(disk_bytes);
        if (::mount("tmpfs", root.c_str(), "tmpfs", 0, options.c_str()) != 0)
            fail("cannot mount a tmpfs");
        mounted_ = true;
    }
    // Without plugins that work outside the directory.
    std::ofstream(directory_ / "config.toml")
        << "version = 2\n"
        << "root = '" << root.string() << "'\n"
        << "state = '" << (directory_ / "state").string() << "'\n"
        << "disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt',\n"
        << "                    'io.containerd.nri.v1.nri']\n"
        << "[grpc]\n"
        << "address = '" << socket() << "'\n";
    start();
}

PrivateContainerd::~PrivateContainerd() {
    kill();
    if (mounted_) ::umount2((directory_ / "root").c_str(), MNT_DETACH);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

void PrivateContainerd::start() {
    const std::string config = directory_ / "config.toml";
    const std::string log = directory_ / "log";
    pid_ = ::fork();
    if (pid_ < 0) fail("cannot fork");
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        ::dup2(fd, STDOUT_FILENO);
        ::dup2(fd, STDERR_FILENO);
        ::execl(executable_.c_str(), "containerd", "--config", config.c_str(), nullptr);
        ::_exit(127);
    }
    const auto deadline = std::chrono::steady_clock::now() + kStartPatience;
    for (;;) {
        try {
            containerd::Connection(socket(), {}).version();
            return;
        } catch (const Error&) {
            if (std::chrono::steady_clock::now() > deadline) {
                throw std::runtime_error("the private containerd does not answer");
            }
            sleep_for(std::chrono::milliseconds(10), {});
        }
    }
}

void PrivateContainerd::kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

void PrivateContainerd::freeze() {
    ::kill(pid_, SIGSTOP);
    ::waitpid(pid_, nullptr, WUNTRACED);
}

void PrivateContainerd::thaw() {
    ::kill(pid_, SIGCONT);
}

}  // namespace prebake::test
