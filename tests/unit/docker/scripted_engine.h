#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <initializer_list>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/http/loopback_server.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::docker {

/// "HTTP/1.1 STATUS", headers and a body with its length.
inline std::string answer(std::string_view body, std::string_view status = "200 OK",
                          std::string_view headers = "") {
    return "HTTP/1.1 " + std::string(status) +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n" +
           std::string(headers) + "\r\n" + std::string(body);
}

/// A stream of JSON lines, without its end.
inline std::string open_stream(std::initializer_list<std::string_view> lines) {
    std::ostringstream text;
    text << "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    for (const std::string_view line : lines) {
        text << std::hex << line.size() + 2 << "\r\n" << line << "\r\n\r\n";
    }
    return text.str();
}

inline std::string stream(std::initializer_list<std::string_view> lines) {
    return open_stream(lines) + "0\r\n\r\n";
}

/// A dockerd that gives the answers of a test, on a unix socket: one for each connection. Without
/// others it speaks API 1.12 to 1.41. Clients must be gone before it is destroyed.
class ScriptedEngine {
  public:
    struct Seen {
        std::string line;  ///< "GET /_ping HTTP/1.1"
        std::string header;
        std::string body;
    };

    ScriptedEngine() : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(::listen(fd_, 16) == 0);
        speaks("1.41", R"({"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"})");
        thread_ = std::jthread([this] { serve(); });
    }
    ~ScriptedEngine() {
        ::shutdown(fd_, SHUT_RDWR);
        thread_.join();
        ::close(fd_);
    }
    ScriptedEngine(const ScriptedEngine&) = delete;
    ScriptedEngine& operator=(const ScriptedEngine&) = delete;

    std::string socket() const { return (directory_.path() / "d.sock").string(); }

    /// The text that follows a request whose line contains `part`; the latest one counts.
    void on(const std::string& part, std::string text) { add({part, std::move(text), false}); }
    /// The same, and then nothing, until the client closes.
    void hang_after(const std::string& part, std::string text) {
        add({part, std::move(text), true});
    }
    void speaks(const std::string& newest, const std::string& version) {
        on("/_ping", answer("OK", "200 OK", "Api-Version: " + newest + "\r\n"));
        on("/version", answer(version));
    }

    /// The requests so far whose line contains `part`.
    std::vector<Seen> seen(const std::string& part = "") const {
        const std::scoped_lock lock(mutex_);
        std::vector<Seen> found;
        for (const Seen& each : seen_) {
            if (each.line.find(part) != std::string::npos) found.push_back(each);
        }
        return found;
    }

  private:
    struct Rule {
        std::string part;
        std::string text;
        bool hangs;
    };

    void add(Rule rule) {
        const std::scoped_lock lock(mutex_);
        rules_.push_back(std::move(rule));
    }

    Rule rule_for(const std::string& line) const {
        const std::scoped_lock lock(mutex_);
        for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
            if (line.find(rule->part) != std::string::npos) return *rule;
        }
        return {"", answer(R"({"message":"page not found"})", "404 Not Found"), false};
    }

    static std::string body_of(http::ServerConnection& connection, const std::string& header) {
        constexpr std::string_view kLength = "\r\nContent-Length: ";
        const std::size_t at = header.find(kLength);
        if (at == std::string::npos) return {};
        std::string body(std::stoul(header.substr(at + kLength.size())), '\0');
        if (body.empty()) return body;  // recv(2) would wait nevertheless
        const ssize_t got = ::recv(connection.fd(), body.data(), body.size(), MSG_WAITALL);
        body.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
        return body;
    }

    void serve() {
        for (;;) {
            const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            http::ServerConnection connection(fd);
            Seen request;
            request.header = connection.read_request();
            request.line = request.header.substr(0, request.header.find("\r\n"));
            if (request.line.empty()) continue;
            const Rule rule = rule_for(request.line);
            request.body = body_of(connection, request.header);
            {
                const std::scoped_lock lock(mutex_);
                seen_.push_back(std::move(request));
            }
            connection.send(rule.text);
            if (rule.hangs) connection.wait_for_close();
        }
    }

    TemporaryDirectory directory_;
    int fd_;
    mutable std::mutex mutex_;
    std::vector<Rule> rules_;
    std::vector<Seen> seen_;
    std::jthread thread_;
};

}  // namespace prebake::docker
