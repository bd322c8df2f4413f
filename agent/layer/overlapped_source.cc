#include "agent/layer/overlapped_source.h"

#include <algorithm>
#include <cstring>

namespace prebake::layer {

OverlappedSource::OverlappedSource(Source& from, std::size_t piece_bytes)
    : from_(from), pieces_(kPieces) {
    for (Piece& piece : pieces_) piece.bytes.resize(piece_bytes);
    thread_ = std::thread([this] { read_ahead(); });
}

OverlappedSource::~OverlappedSource() {
    {
        const std::scoped_lock lock(mutex_);
        is_stopped_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void OverlappedSource::read_ahead() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return is_stopped_ || read_ - taken_ < pieces_.size(); });
        if (is_stopped_) return;
        Piece& piece = pieces_[read_ % pieces_.size()];
        lock.unlock();
        std::exception_ptr error;
        try {
            piece.size = from_.read(piece.bytes);
        } catch (...) {
            error = std::current_exception();
        }
        lock.lock();
        error_ = error;
        has_ended_ = error || piece.size < piece.bytes.size();
        if (!error) ++read_;
        changed_.notify_all();
        if (has_ended_) return;
    }
}

std::size_t OverlappedSource::read(std::span<std::byte> buffer) {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return read_ > taken_ || has_ended_; });
        if (read_ == taken_) {
            if (error_) std::rethrow_exception(error_);
            break;
        }
        const Piece& piece = pieces_[taken_ % pieces_.size()];
        lock.unlock();
        const std::size_t count = std::min(buffer.size() - filled, piece.size - offset_);
        std::memcpy(buffer.data() + filled, piece.bytes.data() + offset_, count);
        filled += count;
        offset_ += count;
        if (offset_ < piece.size) continue;
        offset_ = 0;
        lock.lock();
        ++taken_;
        changed_.notify_all();
    }
    return filled;
}

}  // namespace prebake::layer
