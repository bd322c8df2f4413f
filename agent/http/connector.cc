// No brace-built aggregate may stand in a co_await expression: GCC 12 destroys it twice.

#include "agent/http/connector.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <variant>

#include "agent/http/address.h"
#include "agent/http/address_race.h"
#include "agent/http/proxy_refusal.h"
#include "agent/http/tls_failure.h"

namespace prebake::http {
namespace {

using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// How often to try a unix socket whose backlog is full: the kernel does not report when it has
/// room.
constexpr milliseconds kBacklogPoll{20};
/// More addresses of a host are not tried.
constexpr std::size_t kMaxAddresses = 16;

struct Lookup {
    explicit Lookup(asio::io_context& context) : resolver(context), done(context) {}
    tcp::resolver resolver;
    asio::steady_timer done;
    std::optional<error_code> outcome;
    tcp::resolver::results_type addresses;
};

/// A unix socket connects at once, or fails with would_block if the server's backlog is full. Asio
/// would treat would_block as a connection in progress, and then as an established one.
error_code connect_now(Socket::socket_type& socket, const SocketAddress& address) {
    error_code failure;
    socket.open(address.protocol(), failure);
    if (!failure) socket.non_blocking(true, failure);
    if (failure) return failure;
    const int result =
        ::connect(socket.native_handle(), address.data(), static_cast<socklen_t>(address.size()));
    return result == 0 ? failure : error_code(errno, boost::system::system_category());
}

/// The addresses to try, in that order.
std::vector<SocketAddress> usable(const tcp::resolver::results_type& found, const Target& target) {
    std::vector<SocketAddress> allowed;
    std::vector<int> families;
    for (const auto& entry : found) {
        const SocketAddress address = entry.endpoint();
        const auto ip = address_of(*address.data());
        // The user has chosen the proxy; the rule is for hosts that others choose.
        if (!ip || (!target.proxy && !target.is_allowed(*ip))) continue;
        allowed.push_back(address);
        families.push_back(address.data()->sa_family);
    }
    if (allowed.empty()) throw target.not_allowed();
    std::vector<SocketAddress> ordered;
    for (const std::size_t index : order_of_attempts(families)) {
        if (ordered.size() < kMaxAddresses) ordered.push_back(allowed[index]);
    }
    return ordered;
}

/// The error for a proxy with which no tunnel could be agreed upon.
Error no_tunnel(const error_code& failure, const Target& target, milliseconds limit) {
    const std::string name = target.proxy->name();
    if (failure == beast::error::timeout) {
        return target.timed_out(name + " did not connect to " + target.host() + " within", limit);
    }
    if (closed_by_peer(failure)) {
        return Error(Errc::unavailable,
                     name + " closed the connection when it was to connect to " + target.host(),
                     "check " + target.proxy->source + ": its port, and http:// or https://");
    }
    return Error(Errc::corrupt, name + " does not speak HTTP: " + failure.message(),
                 "check " + target.proxy->source);
}

}  // namespace

Connector::Connector(asio::io_context& context, Timeouts timeouts, std::string user_agent)
    : context_(context), timeouts_(timeouts), user_agent_(std::move(user_agent)) {}

asio::awaitable<std::unique_ptr<Connection>> Connector::connect(const Target& target,
                                                                const TlsLayers& layers) {
    const TimePoint deadline = target.within(limit(target));
    if (!target.unix_socket.empty()) co_return co_await connect_unix(target, deadline);
    auto connection = co_await connect_tcp(target, deadline);
    connection->socket().expires_at(deadline);
    if (layers.proxy) co_await start_tls(*connection, target, Hop::proxy, *layers.proxy, deadline);
    if (target.is_tunnelled()) co_await open_tunnel(*connection, target);
    if (layers.server)
        co_await start_tls(*connection, target, Hop::server, *layers.server, deadline);
    co_return connection;
}

asio::awaitable<std::unique_ptr<Connection>> Connector::connect_unix(const Target& target,
                                                                     TimePoint deadline) {
    const SocketAddress address = asio::local::stream_protocol::endpoint(target.unix_socket);
    for (;;) {
        Socket socket(context_);
        error_code failure = connect_now(socket.socket(), address);
        if (!failure) co_return std::make_unique<Connection>(std::move(socket));
        const bool is_full = failure == asio::error::would_block;
        if (is_full && steady_clock::now() >= deadline) failure = beast::error::timeout;
        if (failure != asio::error::would_block) throw unreachable(failure, target);
        asio::steady_timer pause(context_, kBacklogPoll);
        co_await pause.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<std::unique_ptr<Connection>> Connector::connect_tcp(const Target& target,
                                                                    TimePoint deadline) {
    std::vector<SocketAddress> addresses = co_await look_up(target, deadline);
    Raced raced = co_await connect_to_any(context_, std::move(addresses), deadline);
    if (const auto* failure = std::get_if<error_code>(&raced)) throw unreachable(*failure, target);
    Socket& socket = std::get<Socket>(raced);
    socket.socket().set_option(tcp::no_delay(true));
    co_return std::make_unique<Connection>(std::move(socket));
}

/// getaddrinfo(3) blocks a thread of Asio's. We wait for a timer that the lookup cancels at its
/// end, so a timeout or a stop need not wait for the lookup.
asio::awaitable<std::vector<SocketAddress>> Connector::look_up(const Target& target,
                                                               TimePoint deadline) {
    const Url& url = target.proxy ? target.proxy->server : target.url;
    const auto lookup = std::make_shared<Lookup>(context_);
    lookup->done.expires_at(deadline);
    lookup->resolver.async_resolve(
        url.host, url.port,
        [lookup](const error_code& failure, tcp::resolver::results_type addresses) {
            lookup->outcome = failure;
            lookup->addresses = std::move(addresses);
            lookup->done.cancel();
        });
    error_code woken;
    co_await lookup->done.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    const error_code failure = lookup->outcome.value_or(beast::error::timeout);
    if (failure) throw unreachable(failure, target);
    co_return usable(lookup->addresses, target);
}

asio::awaitable<void> Connector::open_tunnel(Connection& connection, const Target& target) {
    const std::string request = text_of_connect(target, user_agent_);
    error_code failure = co_await connection.write(request);
    std::optional<Parser> parser;
    // A proxy that closes without reading the request may have sent its reason before.
    if (!failure || closed_by_peer(failure)) {
        failure = co_await connection.read_header(parser, BodyOf::head);
    }
    if (failure) throw no_tunnel(failure, target, limit(target));
    const auto& response = parser->get();
    const auto status = static_cast<int>(response.result_int());
    if (status >= 300) {
        throw proxy_refusal(target, status, std::string(response.reason()), headers_of(*parser));
    }
    if (connection.has_unread()) {
        // The server waits for our part of the handshake.
        throw Error(Errc::corrupt, target.proxy->name() + " sends more than its answer",
                    way_around_proxy(target));
    }
}

asio::awaitable<void> Connector::start_tls(Connection& connection, const Target& target, Hop hop,
                                           SSL_CTX& context, TimePoint deadline) {
    const Url& url = hop == Hop::proxy ? target.proxy->server : target.url;
    SSL* const session = make_tls_session(context, url.host);
    const error_code failure = co_await connection.start_tls(session, deadline);
    if (failure == beast::error::timeout) {
        throw target.timed_out("the TLS handshake with " +
                                   (hop == Hop::proxy ? target.proxy->name() : target.peer) +
                                   " did not end within",
                               limit(target));
    }
    if (failure) throw tls_error(failure, connection, target, hop);
}

Error Connector::unreachable(const error_code& failure, const Target& target) const {
    const std::string peer = target.proxy ? target.proxy->name() : target.peer;
    const std::string way_out =
        target.proxy ? "check " + target.proxy->source + ", or " + way_around_proxy(target) : "";
    if (failure == beast::error::timeout) {
        return target.timed_out("cannot connect to " + peer + " within", limit(target));
    }
    const bool no_address = failure.category() == asio::error::get_netdb_category() ||
                            failure.category() == asio::error::get_addrinfo_category();
    if (no_address) {
        // A name that does not exist is a mistake; a name server that does not answer may be back
        // soon.
        const bool is_wrong_name = failure == asio::error::host_not_found;
        return Error(
            is_wrong_name ? Errc::not_found : Errc::unavailable,
            "cannot find the address of " + peer + ": " + failure.message(),
            target.proxy ? way_out : "check the name, and the DNS settings of this machine");
    }
    const bool is_forbidden =
        !target.unix_socket.empty() && (failure == asio::error::access_denied ||
                                        failure == boost::system::errc::operation_not_permitted);
    return Error(is_forbidden ? Errc::permission_denied : Errc::unavailable,
                 "cannot connect to " + peer + ": " + failure.message(), way_out);
}

Error tls_error(const error_code& failure, Connection& connection, const Target& target, Hop hop) {
    TlsParty party{.name = target.peer, .place = {}, .gets_certificate = false};
    if (hop == Hop::proxy) {
        party.name = target.proxy->name();
    } else {
        party.place = target.tls.place;
        party.gets_certificate = !target.tls.client_certificates.empty();
    }
    const unsigned long code = tls_code_of(failure);
    if (code == 0 && !closed_by_peer(failure)) {
        return Error(Errc::unavailable,
                     "the TLS connection to " + party.name + " failed: " + failure.message());
    }
    return tls_failure(party, findings_of(*connection.tls()), code,
                       std::chrono::system_clock::now());
}

}  // namespace prebake::http
