#pragma once

#include <sys/types.h>

#include <optional>

#include "agent/report/router.h"

namespace prebake::report {

/// Who may use the places on the socket that are reserved.
enum class Privilege { none, reserve };

/// The process at the other end of a connection.
struct Peer {
    SocketKind socket_kind = SocketKind::tcp;
    std::optional<uid_t> user = {};  ///< on the socket; over TCP it is not known
    Privilege privilege = Privilege::none;

    /// Whether the limits per user are about it.
    bool is_limited() const {
        return socket_kind == SocketKind::unix_socket && privilege == Privilege::none;
    }
};

/// The peer of a connection. Root and the daemon's own user have the privilege.
Peer peer_of(int connection, SocketKind socket_kind);

}  // namespace prebake::report
