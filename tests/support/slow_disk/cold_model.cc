#include "tests/support/slow_disk/cold_model.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace slow_disk {
namespace {

constexpr Time kCold = Time::max();
constexpr Time kWarm = Time::min();

using Seconds = std::chrono::duration<double>;

Clock::duration seconds(double value) {
    return std::chrono::duration_cast<Clock::duration>(Seconds(value));
}

/// Of `amount` at `rate` a second. A rate of 0 has no limit.
Clock::duration time_for(double amount, std::uint64_t rate) {
    return rate == 0 ? Clock::duration::zero() : seconds(amount / static_cast<double>(rate));
}

template <typename Number>
Number number(const std::string& text) {
    std::istringstream in(text);
    Number value{};
    if (!(in >> value) || !in.eof()) throw std::invalid_argument("not a number: " + text);
    return value;
}

}  // namespace

void apply_setting(Settings& settings, const std::string& key, const std::string& value) {
    if (key == "latency_ms") {
        settings.latency_ms = number<double>(value);
    } else if (key == "bandwidth") {
        settings.bandwidth = number<std::uint64_t>(value);
    } else if (key == "device_bandwidth") {
        settings.device_bandwidth = number<std::uint64_t>(value);
    } else if (key == "device_iops") {
        settings.device_iops = number<std::uint64_t>(value);
    } else if (key == "whole_chunks") {
        settings.whole_chunks = number<bool>(value);
    } else if (key == "free_holes") {
        settings.free_holes = number<bool>(value);
    } else if (key == "error_every") {
        settings.error_every = number<std::uint64_t>(value);
    } else if (key == "error_tries") {
        settings.error_tries = number<std::uint64_t>(value);
    } else if (key == "slow_chunk") {
        settings.slow_chunk = number<std::int64_t>(value);
    } else if (key == "slow_seconds") {
        settings.slow_seconds = number<double>(value);
    } else if (key == "end") {
        settings.end = number<std::uint64_t>(value);
    } else if (key == "gone") {
        settings.gone = number<bool>(value);
    } else {
        throw std::invalid_argument("unknown setting: " + key);
    }
}

ColdModel::ColdModel(std::uint64_t size, Settings settings)
    : settings_(settings),
      warm_at_((size + kBlockBytes - 1) / kBlockBytes, kWarm),
      is_touched_((size + kChunkBytes - 1) / kChunkBytes, false),
      loads_free_at_(Time::min()),
      device_free_at_(Time::min()),
      reset_at_(Clock::now()) {}

bool ColdModel::is_out_of_reach(Range range) const {
    return settings_.gone || (settings_.end != 0 && range.offset + range.size > settings_.end);
}

Answer ColdModel::read(Range range, Time now) {
    const std::lock_guard lock(mutex_);
    ++counters_.reads;
    if (is_out_of_reach(range)) {
        ++counters_.errors;
        return {now, EIO};
    }
    counters_.bytes_read += range.size;
    device_free_at_ =
        std::max(now, device_free_at_) +
        std::max(time_for(static_cast<double>(range.size), settings_.device_bandwidth),
                 time_for(1, settings_.device_iops));
    Answer answer{device_free_at_, 0};
    const std::uint64_t end =
        std::min<std::uint64_t>(range.offset + range.size, warm_at_.size() * kBlockBytes);
    for (std::uint64_t from = range.offset; from < end;) {
        const std::uint64_t chunk = from / kChunkBytes;
        const std::uint64_t until = std::min(end, (chunk + 1) * kChunkBytes);
        const Answer part =
            load(chunk, from / kBlockBytes, (until - 1) / kBlockBytes + 1, range, now);
        answer.at = std::max(answer.at, part.at);
        if (part.error != 0) answer.error = part.error;
        from = until;
    }
    if (answer.at > now) ++counters_.waits;
    if (answer.error != 0) ++counters_.errors;
    return answer;
}

/// Makes the blocks [first, last) of the chunk warm, and says when they are.
Answer ColdModel::load(std::uint64_t chunk, std::uint64_t first, std::uint64_t last, Range range,
                       Time now) {
    const auto is_cold = [](Time at) { return at == kCold; };
    const auto block = [this](std::uint64_t number) {
        return warm_at_.begin() + static_cast<std::ptrdiff_t>(number);
    };
    if (std::any_of(block(first), block(last), is_cold)) {
        touch(chunk, range, now);
        if (fails(chunk)) return {now + seconds(settings_.latency_ms / 1e3), EIO};
        const bool whole = settings_.whole_chunks;
        const auto from = whole ? block(chunk * kBlocksInChunk) : block(first);
        const auto to =
            whole ? block(std::min<std::uint64_t>((chunk + 1) * kBlocksInChunk, warm_at_.size()))
                  : block(last);
        const auto bytes =
            static_cast<std::uint64_t>(std::count_if(from, to, is_cold)) * kBlockBytes;
        Time ready = now + seconds(settings_.slow_seconds);
        if (settings_.slow_chunk == static_cast<std::int64_t>(chunk)) {
            settings_.slow_chunk = -1;  // it does not hold up the others
        } else {
            loads_free_at_ = std::max(now, loads_free_at_) +
                             time_for(static_cast<double>(bytes), settings_.bandwidth);
            ready = loads_free_at_ + seconds(settings_.latency_ms / 1e3);
        }
        std::replace_if(from, to, is_cold, ready);
        ++counters_.loads;
        counters_.bytes_loaded += bytes;
    }
    return {*std::max_element(block(first), block(last)), 0};
}

bool ColdModel::fails(std::uint64_t chunk) {
    if (settings_.error_every == 0 || (chunk + 1) % settings_.error_every != 0) return false;
    return ++failures_[chunk] <= settings_.error_tries || settings_.error_tries == 0;
}

void ColdModel::touch(std::uint64_t chunk, Range range, Time now) {
    if (is_touched_[chunk]) return;
    is_touched_[chunk] = true;
    touches_.push_back({Seconds(now - reset_at_).count(), chunk, range});
}

Answer ColdModel::write(Range range, Time now) {
    const std::lock_guard lock(mutex_);
    ++counters_.writes;
    if (is_out_of_reach(range)) {
        ++counters_.errors;
        return {now, EIO};
    }
    counters_.bytes_written += range.size;
    const std::uint64_t unit = settings_.whole_chunks ? kBlocksInChunk : 1;
    const std::uint64_t first = range.offset / kBlockBytes / unit * unit;
    const std::uint64_t last = (range.offset + range.size - 1) / kBlockBytes / unit * unit + unit;
    for (auto i = first; i < std::min<std::uint64_t>(last, warm_at_.size()); ++i) {
        if (warm_at_[i] == kCold) warm_at_[i] = kWarm;
    }
    return {now, 0};
}

void ColdModel::reset(const std::vector<Range>& holes, Time now) {
    const std::lock_guard lock(mutex_);
    std::fill(warm_at_.begin(), warm_at_.end(), kCold);
    if (settings_.free_holes) {
        for (const Range& hole : holes) {  // only whole blocks
            const std::uint64_t last = (hole.offset + hole.size) / kBlockBytes;
            for (auto i = (hole.offset + kBlockBytes - 1) / kBlockBytes; i < last; ++i) {
                warm_at_[i] = kWarm;
            }
        }
    }
    std::fill(is_touched_.begin(), is_touched_.end(), false);
    touches_.clear();
    failures_.clear();
    const std::uint64_t queue = counters_.queue;
    counters_ = {};
    counters_.queue = queue;
    loads_free_at_ = device_free_at_ = Time::min();
    reset_at_ = now;
}

void ColdModel::make_warm() {
    const std::lock_guard lock(mutex_);
    std::fill(warm_at_.begin(), warm_at_.end(), kWarm);
}

void ColdModel::set(const std::string& key, const std::string& value) {
    const std::lock_guard lock(mutex_);
    apply_setting(settings_, key, value);
}

Settings ColdModel::settings() const {
    const std::lock_guard lock(mutex_);
    return settings_;
}

void ColdModel::begin() {
    const std::lock_guard lock(mutex_);
    counters_.max_queue = std::max(counters_.max_queue, ++counters_.queue);
}

void ColdModel::end() {
    const std::lock_guard lock(mutex_);
    --counters_.queue;
}

std::string ColdModel::statistics() const {
    const std::lock_guard lock(mutex_);
    const auto cold =
        static_cast<std::uint64_t>(std::count(warm_at_.begin(), warm_at_.end(), kCold));
    std::ostringstream out;
    out << "{\"chunks\":" << is_touched_.size() << ",\"chunks_touched\":" << touches_.size()
        << ",\"loads\":" << counters_.loads << ",\"bytes_loaded\":" << counters_.bytes_loaded
        << ",\"cold_bytes\":" << cold * kBlockBytes << ",\"reads\":" << counters_.reads
        << ",\"bytes_read\":" << counters_.bytes_read << ",\"waits\":" << counters_.waits
        << ",\"errors\":" << counters_.errors << ",\"writes\":" << counters_.writes
        << ",\"bytes_written\":" << counters_.bytes_written << ",\"queue\":" << counters_.queue
        << ",\"max_queue\":" << counters_.max_queue << "}";
    return out.str();
}

std::string ColdModel::touched() const {
    const std::lock_guard lock(mutex_);
    std::ostringstream out;
    out.precision(std::numeric_limits<double>::digits10);
    const char* separator = "[";
    for (const Touch& touch : touches_) {
        out << separator << "[" << touch.seconds << "," << touch.chunk << "," << touch.range.offset
            << "," << touch.range.size << "]";
        separator = ",";
    }
    out << (touches_.empty() ? "[]" : "]");
    return out.str();
}

}  // namespace slow_disk
