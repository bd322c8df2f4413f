#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/report/response.h"

/// What a request asks for, and whether it may. Pure.
namespace prebake::report {

enum class Transport { unix_socket, tcp };

struct Request {
    std::string method;
    std::string target;  ///< path and query, as received
    std::string host;    ///< the Host header; empty if there is none
    Transport transport = Transport::tcp;
};

/// What the endpoint can show (documents.h).
enum class Document { status, images, ledger, readyz, livez, metrics };

/// Of ?wait=
inline constexpr std::chrono::seconds kMaxWait{300};

struct Route {
    std::optional<Document> document = {};
    /// Before the document is shown: until the node is ready, or so long.
    std::chrono::seconds wait_until_ready{0};
    Response refusal = {};  ///< if there is no document
};

/// GET and HEAD of /v1/status[?wait=SECONDS], /v1/images, /v1/ledger, /readyz, /livez, /metrics.
/// Over TCP the Host must be localhost or a loopback address (a web page whose name was rebound to
/// 127.0.0.1 sends its own name). Never throws.
Route route(const Request& request);

}  // namespace prebake::report
