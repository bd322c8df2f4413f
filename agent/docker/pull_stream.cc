#include "agent/docker/pull_stream.h"

#include <algorithm>
#include <array>

#include "agent/base/error.h"

namespace prebake::docker {
namespace {

/// More layers than any image has; overlayfs takes 500.
constexpr std::size_t kMaxLayers = 2000;
constexpr std::string_view kExtracting = "Extracting";

/// Whether nothing more of the layer has to arrive.
bool is_fetched(const PullProgress& layer) {
    constexpr std::array<std::string_view, 5> kFetched{
        "Download complete", "Pull complete", "Already exists", "Verifying Checksum", kExtracting};
    return std::ranges::find(kFetched, layer.status) != kFetched.end();
}

}  // namespace

std::optional<PullProgress> PullStream::take(const StreamLine& line, Clock::time_point now) {
    if (line.id.empty()) {
        is_complete_ = is_complete_ || line.status.starts_with("Status: ");
        changed_at_ = now;
        return std::nullopt;
    }
    // Its ID is the tag.
    if (line.status.starts_with("Pulling from ")) return std::nullopt;
    PullProgress progress{
        .layer = line.id, .status = line.status, .current = line.current, .total = line.total};
    // Seconds that pass are no progress.
    if (!line.units.empty()) progress.current = progress.total = 0;
    const auto known = layers_.find(line.id);
    if (known != layers_.end() && known->second == progress) return std::nullopt;
    if (known == layers_.end() && layers_.size() >= kMaxLayers) {
        throw Error(Errc::too_large, "dockerd reports more than 2000 layers of one image");
    }
    layers_[line.id] = progress;
    changed_at_ = now;
    return progress;
}

std::chrono::milliseconds PullStream::remaining(Clock::time_point now) const {
    return limit() - std::chrono::duration_cast<std::chrono::milliseconds>(now - changed_at_);
}

std::chrono::milliseconds PullStream::limit() const {
    return is_unpacking() ? patience_.unpack : patience_.download;
}

std::string PullStream::phase() const {
    return is_unpacking() ? "unpacking" : "downloading";
}

bool PullStream::is_unpacking() const {
    const auto has_layer = [&](const auto& condition) {
        return std::ranges::any_of(layers_,
                                   [&](const auto& each) { return condition(each.second); });
    };
    if (has_layer([](const auto& layer) { return layer.status == kExtracting; })) return true;
    return !layers_.empty() && !has_layer([](const auto& layer) { return !is_fetched(layer); });
}

}  // namespace prebake::docker
