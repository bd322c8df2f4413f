// The only file of this room with Beast and Asio.
//
// One thread runs the io_context; acceptors, connections and their coroutines live on it. A
// connection has one operation under way at most: what ends it early (its deadline, news for one
// that waits) cancels it on the socket, and the coroutine sees why. Asio's composed operations are
// not used, because a cancellation between two of their steps would be lost.

#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "agent/report/documents.h"
#include "agent/report/endpoint.h"
#include "agent/report/listeners.h"
#include "agent/report/peer.h"

namespace prebake::report {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::generic::stream_protocol;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

using Acceptor = asio::basic_socket_acceptor<stream_protocol>;
using Parser = http::request_parser<http::empty_body>;

constexpr std::size_t kReadBytes = 1024;
/// Of connections beyond the limit: this many get an answer, further ones are only closed.
constexpr std::size_t kMaxTurnedAway = 16;
constexpr std::chrono::seconds kRetryAfter{1};
/// How long to wait for the client to close after the last answer. Closing with unread bytes would
/// reset the connection, and the answer could be lost.
constexpr milliseconds kDrainTime{1000};
/// Before a retry after a failed accept, for example without free descriptors.
constexpr milliseconds kAcceptPause{200};

enum class Part { whole, header_only };

struct Transfer {
    error_code failure;
    std::size_t bytes = 0;
};

Response bad_request(const error_code& failure) {
    if (failure == http::error::header_limit || failure == http::error::buffer_overflow) {
        return error_response(431, Error(Errc::too_large, "the request's header is too large"));
    }
    if (failure == http::error::body_limit || failure == http::error::unexpected_body) {
        return error_response(413, Error(Errc::too_large, "requests must not have a body"));
    }
    if (failure == asio::error::timed_out) {
        return error_response(408, Error(Errc::timed_out, "the request did not arrive in time"));
    }
    return error_response(400, Error(Errc::usage, "this is not HTTP/1.1: " + failure.message()));
}

Response no_room() {
    Response response = error_response(
        503, Error(Errc::unavailable, "there are too many connections", "try again later"));
    response.retry_after = kRetryAfter;
    return response;
}

class Connection;

enum class Admission {
    served,
    turned_away,
    leaving,  ///< served, and about to close: its place is already free
};

/// Number of connections by Admission.
using Places = std::array<std::size_t, 3>;

/// Shared state of the connections.
struct ServerState {
    const EndpointOptions& options;
    const StatusHolder& holder;
    RenderCache cache{options.trace_file};
    // By SocketKind: one cannot use the places of the other.
    std::array<std::set<Connection*>, 2> waiting = {};  ///< with ?wait=
    std::array<std::set<Connection*>, 2> served = {};
    std::array<Places, 2> places = {};

    std::set<Connection*>& waiting_on(SocketKind socket_kind) {
        return waiting[static_cast<std::size_t>(socket_kind)];
    }
    std::set<Connection*>& served_on(SocketKind socket_kind) {
        return served[static_cast<std::size_t>(socket_kind)];
    }
    std::size_t& place(SocketKind socket_kind, Admission admission) {
        return places[static_cast<std::size_t>(socket_kind)][static_cast<std::size_t>(admission)];
    }
};

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    Connection(ServerState& state, const Peer& peer, Admission admission,
               stream_protocol::socket socket)
        : state_(state),
          peer_(peer),
          socket_kind_(peer.socket_kind),
          admission_(admission),
          socket_(std::move(socket)),
          timer_(socket_.get_executor()),
          buffer_(state.options.max_header_bytes) {
        ++state_.place(socket_kind_, admission_);
        if (admission_ == Admission::served) state_.served_on(socket_kind_).insert(this);
    }
    ~Connection() {
        state_.waiting_on(socket_kind_).erase(this);
        state_.served_on(socket_kind_).erase(this);
        --state_.place(socket_kind_, admission_);
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// The connection lives as long as its coroutine.
    static asio::awaitable<void> serve(std::shared_ptr<Connection> self) {
        if (self->admission_ == Admission::turned_away) {
            const Response response = no_room();
            co_await self->write(response, Part::whole, 11, After::close);
            co_await self->drain_and_close();
            co_return;
        }
        while (co_await self->serve_one()) continue;
    }

    /// Cancels the current operation.
    void wake() {
        error_code ignored;
        socket_.cancel(ignored);
    }

    const Peer& peer() const { return peer_; }

    /// If it waits: whether what it waits for has come, or will not come.
    bool has_news() const {
        return state_of(state_.holder.latest()->status, goal_) != GoalState::open;
    }

    /// Since when it has been waiting for its client, to send a request or to read an answer.
    /// Nothing if the client waits for us.
    std::optional<steady_clock::time_point> waiting_for_client_since() {
        if (state_.waiting_on(socket_kind_).count(this) != 0) return {};
        return phase_began_;
    }

    /// Takes its place away: it closes without an answer.
    void evict() {
        leave_place();
        is_evicted_ = true;
        wake();
    }

  private:
    /// One request and its answer. Returns whether another request may follow.
    asio::awaitable<bool> serve_one() {
        Parser parser;
        const error_code failure = co_await read_request(parser);
        if (failure && (!is_begun_ || is_evicted_)) co_return false;
        if (failure) {
            if (failure == asio::error::eof || failure == asio::error::connection_reset) {
                co_return false;
            }
            const Response response = bad_request(failure);
            co_await write(response, Part::whole, 11, After::close);
            co_await drain_and_close();
            co_return false;
        }

        const auto& message = parser.get();
        const unsigned version = message.version();
        After after = parser.keep_alive() ? After::keep_alive : After::close;
        const Part part = message.method() == http::verb::head ? Part::header_only : Part::whole;
        Request request;
        request.method = std::string(message.method_string());
        request.target = std::string(message.target());
        request.socket_kind = socket_kind_;
        bool is_written = false;
        if (message.count(http::field::host) > 1) {
            const Response response = error_response(
                400, Error(Errc::usage, "the request has more than one Host header"));
            is_written = co_await write(response, part, version, after);
        } else {
            request.host = std::string(message[http::field::host]);
            request.is_readiness_only =
                socket_kind_ == SocketKind::tcp && state_.options.tcp == TcpAccess::readiness;
            const Route route = report::route(request);
            if (route.resource) {
                goal_ = route.goal;
                const milliseconds wait =
                    std::min<milliseconds>(route.wait, state_.options.max_wait);
                if (wait.count() > 0 && !has_news()) {
                    if (!may_wait()) {
                        // Close it, so that it does not occupy a place while it is idle.
                        after = After::close;
                    } else if (!co_await wait_for_goal(wait)) {
                        co_return false;
                    }
                }
                const auto response = state_.cache.get(*route.resource, state_.holder.latest());
                is_written = co_await write(*response, part, version, after);
            } else {
                is_written = co_await write(route.error, part, version, after);
            }
        }
        is_first_ = false;
        if (is_written && after == After::close) co_await drain_and_close();
        co_return is_written&& after == After::keep_alive;
    }

    /// Reads the header of a request. A request with a body is a failure.
    asio::awaitable<error_code> read_request(Parser& parser) {
        const std::size_t limit = state_.options.max_header_bytes;
        parser.header_limit(static_cast<std::uint32_t>(limit));
        parser.body_limit(0);
        is_begun_ = buffer_.size() > 0;
        phase_began_ = steady_clock::now();
        const milliseconds before_it =
            is_first_ ? state_.options.first_byte_time : state_.options.idle_time;
        set_deadline(is_begun_ ? state_.options.header_time : before_it);
        for (std::size_t parsed = 0;;) {
            error_code failure;
            if (buffer_.size() > 0) {
                const std::size_t bytes = parser.put(buffer_.data(), failure);
                buffer_.consume(bytes);
                parsed += bytes;
                if (failure == http::error::need_more) failure.clear();
            }
            if (failure) co_return failure;
            if (parser.is_header_done()) {
                const bool has_body = parser.content_length().value_or(0) > 0 ||
                                      parser.get().count(http::field::transfer_encoding) > 0;
                if (has_body) failure = http::error::body_limit;
                co_return failure;
            }
            if (parsed + buffer_.size() >= limit) co_return http::error::header_limit;
            const Transfer got = co_await read_some();
            if (got.failure) co_return got.failure;
            // A connection that was silent gets the full time for its request.
            if (!is_begun_) set_deadline(state_.options.header_time);
            is_begun_ = true;
        }
    }

    /// Whether there is a place for it among those that wait.
    bool may_wait() {
        const EndpointOptions& options = state_.options;
        const std::set<Connection*>& waiting = state_.waiting_on(socket_kind_);
        if (!peer_.is_limited()) return waiting.size() < options.max_waiting;
        const auto of_user = std::ranges::count(
            waiting, peer_.user, [](const Connection* other) { return other->peer().user; });
        return static_cast<std::size_t>(of_user) < options.max_waiting_of_user &&
               waiting.size() + options.waiting_for_root < options.max_waiting;
    }

    /// Waits until it has news or the time has passed; false if the client disconnected. Data that
    /// the client sends is kept, up to the size of the buffer.
    asio::awaitable<bool> wait_for_goal(milliseconds time) {
        set_deadline(time);
        state_.waiting_on(socket_kind_).insert(this);
        Transfer got;
        while (!has_news() && !got.failure) {
            got = co_await read_some();
            if (got.failure == asio::error::operation_aborted) got.failure.clear();
        }
        state_.waiting_on(socket_kind_).erase(this);
        co_return !got.failure || got.failure == asio::error::timed_out;
    }

    /// Returns whether the whole response was sent.
    asio::awaitable<bool> write(const Response& response, Part part, unsigned http_version,
                                After after) {
        const std::string header = header_of(response, http_version, after);
        std::array<asio::const_buffer, 2> left{asio::buffer(header), asio::const_buffer()};
        if (part == Part::whole) left[1] = asio::buffer(response.body);
        phase_began_ = steady_clock::now();
        set_deadline(state_.options.write_time);
        while (asio::buffer_size(left) > 0) {
            Transfer sent;
            if (is_late_ || is_evicted_) co_return abandon();
            sent.bytes = co_await socket_.async_write_some(
                left, asio::redirect_error(asio::use_awaitable, sent.failure));
            if (sent.failure) co_return abandon();
            for (auto& buffer : left) {
                const std::size_t taken = std::min(sent.bytes, buffer.size());
                buffer += taken;
                sent.bytes -= taken;
            }
        }
        co_return true;
    }

    /// Makes close() discard unsent bytes.
    bool abandon() {
        error_code ignored;
        socket_.set_option(asio::socket_base::linger(true, 0), ignored);
        return false;
    }

    asio::awaitable<void> drain_and_close() {
        release_place();
        error_code ignored;
        socket_.shutdown(asio::socket_base::shutdown_send, ignored);
        set_deadline(kDrainTime);
        for (Transfer got; !got.failure;) {
            buffer_.consume(buffer_.size());
            got = co_await read_some();
        }
    }

    void release_place() {
        if (admission_ == Admission::served &&
            state_.place(socket_kind_, Admission::leaving) < state_.options.max_connections) {
            leave_place();
        }
    }

    void leave_place() {
        state_.served_on(socket_kind_).erase(this);
        --state_.place(socket_kind_, admission_);
        admission_ = Admission::leaving;
        ++state_.place(socket_kind_, admission_);
    }

    /// Appends to the buffer. Fails with timed_out after the deadline, with no_buffer_space if the
    /// buffer is full.
    asio::awaitable<Transfer> read_some() {
        Transfer got;
        const std::size_t room = std::min(kReadBytes, buffer_.max_size() - buffer_.size());
        if (is_late_ || is_evicted_) {
            got.failure = asio::error::timed_out;
        } else if (room == 0) {
            got.failure = asio::error::no_buffer_space;
        } else {
            got.bytes = co_await socket_.async_read_some(
                buffer_.prepare(room), asio::redirect_error(asio::use_awaitable, got.failure));
            buffer_.commit(got.bytes);
            const bool is_cancelled = got.failure == asio::error::operation_aborted;
            if (is_cancelled && (is_late_ || is_evicted_)) got.failure = asio::error::timed_out;
        }
        co_return got;
    }

    /// For all operations until the next call.
    void set_deadline(milliseconds time) {
        is_late_ = false;
        timer_.expires_after(time);
        timer_.async_wait([weak = weak_from_this()](const error_code& failure) {
            const auto self = weak.lock();
            // The deadline may have been changed while this call was queued.
            if (failure || !self || self->timer_.expiry() > steady_clock::now()) return;
            self->is_late_ = true;
            self->wake();
        });
    }

    ServerState& state_;
    const Peer peer_;
    const SocketKind socket_kind_;
    Admission admission_;
    stream_protocol::socket socket_;
    asio::steady_timer timer_;
    beast::flat_buffer buffer_;
    steady_clock::time_point phase_began_ = steady_clock::now();
    Goal goal_ = Goal::ready;  ///< what it waits for with ?wait=
    bool is_late_ = false;     ///< the deadline has passed
    bool is_evicted_ = false;  ///< another connection has its place
    bool is_begun_ = false;    ///< a part of the current request has arrived
    bool is_first_ = true;     ///< no request has been answered
};

}  // namespace

class Endpoint::Impl {
  public:
    Impl(EndpointOptions options, const StatusHolder& holder, ReportProblem on_problem)
        : options_(std::move(options)),
          on_problem_(std::move(on_problem)),
          state_{options_, holder} {
        const bool is_off = options_.tcp == TcpAccess::off;
        listeners_ = listen_on_loopback(is_off ? std::vector<std::string>() : options_.listen,
                                        passed_listeners());
        for (const std::string& problem : listeners_.problems()) on_problem_(problem);
        start_all();
        if (!options_.socket.empty()) open_socket_file();
        if (!listeners_.failed.empty()) {
            asio::co_spawn(context_, try_again(), asio::detached);
        }
        thread_ = std::thread([this] {
            ::pthread_setname_np(::pthread_self(), "http");
            context_.run();
        });
    }
    ~Impl() {
        context_.stop();
        thread_.join();
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void status_changed() {
        // One call on its way is enough, however often the holder changes.
        if (is_news_posted_.exchange(true)) return;
        asio::post(context_, [this] {
            is_news_posted_ = false;
            for (const auto& waiting : state_.waiting) {
                for (Connection* connection : waiting) {
                    if (connection->has_news()) connection->wake();
                }
            }
        });
    }

    std::vector<std::string> addresses() const {
        const std::lock_guard lock(mutex_);
        return addresses_;
    }
    std::string problem() const {
        const std::lock_guard lock(mutex_);
        std::string all = socket_problem_;
        for (const std::string& problem : problems_) all += (all.empty() ? "" : "; ") + problem;
        return all;
    }

  private:
    void open_socket_file() {
        try {
            file_.emplace(options_.socket, options_.socket_group, on_problem_);
            start(file_->take_listener());
        } catch (const Error& error) {
            if (error.code() == Errc::conflict || error.code() == Errc::usage) throw;
            on_problem_(error.what());
            const std::lock_guard lock(mutex_);
            socket_problem_ = error.what();
        }
    }

    /// Serves what has been opened.
    void start_all() {
        for (Listener& listener : std::exchange(listeners_.open, {})) start(std::move(listener));
        const std::lock_guard lock(mutex_);
        problems_ = listeners_.problems();
    }

    asio::awaitable<void> try_again() {
        asio::steady_timer pause(context_);
        while (!listeners_.failed.empty()) {
            pause.expires_after(options_.retry_time);
            co_await pause.async_wait(asio::use_awaitable);
            listen_again(listeners_);
            std::string opened;
            for (const Listener& listener : listeners_.open) opened += " " + listener.name;
            start_all();
            if (!opened.empty()) on_problem_("listening now on" + opened);
        }
    }

    void start(Listener listener) {
        const int family = listener.socket_kind == SocketKind::unix_socket ? AF_UNIX
                           : listener.name.starts_with('[')                ? AF_INET6
                                                                           : AF_INET;
        // Asio takes ownership of the descriptor.
        Acceptor acceptor(context_, stream_protocol(family, 0), listener.fd.release());
        {
            const std::lock_guard lock(mutex_);
            addresses_.push_back(listener.name);
        }
        asio::co_spawn(context_, accept(std::move(acceptor), listener.socket_kind), asio::detached);
    }

    asio::awaitable<void> accept(Acceptor acceptor, SocketKind socket_kind) {
        asio::steady_timer pause(context_);
        bool is_reported = false;
        for (;;) {
            stream_protocol::socket socket(context_);
            error_code failure;
            co_await acceptor.async_accept(socket,
                                           asio::redirect_error(asio::use_awaitable, failure));
            if (!failure) {
                is_reported = false;
                admit(std::move(socket), socket_kind);
                continue;
            }
            if (!is_reported) on_problem_("cannot accept a connection: " + failure.message());
            is_reported = true;
            pause.expires_after(kAcceptPause);
            co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, failure));
        }
    }

    void admit(stream_protocol::socket socket, SocketKind socket_kind) {
        const Peer peer = peer_of(socket.native_handle(), socket_kind);
        Admission admission = Admission::served;
        if (!has_place_for(peer)) {
            admission = Admission::turned_away;
            if (state_.place(socket_kind, admission) >= kMaxTurnedAway) return;
        }
        error_code ignored;
        if (socket_kind == SocketKind::tcp) {
            socket.set_option(asio::ip::tcp::no_delay(true), ignored);
        }
        auto connection = std::make_shared<Connection>(state_, peer, admission, std::move(socket));
        asio::co_spawn(context_, Connection::serve(std::move(connection)), asio::detached);
    }

    /// Makes a place if there is none.
    bool has_place_for(const Peer& peer) {
        const std::set<Connection*>& served = state_.served_on(peer.socket_kind);
        const auto is_of_same_user = [&peer](const Connection* connection) {
            return connection->peer().user == peer.user;
        };
        const auto of_user = std::count_if(served.begin(), served.end(), is_of_same_user);
        if (peer.is_limited() && static_cast<std::size_t>(of_user) >= options_.max_of_user)
            return evict_one(served, is_of_same_user);
        if (served.size() < options_.max_connections) return true;
        const auto is_privileged = [](const Connection* connection) {
            return connection->peer().privilege == Privilege::reserve;
        };
        if (evict_one(served, std::not_fn(is_privileged))) return true;
        if (peer.privilege == Privilege::none) return false;
        return served.size() < options_.max_connections + options_.reserved_for_root ||
               evict_one(served, is_privileged);
    }

    /// Takes the place of the connection among `served` that has kept us waiting for the longest
    /// time; false if none has.
    template <typename MayGo>
    static bool evict_one(const std::set<Connection*>& served, const MayGo& may_go) {
        Connection* slowest = nullptr;
        for (Connection* connection : served) {
            if (!connection->waiting_for_client_since() || !may_go(connection)) continue;
            const bool is_slower = slowest == nullptr || *connection->waiting_for_client_since() <
                                                             *slowest->waiting_for_client_since();
            if (is_slower) slowest = connection;
        }
        if (slowest == nullptr) return false;
        slowest->evict();
        return true;
    }

    const EndpointOptions options_;
    const ReportProblem on_problem_;
    std::optional<SocketFile> file_;
    Listeners listeners_;
    mutable std::mutex mutex_;
    std::vector<std::string> addresses_;
    std::vector<std::string> problems_;
    std::string socket_problem_;
    ServerState state_;  // outlives the connections, which the context holds
    asio::io_context context_{1};
    std::atomic<bool> is_news_posted_ = false;
    std::thread thread_;
};

Endpoint::Endpoint(EndpointOptions options, const StatusHolder& holder,
                   std::function<void(const std::string&)> on_problem)
    : impl_(std::make_unique<Impl>(std::move(options), holder, std::move(on_problem))) {}

Endpoint::~Endpoint() = default;

void Endpoint::status_changed() {
    impl_->status_changed();
}

std::vector<std::string> Endpoint::addresses() const {
    return impl_->addresses();
}

std::string Endpoint::problem() const {
    return impl_->problem();
}

}  // namespace prebake::report
