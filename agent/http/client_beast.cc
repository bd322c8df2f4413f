// The only file of this room with Beast, Asio and TLS: it takes half a minute to compile.
//
// One thread runs the io_context with the coroutines and the pool; callers wait for a future. No
// brace-built aggregate may stand in a co_await expression: GCC 12 destroys it twice.

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <cerrno>
#include <deque>
#include <exception>
#include <future>
#include <map>
#include <thread>
#include <utility>
#include <variant>

#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/http/client.h"
#include "agent/http/target.h"

namespace prebake::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace beast_http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::uint32_t kMaxHeaderBytes = 64U << 10;
/// Beast keeps a whole line in the buffer; a line that does not fit ends the connection.
constexpr std::size_t kMaxBufferBytes = 256UL << 10;
/// The most that one read takes from the socket; Beast has the same limit.
constexpr std::size_t kReadBytes = 64UL << 10;
/// Interim (1xx) responses before the final one; one more is an error.
constexpr int kMaxInterimResponses = 5;
constexpr std::size_t kIdlePerHost = 8;
constexpr std::chrono::seconds kIdleTime{60};
/// After this time the next address of the host is tried: packets to its IPv6 address may be
/// dropped. A lost SYN is repeated after 1 and 3 s.
constexpr std::chrono::seconds kTimePerAddress{5};
/// How often to try a unix socket whose backlog is full: the kernel does not report when it has
/// room.
constexpr milliseconds kBacklogPoll{20};

/// TCP and unix sockets are one type: the code for each stream type takes seconds to compile.
using Socket = beast::basic_stream<asio::generic::stream_protocol>;
using SocketAddress = asio::generic::stream_protocol::endpoint;
using TlsStream = beast::ssl_stream<Socket>;
using Parser = beast_http::response_parser<beast_http::buffer_body>;
using Message = beast_http::request<beast_http::string_body>;

struct Connection {
    explicit Connection(asio::io_context& context) : stream(std::in_place_type<Socket>, context) {
        // Beast reads as much as fits into the capacity, which is 512 bytes unless reserved.
        buffer.reserve(kReadBytes);
    }

    Socket& socket() {
        if (auto* tls = std::get_if<TlsStream>(&stream)) return beast::get_lowest_layer(*tls);
        return std::get<Socket>(stream);
    }

    std::variant<Socket, TlsStream> stream;
    beast::flat_buffer buffer{kMaxBufferBytes};
};

/// A response that is being read.
struct Reply {
    Target target;
    std::unique_ptr<Connection> connection;  ///< null once there is nothing more to read
    std::optional<Parser> parser;
    std::optional<Error> failure;  ///< to report at the next read, after the bytes before it
};

/// Idle keep-alive connections. Those that were idle too long are closed at the next use of the
/// pool.
class Pool {
  public:
    std::unique_ptr<Connection> take(const std::string& key) {
        drop_old();
        auto& idle = idle_[key];
        if (idle.empty()) return nullptr;
        auto connection = std::move(idle.back().connection);
        idle.pop_back();
        return connection;
    }

    void put(const std::string& key, std::unique_ptr<Connection> connection) {
        drop_old();
        connection->socket().expires_never();
        auto& idle = idle_[key];
        idle.push_back({std::move(connection), steady_clock::now()});
        if (idle.size() > kIdlePerHost) idle.pop_front();
    }

  private:
    struct Idle {
        std::unique_ptr<Connection> connection;
        steady_clock::time_point since;
    };

    void drop_old() {
        const auto oldest = steady_clock::now() - kIdleTime;
        for (auto& [key, idle] : idle_) {
            while (!idle.empty() && idle.front().since < oldest) idle.pop_front();
        }
    }

    std::map<std::string, std::deque<Idle>> idle_;
};

bool closed_by_peer(const error_code& failure) {
    return failure == beast_http::error::end_of_stream ||
           failure == beast_http::error::partial_message || failure == asio::error::eof ||
           failure == asio::error::connection_reset || failure == asio::error::connection_aborted ||
           failure == asio::error::broken_pipe || failure == ssl::error::stream_truncated;
}

/// Whether the peer sent something that is no HTTP response.
bool is_no_http(const error_code& failure) {
    return failure.category() == error_code(beast_http::error::bad_version).category() &&
           !closed_by_peer(failure);
}

/// For a connection that failed after it was established.
Error broken(const error_code& failure, const Target& target, const Timeouts& timeouts) {
    const std::string& peer = target.peer;
    if (failure == beast::error::timeout) {
        return target.timed_out(peer + " sent nothing for", timeouts.stall);
    }
    if (closed_by_peer(failure)) return Error(Errc::unavailable, peer + " closed the connection");
    if (failure == beast_http::error::header_limit) {
        return Error(Errc::corrupt, peer + " sends a header larger than 64 KiB");
    }
    if (is_no_http(failure)) {
        return Error(Errc::corrupt, peer + " does not speak HTTP/1.1: " + failure.message(),
                     "check that an HTTP server listens there");
    }
    return Error(Errc::unavailable, "the connection to " + peer + " broke: " + failure.message());
}

Error unreachable(const error_code& failure, const Target& target, const Timeouts& timeouts) {
    const std::string& peer = target.peer;
    if (failure == beast::error::timeout) {
        return target.timed_out("cannot connect to " + peer + " within", timeouts.connect);
    }
    const bool no_address = failure.category() == asio::error::get_netdb_category() ||
                            failure.category() == asio::error::get_addrinfo_category();
    if (no_address) {
        // A name that does not exist is a mistake; a name server that does not answer may be back
        // soon.
        const bool is_wrong_name = failure == asio::error::host_not_found;
        return Error(is_wrong_name ? Errc::not_found : Errc::unavailable,
                     "cannot find the address of " + peer + ": " + failure.message(),
                     "check the name, and the DNS settings of this machine");
    }
    const bool is_forbidden =
        !target.unix_socket.empty() && (failure == asio::error::access_denied ||
                                        failure == boost::system::errc::operation_not_permitted);
    return Error(is_forbidden ? Errc::permission_denied : Errc::unavailable,
                 "cannot connect to " + peer + ": " + failure.message());
}

/// For a TLS handshake that failed; `verdict` is OpenSSL's about the certificate.
Error no_tls(const error_code& failure, long verdict, const Target& target,
             const Timeouts& timeouts) {
    const std::string& peer = target.peer;
    if (failure == beast::error::timeout) return unreachable(failure, target, timeouts);
    if (verdict == X509_V_OK) {
        return Error(Errc::unavailable,
                     "the TLS handshake with " + peer + " failed: " + failure.message());
    }
    std::string next_step = "install the CA that signed it into the system's trust store";
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        next_step = "use a name that the certificate is made for";
    } else if (verdict == X509_V_ERR_CERT_HAS_EXPIRED || verdict == X509_V_ERR_CERT_NOT_YET_VALID) {
        next_step = "check the clock of this machine, and renew the certificate";
    }
    return Error(
        Errc::permission_denied,
        "the certificate of " + peer + " is not trusted: " + X509_verify_cert_error_string(verdict),
        next_step);
}

/// Sends the name (SNI), and requires it in the certificate where certificates are verified.
void expect_name(TlsStream& stream, const std::string& host) {
    SSL* const native = stream.native_handle();
    X509_VERIFY_PARAM* const parameters = SSL_get0_param(native);
    error_code not_an_address;
    asio::ip::make_address(host, not_an_address);
    if (!not_an_address) {
        X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str());
        return;
    }
    SSL_set_tlsext_host_name(native, host.c_str());
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size());
}

struct Transfer {
    error_code failure;
    std::size_t bytes = 0;
};

/// Runs `operation(stream, completion token)` on whichever stream the connection has.
template <typename Operation>
asio::awaitable<Transfer> on_stream(Connection& connection, Operation operation) {
    Transfer transfer;
    auto token = asio::redirect_error(asio::use_awaitable, transfer.failure);
    if (auto* tls = std::get_if<TlsStream>(&connection.stream)) {
        transfer.bytes = co_await operation(*tls, token);
    } else {
        transfer.bytes = co_await operation(std::get<Socket>(connection.stream), token);
    }
    co_return transfer;
}

Message message_for(const Request& request, const Url& url, const std::string& user_agent) {
    Message message(beast_http::string_to_verb(to_string(request.method)), url.target, 11);
    message.set(beast_http::field::host, url.host_header);
    message.set(beast_http::field::user_agent, user_agent);
    // Digests and ranges are over the bytes as they are stored.
    message.set(beast_http::field::accept_encoding, "identity");
    for (const auto& [name, value] : request.headers) message.set(name, value);
    if (request.method == Method::post || request.method == Method::put) {
        message.body() = request.body;
        message.prepare_payload();
    }
    return message;
}

/// Shared by the client and its responses; lives as long as any of them.
class Core {
  public:
    Core(Timeouts timeouts, std::string user_agent)
        : timeouts_(timeouts), user_agent_(std::move(user_agent)) {
        thread_ = std::thread([this] {
            ::pthread_setname_np(::pthread_self(), "http-client");
            context_.run();
        });
    }

    /// Waits for a running name lookup: getaddrinfo(3) cannot be interrupted.
    ~Core() {
        context_.stop();
        thread_.join();
    }

    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    std::unique_ptr<Reply> send(const Request& request, const std::stop_token& stop) {
        const Target target = target_of(request, steady_clock::now());
        const Message message = message_for(request, target.url, user_agent_);
        return run(exchange(target, message), stop);
    }

    std::size_t read(Reply& reply, std::span<std::byte> buffer, const std::stop_token& stop) {
        return run(read_body(reply, buffer), stop);
    }

    /// Sockets and their timers are used, and so destroyed, on the I/O thread only.
    void drop(std::unique_ptr<Reply> reply) {
        asio::post(context_, [dropped = std::move(reply)] {});
    }

  private:
    template <typename Value>
    using Outcome = std::variant<Value, Error>;

    template <typename Value>
    struct Operation {
        std::promise<Outcome<Value>> promise;
        asio::cancellation_signal cancel;
    };

    struct Lookup {
        explicit Lookup(asio::io_context& context) : resolver(context), done(context) {}
        tcp::resolver resolver;
        asio::steady_timer done;
        std::optional<error_code> outcome;
        tcp::resolver::results_type addresses;
    };

    /// Runs `work` on the I/O thread and waits for its end. A stop request cancels it.
    template <typename Value>
    Value run(asio::awaitable<Value> work, const std::stop_token& stop) {
        throw_if_stopped(stop);
        const auto operation = std::make_shared<Operation<Value>>();
        auto future = operation->promise.get_future();
        auto finish = [operation](const std::exception_ptr& failure, Outcome<Value> outcome) {
            if (failure) {
                operation->promise.set_exception(failure);
            } else {
                operation->promise.set_value(std::move(outcome));
            }
        };
        asio::co_spawn(context_, caught(std::move(work)),
                       asio::bind_cancellation_slot(operation->cancel.slot(), std::move(finish)));
        const std::stop_callback on_stop(stop, [this, operation] {
            asio::post(context_,
                       [operation] { operation->cancel.emit(asio::cancellation_type::terminal); });
        });
        Outcome<Value> outcome = future.get();
        if (const auto* failure = std::get_if<Error>(&outcome)) {
            throw_if_stopped(stop);
            throw Error(*failure);
        }
        return std::move(std::get<Value>(outcome));
    }

    /// Errors are copied deeply for the other thread: ThreadSanitizer sees neither the reference
    /// count of an exception_ptr nor that of a runtime_error's text.
    template <typename Value>
    static asio::awaitable<Outcome<Value>> caught(asio::awaitable<Value> work) {
        try {
            co_return co_await std::move(work);
        } catch (const Error& error) {
            co_return Error(error.code(), error.message(), error.next_step());
        } catch (const boost::system::system_error& error) {
            // A coroutine that is cancelled between two operations ends like this; run() handles
            // it.
            co_return Error(Errc::internal, std::string("the HTTP client failed: ") + error.what());
        }
    }

    asio::awaitable<std::unique_ptr<Reply>> exchange(const Target& target, const Message& message) {
        auto reply = std::make_unique<Reply>();
        reply->target = target;
        reply->connection = pool_.take(target.pool_key);
        for (bool reused = reply->connection != nullptr;; reused = false) {
            if (!reused) reply->connection = co_await connect(target);
            const error_code failure = co_await ask(*reply, message);
            if (!failure) break;
            // A server may close an idle connection at any time, also while our request is on its
            // way.
            const bool closed = closed_by_peer(failure) && !reply->parser->got_some();
            // Or it may have sent more than the last response, such as a body for HEAD.
            const bool stale = reused && (closed || is_no_http(failure));
            if (!stale) throw broken(failure, target, timeouts_);
        }
        recycle_if_done(*reply);
        co_return reply;
    }

    asio::awaitable<std::unique_ptr<Connection>> connect(const Target& target) {
        const auto deadline = target.within(timeouts_.connect);
        if (!target.unix_socket.empty()) co_return co_await connect_unix(target, deadline);
        auto connection = co_await connect_tcp(target, deadline);
        if (target.url.tls) co_await start_tls(*connection, target, deadline);
        co_return connection;
    }

    asio::awaitable<std::unique_ptr<Connection>> connect_unix(const Target& target,
                                                              steady_clock::time_point deadline) {
        const SocketAddress address = asio::local::stream_protocol::endpoint(target.unix_socket);
        for (;;) {
            auto connection = std::make_unique<Connection>(context_);
            error_code failure = connect_now(connection->socket().socket(), address);
            if (!failure) co_return connection;
            const bool is_full = failure == asio::error::would_block;
            if (is_full && steady_clock::now() >= deadline) failure = beast::error::timeout;
            if (failure != asio::error::would_block) throw unreachable(failure, target, timeouts_);
            asio::steady_timer pause(context_, kBacklogPoll);
            co_await pause.async_wait(asio::use_awaitable);
        }
    }

    /// A unix socket connects at once, or fails with would_block if the server's backlog is full.
    /// Asio would treat would_block as a connection in progress, and then as an established one.
    static error_code connect_now(Socket::socket_type& socket, const SocketAddress& address) {
        error_code failure;
        socket.open(address.protocol(), failure);
        if (!failure) socket.non_blocking(true, failure);
        if (failure) return failure;
        const int result = ::connect(socket.native_handle(), address.data(),
                                     static_cast<socklen_t>(address.size()));
        return result == 0 ? failure : error_code(errno, boost::system::system_category());
    }

    asio::awaitable<std::unique_ptr<Connection>> connect_tcp(const Target& target,
                                                             steady_clock::time_point deadline) {
        const tcp::resolver::results_type addresses = co_await look_up(target, deadline);
        std::unique_ptr<Connection> connection;
        // The first address is the preferred one: its failure is the one to report.
        std::optional<error_code> first_failure;
        std::size_t left = addresses.size();
        for (const auto& address : addresses) {
            const bool last = --left == 0;
            const SocketAddress endpoint = address.endpoint();
            target.require_allowed(*endpoint.data());
            connection = std::make_unique<Connection>(context_);
            connection->socket().expires_at(
                last ? deadline : std::min(deadline, steady_clock::now() + kTimePerAddress));
            error_code failure;
            co_await connection->socket().async_connect(
                endpoint, asio::redirect_error(asio::use_awaitable, failure));
            if (!failure) break;
            connection.reset();
            if (!first_failure) first_failure = failure;
        }
        if (!connection) throw unreachable(*first_failure, target, timeouts_);
        connection->socket().socket().set_option(tcp::no_delay(true));
        co_return connection;
    }

    asio::awaitable<void> start_tls(Connection& connection, const Target& target,
                                    steady_clock::time_point deadline) {
        const bool verifies = target.tls.verification == TlsVerification::system_trust_store;
        ssl::context& context = tls_context(verifies ? verifying_ : unverifying_, verifies);
        Socket socket = std::move(connection.socket());
        auto& stream = connection.stream.emplace<TlsStream>(std::move(socket), context);
        expect_name(stream, target.url.host);
        connection.socket().expires_at(deadline);
        error_code failure;
        co_await stream.async_handshake(ssl::stream_base::client,
                                        asio::redirect_error(asio::use_awaitable, failure));
        if (failure) {
            const long verdict =
                verifies ? SSL_get_verify_result(stream.native_handle()) : X509_V_OK;
            throw no_tls(failure, verdict, target, timeouts_);
        }
    }

    /// Made when the first connection needs it: loading the system's certificates takes
    /// milliseconds, which a request to a unix socket need not spend.
    static ssl::context& tls_context(std::optional<ssl::context>& context, bool verifies) {
        if (context) return *context;
        ssl::context made(ssl::context::tls_client);
        made.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
        made.set_verify_mode(verifies ? ssl::verify_peer : ssl::verify_none);
        error_code failure;
        if (verifies) made.set_default_verify_paths(failure);
        if (failure) {
            throw Error(Errc::io, "cannot load the system's trust store: " + failure.message());
        }
        return context.emplace(std::move(made));
    }

    /// getaddrinfo(3) blocks a thread of Asio's. We wait for a timer that the lookup cancels at its
    /// end, so a timeout or a stop need not wait for the lookup.
    asio::awaitable<tcp::resolver::results_type> look_up(const Target& target,
                                                         steady_clock::time_point deadline) {
        const auto lookup = std::make_shared<Lookup>(context_);
        lookup->done.expires_at(deadline);
        lookup->resolver.async_resolve(
            target.url.host, target.url.port,
            [lookup](const error_code& failure, tcp::resolver::results_type addresses) {
                lookup->outcome = failure;
                lookup->addresses = std::move(addresses);
                lookup->done.cancel();
            });
        error_code woken;
        co_await lookup->done.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        const error_code failure = lookup->outcome.value_or(beast::error::timeout);
        if (failure) throw unreachable(failure, target, timeouts_);
        co_return lookup->addresses;
    }

    /// Sends the request and reads the header of the final response.
    asio::awaitable<error_code> ask(Reply& reply, const Message& message) {
        Connection& connection = *reply.connection;
        reply.parser.emplace();
        connection.socket().expires_at(reply.target.within(timeouts_.stall));
        auto write = [&message](auto& stream, auto token) {
            return beast_http::async_write(stream, message, token);
        };
        const Transfer sent = co_await on_stream(connection, write);
        // A server that closes without reading the request may have sent its reason before.
        if (sent.failure && !closed_by_peer(sent.failure)) co_return sent.failure;
        for (int interim = 0; interim <= kMaxInterimResponses; ++interim) {
            Parser& parser = reply.parser.emplace();
            parser.skip(message.method() == beast_http::verb::head);
            const error_code failure = co_await read_header(reply, parser);
            if (failure || parser.get().result_int() >= 200) co_return failure;
        }
        co_return error_code(beast_http::error::bad_status);
    }

    asio::awaitable<error_code> read_header(Reply& reply, Parser& parser) {
        Connection& connection = *reply.connection;
        parser.header_limit(kMaxHeaderBytes);
        parser.body_limit(boost::none);  // callers have limits of their own
        auto read = [&connection, &parser](auto& stream, auto token) {
            return beast_http::async_read_some(stream, connection.buffer, parser, token);
        };
        // Set once: the whole header has to arrive in that time.
        connection.socket().expires_at(reply.target.within(timeouts_.stall));
        // Beast 1.81 compares each piece with its limit, not their sum: async_read_header would
        // accept an endless header.
        for (std::size_t bytes = 0; !parser.is_header_done();) {
            const Transfer got = co_await on_stream(connection, read);
            if (got.failure) co_return got.failure;
            bytes += got.bytes;
            if (bytes > kMaxHeaderBytes) co_return error_code(beast_http::error::header_limit);
        }
        co_return error_code();
    }

    asio::awaitable<std::size_t> read_body(Reply& reply, std::span<std::byte> buffer) {
        if (reply.failure) throw Error(*reply.failure);
        std::size_t filled = 0;
        std::size_t overhead = 0;  // since the last byte of body: a trailer may be endless
        while (filled < buffer.size() && !reply.parser->is_done()) {
            Connection& connection = *reply.connection;
            Parser& parser = *reply.parser;
            auto& body = parser.get().body();
            body.data = buffer.data() + filled;
            body.size = buffer.size() - filled;
            // Set for each piece that arrives: a slow registry is not a stalled one.
            connection.socket().expires_at(reply.target.within(timeouts_.stall));
            auto read = [&connection, &parser](auto& stream, auto token) {
                return beast_http::async_read_some(stream, connection.buffer, parser, token);
            };
            Transfer got = co_await on_stream(connection, read);
            const bool progressed = filled != buffer.size() - body.size;
            filled = buffer.size() - body.size;
            overhead = progressed ? 0 : overhead + got.bytes;
            if (overhead > kMaxHeaderBytes) got.failure = beast_http::error::header_limit;
            if (got.failure && got.failure != beast_http::error::need_buffer) {
                reply.failure = broken(got.failure, reply.target, timeouts_);
                if (filled == 0) throw Error(*reply.failure);
                co_return filled;
            }
        }
        recycle_if_done(reply);
        co_return filled;
    }

    void recycle_if_done(Reply& reply) {
        if (!reply.connection || !reply.parser->is_done()) return;
        // Bytes after the end would be read as the start of the next response.
        const bool reusable =
            reply.parser->get().keep_alive() && reply.connection->buffer.size() == 0;
        if (reusable) pool_.put(reply.target.pool_key, std::move(reply.connection));
        reply.connection.reset();
    }

    const Timeouts timeouts_;
    const std::string user_agent_;
    std::optional<ssl::context> verifying_;  ///< used on the I/O thread only
    std::optional<ssl::context> unverifying_;
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
    Pool pool_;
    std::thread thread_;
};

class BeastResponse : public Response {
  public:
    BeastResponse(std::shared_ptr<Core> core, std::unique_ptr<Reply> reply, std::stop_token stop)
        : core_(std::move(core)), reply_(std::move(reply)), stop_(std::move(stop)) {
        status = static_cast<int>(reply_->parser->get().result_int());
        for (const auto& field : reply_->parser->get()) {
            headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
        }
        if (const auto length = reply_->parser->content_length()) content_length = *length;
    }
    ~BeastResponse() override { core_->drop(std::move(reply_)); }
    BeastResponse(const BeastResponse&) = delete;
    BeastResponse& operator=(const BeastResponse&) = delete;

    std::size_t read(std::span<std::byte> buffer) override {
        if (reply_->parser->is_done()) return 0;
        return core_->read(*reply_, buffer, stop_);
    }

  private:
    std::shared_ptr<Core> core_;
    std::unique_ptr<Reply> reply_;
    std::stop_token stop_;
};

class BeastClient : public Client {
  public:
    BeastClient(Timeouts timeouts, std::string user_agent)
        : core_(std::make_shared<Core>(timeouts, std::move(user_agent))) {}

    std::unique_ptr<Response> send(const Request& request, const std::stop_token& stop) override {
        return std::make_unique<BeastResponse>(core_, core_->send(request, stop), stop);
    }

  private:
    std::shared_ptr<Core> core_;
};

}  // namespace

std::unique_ptr<Client> make_client(Timeouts timeouts, std::string user_agent) {
    return std::make_unique<BeastClient>(timeouts, std::move(user_agent));
}

}  // namespace prebake::http
