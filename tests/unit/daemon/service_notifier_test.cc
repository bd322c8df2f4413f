#include "agent/daemon/service_notifier.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "agent/base/file.h"
#include "agent/report/socket_address.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::daemon {
namespace {

using std::chrono::microseconds;

/// The side of systemd: a datagram socket at `name` (abstract if it starts with NUL).
class Manager {
  public:
    explicit Manager(const std::string& name) {
        const auto address = report::unix_address(name);
        REQUIRE(::bind(fd_.get(), address->get(), address->size) == 0);
    }

    /// The next datagram, which arrives at once; "" if there is none.
    std::string next() const {
        std::array<char, 4096> text{};
        const ssize_t got = ::recv(fd_.get(), text.data(), text.size(), MSG_DONTWAIT);
        return got < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(got));
    }

  private:
    FileDescriptor fd_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

ServiceNotifier notifier_for(const std::string& socket) {
    ::setenv("NOTIFY_SOCKET", socket.c_str(), 1);
    return {};
}

TEST_CASE("the state of the service is sent to systemd") {
    const TemporaryDirectory directory;
    const std::string abstract = "prebake-test-" + std::to_string(::getpid());
    struct Row {
        const char* name;
        std::string bound;
        std::string environment;
    };
    const Row rows[] = {
        {"a path", (directory / "notify").string(), (directory / "notify").string()},
        {"an abstract name", std::string(1, '\0') + abstract, "@" + abstract},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const Manager manager(row.bound);
        const ServiceNotifier notifier = notifier_for(row.environment);
        CHECK(::getenv("NOTIFY_SOCKET") == nullptr);
        notifier.ready();
        CHECK(manager.next() == "READY=1");
        notifier.watchdog();
        CHECK(manager.next() == "WATCHDOG=1");
        notifier.stopping();
        CHECK(manager.next() == "STOPPING=1");
        notifier.extend_timeout(std::chrono::seconds(3));
        CHECK(manager.next() == "EXTEND_TIMEOUT_USEC=3000000");

        const auto now = [] {
            return std::chrono::duration_cast<microseconds>(
                       std::chrono::steady_clock::now().time_since_epoch())
                .count();
        };
        const auto before = now();
        notifier.reloading();
        const std::string reloading = manager.next();
        const std::string start = "RELOADING=1\nMONOTONIC_USEC=";
        REQUIRE(reloading.starts_with(start));
        const long long at = std::stoll(reloading.substr(start.size()));
        CHECK(at >= before);
        CHECK(at <= now());
        CHECK(manager.next().empty());
    }
}

TEST_CASE("a status is one line that systemd accepts") {
    const TemporaryDirectory directory;
    const std::string name = (directory / "notify").string();
    const Manager manager(name);
    const ServiceNotifier notifier = notifier_for(name);
    notifier.status("12 images\nREADY=1\twell");
    CHECK(manager.next() == "STATUS=12 images?READY=1?well");
    notifier.status("half a character \xc3");
    CHECK(manager.next() == "STATUS=half a character ?");
    notifier.status(std::string(600, 'x'));
    CHECK(manager.next() == "STATUS=" + std::string(509, 'x') + "...");
}

TEST_CASE("without a listener nothing happens") {
    const TemporaryDirectory directory;
    for (const std::string& socket :
         {std::string(), (directory / "nobody").string(), std::string("@"), std::string(200, 'x'),
          std::string("vsock:2:1234")}) {
        CAPTURE(socket);
        const ServiceNotifier notifier = notifier_for(socket);
        CHECK_NOTHROW(notifier.ready());
    }
}

TEST_CASE("a manager that does not read does not block the service") {
    const TemporaryDirectory directory;
    const std::string name = (directory / "notify").string();
    const Manager manager(name);
    const ServiceNotifier notifier = notifier_for(name);
    // Past net.unix.max_dgram_qlen a blocking send would wait without end.
    for (int i = 0; i < 5000; ++i) notifier.watchdog();
    CHECK(manager.next() == "WATCHDOG=1");
}

TEST_CASE("the interval of the watchdog") {
    struct Row {
        const char* name;
        const char* limit;
        std::string process;
        std::optional<microseconds> interval;
    };
    const std::string own = std::to_string(::getpid());
    const Row rows[] = {
        {"half of the limit", "30000000", own, microseconds(15'000'000)},
        {"for any process", "30000000", "", microseconds(15'000'000)},
        {"for another process", "30000000", "1", {}},
        {"not set", "", "", {}},
        {"nothing", "0", own, {}},
        {"words", "soon", own, {}},
        {"a number and more", "30s", own, {}},
        {"below zero", "-5", own, {}},
        {"never", "18446744073709551615", own, microseconds::max() / 2},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ::setenv("WATCHDOG_USEC", row.limit, 1);
        ::setenv("WATCHDOG_PID", row.process.c_str(), 1);
        const ServiceNotifier notifier = notifier_for("@prebake-test-nobody");
        CHECK(notifier.watchdog_interval() == row.interval);
        CHECK(::getenv("WATCHDOG_USEC") == nullptr);
        CHECK(::getenv("WATCHDOG_PID") == nullptr);
    }
}

}  // namespace
}  // namespace prebake::daemon
