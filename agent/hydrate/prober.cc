#include "agent/hydrate/prober.h"

#include <algorithm>

namespace prebake::hydrate {
namespace {

constexpr unsigned kMostRepeats = 6;

}  // namespace

Prober::Prober(ReadQueue& queue, int device, const ChunksToProbe& chunks, std::uint64_t& next_tag)
    : queue_(queue), device_(device), next_tag_(next_tag), ahead_(chunks.ahead) {
    for (const std::uint64_t chunk : chunks.probed) {
        chunks_.push_back({});
        chunks_.back().chunk = chunk;
    }
}

void Prober::start(Time now) {
    started_ = now;
    for (std::size_t i = 0; i < chunks_.size(); ++i) submit(i, Spot::start);
    for (const std::uint64_t chunk : ahead_) read(chunk * kChunkBytes, {.spot = Spot::ahead});
}

void Prober::go_on(Time now) {
    for (const auto& [tag, waiting] : waiting_) {
        if (waiting.spot == Spot::start) chunks_[waiting.chunk].first = now - started_;
    }
    waiting_first_ = 0;
    // Those that decide come first: the others may have to be loaded.
    for (const Spot spot : {Spot::again, Spot::middle, Spot::end}) {
        for (std::size_t i = 0; i < chunks_.size(); ++i) {
            if (is_cold(chunks_[i])) submit(i, spot);
        }
    }
}

bool Prober::take(const ReadDone& done) {
    const auto found = waiting_.extract(done.tag);
    if (found.empty()) return false;
    const Waiting& waiting = found.mapped();
    if (waiting.spot == Spot::ahead) return true;
    ProbedChunk& chunk = chunks_[waiting.chunk];
    if (waiting.spot == Spot::start && waiting_first_ > 0) --waiting_first_;
    if (waiting.spot == Spot::again) --waiting_again_;
    if (waiting.spot == Spot::middle || waiting.spot == Spot::end) --waiting_rest_;
    if (done.error != 0 || done.bytes < kReadAlignment) return true;
    switch (waiting.spot) {
        case Spot::start:
            if (!chunk.first) chunk.first = done.latency;
            break;
        case Spot::again:
            // A busy machine only ever makes a read slower: the fastest of several counts.
            chunk.again = std::min(chunk.again.value_or(done.latency), done.latency);
            if (!is_much_faster_again(chunk) && ++repeated_[waiting.chunk] < kMostRepeats) {
                submit(waiting.chunk, Spot::again);
            }
            break;
        case Spot::middle:
            chunk.middle = done.latency;
            break;
        case Spot::end:
            chunk.end = done.latency;
            break;
        case Spot::ahead:
            break;
    }
    return true;
}

void Prober::submit(std::size_t chunk, Spot spot) {
    std::uint64_t within = 0;
    if (spot == Spot::middle) within = kChunkBytes / 2;
    if (spot == Spot::end) within = kChunkBytes - kReadAlignment;
    if (spot == Spot::start) ++waiting_first_;
    if (spot == Spot::again) ++waiting_again_;
    if (spot == Spot::middle || spot == Spot::end) ++waiting_rest_;
    read(chunks_[chunk].chunk * kChunkBytes + within, {.chunk = chunk, .spot = spot});
}

void Prober::read(std::uint64_t offset, Waiting waiting) {
    const std::uint64_t tag = next_tag_++;
    waiting_[tag] = waiting;
    queue_.submit(device_, offset, kReadAlignment, tag);
}

}  // namespace prebake::hydrate
