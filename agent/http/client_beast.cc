// The only file with Beast, Asio and TLS: it takes half a minute to compile.
//
// One thread runs the io_context; the coroutines and the pool live on it, and callers wait for a
// future. No brace-built aggregate may stand in a co_await expression: GCC 12 destroys it twice.

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <deque>
#include <exception>
#include <future>
#include <map>
#include <thread>
#include <utility>
#include <variant>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/wait.h"
#include "agent/http/client.h"
#include "agent/http/url.h"

namespace prebake::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace beast_http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::steady_clock;

constexpr std::uint32_t kMaxHeaderBytes = 64U << 10;
/// Beast keeps a line in one piece, however long: one that does not fit ends the connection.
constexpr std::size_t kMaxBufferBytes = 256UL << 10;
/// What one read takes from the socket at most. Beast's own limit is the same.
constexpr std::size_t kReadBytes = 64UL << 10;
/// Interim (1xx) answers before the real one; one more is an error.
constexpr int kMaxInterimAnswers = 5;
constexpr std::size_t kIdlePerHost = 8;
constexpr std::chrono::seconds kIdleTime{60};
/// An address that has not answered by then gives way to the host's next one: its IPv6 may be a
/// black hole. A lost SYN is repeated after 1 and 3 s.
constexpr std::chrono::seconds kTimePerAddress{5};

using TlsStream = beast::ssl_stream<beast::tcp_stream>;
using Parser = beast_http::response_parser<beast_http::buffer_body>;
using Message = beast_http::request<beast_http::string_body>;

struct Connection {
    explicit Connection(asio::io_context& context)
        : stream(std::in_place_type<beast::tcp_stream>, context) {
        // Beast reads as much as fits into the capacity, which starts at 512 bytes and stays there.
        buffer.reserve(kReadBytes);
    }

    beast::tcp_stream& socket() {
        if (auto* tls = std::get_if<TlsStream>(&stream)) return beast::get_lowest_layer(*tls);
        return std::get<beast::tcp_stream>(stream);
    }

    std::variant<beast::tcp_stream, TlsStream> stream;
    beast::flat_buffer buffer{kMaxBufferBytes};
};

/// A response that is being read.
struct Reply {
    std::string peer;  ///< "host:port", for errors
    std::string pool_key;
    std::unique_ptr<Connection> connection;  ///< null once there is nothing more to read
    std::optional<Parser> parser;
    std::optional<Error> failure;  ///< came after bytes that were delivered first
};

/// Idle keep-alive connections. What was idle for too long is dropped when the pool is next used.
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

/// For a connection that failed after it was established.
Error broken(const error_code& failure, const std::string& peer, const Timeouts& timeouts) {
    if (failure == beast::error::timeout) {
        return Error(Errc::timed_out,
                     peer + " sent nothing for " + format_duration(timeouts.stall));
    }
    if (closed_by_peer(failure)) return Error(Errc::unavailable, peer + " closed the connection");
    if (failure == beast_http::error::header_limit) {
        return Error(Errc::corrupt, peer + " answers with a header of more than 64 KiB");
    }
    if (failure.category() == error_code(beast_http::error::bad_version).category()) {
        return Error(Errc::corrupt, peer + " does not speak HTTP/1.1: " + failure.message(),
                     "check that a registry listens at this port");
    }
    return Error(Errc::unavailable, "the connection to " + peer + " broke: " + failure.message());
}

Error unreachable(const error_code& failure, const std::string& peer, const Timeouts& timeouts) {
    if (failure == beast::error::timeout) {
        return Error(Errc::timed_out,
                     "cannot connect to " + peer + " within " + format_duration(timeouts.connect));
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
    return Error(Errc::unavailable, "cannot connect to " + peer + ": " + failure.message());
}

/// For a TLS handshake that failed; `verdict` is OpenSSL's about the certificate.
Error no_tls(const error_code& failure, long verdict, const std::string& peer,
             const Timeouts& timeouts) {
    if (failure == beast::error::timeout) return unreachable(failure, peer, timeouts);
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

/// Asks for the name (SNI) and, where certificates are verified, insists on it.
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
        transfer.bytes = co_await operation(std::get<beast::tcp_stream>(connection.stream), token);
    }
    co_return transfer;
}

Message message_for(const Request& request, const Url& url, const std::string& user_agent) {
    beast_http::verb verb = beast_http::verb::get;
    switch (request.method) {
        case Method::get:
            break;
        case Method::head:
            verb = beast_http::verb::head;
            break;
        case Method::post:
            verb = beast_http::verb::post;
            break;
        case Method::put:
            verb = beast_http::verb::put;
            break;
    }
    Message message(verb, url.target, 11);
    message.set(beast_http::field::host, url.host_header);
    message.set(beast_http::field::user_agent, user_agent);
    // Digests and ranges are over the bytes as they are stored.
    message.set(beast_http::field::accept_encoding, "identity");
    for (const auto& [name, value] : request.headers) {
        const bool clean = std::ranges::none_of(
            name + value, [](char c) { return static_cast<unsigned char>(c) < ' '; });
        if (!clean)
            throw Error(Errc::usage, "the header " + name + " would have control characters");
        message.set(name, value);
    }
    if (request.method == Method::post || request.method == Method::put) {
        message.body() = request.body;
        message.prepare_payload();
    }
    return message;
}

/// What the client and its responses share; lives as long as any of them.
class Core {
  public:
    Core(Timeouts timeouts, std::string user_agent)
        : timeouts_(timeouts), user_agent_(std::move(user_agent)) {
        error_code failure;
        verifying_.set_default_verify_paths(failure);
        if (failure) {
            throw Error(Errc::io, "cannot load the system's trust store: " + failure.message());
        }
        verifying_.set_verify_mode(ssl::verify_peer);
        unverifying_.set_verify_mode(ssl::verify_none);
        for (ssl::context* context : {&verifying_, &unverifying_}) {
            context->set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
        }
        thread_ = std::thread([this] {
            ::pthread_setname_np(::pthread_self(), "http-client");
            context_.run();
        });
    }

    /// Waits for a name lookup that is under way: getaddrinfo(3) cannot be interrupted.
    ~Core() {
        context_.stop();
        thread_.join();
    }

    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    std::unique_ptr<Reply> send(const Request& request, const std::stop_token& stop) {
        const Url url = parse_url(request.url);
        const Message message = message_for(request, url, user_agent_);
        return run(exchange(url, request.tls, message), stop);
    }

    std::size_t read(Reply& reply, std::span<std::byte> buffer, const std::stop_token& stop) {
        return run(read_body(reply, buffer), stop);
    }

    /// Sockets and their timers are touched, and so destroyed, on the I/O thread alone.
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

    /// Runs `work` on the I/O thread and waits for its end, which a stop request brings about.
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

    /// Errors change threads as values, built anew: ThreadSanitizer sees neither the reference
    /// count of an exception_ptr nor that of a runtime_error's text.
    template <typename Value>
    static asio::awaitable<Outcome<Value>> caught(asio::awaitable<Value> work) {
        try {
            co_return co_await std::move(work);
        } catch (const Error& error) {
            co_return Error(error.code(), error.message(), error.next_step());
        } catch (const boost::system::system_error& error) {
            // A cancelled coroutine ends like this between two operations; run() knows.
            co_return Error(Errc::internal, std::string("the HTTP client failed: ") + error.what());
        }
    }

    asio::awaitable<std::unique_ptr<Reply>> exchange(const Url& url, TlsVerification verification,
                                                     const Message& message) {
        auto reply = std::make_unique<Reply>();
        reply->peer = url.authority();
        reply->pool_key =
            url.origin() + (verification == TlsVerification::none ? " unverified" : "");
        reply->connection = pool_.take(reply->pool_key);
        for (bool reused = reply->connection != nullptr;; reused = false) {
            if (!reused) reply->connection = co_await connect(url, verification);
            const error_code failure = co_await ask(*reply, message);
            if (!failure) break;
            // A server may close an idle connection at any time, also while our request is on its
            // way.
            const bool stale = reused && closed_by_peer(failure) && !reply->parser->got_some();
            if (!stale) throw broken(failure, reply->peer, timeouts_);
        }
        recycle_if_done(*reply);
        co_return reply;
    }

    asio::awaitable<std::unique_ptr<Connection>> connect(const Url& url,
                                                         TlsVerification verification) {
        const auto deadline = steady_clock::now() + timeouts_.connect;
        const tcp::resolver::results_type addresses = co_await look_up(url, deadline);
        std::unique_ptr<Connection> connection;
        // The first address is the preferred one: its failure is the one to report.
        std::optional<error_code> first_failure;
        std::size_t left = addresses.size();
        for (const auto& address : addresses) {
            const bool last = --left == 0;
            connection = std::make_unique<Connection>(context_);
            connection->socket().expires_at(
                last ? deadline : std::min(deadline, steady_clock::now() + kTimePerAddress));
            error_code failure;
            co_await connection->socket().async_connect(
                address.endpoint(), asio::redirect_error(asio::use_awaitable, failure));
            if (!failure) break;
            connection.reset();
            if (!first_failure) first_failure = failure;
        }
        if (!connection) throw unreachable(*first_failure, url.authority(), timeouts_);
        connection->socket().socket().set_option(tcp::no_delay(true));
        if (!url.tls) co_return connection;

        const bool verifies = verification == TlsVerification::system_trust_store;
        beast::tcp_stream socket = std::move(connection->socket());
        auto& stream = connection->stream.emplace<TlsStream>(std::move(socket),
                                                             verifies ? verifying_ : unverifying_);
        expect_name(stream, url.host);
        connection->socket().expires_at(deadline);
        error_code failure;
        co_await stream.async_handshake(ssl::stream_base::client,
                                        asio::redirect_error(asio::use_awaitable, failure));
        if (failure) {
            const long verdict =
                verifies ? SSL_get_verify_result(stream.native_handle()) : X509_V_OK;
            throw no_tls(failure, verdict, url.authority(), timeouts_);
        }
        co_return connection;
    }

    /// getaddrinfo(3) blocks a thread of Asio's: what waits here is a timer that its end cancels,
    /// so that a timeout or a stop does not have to wait for it.
    asio::awaitable<tcp::resolver::results_type> look_up(const Url& url,
                                                         steady_clock::time_point deadline) {
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
        if (failure) throw unreachable(failure, url.authority(), timeouts_);
        co_return lookup->addresses;
    }

    /// Sends the request and reads the header of the final answer.
    asio::awaitable<error_code> ask(Reply& reply, const Message& message) {
        Connection& connection = *reply.connection;
        reply.parser.emplace();
        connection.socket().expires_after(timeouts_.stall);
        auto write = [&message](auto& stream, auto token) {
            return beast_http::async_write(stream, message, token);
        };
        const Transfer sent = co_await on_stream(connection, write);
        if (sent.failure) co_return sent.failure;
        for (int interim = 0; interim <= kMaxInterimAnswers; ++interim) {
            Parser& parser = reply.parser.emplace();
            parser.skip(message.method() == beast_http::verb::head);
            const error_code failure = co_await read_header(connection, parser);
            if (failure || parser.get().result_int() >= 200) co_return failure;
        }
        co_return error_code(beast_http::error::bad_status);
    }

    asio::awaitable<error_code> read_header(Connection& connection, Parser& parser) {
        parser.header_limit(kMaxHeaderBytes);
        parser.body_limit(boost::none);  // callers know how much they want
        auto read = [&connection, &parser](auto& stream, auto token) {
            return beast_http::async_read_some(stream, connection.buffer, parser, token);
        };
        // Set once: the whole header has to arrive in that time.
        connection.socket().expires_after(timeouts_.stall);
        // Beast 1.81 holds each piece against its limit, not their sum: async_read_header would
        // take a header without end.
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
        std::size_t overhead = 0;  // since the last byte of body: an attacker's endless trailer
        while (filled < buffer.size() && !reply.parser->is_done()) {
            Connection& connection = *reply.connection;
            Parser& parser = *reply.parser;
            auto& body = parser.get().body();
            body.data = buffer.data() + filled;
            body.size = buffer.size() - filled;
            // Set for each piece that arrives: a slow registry is not a stalled one.
            connection.socket().expires_after(timeouts_.stall);
            auto read = [&connection, &parser](auto& stream, auto token) {
                return beast_http::async_read_some(stream, connection.buffer, parser, token);
            };
            Transfer got = co_await on_stream(connection, read);
            const bool progressed = filled != buffer.size() - body.size;
            filled = buffer.size() - body.size;
            overhead = progressed ? 0 : overhead + got.bytes;
            if (overhead > kMaxHeaderBytes) got.failure = beast_http::error::header_limit;
            if (got.failure && got.failure != beast_http::error::need_buffer) {
                reply.failure = broken(got.failure, reply.peer, timeouts_);
                if (filled == 0) throw Error(*reply.failure);
                co_return filled;
            }
        }
        recycle_if_done(reply);
        co_return filled;
    }

    void recycle_if_done(Reply& reply) {
        if (!reply.connection || !reply.parser->is_done()) return;
        // Bytes behind the end would be taken for the next answer.
        const bool reusable =
            reply.parser->get().keep_alive() && reply.connection->buffer.size() == 0;
        if (reusable) pool_.put(reply.pool_key, std::move(reply.connection));
        reply.connection.reset();
    }

    const Timeouts timeouts_;
    const std::string user_agent_;
    ssl::context verifying_{ssl::context::tls_client};
    ssl::context unverifying_{ssl::context::tls_client};
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
