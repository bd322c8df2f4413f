#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "agent/base/stream.h"

namespace prebake::layer {

/// Reads another stream on a thread of its own, up to a few pieces ahead.
class OverlappedSource final : public Source {
  public:
    static constexpr std::size_t kPieceBytes = 256UL << 10;
    static constexpr std::size_t kPieces = 4;

    /// `from` must live longer, and is used by that thread alone.
    explicit OverlappedSource(Source& from, std::size_t piece_bytes = kPieceBytes);
    /// Waits for the read that is in progress.
    ~OverlappedSource() override;
    OverlappedSource(const OverlappedSource&) = delete;
    OverlappedSource& operator=(const OverlappedSource&) = delete;

    std::size_t read(std::span<std::byte> buffer) override;

  private:
    struct Piece {
        std::vector<std::byte> bytes;
        std::size_t size = 0;
    };

    void read_ahead();

    Source& from_;
    std::vector<Piece> pieces_;  ///< a ring
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t read_ = 0;      ///< how many pieces were read from `from_`
    std::size_t taken_ = 0;     ///< how many were given out
    std::size_t offset_ = 0;    ///< of what was given out of the next one
    bool has_ended_ = false;    ///< nothing comes after the pieces that were read
    bool is_stopped_ = false;   ///< nobody wants more
    std::exception_ptr error_;  ///< comes after the pieces that were read
    std::thread thread_;        // last: it uses all of these
};

}  // namespace prebake::layer
