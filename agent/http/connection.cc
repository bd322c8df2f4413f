// Here the code for each type of stream is made: it takes half a minute to compile.
//
// No brace-built aggregate may stand in a co_await expression: GCC 12 destroys it twice.

#include "agent/http/connection.h"

#include <algorithm>
#include <string>
#include <utility>

namespace prebake::http {
namespace {

/// A line of a response is kept in the buffer as a whole; one that does not fit ends the
/// connection.
constexpr std::size_t kMaxBufferBytes = 256UL << 10;
/// The most that one read takes from the socket, and the least, for which the buffer may grow.
constexpr std::size_t kReadBytes = 64UL << 10;
constexpr std::size_t kLeastReadBytes = 512;
/// Interim (1xx) responses before the final one; one more is an error.
constexpr int kMaxInterimResponses = 5;

}  // namespace

Connection::Connection(Socket socket)
    : stream_(std::in_place_type<Socket>, std::move(socket)), buffer_(kMaxBufferBytes) {
    buffer_.reserve(kReadBytes);
}

Socket& Connection::socket() {
    return std::visit([](auto& stream) -> Socket& { return beast::get_lowest_layer(stream); },
                      stream_);
}

SSL* Connection::tls() {
    if (auto* outer = std::get_if<Tls>(&stream_)) return outer->native_handle();
    if (auto* inner = std::get_if<TlsInTls>(&stream_)) return inner->native_handle();
    return nullptr;
}

asio::awaitable<error_code> Connection::start_tls(SSL* session,
                                                  std::chrono::steady_clock::time_point deadline) {
    if (auto* outer = std::get_if<Tls>(&stream_)) {
        Tls moved = std::move(*outer);
        stream_.emplace<TlsInTls>(std::move(moved), session);
    } else {
        Socket moved = std::move(std::get<Socket>(stream_));
        stream_.emplace<Tls>(std::move(moved), session);
    }
    socket().expires_at(deadline);
    error_code failure;
    auto token = asio::redirect_error(asio::use_awaitable, failure);
    if (auto* inner = std::get_if<TlsInTls>(&stream_)) {
        co_await inner->async_handshake(asio::ssl::stream_base::client, token);
    } else {
        co_await std::get<Tls>(stream_).async_handshake(asio::ssl::stream_base::client, token);
    }
    co_return failure;
}

template <typename Operation>
asio::awaitable<Transfer> Connection::on_stream(Operation operation) {
    Transfer transfer;
    auto token = asio::redirect_error(asio::use_awaitable, transfer.failure);
    if (auto* plain = std::get_if<Socket>(&stream_)) {
        transfer.bytes = co_await operation(*plain, token);
    } else if (auto* outer = std::get_if<Tls>(&stream_)) {
        transfer.bytes = co_await operation(*outer, token);
    } else {
        transfer.bytes = co_await operation(std::get<TlsInTls>(stream_), token);
    }
    co_return transfer;
}

asio::awaitable<error_code> Connection::write(std::string_view text) {
    auto write_all = [text](auto& stream, auto token) {
        return asio::async_write(stream, asio::const_buffer(text.data(), text.size()), token);
    };
    const Transfer written = co_await on_stream(write_all);
    co_return written.failure;
}

asio::awaitable<Transfer> Connection::fill() {
    Transfer transfer;
    const std::size_t room =
        std::min(std::max(buffer_.capacity() - buffer_.size(), kLeastReadBytes),
                 buffer_.max_size() - buffer_.size());
    if (room == 0) {
        transfer.failure = beast::http::error::buffer_overflow;
        co_return transfer;
    }
    const asio::mutable_buffer space = buffer_.prepare(room);
    auto read_some = [space](auto& stream, auto token) {
        return stream.async_read_some(space, token);
    };
    transfer = co_await on_stream(read_some);
    buffer_.commit(transfer.bytes);
    co_return transfer;
}

asio::awaitable<Transfer> Connection::read(Parser& parser) {
    Transfer taken;
    bool has_more = has_unread();
    for (;;) {
        if (!has_more) {
            const Transfer got = co_await fill();
            taken.failure = got.failure;
            if (got.failure == asio::error::eof) {
                // The end may be that of a body without a length.
                taken.failure = beast::http::error::end_of_stream;
                if (parser.got_some()) {
                    taken.failure = {};
                    parser.put_eof(taken.failure);
                }
            }
            if (got.failure) co_return taken;
        }
        const std::size_t used = parser.put(buffer_.data(), taken.failure);
        buffer_.consume(used);
        taken.bytes += used;
        if (taken.failure != beast::http::error::need_more) co_return taken;
        has_more = false;
    }
}

asio::awaitable<error_code> Connection::read_header(std::optional<Parser>& parser, BodyOf body) {
    for (int interim = 0; interim <= kMaxInterimResponses; ++interim) {
        parser.emplace();
        parser->skip(body == BodyOf::head);
        parser->body_limit(boost::none);  // callers have limits of their own
        const error_code failure = co_await read_one_header(*parser);
        if (failure || parser->get().result_int() >= 200) co_return failure;
    }
    co_return error_code(beast::http::error::bad_status);
}

asio::awaitable<error_code> Connection::read_one_header(Parser& parser) {
    parser.header_limit(static_cast<std::uint32_t>(kMaxHeaderBytes));
    // Beast 1.81 compares each piece with its limit, not their sum: an endless header of many lines
    // would be accepted.
    for (std::size_t bytes = 0; !parser.is_header_done();) {
        const Transfer got = co_await read(parser);
        if (got.failure) co_return got.failure;
        bytes += got.bytes;
        if (bytes > kMaxHeaderBytes) co_return error_code(beast::http::error::header_limit);
    }
    co_return error_code();
}

Headers headers_of(const Parser& parser) {
    Headers headers;
    for (const auto& field : parser.get()) {
        headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    }
    return headers;
}

bool closed_by_peer(const error_code& failure) {
    return failure == beast::http::error::end_of_stream ||
           failure == beast::http::error::partial_message || failure == asio::error::eof ||
           failure == asio::error::connection_reset || failure == asio::error::connection_aborted ||
           failure == asio::error::broken_pipe || failure == asio::ssl::error::stream_truncated;
}

unsigned long tls_code_of(const error_code& failure) {
    const bool is_tls = failure.category() == asio::error::get_ssl_category();
    return is_tls ? static_cast<unsigned long>(failure.value()) : 0;
}

}  // namespace prebake::http
