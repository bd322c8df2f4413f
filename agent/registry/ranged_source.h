#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>

#include "agent/base/error.h"
#include "agent/base/slots.h"
#include "agent/base/stream.h"
#include "agent/oci/manifest.h"
#include "agent/oci/reference.h"
#include "agent/registry/blob_connections.h"
#include "agent/registry/blob_source.h"
#include "agent/registry/pieces.h"
#include "agent/registry/range_requests.h"
#include "agent/registry/request_sender.h"
#include "agent/registry/retry.h"

namespace prebake::registry {

/// When a blob is fetched over several connections, and how.
struct RangeRules {
    /// Of one request. A request to an object store takes some ten milliseconds before its first
    /// byte.
    std::uint64_t piece_bytes = 8UL << 20;
    /// Fewer bytes than this to come are left to one connection.
    std::uint64_t least_bytes = 32UL << 20;
    /// The rate of a connection is measured over so many bytes.
    std::uint64_t sample_bytes = 4UL << 20;
    /// A connection that brings so much is left alone: layers are not unpacked faster.
    std::uint64_t enough_bytes_per_second = 250'000'000;
    /// Until a connection is added again after a failure; doubled for each.
    std::chrono::milliseconds pause{1'000};
};

/// The bytes of one blob from an offset. It is a BlobSource until that proves to be slow while
/// other connections are idle. Then these fetch the parts that come next, and the first connection
/// takes its turn with them, as long as the server serves ranges and no other download needs them.
///
/// The additional requests never fail the blob: what they do not bring, a BlobSource fetches by its
/// rules for retries, resumption and errors. Bytes are delivered in their order, without gaps.
class RangedSource final : public Source {
  public:
    /// Waits for a connection of `connections`, which must live longer, and sends the first
    /// request. @throws Error as BlobSource; cancelled.
    RangedSource(std::shared_ptr<RequestSender> sender, std::shared_ptr<const RetryOptions> options,
                 oci::Reference repository, oci::Descriptor descriptor, std::uint64_t offset,
                 BlobConnections& connections, std::stop_token stop, RangeRules rules = {});
    /// Ends all requests.
    ~RangedSource() override;
    RangedSource(const RangedSource&) = delete;
    RangedSource& operator=(const RangedSource&) = delete;

    std::size_t read(std::span<std::byte> buffer) override;

  private:
    using Clock = std::chrono::steady_clock;
    /// Whose connection a fetching thread has: one of its own, or the one of the source.
    enum class Slot { own, lent };
    struct Fetcher {
        bool has_ended = false;
        std::jthread thread;
    };

    // The thread that reads:
    void open_direct();
    std::size_t read_some(std::span<std::byte> buffer);
    std::size_t read_direct(std::span<std::byte> buffer);
    std::size_t read_pieces(std::span<std::byte> buffer);
    std::uint64_t end_of_direct();
    void lend();
    void measure(std::size_t bytes, Clock::duration time);
    void finish();

    // The threads that fetch:
    void fetch_pieces(Fetcher& self, std::unique_lock<Slots> slot);
    void fetch(Piece& piece, Slot slot);
    bool receive(http::Response& response, Piece& piece, Slot slot);
    std::optional<Block> block_for(const Piece& piece, Slot slot);
    void note_failure(const Error& error);

    // With the lock held:
    std::shared_ptr<Piece> next_piece(Slot slot);
    void add_fetchers();
    bool wants_fetcher() const;
    void start_fetcher(std::unique_lock<Slots> slot);
    std::uint64_t earliest() const {
        return is_direct_ ? position_ + rules_.piece_bytes : position_;
    }
    std::size_t connections_in_use() const { return fetching_ + (is_direct_ ? 1 : 0); }

    std::shared_ptr<RequestSender> sender_;
    std::shared_ptr<const RetryOptions> options_;
    oci::Reference repository_;
    oci::Descriptor descriptor_;
    BlobConnections& connections_;
    std::stop_token stop_;
    RangeRules rules_;
    std::unique_lock<Slots> slot_;        ///< of the first connection
    std::unique_ptr<BlobSource> direct_;  ///< the first connection, while it is not lent
    std::uint64_t sampled_bytes_ = 0;
    Clock::duration sampled_time_{};
    bool is_slow_ = false;

    std::stop_source end_;  ///< of the fetchers
    RangeRequests requests_;

    std::mutex mutex_;  ///< protects all that follows
    std::condition_variable_any changed_;
    std::uint64_t position_;
    Pieces pieces_;
    bool is_direct_ = true;
    bool serves_ranges_ = false;   ///< the server has shown it
    bool refuses_ranges_ = false;  ///< or the contrary
    bool is_lent_ = false;         ///< the first connection is a fetching thread's
    std::size_t fetching_ = 0;     ///< threads
    std::size_t most_connections_ = std::numeric_limits<std::size_t>::max();
    int failures_ = 0;
    Clock::time_point add_none_until_{};
    Clock::time_point send_none_until_{};  ///< the server has asked for it

    std::list<Fetcher> fetchers_;
    std::stop_callback<std::function<void()>> forward_;
};

}  // namespace prebake::registry
