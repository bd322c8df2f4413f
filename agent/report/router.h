#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/report/goal.h"
#include "agent/report/response.h"

/// Maps a request to a resource or an error response. Pure.
namespace prebake::report {

enum class SocketKind { unix_socket, tcp };

struct Request {
    std::string method;
    std::string target;  ///< path and query, as received
    std::string host;    ///< the Host header; empty if there is none
    SocketKind socket_kind = SocketKind::tcp;
    bool is_readiness_only = false;  ///< the socket serves /readyz and /livez, nothing else
};

/// The documents that the endpoint serves (documents.h).
enum class Resource { status, images, ledger, readyz, livez, metrics, trace };

/// The upper limit of ?wait=.
inline constexpr std::chrono::seconds kMaxWait{300};

struct Route {
    std::optional<Resource> resource = {};
    /// How long to wait for the goal, or until it is hopeless, before the document is sent.
    std::chrono::seconds wait{0};
    Goal goal = Goal::ready;
    Response error = {};  ///< if there is no resource
};

/// GET and HEAD of /v1/status[?wait=SECONDS][&for=ready|hydrated], /v1/images, /v1/ledger,
/// /v1/trace, /readyz, /livez, /metrics. Over TCP the Host must be localhost or a loopback address:
/// this stops DNS rebinding, where a web page whose name resolves to 127.0.0.1 sends its own name.
/// Never throws.
Route route(const Request& request);

}  // namespace prebake::report
