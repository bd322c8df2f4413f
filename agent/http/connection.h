#pragma once

#include <openssl/types.h>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>

#include "agent/http/message.h"

namespace prebake::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

/// The limit of a response's header, and of what comes with a body that makes no progress.
inline constexpr std::size_t kMaxHeaderBytes = 64UL << 10;

/// TCP and unix sockets are one type: the code for each stream type takes seconds to compile. Its
/// operations fail with beast::error::timeout after the time that was set for them.
using Socket = beast::basic_stream<asio::generic::stream_protocol>;
using SocketAddress = asio::generic::stream_protocol::endpoint;
using Parser = beast::http::response_parser<beast::http::buffer_body>;

/// Whether a response has the body that its header declares, or, as for HEAD, none in any case.
enum class BodyOf { response, head };

struct Transfer {
    error_code failure;
    std::size_t bytes = 0;
};

/// A connection to a server: a socket with no layer of TLS, one, or two (one to a proxy, and in it
/// one to the server). All code that depends on the layers is in this class. Used, and destroyed,
/// on the I/O thread only.
class Connection {
  public:
    explicit Connection(Socket socket);

    Socket& socket();
    /// Adds a layer of TLS, and waits for its handshake; takes the session over.
    asio::awaitable<error_code> start_tls(SSL* session,
                                          std::chrono::steady_clock::time_point deadline);
    /// The session of the innermost layer; null without TLS.
    SSL* tls();

    asio::awaitable<error_code> write(std::string_view text);
    /// Gives the parser bytes, at least once: those that are there, or those of one more read.
    asio::awaitable<Transfer> read(Parser& parser);
    /// Reads the header of a response into a new parser, past interim (1xx) responses. Fails with
    /// header_limit past kMaxHeaderBytes of one of them, and with bad_status after too many.
    asio::awaitable<error_code> read_header(std::optional<Parser>& parser, BodyOf body);

    /// Whether there are bytes that no parser has taken.
    bool has_unread() const { return buffer_.size() > 0; }

    /// Held as long as the connection is open: the pool counts by it.
    std::shared_ptr<const void> slot;

  private:
    using Tls = asio::ssl::stream<Socket>;
    using TlsInTls = asio::ssl::stream<Tls>;

    /// Runs `operation(stream, completion token)` on whichever stream the connection has.
    template <typename Operation>
    asio::awaitable<Transfer> on_stream(Operation operation);
    /// One read from the stream into the buffer.
    asio::awaitable<Transfer> fill();
    asio::awaitable<error_code> read_one_header(Parser& parser);

    std::variant<Socket, Tls, TlsInTls> stream_;
    beast::flat_buffer buffer_;
};

/// In the order of the response.
Headers headers_of(const Parser& parser);

/// Whether the failure means that the other side has closed the connection.
bool closed_by_peer(const error_code& failure);

/// OpenSSL's code (ERR_get_error(3)) in a failure; 0 if it is another kind of failure.
unsigned long tls_code_of(const error_code& failure);

}  // namespace prebake::http
