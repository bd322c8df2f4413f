#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>

namespace prebake::report {

struct UnixAddress {
    sockaddr_un storage{};
    socklen_t size = 0;

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// The kernel needs a NUL after the path.
inline constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

/// A path, or an abstract name whose first byte is NUL. Nothing if it is empty or too long.
inline std::optional<UnixAddress> unix_address(std::string_view name) {
    if (name.empty() || name.size() > kMaxSocketPath) return std::nullopt;
    UnixAddress address;
    address.storage.sun_family = AF_UNIX;
    std::memcpy(address.storage.sun_path, name.data(), name.size());
    // The size ends an abstract name; a NUL ends a path.
    const std::size_t terminator = name.front() == '\0' ? 0 : 1;
    address.size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + terminator);
    return address;
}

}  // namespace prebake::report
