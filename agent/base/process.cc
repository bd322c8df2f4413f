#include "agent/base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <thread>

#include "agent/base/capabilities.h"
#include "agent/base/error.h"
#include "agent/base/file.h"

extern char** environ;

namespace prebake {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kGraceAfterTerm{2'000};
/// The descriptor of Command::executable in the child.
constexpr int kExecutable = 3;
constexpr const char* kExecutablePath = "/proc/self/fd/3";

/// The arguments of posix_spawn(3), which have to be freed.
class SpawnSetup {
  public:
    SpawnSetup(int input, int output, int errors, int executable) {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_adddup2(&actions_, input, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, errors, STDERR_FILENO);
        // An interpreter opens it again, so it must not be closed when it is run.
        if (executable >= 0) posix_spawn_file_actions_adddup2(&actions_, executable, kExecutable);
        posix_spawnattr_init(&attributes_);
        // Our threads may block signals and ignore SIGPIPE; a program must start with the
        // defaults.
        sigset_t none;
        sigemptyset(&none);
        posix_spawnattr_setsigmask(&attributes_, &none);
        sigset_t usual;
        sigfillset(&usual);
        posix_spawnattr_setsigdefault(&attributes_, &usual);
        posix_spawnattr_setpgroup(&attributes_, 0);
        posix_spawnattr_setflags(
            &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    ~SpawnSetup() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    SpawnSetup(const SpawnSetup&) = delete;
    SpawnSetup& operator=(const SpawnSetup&) = delete;

    const posix_spawn_file_actions_t* actions() const { return &actions_; }
    const posix_spawnattr_t* attributes() const { return &attributes_; }

  private:
    posix_spawn_file_actions_t actions_;
    posix_spawnattr_t attributes_;
};

std::map<std::string, std::string> own_environment() {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view variable = *entry;
        const std::size_t equals = variable.find('=');
        if (equals == std::string_view::npos) continue;
        variables.emplace(variable.substr(0, equals), variable.substr(equals + 1));
    }
    return variables;
}

std::vector<std::string> environment_of(const Command& command) {
    std::map<std::string, std::string> variables;
    if (command.inherits_environment) variables = own_environment();
    for (const auto& [name, value] : command.environment) variables[name] = value;
    std::vector<std::string> result;
    result.reserve(variables.size());
    for (const auto& [name, value] : variables) result.push_back(name + "=" + value);
    return result;
}

std::vector<char*> as_c_array(std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    pointers.reserve(strings.size() + 1);
    for (std::string& string : strings) pointers.push_back(string.data());
    pointers.push_back(nullptr);
    return pointers;
}

/// A file in memory, or /dev/null: nobody has to write into a pipe while the program runs.
FileDescriptor open_input(std::string_view text) {
    if (text.empty()) {
        FileDescriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (!nothing) throw errno_error("cannot open", "/dev/null");
        return nothing;
    }
    FileDescriptor file(memfd_create("input", MFD_CLOEXEC));
    if (!file) throw errno_error("cannot make", "a file in memory");
    for (std::size_t at = 0; at < text.size();) {
        const ssize_t count =
            pwrite(file.get(), text.data() + at, text.size() - at, static_cast<off_t>(at));
        if (count < 0 && errno != EINTR) throw errno_error("cannot write", "a file in memory");
        if (count > 0) at += static_cast<std::size_t>(count);
    }
    return file;
}

/// Runs `spawn` on a thread without the capabilities that are not effective here. A program that
/// root runs gets all that are permitted, but no others where has_no_new_privileges().
void with_effective_capabilities_alone(const std::function<void()>& spawn) {
    CapabilitySets sets = own_capabilities();
    if (sets.permitted == sets.effective) return spawn();
    sets.permitted = sets.effective;
    std::exception_ptr failure;
    std::jthread([&] {
        try {
            set_own_capabilities(sets);
            spawn();
        } catch (const std::exception&) {
            failure = std::current_exception();
        }
    }).join();
    if (failure) std::rethrow_exception(failure);
}

/// A running child and its process group. The destructor kills and reaps it.
class Child {
  public:
    Child(const Command& command, int output, int errors) {
        const FileDescriptor input = open_input(command.input);
        const SpawnSetup setup(input.get(), output, errors, command.executable);
        std::vector<std::string> arguments = command.arguments;
        std::vector<std::string> variables = environment_of(command);
        int error = 0;
        with_effective_capabilities_alone([&] {
            error = posix_spawnp(
                &pid_, command.executable < 0 ? arguments.front().c_str() : kExecutablePath,
                setup.actions(), setup.attributes(), as_c_array(arguments).data(),
                as_c_array(variables).data());
        });
        if (error != 0) {
            // There is no other way to an open file: a script needs /proc with execveat(2), too.
            if (command.executable >= 0 && access("/proc/self/fd", X_OK) != 0) {
                throw Error(Errc::failed_precondition,
                            "cannot run " + command.arguments.front() + ": /proc is not mounted",
                            "mount it: mount -t proc proc /proc (in a chroot, there)");
            }
            errno = error;
            throw errno_error("cannot run", command.arguments.front());
        }
        exit_ = FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
        if (!exit_) {
            const Error failure = errno_error("cannot watch", command.arguments.front());
            end();
            throw Error(failure);
        }
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    /// Becomes readable when the child has ended.
    int exit_fd() const { return exit_.get(); }
    void signal_group(int signal) const { kill(-pid_, signal); }

    /// Reaps a child that has ended. The status is as in a shell.
    int status() {
        int status = 0;
        while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }

  private:
    void end() {
        if (pid_ < 0) return;
        signal_group(SIGKILL);
        status();
    }

    pid_t pid_ = -1;
    FileDescriptor exit_;
};

struct Pipe {
    FileDescriptor read_end;
    FileDescriptor write_end;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw errno_error("cannot make", "a pipe");
    Pipe pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
    fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK);
    return pipe;
}

/// What the child writes.
struct Stream {
    FileDescriptor fd;
    std::string& text;
};

/// Reads without waiting. False at the end of the stream.
bool drain(const Stream& stream, std::size_t limit) {
    std::array<char, 4096> buffer;
    while (true) {
        const ssize_t count = read(stream.fd.get(), buffer.data(), buffer.size());
        if (count == 0) return false;
        if (count < 0) return errno == EAGAIN || errno == EINTR;
        const std::size_t room = limit - std::min(limit, stream.text.size());
        stream.text.append(buffer.data(), std::min(room, static_cast<std::size_t>(count)));
    }
}

/// Why a child is killed.
enum class Interruption { none, timed_out, cancelled };

class Watch {
  public:
    Watch(const Command& command, const std::stop_token& stop)
        : command_(command),
          stop_(stop),
          deadline_(Clock::now() + command.time_limit),
          wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
          on_stop_(stop, [this] { eventfd_write(wake_.get(), 1); }) {}

    /// Returns when the child has ended, by itself or because of the deadline or a stop.
    Interruption wait(const Child& child, Stream& output, Stream& errors) {
        while (true) {
            std::array<pollfd, 4> events{
                pollfd{child.exit_fd(), POLLIN, 0}, pollfd{output.fd.get(), POLLIN, 0},
                pollfd{errors.fd.get(), POLLIN, 0},
                pollfd{interruption_ == Interruption::none ? wake_.get() : -1, POLLIN, 0}};
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
            const int timeout = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
            if (poll(events.data(), events.size(), timeout) < 0 && errno != EINTR) {
                throw errno_error("cannot wait for", command_.arguments.front());
            }
            for (Stream* const stream : {&output, &errors}) {
                if (stream->fd && !drain(*stream, command_.output_limit)) stream->fd = {};
            }
            if (events[0].revents != 0) return interruption_;
            interrupt_if_due(child);
        }
    }

  private:
    void interrupt_if_due(const Child& child) {
        if (interruption_ == Interruption::none && stop_.stop_requested()) {
            interruption_ = Interruption::cancelled;
        } else if (Clock::now() < deadline_) {
            return;
        } else if (interruption_ == Interruption::none) {
            interruption_ = Interruption::timed_out;
        } else {
            child.signal_group(SIGKILL);
            deadline_ += kGraceAfterTerm;
            return;
        }
        child.signal_group(SIGTERM);
        deadline_ = Clock::now() + kGraceAfterTerm;
    }

    const Command& command_;
    const std::stop_token& stop_;
    Clock::time_point deadline_;
    FileDescriptor wake_;
    std::stop_callback<std::function<void()>> on_stop_;
    Interruption interruption_ = Interruption::none;
};

std::string last_line(std::string_view text) {
    const std::size_t end = text.find_last_not_of(" \t\r\n");
    if (end == std::string_view::npos) return "it printed nothing";
    text = text.substr(0, end + 1);
    const std::size_t start = text.rfind('\n');
    return std::string(start == std::string_view::npos ? text : text.substr(start + 1));
}

}  // namespace

CommandResult run_command(const Command& command, const std::stop_token& stop) {
    const std::string& program = command.arguments.at(0);
    if (stop.stop_requested()) throw Error(Errc::cancelled, program + " was not run");
    Pipe pipe = make_pipe();
    Pipe for_errors = command.separates_errors ? make_pipe() : Pipe();
    const int errors = command.separates_errors ? for_errors.write_end.get() : pipe.write_end.get();
    Child child(command, pipe.write_end.get(), errors);
    pipe.write_end = {};
    for_errors.write_end = {};
    CommandResult result;
    Stream output_stream{.fd = std::move(pipe.read_end), .text = result.output};
    Stream error_stream{.fd = std::move(for_errors.read_end), .text = result.errors};
    switch (Watch(command, stop).wait(child, output_stream, error_stream)) {
        case Interruption::timed_out:
            throw Error(Errc::timed_out, program + " did not end within " +
                                             std::to_string(command.time_limit.count()) +
                                             " ms and was killed");
        case Interruption::cancelled:
            throw Error(Errc::cancelled, program + " was interrupted");
        case Interruption::none:
            break;
    }
    result.status = child.status();
    return result;
}

bool is_program(const std::string& name) {
    if (name.find('/') != std::string::npos) return access(name.c_str(), X_OK) == 0;
    const char* path = std::getenv("PATH");
    std::string_view rest = path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path;
    while (!rest.empty()) {
        const std::size_t colon = std::min(rest.find(':'), rest.size());
        const std::filesystem::path directory(rest.substr(0, colon));
        if (!directory.empty() && access((directory / name).c_str(), X_OK) == 0) return true;
        rest.remove_prefix(std::min(colon + 1, rest.size()));
    }
    return false;
}

std::string run_or_throw(const Command& command, const std::stop_token& stop) {
    CommandResult result = run_command(command, stop);
    if (result.status != 0) {
        throw Error(Errc::failed_precondition,
                    command.arguments.front() + " ended with status " +
                        std::to_string(result.status) + ": " +
                        last_line(command.separates_errors ? result.errors : result.output));
    }
    return std::move(result.output);
}

}  // namespace prebake
