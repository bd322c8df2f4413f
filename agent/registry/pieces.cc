#include "agent/registry/pieces.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace prebake::registry {

const std::shared_ptr<Piece>& Pieces::front() const {
    static const std::shared_ptr<Piece> kNone;
    return pieces_.empty() ? kNone : pieces_.front();
}

std::uint64_t Pieces::begin() const {
    return pieces_.empty() ? blob_size_ : pieces_.front()->begin;
}

bool Pieces::has_unclaimed(std::uint64_t earliest) const {
    const bool has_returned = std::ranges::any_of(
        pieces_, [](const auto& piece) { return piece->state == Piece::State::unclaimed; });
    return has_returned || (pieces_.empty() ? earliest : end_) < blob_size_;
}

std::shared_ptr<Piece> Pieces::claim(std::uint64_t earliest) {
    const auto returned = std::ranges::find_if(
        pieces_, [](const auto& piece) { return piece->state == Piece::State::unclaimed; });
    if (returned != pieces_.end()) {
        (*returned)->state = Piece::State::requested;
        return *returned;
    }
    const std::uint64_t begin = pieces_.empty() ? earliest : end_;
    if (begin >= blob_size_) return nullptr;
    // No request for a small rest.
    const bool is_last = blob_size_ - begin < piece_size_ + piece_size_ / 2;
    end_ = is_last ? blob_size_ : begin + piece_size_;
    pieces_.push_back(std::make_shared<Piece>(
        Piece{.begin = begin, .end = end_, .filled = begin, .state = Piece::State::requested}));
    return pieces_.back();
}

void Pieces::give_up(Piece& piece) {
    if (!piece.is_claimed()) return;
    if (piece.filled == piece.begin) {
        piece.state = Piece::State::unclaimed;
        return;
    }
    const auto found =
        std::ranges::find_if(pieces_, [&](const auto& each) { return each.get() == &piece; });
    auto rest = std::make_shared<Piece>(
        Piece{.begin = piece.filled, .end = piece.end, .filled = piece.filled});
    piece.end = piece.filled;
    piece.state = Piece::State::whole;
    // All of it that has arrived was read: its reader waits for the rest, which is next.
    const bool was_read = piece.blocks.empty();
    const auto place = was_read ? pieces_.erase(found) : std::next(found);
    if (rest->begin < rest->end) pieces_.insert(place, std::move(rest));
}

void Pieces::append(Piece& piece, Block block) {
    piece.filled += block.size;
    piece.blocks.push_back(std::move(block));
    piece.state = piece.filled == piece.end ? Piece::State::whole : Piece::State::arriving;
}

std::size_t Pieces::read(std::span<std::byte> buffer) {
    if (pieces_.empty()) return 0;
    Piece& piece = *pieces_.front();
    if (piece.blocks.empty()) return 0;
    Block& first = piece.blocks.front();
    const std::size_t count = std::min(buffer.size(), first.size - piece.read_of_first);
    std::memcpy(buffer.data(), first.bytes.get() + piece.read_of_first, count);
    piece.read_of_first += count;
    if (piece.read_of_first < first.size) return count;
    piece.blocks.pop_front();
    piece.read_of_first = 0;
    if (piece.blocks.empty() && piece.state == Piece::State::whole) pieces_.pop_front();
    return count;
}

void Pieces::withdraw_front() {
    pieces_.front()->state = Piece::State::withdrawn;
    pieces_.pop_front();
}

}  // namespace prebake::registry
