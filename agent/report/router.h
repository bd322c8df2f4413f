#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/report/response.h"

/// Maps a request to a document or an error response. Pure.
namespace prebake::report {

enum class Transport { unix_socket, tcp };

struct Request {
    std::string method;
    std::string target;  ///< path and query, as received
    std::string host;    ///< the Host header; empty if there is none
    Transport transport = Transport::tcp;
};

/// The documents of the endpoint (documents.h).
enum class Document { status, images, ledger, readyz, livez, metrics };

/// The upper limit of ?wait=.
inline constexpr std::chrono::seconds kMaxWait{300};

struct Route {
    std::optional<Document> document = {};
    /// How long to wait for the node to be ready before the document is sent.
    std::chrono::seconds wait_until_ready{0};
    Response refusal = {};  ///< if there is no document
};

/// GET and HEAD of /v1/status[?wait=SECONDS], /v1/images, /v1/ledger, /readyz, /livez, /metrics.
/// Over TCP the Host must be localhost or a loopback address: this stops DNS rebinding, where a web
/// page whose name resolves to 127.0.0.1 sends its own name. Never throws.
Route route(const Request& request);

}  // namespace prebake::report
