#include "agent/daemon/service_notifier.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>

#include "agent/base/file.h"
#include "agent/base/format.h"
#include "agent/report/socket_address.h"

namespace prebake::daemon {
namespace {

/// `systemctl status` shows one line.
constexpr std::size_t kMaxStatusBytes = 512;

std::string take_from_environment(const char* name) {
    const char* const value = std::getenv(name);
    std::string text = value ? value : "";
    ::unsetenv(name);
    return text;
}

std::optional<std::uint64_t> parse_number(const std::string& text) {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, failure] = std::from_chars(text.data(), end, number);
    if (failure != std::errc() || rest != end) return std::nullopt;
    return number;
}

}  // namespace

ServiceNotifier::ServiceNotifier() : socket_(take_from_environment("NOTIFY_SOCKET")) {
    // '@' means the NUL of an abstract name.
    if (socket_.starts_with('@')) socket_.front() = '\0';
    const auto limit = parse_number(take_from_environment("WATCHDOG_USEC"));
    const std::string process = take_from_environment("WATCHDOG_PID");
    const bool is_for_us = process.empty() || process == std::to_string(::getpid());
    if (!limit || *limit == 0 || !is_for_us || socket_.empty()) return;
    constexpr auto kLongest = static_cast<std::uint64_t>(std::chrono::microseconds::max().count());
    watchdog_ = std::chrono::microseconds(std::min(*limit, kLongest) / 2);
}

void ServiceNotifier::ready() const {
    send("READY=1");
}

void ServiceNotifier::reloading() const {
    // systemd expects CLOCK_MONOTONIC, which steady_clock is on Linux.
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now().time_since_epoch());
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count()));
}

void ServiceNotifier::stopping() const {
    send("STOPPING=1");
}

void ServiceNotifier::status(std::string_view line) const {
    // A line break would start another assignment, and systemd ignores a line that is not UTF-8.
    send("STATUS=" + shorten(printable(line), kMaxStatusBytes));
}

void ServiceNotifier::watchdog() const {
    send("WATCHDOG=1");
}

void ServiceNotifier::extend_timeout(std::chrono::microseconds by) const {
    send("EXTEND_TIMEOUT_USEC=" + std::to_string(by.count()));
}

void ServiceNotifier::send(const std::string& message) const {
    const auto address = report::unix_address(socket_);
    if (!address) return;
    const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return;
    ::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
             address->get(), address->size);
}

}  // namespace prebake::daemon
