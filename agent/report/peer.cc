#include "agent/report/peer.h"

#include <sys/socket.h>
#include <unistd.h>

namespace prebake::report {

Peer peer_of(int connection, SocketKind socket_kind) {
    Peer peer{.socket_kind = socket_kind};
    if (socket_kind != SocketKind::unix_socket) return peer;
    ucred process{};
    socklen_t size = sizeof process;
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &process, &size) != 0) return peer;
    peer.user = process.uid;
    if (process.uid == 0 || process.uid == ::geteuid()) peer.privilege = Privilege::reserve;
    return peer;
}

}  // namespace prebake::report
