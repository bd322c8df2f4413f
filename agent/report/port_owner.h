#pragma once

#include <sys/types.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "agent/report/listen_address.h"

namespace prebake::report {

/// The user whose process listens on this address, or on all addresses of the port. Nothing if
/// nobody does, or if the kernel's tables cannot be read.
std::optional<uid_t> owner_of_port(const ListenAddress& address);

/// The same from one table, /proc/net/tcp or tcp6 (proc_pid_net(5)). `locals` are the addresses as
/// the table has them. Pure.
std::optional<uid_t> owner_in_table(std::istream& table, const std::vector<std::string>& locals,
                                    std::uint16_t port);

}  // namespace prebake::report
