#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>

namespace prebake::tests {

/// What `work` returns, run in a child after `prepare`, which returns what went wrong. Checks of
/// doctest do not count in there: return what was found.
inline std::string in_child(const std::function<std::string()>& prepare,
                            const std::function<std::string()>& work) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("fork failed");
    if (child == 0) {
        std::string found;
        try {
            found = prepare();
            if (found.empty()) found = work();
        } catch (const std::exception& error) {
            found = error.what();
        } catch (...) {
            found = "a check failed";
        }
        const bool is_told = ::write(ends[1], found.data(), found.size()) >= 0;
        ::_exit(is_told ? 0 : 1);  // no sanitizer's verdict on what the parent still holds
    }
    ::close(ends[1]);
    std::string found;
    std::array<char, 4096> buffer;
    ssize_t got = 0;
    while ((got = ::read(ends[0], buffer.data(), buffer.size())) > 0)
        found.append(buffer.data(), static_cast<std::size_t>(got));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) found += "; the child died";
    return found;
}

inline bool tell(const char* path, const std::string& line) {
    const int file = ::open(path, O_WRONLY | O_CLOEXEC);
    const bool is_written = ::write(file, line.data(), line.size()) > 0;
    ::close(file);
    return is_written;
}

/// With mounts of its own, as root or, for want of that, as root of a user namespace.
inline std::string in_own_mounts(const std::function<std::string()>& work) {
    const auto unshare_mounts = [uid = ::getuid(), gid = ::getgid()]() -> std::string {
        if (::unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) != 0)
            return "no mount namespace";
        // Rights over a file need both of its owners mapped, user_namespaces(7).
        if (uid != 0 && !(tell("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1") &&
                          tell("/proc/self/setgroups", "deny") &&
                          tell("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1"))) {
            return "no user namespace";
        }
        const int private_too = MS_REC | MS_PRIVATE;
        return ::mount(nullptr, "/", nullptr, private_too, nullptr) == 0 ? "" : "shared mounts";
    };
    return in_child(unshare_mounts, work);
}

/// With the rights of a user whom modes stop.
inline std::string as_anybody(const std::function<std::string()>& work) {
    const auto drop_rights = []() -> std::string {
        constexpr uid_t kNobody = 65534;
        if (::geteuid() != 0) return "";
        return ::setresuid(kNobody, kNobody, kNobody) == 0 ? "" : "still root";
    };
    return in_child(drop_rights, work);
}

inline void bind(const std::string& source, const std::string& target) {
    if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0)
        throw std::runtime_error("cannot bind " + source + " to " + target);
}

}  // namespace prebake::tests
