#include "agent/http/address_race.h"

#include <memory>
#include <optional>
#include <utility>

namespace prebake::http {
namespace {

using std::chrono::steady_clock;

/// Shared with the attempts: they may end after the race.
struct Race {
    explicit Race(asio::io_context& context) : changed(context) {}

    asio::steady_timer changed;  ///< cancelled when an attempt has ended
    std::optional<std::size_t> winner;
    std::optional<error_code> first_failure;  ///< of the preferred address
    std::size_t failed = 0;
};

void note_end(Race& race, std::size_t attempt, const error_code& failure) {
    if (failure) {
        ++race.failed;
        if (attempt == 0) race.first_failure = failure;
    } else if (!race.winner) {
        race.winner = attempt;
    }
    race.changed.cancel();
}

}  // namespace

asio::awaitable<Raced> connect_to_any(asio::io_context& context,
                                      std::vector<SocketAddress> addresses,
                                      steady_clock::time_point deadline) {
    const auto race = std::make_shared<Race>(context);
    // Here and not in the Race: they are closed with this coroutine, also if it is cancelled.
    std::vector<std::unique_ptr<Socket>> sockets;
    auto next_start = steady_clock::now();
    while (!race->winner && race->failed < addresses.size()) {
        const bool is_due = race->failed == sockets.size() || steady_clock::now() >= next_start;
        if (sockets.size() < addresses.size() && is_due) {
            const std::size_t attempt = sockets.size();
            sockets.push_back(std::make_unique<Socket>(context));
            sockets.back()->expires_at(deadline);
            sockets.back()->async_connect(
                addresses[attempt],
                [race, attempt](const error_code& failure) { note_end(*race, attempt, failure); });
            next_start = steady_clock::now() + kAttemptDelay;
        }
        const bool is_last = sockets.size() == addresses.size();
        race->changed.expires_at(is_last ? steady_clock::time_point::max() : next_start);
        error_code woken;
        co_await race->changed.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    if (race->winner) co_return Raced(std::move(*sockets[*race->winner]));
    co_return Raced(race->first_failure.value());
}

}  // namespace prebake::http
