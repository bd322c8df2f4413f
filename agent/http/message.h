#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/stream.h"

namespace prebake::http {

enum class Method { get, head, post, put };
/// "GET", ...
std::string_view to_string(Method method);

/// Header names are compared without regard to case.
using Headers = std::vector<std::pair<std::string, std::string>>;
std::optional<std::string> find_header(const Headers& headers, std::string_view name);
std::vector<std::string> find_headers(const Headers& headers, std::string_view name);
/// In place of all headers of that name.
void set_header(Headers& headers, std::string_view name, std::string_view value);

enum class TlsVerification { system_trust_store, none };

/// Files in PEM form. The key may be in the certificate's file: then both names are equal.
struct ClientCertificate {
    std::string certificate;
    std::string key;

    bool operator==(const ClientCertificate&) const = default;
};

/// Where an administrator writes TlsSettings, for messages.
struct TlsPlace {
    std::string hosts_file = {};  ///< the hosts.toml; empty if these settings are in no file
    /// The table of it, by URL: [host."https://mirror.example"]. Empty: the keys above all tables.
    std::string host = {};

    bool operator==(const TlsPlace&) const = default;
};

/// How to check a server, and what to show it.
struct TlsSettings {
    TlsVerification verification = TlsVerification::system_trust_store;
    std::vector<std::string> ca_files = {};  ///< in PEM form, trusted besides the system's
    /// The server gets the first one that a CA signed which it names, otherwise the first one.
    std::vector<ClientCertificate> client_certificates = {};
    TlsPlace place = {};

    bool operator==(const TlsSettings&) const = default;
};

struct Request {
    Method method = Method::get;
    std::string url;  ///< absolute, http or https
    Headers headers;
    std::string body;  ///< of a post or put
    /// In place of `body`, as many bytes of this source, which send() reads on the caller's thread.
    /// It must have them. The request gets a new connection: it could not be repeated if an idle
    /// one turned out to be closed.
    Source* upload = nullptr;
    std::uint64_t upload_bytes = 0;
    TlsSettings tls = {};
    /// Connect to this unix socket instead of the host of the URL, which then only fills the Host
    /// header and has to be http. Empty: TCP.
    std::string unix_socket = {};
    /// For the whole exchange, to the last byte of the body. Nothing: only Timeouts apply.
    std::optional<std::chrono::milliseconds> time_limit = {};
    /// Whether the host may have a link-local address: a cloud serves credentials of its machine
    /// there. False for URLs that another host chose.
    bool allows_link_local = true;
    /// In place of Timeouts::connect and Timeouts::stall.
    std::optional<std::chrono::milliseconds> connect_timeout = {};
    std::optional<std::chrono::milliseconds> stall_timeout = {};
};

/// A response whose header has arrived. The body is read through Source; the connection goes back
/// to the pool when the body was read to its end, and is closed otherwise. Use from one thread.
/// If the connection breaks, the bytes that arrived before are delivered first: after a short read,
/// read again; it returns 0 or throws.
class Response : public Source {
  public:
    int status = 0;
    Headers headers;
    std::optional<std::uint64_t> content_length;
    /// What the request showed to the server: a message that quotes the body must not repeat it.
    /// The client leaves it empty. Callers that send credentials fill it.
    std::vector<std::string> secrets = {};

    /// As read(), but waits only for the first byte: for a body whose parts are answers of their
    /// own.
    virtual std::size_t read_some(std::span<std::byte> buffer) { return read(buffer.first(1)); }
    /// For the next reads, in place of the limit that the request had.
    virtual void set_stall_timeout(std::chrono::milliseconds /*limit*/) {}
    /// Closes the connection unless the body was read to its end. Nothing can be read afterwards.
    virtual void close() {}
};

/// Reads a short body to its end so that the connection can be used again; closes the connection
/// for a long one. Errors are ignored. Afterwards the response holds no connection, for which
/// another request could wait.
void discard_body(Response& response);

}  // namespace prebake::http
