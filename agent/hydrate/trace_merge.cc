#include "agent/hydrate/trace_merge.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace prebake::hydrate {
namespace {

std::uint32_t saturated(std::uint64_t count) {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(count, std::numeric_limits<std::uint32_t>::max()));
}

bool is_later(const google::protobuf::Timestamp& a, const google::protobuf::Timestamp& b) {
    return std::pair(a.seconds(), a.nanos()) > std::pair(b.seconds(), b.nanos());
}

/// The layers of an image: what is the same in all recordings of it.
using Stack = std::vector<std::string>;

Stack stack_of(const v1::TracedImage& image) {
    return {image.diff_ids().begin(), image.diff_ids().end()};
}

/// What a trace has of some layers, in chunks of each file.
using Footprint = std::map<std::pair<std::string, std::string>, ChunkSet>;

Footprint footprint_of(const v1::ReadTrace& trace, const Stack& stack) {
    const std::set<std::string> wanted(stack.begin(), stack.end());
    Footprint footprint;
    for (const v1::TracedLayer& layer : trace.layers()) {
        if (!wanted.contains(layer.diff_id())) continue;
        for (const v1::TracedFile& file : layer.files()) {
            ChunkSet& chunks = footprint[{layer.diff_id(), file.path()}];
            const FileRanges ranges = ranges_of(file);
            for (const ChunkRun& run : ranges.runs()) chunks.add_bytes(run.first, run.count);
        }
    }
    return footprint;
}

/// Jaccard's index: what both have, as a part of what either has.
double overlap(const Footprint& a, const Footprint& b) {
    std::uint64_t sum = 0;
    std::uint64_t either = 0;
    for (const auto& [place, chunks] : a) {
        ChunkSet all = chunks;
        sum += chunks.count();
        if (const auto other = b.find(place); other != b.end()) all.add(other->second);
        either += all.count();
    }
    for (const auto& [place, chunks] : b) {
        sum += chunks.count();
        if (!a.contains(place)) either += chunks.count();
    }
    return either == 0 ? 1 : static_cast<double>(sum - either) / static_cast<double>(either);
}

/// Positions of the footprints that have little in common with the others.
std::vector<std::size_t> outliers_among(const std::vector<Footprint>& footprints) {
    constexpr std::size_t kFewest = 3;
    constexpr double kPartOfUsual = 1.0 / 3;
    if (footprints.size() < kFewest) return {};
    std::vector<double> overlaps(footprints.size(), 0);
    for (std::size_t i = 0; i < footprints.size(); ++i) {
        for (std::size_t j = i + 1; j < footprints.size(); ++j) {
            const double common = overlap(footprints[i], footprints[j]);
            overlaps[i] += common;
            overlaps[j] += common;
        }
    }
    std::vector<double> sorted = overlaps;
    std::ranges::sort(sorted);
    const double median = sorted[sorted.size() / 2];
    std::vector<std::size_t> outliers;
    for (std::size_t i = 0; i < overlaps.size(); ++i) {
        if (overlaps[i] < median * kPartOfUsual) outliers.push_back(i);
    }
    return outliers;
}

/// Removes the image, and the layers that no other image of the trace has.
void remove_image(v1::ReadTrace& trace, const Stack& stack) {
    std::set<std::string> kept;
    auto& images = *trace.mutable_images();
    images.erase(std::remove_if(images.begin(), images.end(),
                                [&](const auto& image) { return stack_of(image) == stack; }),
                 images.end());
    for (const v1::TracedImage& image : images) {
        kept.insert(image.diff_ids().begin(), image.diff_ids().end());
    }
    auto& layers = *trace.mutable_layers();
    const auto is_unwanted = [&](const v1::TracedLayer& layer) {
        return std::ranges::find(stack, layer.diff_id()) != stack.end() &&
               !kept.contains(layer.diff_id());
    };
    layers.erase(std::remove_if(layers.begin(), layers.end(), is_unwanted), layers.end());
}

/// The traces (positions) of each stack, and a name of it.
struct Recorded {
    std::string name;
    std::vector<std::size_t> traces;
};

std::map<Stack, Recorded> recorded_images(const std::vector<NamedTrace>& traces) {
    std::map<Stack, Recorded> recorded;
    for (std::size_t i = 0; i < traces.size(); ++i) {
        for (const v1::TracedImage& image : traces[i].trace.images()) {
            Recorded& found = recorded[stack_of(image)];
            if (found.name.empty()) found.name = image.name();
            if (found.traces.empty() || found.traces.back() != i) found.traces.push_back(i);
        }
    }
    return recorded;
}

}  // namespace

void TraceSum::add(const v1::ReadTrace& trace) {
    for (const v1::TracedImage& image : trace.images()) add_image(image);
    for (const v1::TracedLayer& layer : trace.layers()) {
        for (const v1::TracedFile& file : layer.files()) {
            const FileRanges ranges = ranges_of(file);
            if (ranges.empty()) continue;
            const auto [position, is_new] = layers_[layer.diff_id()].try_emplace(file.path());
            File& sum = position->second;
            sum.ranges.add(ranges);
            sum.recordings += std::max<std::uint32_t>(file.recordings(), 1);
            sum.seconds = is_new ? file.seconds() : std::min(sum.seconds, file.seconds());
        }
    }
    for (const v1::TracedVolume& volume : trace.volumes()) {
        volumes_[volume.uuid()].add(chunks_of(volume));
    }
    omitted_files_ += trace.omitted_files();
}

void TraceSum::add_image(const v1::TracedImage& image) {
    const auto [position, is_new] =
        images_.try_emplace({image.name(), image.digest(), stack_of(image)}, image);
    if (is_new) return;
    v1::TracedImage& sum = position->second;
    sum.set_recordings(saturated(std::uint64_t{sum.recordings()} + image.recordings()));
    sum.set_seconds(std::max(sum.seconds(), image.seconds()));
    if (is_later(image.recorded_at(), sum.recorded_at())) {
        *sum.mutable_recorded_at() = image.recorded_at();
    }
}

v1::ReadTrace TraceSum::result() const {
    v1::ReadTrace trace;
    for (const auto& [key, image] : images_) *trace.add_images() = image;
    for (const auto& [diff_id, files] : layers_) {
        v1::TracedLayer& layer = *trace.add_layers();
        layer.set_diff_id(diff_id);
        for (const auto& [path, sum] : files) {
            v1::TracedFile& file = *layer.add_files();
            file.set_path(path);
            set_ranges(sum.ranges, file);
            file.set_recordings(saturated(sum.recordings));
            file.set_seconds(sum.seconds);
        }
    }
    for (const auto& [uuid, chunks] : volumes_) {
        v1::TracedVolume& volume = *trace.add_volumes();
        volume.set_uuid(uuid);
        set_chunks(chunks, volume);
    }
    trace.set_omitted_files(saturated(omitted_files_));
    return trace;
}

MergedTrace merge_traces(const std::vector<NamedTrace>& traces) {
    MergedTrace merged;
    std::vector<NamedTrace> counted = traces;
    for (const auto& [stack, recorded] : recorded_images(traces)) {
        std::vector<Footprint> footprints;
        for (const std::size_t i : recorded.traces) {
            footprints.push_back(footprint_of(traces[i].trace, stack));
        }
        for (const std::size_t outlier : outliers_among(footprints)) {
            NamedTrace& trace = counted[recorded.traces[outlier]];
            remove_image(trace.trace, stack);
            merged.dropped.push_back(trace.origin + ": its recording of " + recorded.name +
                                     " has little in common with the others, and does not count");
        }
    }
    TraceSum sum;
    for (const NamedTrace& trace : counted) sum.add(trace.trace);
    merged.trace = sum.result();
    return merged;
}

}  // namespace prebake::hydrate
