// The client of the unix socket. One request, one answer, then the daemon closes: plain system
// calls say it with less than an event loop would.

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/wait.h"
#include "agent/report/endpoint.h"
#include "agent/report/socket_address.h"

namespace prebake::report {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kMaxAnswerBytes = 4UL << 20;
constexpr std::size_t kMaxHeaderBytes = 8UL << 10;
constexpr std::string_view kEndOfHeader = "\r\n\r\n";
/// The kernel accepts for the daemon: it takes longer only if the daemon does not live.
constexpr milliseconds kConnectTime{5000};

constexpr const char* kLookAtService = "look at: systemctl status prebaked";

/// A conversation that has to be over at a deadline.
class Conversation {
  public:
    Conversation(const std::filesystem::path& path, milliseconds patience)
        : path_(path), deadline_(steady_clock::now() + patience) {
        const auto address = unix_address(path.string());
        if (!address) {
            throw Error(Errc::usage, "\"" + path.string() + "\" cannot be the path of a socket");
        }
        socket_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!socket_) throw errno_error("cannot make a socket for", path);
        // connect() waits for a place in the backlog so long, and then says EAGAIN.
        const auto time = std::clamp(patience, milliseconds(1), kConnectTime);
        const timeval limit{.tv_sec = time.count() / 1000, .tv_usec = time.count() % 1000 * 1000};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        while (::connect(socket_.get(), address->get(), address->size) != 0) {
            if (errno != EINTR) throw refused(errno);
        }
    }

    /// Wakes whoever waits here: to the caller it looks as if the daemon had closed. From any
    /// thread.
    void hang_up() const { ::shutdown(socket_.get(), SHUT_RDWR); }

    void send(std::string_view text) {
        while (!text.empty()) {
            const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
            if (sent >= 0) {
                text.remove_prefix(static_cast<std::size_t>(sent));
            } else if (errno == EPIPE) {
                return;  // a daemon that has no room for us says so, and does not read
            } else if (errno != EINTR) {
                throw refused(errno);
            }
        }
    }

    /// All that comes until the daemon closes.
    std::string receive() {
        std::string received;
        std::array<char, 16384> piece{};
        for (;;) {
            wait_for_more();
            const ssize_t got = ::recv(socket_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
            if (got == 0) return received;
            if (got < 0) {
                if (errno == EINTR || errno == EAGAIN) continue;
                throw refused(errno);
            }
            received.append(piece.data(), static_cast<std::size_t>(got));
            if (received.size() > kMaxHeaderBytes + kMaxAnswerBytes) throw too_large();
        }
    }

    Error too_large() const {
        return Error(Errc::too_large, "prebaked answers with more than 4 MiB on " + path_.string());
    }
    Error broken_off(const std::string& why) const {
        return Error(Errc::unavailable, "prebaked " + why + " on " + path_.string(),
                     kLookAtService);
    }
    Error corrupt(const std::string& why) const {
        return Error(Errc::corrupt, "what answers on " + path_.string() + " " + why,
                     "check that it is prebaked which listens there");
    }

  private:
    void wait_for_more() {
        const auto left = std::chrono::ceil<milliseconds>(deadline_ - steady_clock::now());
        if (left.count() <= 0) throw refused(EAGAIN);
        pollfd wanted{.fd = socket_.get(), .events = POLLIN, .revents = 0};
        constexpr milliseconds kLongest = std::chrono::hours(1);
        if (::poll(&wanted, 1, static_cast<int>(std::min(left, kLongest).count())) == 0) {
            throw refused(EAGAIN);
        }
    }

    Error refused(int number) const {
        if (number == EAGAIN) {
            return Error(Errc::timed_out, "prebaked does not answer in time on " + path_.string(),
                         kLookAtService);
        }
        if (number == EACCES || number == EPERM) {
            return Error(Errc::permission_denied, "may not use " + path_.string(),
                         "run it as root, or join the group prebake");
        }
        return Error(Errc::unavailable,
                     "prebaked does not answer on " + path_.string() + ": " +
                         std::generic_category().message(number),
                     kLookAtService);
    }

    const std::filesystem::path path_;
    const steady_clock::time_point deadline_;
    FileDescriptor socket_;
};

/// Only what our own server sends: a status line of HTTP/1.x, and Content-Length.
Answer parse_answer(std::string_view text, const Conversation& conversation) {
    // As of a daemon that was told to end, or killed, while somebody waited.
    if (text.empty()) throw conversation.broken_off("closes without an answer");
    const std::size_t end = text.substr(0, kMaxHeaderBytes).find(kEndOfHeader);
    const std::string_view status_line = text.substr(0, text.find("\r\n"));
    if (end == std::string_view::npos || !status_line.starts_with("HTTP/1.")) {
        throw conversation.corrupt("does not speak HTTP/1.1");
    }
    const auto number_after = [&](std::string_view name, std::string_view lines) {
        const std::size_t at = lines.find(name);
        std::size_t number = 0;
        const std::string_view digits =
            at == std::string_view::npos ? "" : lines.substr(at + name.size());
        const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (parsed.ec != std::errc()) throw conversation.corrupt("sends an unknown header");
        return number;
    };
    Answer answer;
    answer.status = static_cast<unsigned>(number_after(" ", status_line));
    const std::size_t length = number_after("\r\nContent-Length: ", text.substr(0, end));
    const std::string_view body = text.substr(end + kEndOfHeader.size());
    if (length > kMaxAnswerBytes) throw conversation.too_large();
    if (length > body.size()) throw conversation.broken_off("does not send its whole answer");
    if (length < body.size()) throw conversation.corrupt("sends more than it says");
    answer.body = body;
    return answer;
}

}  // namespace

Answer ask_daemon(const std::filesystem::path& socket, const std::string& target,
                  milliseconds patience, const std::stop_token& stop) {
    throw_if_stopped(stop);
    Conversation conversation(socket, patience);
    const std::stop_callback on_stop(stop, [&] { conversation.hang_up(); });
    conversation.send("GET " + target +
                      " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const std::string answer = conversation.receive();
    throw_if_stopped(stop);
    return parse_answer(answer, conversation);
}

}  // namespace prebake::report
