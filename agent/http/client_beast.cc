// One thread runs the io_context with the coroutines and the pool; callers wait for a future. No
// brace-built aggregate may stand in a co_await expression: GCC 12 destroys it twice.

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/base/wait.h"
#include "agent/http/client.h"
#include "agent/http/connection.h"
#include "agent/http/connection_pool.h"
#include "agent/http/connector.h"
#include "agent/http/proxy_refusal.h"
#include "agent/http/target.h"
#include "agent/http/tls_context.h"

namespace prebake::http {
namespace {

using Pool = ConnectionPool<Connection>;

/// Of an upload, read and sent at once.
constexpr std::size_t kUploadPieceBytes = 256UL << 10;

/// A response that is being read.
struct Reply {
    Target target;
    std::unique_ptr<Connection> connection;  ///< null once there is nothing more to read
    std::optional<Parser> parser;
    std::optional<Error> failure;  ///< to report at the next read, after the bytes before it
    std::chrono::milliseconds stall{0};
    bool is_reusable = true;  ///< the connection: false if the server has not read the request
};

/// What to send, and where. It belongs to the thread of the caller, which waits.
struct Order {
    Target target;
    std::string text;
    BodyOf body;
    TlsLayers layers;
};

/// A request that waits for a connection; shared with the pool.
struct Turn {
    explicit Turn(asio::io_context& context) : granted(context) {}
    asio::steady_timer granted;  ///< cancelled when there is a grant
    std::optional<Pool::Grant> grant;
};

ConnectionPlace place_of(const Target& target) {
    return {.key = target.pool_key, .host = target.host()};
}

/// Whether the peer sent something that is no HTTP response.
bool is_no_http(const error_code& failure) {
    return failure.category() == error_code(beast::http::error::bad_version).category() &&
           !closed_by_peer(failure);
}

/// For a connection that failed after it was established.
Error broken(const error_code& failure, Connection& connection, const Target& target,
             std::chrono::milliseconds stall) {
    const std::string& peer = target.peer;
    if (failure == beast::error::timeout) {
        return target.timed_out(peer + " sent nothing for", stall);
    }
    if (tls_code_of(failure) != 0) {
        return tls_error(failure, connection, target, target.url.tls ? Hop::server : Hop::proxy);
    }
    if (closed_by_peer(failure)) return Error(Errc::unavailable, peer + " closed the connection");
    if (failure == beast::http::error::header_limit) {
        return Error(Errc::corrupt, peer + " sends a header larger than 64 KiB");
    }
    if (is_no_http(failure)) {
        return Error(Errc::corrupt, peer + " does not speak HTTP/1.1: " + failure.message(),
                     "check that an HTTP server listens there");
    }
    return Error(Errc::unavailable, "the connection to " + peer + " broke: " + failure.message());
}

/// Shared by the client and its responses; lives as long as any of them.
class Core {
  public:
    Core(Timeouts timeouts, std::string user_agent, ProxySettings proxies,
         const ConnectionLimits& limits)
        : timeouts_(timeouts),
          user_agent_(std::move(user_agent)),
          proxies_(std::move(proxies)),
          pool_(limits) {
        thread_ = std::thread([this] {
            ::pthread_setname_np(::pthread_self(), "http-client");
            context_.run();
        });
    }

    /// Waits for a running name lookup: getaddrinfo(3) cannot be interrupted.
    ~Core() {
        context_.stop();
        thread_.join();
        pool_.clear();  // sockets have to be closed before their context ends
    }

    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    std::unique_ptr<Reply> send(const Request& request, const std::stop_token& stop) {
        Order order{.target = target_of(request, proxies_, std::chrono::steady_clock::now()),
                    .text = {},
                    .body = request.method == Method::head ? BodyOf::head : BodyOf::response,
                    .layers = {}};
        order.text = text_of(request, order.target, user_agent_);
        // Here and not on the I/O thread: it reads files.
        if (order.target.url.tls) order.layers.server = contexts_.get(request.tls);
        const auto& proxy = order.target.proxy;
        if (proxy && proxy->server.tls) order.layers.proxy = contexts_.get(TlsSettings());
        if (request.upload == nullptr) return run(exchange(order), stop);
        auto reply = run(open(order), stop);
        try {
            send_upload(*reply, order, request, stop);
            run(finish(*reply, order), stop);
        } catch (...) {
            drop(std::move(reply));
            throw;
        }
        return reply;
    }

    /// Fills the buffer, but does not wait for more than `least` bytes.
    std::size_t read(Reply& reply, std::span<std::byte> buffer, std::size_t least,
                     const std::stop_token& stop) {
        return run(read_body(reply, buffer, least), stop);
    }

    /// Sockets and their timers are used, and so destroyed, on the I/O thread only.
    template <typename Owner>
    void drop(std::unique_ptr<Owner> owner) {
        asio::post(context_, [dropped = std::move(owner)] {});
    }

  private:
    template <typename Value>
    using Outcome = std::variant<Value, Error>;

    template <typename Value>
    struct Operation {
        std::promise<Outcome<Value>> promise;
        asio::cancellation_signal cancel;
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

    std::unique_ptr<Reply> reply_to(const Order& order) const {
        auto reply = std::make_unique<Reply>();
        reply->target = order.target;
        reply->stall = order.target.stall_timeout.value_or(timeouts_.stall);
        return reply;
    }

    asio::awaitable<std::unique_ptr<Reply>> exchange(const Order& order) {
        auto reply = reply_to(order);
        Pool::Grant grant = co_await turn_of(order.target);
        std::shared_ptr<const void> slot = std::move(grant.slot);
        reply->connection = std::move(grant.idle);
        for (;;) {
            const bool is_reused = reply->connection != nullptr;
            if (!is_reused) {
                reply->connection = co_await connector_.connect(order.target, order.layers);
                reply->connection->slot = std::move(slot);
            }
            const error_code failure = co_await ask(*reply, order);
            if (!failure) break;
            // A server may close an idle connection at any time, also while our request is on its
            // way.
            const bool is_closed = closed_by_peer(failure) && !reply->parser->got_some();
            // Or it may have sent more than the last response, such as a body for HEAD.
            const bool is_stale = is_reused && (is_closed || is_no_http(failure));
            if (!is_stale) throw broken(failure, *reply->connection, order.target, reply->stall);
            slot = std::move(reply->connection->slot);
            reply->connection.reset();
        }
        refuse_proxy_challenge(*reply);
        recycle_if_done(*reply);
        co_return reply;
    }

    /// Makes a new connection.
    asio::awaitable<std::unique_ptr<Reply>> open(const Order& order) {
        auto reply = reply_to(order);
        Pool::Grant grant = co_await turn_of(order.target);
        std::shared_ptr<const void> slot = std::move(grant.slot);
        if (grant.idle) slot = std::move(grant.idle->slot);
        grant.idle.reset();
        reply->connection = co_await connector_.connect(order.target, order.layers);
        reply->connection->slot = std::move(slot);
        co_return reply;
    }

    /// On the caller's thread, which alone may wait for the source. Ends early if the server does
    /// not read on: it may have sent its reason before.
    void send_upload(Reply& reply, const Order& order, const Request& request,
                     const std::stop_token& stop) {
        bool is_read = run(send_piece(reply, order.text), stop);
        std::string buffer(kUploadPieceBytes, '\0');
        for (std::uint64_t left = request.upload_bytes; left > 0 && is_read;) {
            const std::size_t size = std::min<std::uint64_t>(left, buffer.size());
            const auto piece = std::span(buffer).first(size);
            if (request.upload->read(std::as_writable_bytes(piece)) < size) {
                throw Error(Errc::corrupt, "what should be sent to " + order.target.peer +
                                               " is shorter than announced");
            }
            is_read = run(send_piece(reply, std::string_view(piece.data(), size)), stop);
            left -= size;
        }
    }

    /// Whether the server reads on.
    asio::awaitable<bool> send_piece(Reply& reply, std::string_view piece) {
        reply.connection->socket().expires_at(reply.target.within(reply.stall));
        const error_code failure = co_await reply.connection->write(piece);
        if (failure && !closed_by_peer(failure)) {
            throw broken(failure, *reply.connection, reply.target, reply.stall);
        }
        if (failure) reply.is_reusable = false;
        co_return !failure;
    }

    /// The header of the response to an upload. The value has no meaning.
    asio::awaitable<bool> finish(Reply& reply, const Order& order) {
        reply.connection->socket().expires_at(reply.target.within(reply.stall));
        const error_code failure = co_await reply.connection->read_header(reply.parser, order.body);
        if (failure) throw broken(failure, *reply.connection, reply.target, reply.stall);
        refuse_proxy_challenge(reply);
        recycle_if_done(reply);
        co_return true;
    }

    /// Waits until the limits allow a connection.
    asio::awaitable<Pool::Grant> turn_of(const Target& target) {
        const auto turn = std::make_shared<Turn>(context_);
        const Pool::Ticket ticket = pool_.request(place_of(target), [turn](Pool::Grant grant) {
            turn->grant = std::move(grant);
            turn->granted.cancel();
        });
        if (!turn->grant) {
            turn->granted.expires_at(target.deadline);
            error_code woken;
            co_await turn->granted.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        }
        if (!turn->grant) {
            // The deadline has passed, or a stop was requested.
            pool_.give_up(ticket);
            throw Error(
                Errc::timed_out,
                "all connections to " + target.peer + " were in use for " +
                    format_duration(target.time_limit.value_or(std::chrono::milliseconds(0))));
        }
        co_return std::move(*turn->grant);
    }

    /// Sends the request and reads the header of the final response.
    asio::awaitable<error_code> ask(Reply& reply, const Order& order) {
        Connection& connection = *reply.connection;
        reply.parser.emplace();
        connection.socket().expires_at(order.target.within(reply.stall));
        const error_code failure = co_await connection.write(order.text);
        // A server that closes without reading the request may have sent its reason before.
        if (failure && !closed_by_peer(failure)) co_return failure;
        // Set once: the whole header has to arrive in that time.
        connection.socket().expires_at(order.target.within(reply.stall));
        co_return co_await connection.read_header(reply.parser, order.body);
    }

    /// Callers know nothing of proxies: only we can answer their 407.
    static void refuse_proxy_challenge(const Reply& reply) {
        const auto& response = reply.parser->get();
        const auto status = static_cast<int>(response.result_int());
        if (status != 407 || !reply.target.proxy || reply.target.is_tunnelled()) return;
        throw proxy_refusal(reply.target, status, std::string(response.reason()),
                            headers_of(*reply.parser));
    }

    asio::awaitable<std::size_t> read_body(Reply& reply, std::span<std::byte> buffer,
                                           std::size_t least) {
        if (reply.failure) throw Error(*reply.failure);
        std::size_t filled = 0;
        std::size_t overhead = 0;  // since the last byte of body: a trailer may be endless
        while (filled < least && !reply.parser->is_done()) {
            Connection& connection = *reply.connection;
            auto& body = reply.parser->get().body();
            body.data = buffer.data() + filled;
            body.size = buffer.size() - filled;
            // Set for each piece that arrives: a slow registry is not a stalled one.
            connection.socket().expires_at(reply.target.within(reply.stall));
            Transfer got = co_await connection.read(*reply.parser);
            const bool progressed = filled != buffer.size() - body.size;
            filled = buffer.size() - body.size;
            overhead = progressed ? 0 : overhead + got.bytes;
            if (overhead > kMaxHeaderBytes) got.failure = beast::http::error::header_limit;
            if (got.failure && got.failure != beast::http::error::need_buffer) {
                reply.failure = broken(got.failure, connection, reply.target, reply.stall);
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
        const bool is_reusable = reply.is_reusable && reply.parser->get().keep_alive() &&
                                 !reply.connection->has_unread();
        reply.connection->socket().expires_never();
        if (is_reusable) pool_.put(place_of(reply.target), std::move(reply.connection));
        reply.connection.reset();
    }

    const Timeouts timeouts_;
    const std::string user_agent_;
    const ProxySettings proxies_;
    TlsContexts contexts_;
    Pool pool_;  ///< before the context: its coroutines hold slots of the pool
    asio::io_context context_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
    Connector connector_{context_, timeouts_, user_agent_};
    std::thread thread_;
};

class BeastResponse : public Response {
  public:
    BeastResponse(std::shared_ptr<Core> core, std::unique_ptr<Reply> reply, std::stop_token stop)
        : core_(std::move(core)), reply_(std::move(reply)), stop_(std::move(stop)) {
        status = static_cast<int>(reply_->parser->get().result_int());
        headers = headers_of(*reply_->parser);
        if (const auto length = reply_->parser->content_length()) content_length = *length;
    }
    ~BeastResponse() override { core_->drop(std::move(reply_)); }
    BeastResponse(const BeastResponse&) = delete;
    BeastResponse& operator=(const BeastResponse&) = delete;

    std::size_t read(std::span<std::byte> buffer) override {
        if (reply_->parser->is_done()) return 0;
        return core_->read(*reply_, buffer, buffer.size(), stop_);
    }

    std::size_t read_some(std::span<std::byte> buffer) override {
        if (reply_->parser->is_done() || buffer.empty()) return 0;
        return core_->read(*reply_, buffer, 1, stop_);
    }

    void set_stall_timeout(std::chrono::milliseconds limit) override { reply_->stall = limit; }

    void close() override {
        if (!reply_->connection) return;
        reply_->failure = Error(Errc::internal, "a response was read after it was closed");
        core_->drop(std::move(reply_->connection));
    }

  private:
    std::shared_ptr<Core> core_;
    std::unique_ptr<Reply> reply_;
    std::stop_token stop_;
};

class BeastClient : public Client {
  public:
    explicit BeastClient(std::shared_ptr<Core> core) : core_(std::move(core)) {}

    std::unique_ptr<Response> send(const Request& request, const std::stop_token& stop) override {
        return std::make_unique<BeastResponse>(core_, core_->send(request, stop), stop);
    }

  private:
    std::shared_ptr<Core> core_;
};

}  // namespace

std::unique_ptr<Client> make_client(Timeouts timeouts, std::string user_agent,
                                    ProxySettings proxies, ConnectionLimits limits) {
    return std::make_unique<BeastClient>(
        std::make_shared<Core>(timeouts, std::move(user_agent), std::move(proxies), limits));
}

}  // namespace prebake::http
