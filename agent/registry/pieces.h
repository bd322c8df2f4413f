#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>

#include "agent/registry/blob_connections.h"

namespace prebake::registry {

/// A part of a blob that a connection of its own fetches ahead of its turn.
struct Piece {
    enum class State {
        unclaimed,
        requested,  ///< a connection asks for it
        arriving,
        whole,
        withdrawn,  ///< it came into its turn before a byte of it arrived; it is fetched there
    };

    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t filled = 0;  ///< all bytes before this one have arrived, counted from the blob's
    State state = State::unclaimed;
    std::deque<Block> blocks = {};  ///< that have arrived, and were not read yet
    std::size_t read_of_first = 0;  ///< bytes of the first of them

    bool is_claimed() const { return state == State::requested || state == State::arriving; }
};

/// The parts of one blob that are ahead of its reader, in order and without gaps. Not thread-safe.
class Pieces {
  public:
    Pieces(std::uint64_t blob_size, std::uint64_t piece_size)
        : blob_size_(blob_size), piece_size_(piece_size) {}

    bool empty() const { return pieces_.empty(); }
    /// The one whose turn is next. Null if there is none.
    const std::shared_ptr<Piece>& front() const;
    /// Where the first one begins; the size of the blob if there is none.
    std::uint64_t begin() const;
    /// Whether a part is left that nobody has claimed; `earliest` as for claim().
    bool has_unclaimed(std::uint64_t earliest) const;

    /// The first part that is unclaimed, as `requested`. Without other pieces it begins at
    /// `earliest`. Null if all is claimed.
    std::shared_ptr<Piece> claim(std::uint64_t earliest);
    /// What has not arrived of the piece is unclaimed again.
    void give_up(Piece& piece);
    /// Adds bytes that have arrived.
    static void append(Piece& piece, Block block);
    /// Reads bytes of the first piece that have arrived, and removes it after its last byte.
    std::size_t read(std::span<std::byte> buffer);
    /// Removes the first piece, of which no byte has arrived.
    void withdraw_front();

  private:
    std::uint64_t blob_size_;
    std::uint64_t piece_size_;
    std::uint64_t end_ = 0;  ///< of the last piece
    std::deque<std::shared_ptr<Piece>> pieces_;
};

}  // namespace prebake::registry
