#include "agent/registry/ranged_source.h"

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "agent/base/wait.h"

namespace prebake::registry {
namespace {

using std::chrono::milliseconds;

/// How often a thread that waits looks for what nobody tells it: connections and memory that
/// another download has given back, a slot that another one wants, a delay that has passed.
constexpr milliseconds kLook{50};

/// After so many failures of additional requests there are none any more.
constexpr int kMostFailures = 5;

}  // namespace

RangedSource::RangedSource(std::shared_ptr<RequestSender> sender,
                           std::shared_ptr<const RetryOptions> options, oci::Reference repository,
                           oci::Descriptor descriptor, std::uint64_t offset,
                           BlobConnections& connections, std::stop_token stop, RangeRules rules)
    : sender_(std::move(sender)),
      options_(std::move(options)),
      repository_(std::move(repository)),
      descriptor_(std::move(descriptor)),
      connections_(connections),
      stop_(std::move(stop)),
      rules_(rules),
      requests_(sender_, repository_, descriptor_, end_.get_token()),
      position_(offset),
      pieces_(descriptor_.size, rules_.piece_bytes),
      forward_(stop_, [this] {
          end_.request_stop();
          const std::scoped_lock lock(mutex_);
          changed_.notify_all();
      }) {
    if (position_ == descriptor_.size) return;
    if (!connections_.slots().lock(stop_)) throw_if_stopped(stop_);
    slot_ = std::unique_lock(connections_.slots(), std::adopt_lock);
    open_direct();
}

RangedSource::~RangedSource() {
    end_.request_stop();
    {
        const std::scoped_lock lock(mutex_);
        changed_.notify_all();
    }
    fetchers_.clear();  // joins
}

// The thread that reads --------------------------------------------------------------------------

std::size_t RangedSource::read(std::span<std::byte> buffer) {
    std::size_t filled = 0;
    while (filled < buffer.size() && position_ < descriptor_.size) {
        filled += read_some(buffer.subspan(filled));
    }
    if (position_ == descriptor_.size) finish();
    return filled;
}

/// At the end of the blob its connection is free for others, also while the blob is committed.
void RangedSource::finish() {
    if (!slot_.owns_lock()) return;
    direct_.reset();
    end_.request_stop();
    slot_.unlock();
}

std::size_t RangedSource::read_some(std::span<std::byte> buffer) {
    const std::size_t got = direct_ ? read_direct(buffer) : 0;
    return got > 0 ? got : read_pieces(buffer);
}

void RangedSource::open_direct() {
    Clock::time_point begin;
    {
        const std::scoped_lock lock(mutex_);
        is_direct_ = true;
        begin = send_none_until_;
    }
    const auto now = Clock::now();
    if (begin > now) sleep_for(std::chrono::ceil<milliseconds>(begin - now), stop_);
    direct_ = std::make_unique<BlobSource>(sender_, options_, repository_, descriptor_, position_,
                                           std::nullopt, stop_);
    requests_.learn(direct_->origin());
    sampled_bytes_ = 0;
    sampled_time_ = {};
    is_slow_ = false;
    const std::scoped_lock lock(mutex_);
    refuses_ranges_ |= !direct_->origin().may_serve_ranges;
}

/// 0: the next bytes have arrived already.
std::size_t RangedSource::read_direct(std::span<std::byte> buffer) {
    const std::uint64_t end = end_of_direct();
    if (end == position_) {
        lend();
        return 0;
    }
    const auto begin = Clock::now();
    const std::size_t got = direct_->read(buffer.first(
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), end - position_))));
    measure(got, Clock::now() - begin);
    const std::scoped_lock lock(mutex_);
    position_ += got;
    if (is_slow_) add_fetchers();
    return got;
}

/// Where the first piece begins of which bytes have arrived. Others are not waited for.
std::uint64_t RangedSource::end_of_direct() {
    const std::scoped_lock lock(mutex_);
    while (!pieces_.empty() && pieces_.begin() == position_) {
        const Piece::State state = pieces_.front()->state;
        if (state == Piece::State::arriving || state == Piece::State::whole) return position_;
        pieces_.withdraw_front();
    }
    return pieces_.begin();
}

/// From here on the first connection fetches pieces, like the others.
void RangedSource::lend() {
    direct_.reset();
    const std::scoped_lock lock(mutex_);
    is_direct_ = false;
    if (wants_fetcher()) start_fetcher({});
}

void RangedSource::measure(std::size_t bytes, Clock::duration time) {
    sampled_bytes_ += bytes;
    sampled_time_ += time;
    if (sampled_bytes_ < rules_.sample_bytes) return;
    const double second_parts = std::chrono::duration<double>(sampled_time_).count();
    is_slow_ = static_cast<double>(sampled_bytes_) <
               second_parts * static_cast<double>(rules_.enough_bytes_per_second);
    sampled_bytes_ = 0;
    sampled_time_ = {};
}

std::size_t RangedSource::read_pieces(std::span<std::byte> buffer) {
    std::unique_lock lock(mutex_);
    for (;;) {
        throw_if_stopped(stop_);
        if (const std::size_t got = pieces_.read(buffer); got > 0) {
            position_ += got;
            changed_.notify_all();
            return got;
        }
        const bool is_unclaimed =
            pieces_.empty() || pieces_.front()->state == Piece::State::unclaimed;
        if (is_unclaimed && fetching_ == 0) {
            lock.unlock();
            open_direct();
            return read_direct(buffer);
        }
        add_fetchers();
        changed_.wait_for(lock, kLook);
    }
}

// Adding threads --------------------------------------------------------------------------------

void RangedSource::add_fetchers() {
    while (wants_fetcher()) {
        std::unique_lock<Slots> slot;
        if (is_direct_ || is_lent_) {
            slot = std::unique_lock(connections_.slots(), std::try_to_lock);
            if (!slot.owns_lock()) return;
        }
        start_fetcher(std::move(slot));
    }
}

bool RangedSource::wants_fetcher() const {
    if (end_.stop_requested() || refuses_ranges_) return false;
    if (connections_.memory() < rules_.piece_bytes) return false;
    if (connections_in_use() >= most_connections_ || Clock::now() < add_none_until_) return false;
    // The first one finds out whether the server serves ranges.
    if (fetching_ > 0 && !serves_ranges_) return false;
    if (fetching_ == 0 && descriptor_.size - position_ < rules_.least_bytes) return false;
    return pieces_.has_unclaimed(earliest());
}

/// Without a slot it gets the first connection.
void RangedSource::start_fetcher(std::unique_lock<Slots> slot) {
    fetchers_.remove_if([](const Fetcher& each) { return each.has_ended; });
    Fetcher& fetcher = fetchers_.emplace_back();
    const bool is_lent = !slot.owns_lock();
    try {
        fetcher.thread = std::jthread([this, &fetcher, taken = std::move(slot)]() mutable {
            fetch_pieces(fetcher, std::move(taken));
        });
    } catch (const std::system_error&) {  // too many threads
        fetchers_.pop_back();
        refuses_ranges_ = true;
        return;
    }
    ++fetching_;
    is_lent_ |= is_lent;
}

// The threads that fetch -------------------------------------------------------------------------

void RangedSource::fetch_pieces(Fetcher& self, std::unique_lock<Slots> slot) {
    const Slot whose = slot.owns_lock() ? Slot::own : Slot::lent;
    std::unique_lock lock(mutex_);
    while (const std::shared_ptr<Piece> piece = next_piece(whose)) {
        lock.unlock();
        bool has_failed = true;
        try {
            fetch(*piece, whose);
            has_failed = false;
        } catch (const Error& error) {
            note_failure(error);
        } catch (const std::exception& error) {
            note_failure(Error(Errc::internal, error.what()));
        }
        lock.lock();
        pieces_.give_up(*piece);
        changed_.notify_all();
        if (has_failed) break;
    }
    --fetching_;
    if (whose == Slot::lent) is_lent_ = false;
    self.has_ended = true;
    changed_.notify_all();
}

/// Null: this thread ends.
std::shared_ptr<Piece> RangedSource::next_piece(Slot slot) {
    if (end_.stop_requested() || refuses_ranges_) return nullptr;
    if (slot == Slot::own && connections_.slots().is_wanted()) return nullptr;
    // One alone does better without pieces.
    if (connections_in_use() < 2 || connections_in_use() > most_connections_) return nullptr;
    if (Clock::now() < send_none_until_) return nullptr;
    return pieces_.claim(earliest());
}

/// Returns when all of the piece is there, or this thread should leave it.
void RangedSource::fetch(Piece& piece, Slot slot) {
    for (;;) {
        const std::uint64_t begin = piece.filled;
        const auto response = requests_.send(begin, piece.end);
        {
            const std::scoped_lock lock(mutex_);
            refuses_ranges_ |= !response;
            if (response && !std::exchange(serves_ranges_, true)) add_fetchers();
        }
        if (!response) return;
        try {
            if (!receive(*response, piece, slot)) return;
        } catch (const Error& error) {
            if (!is_retryable(error.code()) || piece.filled - begin < Block::kBytes) throw;
        }
    }
}

/// False if nothing more is to be requested; true if the response ended before the piece.
/// @throws Error if it did so without a block.
bool RangedSource::receive(http::Response& response, Piece& piece, Slot slot) {
    const std::uint64_t begin = piece.filled;
    while (piece.filled < piece.end) {
        std::optional<Block> block = block_for(piece, slot);
        if (!block) return false;
        const auto wanted = std::min<std::uint64_t>(Block::kBytes, piece.end - piece.filled);
        block->size =
            response.read(std::span(block->bytes.get(), static_cast<std::size_t>(wanted)));
        if (block->size == 0) {
            if (piece.filled - begin >= Block::kBytes) return true;
            throw Error(Errc::unavailable, "a range ended early");
        }
        const std::scoped_lock lock(mutex_);
        if (piece.state == Piece::State::withdrawn) return false;
        Pieces::append(piece, *std::move(block));
        changed_.notify_all();
    }
    try {
        std::array<std::byte, 1> more;
        response.read(more);  // lets the connection return to the pool
    } catch (const Error&) {
        // All bytes have arrived; an error at the end of the connection does not matter.
    }
    return false;
}

/// Nothing: this thread should leave the piece.
std::optional<Block> RangedSource::block_for(const Piece& piece, Slot slot) {
    std::unique_lock lock(mutex_);
    for (;;) {
        if (end_.stop_requested() || piece.state == Piece::State::withdrawn) return std::nullopt;
        if (slot == Slot::own && connections_.slots().is_wanted()) return std::nullopt;
        const std::shared_ptr<Piece>& front = pieces_.front();
        const bool is_next = !is_direct_ && front.get() == &piece;
        if (is_next && piece.blocks.empty()) return connections_.needed_block();
        if (auto block = connections_.try_block()) return block;
        // All memory is in use for bytes behind those that the reader waits for.
        const bool is_behind_gap = !is_direct_ && front && front->state == Piece::State::unclaimed;
        if (is_behind_gap) return std::nullopt;
        changed_.wait_for(lock, kLook);
    }
}

void RangedSource::note_failure(const Error& error) {
    if (error.code() == Errc::cancelled) return;
    std::unique_lock lock(mutex_);
    const auto now = Clock::now();
    // Those that fail together count as one.
    if (now >= add_none_until_) ++failures_;
    if (!is_retryable(error.code()) || failures_ >= kMostFailures) {
        refuses_ranges_ = true;
        return;
    }
    add_none_until_ = std::max(add_none_until_, now + rules_.pause * (1 << failures_));
    const auto* const response = dynamic_cast<const ResponseError*>(&error);
    if (response == nullptr) return;
    // It serves so many at a time, and no more.
    most_connections_ = std::min(most_connections_, connections_in_use() - 1);
    const milliseconds asked = response->retry_after().value_or(milliseconds(0));
    if (asked > options_->retry.max_asked_delay) {
        refuses_ranges_ = true;
    } else {
        send_none_until_ = std::max(send_none_until_, now + asked);
        add_none_until_ = std::max(add_none_until_, send_none_until_);
    }
    lock.unlock();
    if (!options_->on_retry) return;
    options_->on_retry("blob " + descriptor_.digest.short_form() + " of " + repository_.name() +
                       ": " + error.message() + "; continuing with fewer connections");
}

}  // namespace prebake::registry
