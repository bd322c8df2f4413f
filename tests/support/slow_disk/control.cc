#include "tests/support/slow_disk/control.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace slow_disk {
namespace {

constexpr std::size_t kMaxLine = 4096;

void set_all(std::istringstream& words, ColdModel& model) {
    for (std::string word; words >> word;) {
        const std::size_t equals = word.find('=');
        if (equals == std::string::npos) throw std::invalid_argument("not KEY=VALUE: " + word);
        model.set(word.substr(0, equals), word.substr(equals + 1));
    }
}

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    return out + '"';
}

void converse(const File& connection, DiskImage& image, ColdModel& model) {
    std::string line;
    char c = 0;
    while (line.size() < kMaxLine && ::read(connection.fd(), &c, 1) == 1 && c != '\n') line += c;
    std::string answer;
    try {
        answer = carry_out(line, image, model);
    } catch (const std::exception& e) {
        answer = "{\"error\":" + quoted(e.what()) + "}";
    }
    answer += '\n';
    for (std::size_t sent = 0; sent < answer.size();) {
        const ssize_t count =
            ::send(connection.fd(), answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
        if (count < 0) return;  // nobody listens
        sent += static_cast<std::size_t>(count);
    }
}

}  // namespace

std::string carry_out(const std::string& line, DiskImage& image, ColdModel& model) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "set") {
        set_all(words, model);
    } else if (verb == "reset") {
        model.reset(image.holes(), Clock::now());
    } else if (verb == "warm") {
        model.make_warm();
    } else if (verb == "snapshot") {
        image.take_snapshot();
    } else if (verb == "discard") {
        image.discard_changes();
    } else if (verb == "statistics") {
        return model.statistics();
    } else if (verb == "touched") {
        return model.touched();
    } else {
        throw std::invalid_argument("unknown: " + verb);
    }
    return "{}";
}

void listen(const std::string& path, DiskImage& image, ColdModel& model) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) throw std::invalid_argument("too long: " + path);
    std::memcpy(address.sun_path, path.data(), path.size());
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(fd, SOMAXCONN) != 0) {
        throw std::system_error(errno, std::generic_category(), "cannot listen on " + path);
    }
    std::thread([fd, &image, &model] {
        for (;;) {
            const File connection(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
            if (connection.fd() >= 0) converse(connection, image, model);
        }
    }).detach();
}

}  // namespace slow_disk
