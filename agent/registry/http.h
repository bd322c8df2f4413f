#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/stream.h"

namespace prebake::registry {

enum class Method { get, head, post, put };

/// Header names are compared without regard to case.
using Headers = std::vector<std::pair<std::string, std::string>>;
std::optional<std::string> find_header(const Headers& headers, std::string_view name);
std::vector<std::string> find_headers(const Headers& headers, std::string_view name);

enum class TlsVerification { system_trust_store, none };

struct HttpRequest {
    Method method = Method::get;
    std::string url;  ///< absolute, http or https
    Headers headers;
    std::string body;  ///< of a post or put
    TlsVerification tls = TlsVerification::system_trust_store;
};

/// A response whose header has arrived. The body is read through Source; the connection goes back
/// to the pool when the body was read to its end, and is closed otherwise. Use from one thread.
/// What came before a break is delivered first: after a short read, read again; it returns 0 or
/// throws.
class HttpResponse : public Source {
  public:
    int status = 0;
    Headers headers;
    std::optional<std::uint64_t> content_length;
};

struct HttpTimeouts {
    std::chrono::milliseconds connect{30'000};  ///< name lookup, TCP and TLS handshake together
    std::chrono::milliseconds stall{60'000};    ///< no byte in either direction for that long
};

/// HTTP/1.1 over TCP or TLS. Never follows redirects, never retries, adds no credentials: those are
/// decisions of the layers above. Thread-safe.
class HttpClient {
  public:
    virtual ~HttpClient() = default;
    /// Sends the request and waits for the response's header.
    /// @throws Error not_found (no such host), unavailable (refused, reset, TLS handshake failed),
    /// timed_out, cancelled, corrupt (not HTTP, header over 64 KiB), usage (malformed URL),
    /// permission_denied (the server's certificate is not trusted). Errors name host and port,
    /// never the query of the URL.
    virtual std::unique_ptr<HttpResponse> send(const HttpRequest& request,
                                               const std::stop_token& stop) = 0;
};

/// The implementation on Boost.Beast: one I/O thread, keep-alive connections pooled per host.
/// `user_agent` is sent with every request.
std::unique_ptr<HttpClient> make_beast_client(HttpTimeouts timeouts, std::string user_agent);

}  // namespace prebake::registry
