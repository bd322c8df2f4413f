#include "agent/hydrate/output_pipe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "agent/base/error.h"

namespace prebake::hydrate {

OutputPipe::OutputPipe(std::filesystem::path path, std::size_t kept_bytes)
    : path_(std::move(path)), kept_bytes_(kept_bytes) {
    if (::mkfifo(path_.c_str(), 0600) != 0) throw errno_error("cannot create the pipe", path_);
    // For writing, too: then it has no end before a writer has come.
    pipe_ = FileDescriptor(::open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    wake_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC));
    if (!pipe_ || !wake_) {
        const Error error = errno_error("cannot open the pipe", path_);
        ::unlink(path_.c_str());
        throw Error(error);
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { read(stop); });
}

OutputPipe::~OutputPipe() {
    end_thread();
    ::unlink(path_.c_str());
}

void OutputPipe::end_thread() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    ::eventfd_write(wake_.get(), 1);
    thread_.join();
}

std::string OutputPipe::finish() {
    end_thread();
    while (read_some()) continue;
    return tail_.substr(tail_.size() - std::min(tail_.size(), kept_bytes_));
}

bool OutputPipe::read_some() {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(pipe_.get(), buffer.data(), buffer.size());
    if (got <= 0) return got < 0 && errno == EINTR;
    tail_.append(buffer.data(), static_cast<std::size_t>(got));
    // Rarely, because it moves what is kept.
    if (tail_.size() > 2 * kept_bytes_) tail_.erase(0, tail_.size() - kept_bytes_);
    return true;
}

void OutputPipe::read(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        std::array<pollfd, 2> waiting{{{.fd = pipe_.get(), .events = POLLIN, .revents = 0},
                                       {.fd = wake_.get(), .events = POLLIN, .revents = 0}}};
        if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
        read_some();
    }
}

}  // namespace prebake::hydrate
