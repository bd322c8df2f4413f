#include "agent/hydrate/trace.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/base/base64.h"
#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/base/text.h"
#include "agent/hydrate/documents.h"
#include "agent/hydrate/trace_check.h"
#include "agent/hydrate/traced_file.h"
#include "agent/layer/zstd_text.h"

namespace prebake::hydrate {
namespace {

constexpr std::size_t kTextLine = 100;

v1::ReadTrace trace_in_text(std::string_view text, const std::string& origin) {
    const auto bytes = base64_decode(trimmed(text));
    v1::ReadTrace trace;
    if (!bytes) throw Error(Errc::corrupt, origin + ": it is not base64", kRecordAgain);
    const std::string message =
        in_context(origin, [&] { return layer::zstd_decompressed(*bytes, kMaxTraceBytes); });
    if (!trace.ParseFromString(message)) {
        throw Error(Errc::corrupt, origin + " is not a trace", kRecordAgain);
    }
    return trace;
}

std::string text_of(const v1::ReadTrace& trace) {
    const std::string encoded = base64_encode(layer::zstd_compressed(trace.SerializeAsString()));
    std::string text(kTraceTextMark);
    for (std::size_t at = 0; at < encoded.size(); at += kTextLine) {
        text += '\n';
        text += encoded.substr(at, kTextLine);
    }
    return text + '\n';
}

/// A file of a trace: its layer and its place there.
struct FilePlace {
    int layer;
    int file;
};

/// Places of all files, the hottest first.
std::vector<FilePlace> by_score(const v1::ReadTrace& trace) {
    std::vector<FilePlace> places;
    for (int layer = 0; layer < trace.layers_size(); ++layer) {
        for (int file = 0; file < trace.layers(layer).files_size(); ++file) {
            places.push_back({layer, file});
        }
    }
    std::ranges::stable_sort(places, [&](const FilePlace& a, const FilePlace& b) {
        return is_hotter(trace.layers(a.layer).files(a.file), trace.layers(b.layer).files(b.file));
    });
    return places;
}

/// The trace with the first `count` of the places.
v1::ReadTrace with_hottest(const v1::ReadTrace& trace, const std::vector<FilePlace>& places,
                           std::size_t count) {
    v1::ReadTrace part = trace;
    for (v1::TracedLayer& layer : *part.mutable_layers()) layer.clear_files();
    std::vector<FilePlace> kept(places.begin(),
                                places.begin() + static_cast<std::ptrdiff_t>(count));
    // Paths side by side have the same directories, which then compress well.
    std::ranges::sort(kept, [](const FilePlace& a, const FilePlace& b) {
        return std::pair(a.layer, a.file) < std::pair(b.layer, b.file);
    });
    for (const FilePlace& place : kept) {
        *part.mutable_layers(place.layer)->add_files() =
            trace.layers(place.layer).files(place.file);
    }
    auto& layers = *part.mutable_layers();
    layers.erase(std::remove_if(layers.begin(), layers.end(),
                                [](const auto& layer) { return layer.files().empty(); }),
                 layers.end());
    part.set_omitted_files(trace.omitted_files() +
                           static_cast<std::uint32_t>(places.size() - count));
    return part;
}

std::size_t ranges_in(const v1::ReadTrace& trace) {
    std::size_t ranges = 0;
    for (const v1::TracedLayer& layer : trace.layers()) {
        for (const v1::TracedFile& file : layer.files()) {
            ranges += static_cast<std::size_t>(file.ranges_size()) / 2;
        }
    }
    return ranges;
}

void limit_ranges(v1::ReadTrace& trace, std::size_t of_each) {
    for (v1::TracedLayer& layer : *trace.mutable_layers()) {
        for (v1::TracedFile& file : *layer.mutable_files()) {
            set_ranges(with_at_most(ranges_of(file), of_each), file);
        }
    }
}

std::string json_of(v1::ReadTrace trace) {
    trace.set_schema(kTraceSchema);
    return to_json(trace, JsonForm::line) + "\n";
}

void fill_gaps_of_volumes(v1::ReadTrace& trace, std::uint64_t gap) {
    for (v1::TracedVolume& volume : *trace.mutable_volumes()) {
        set_chunks(without_small_gaps(chunks_of(volume), gap), volume);
    }
}

}  // namespace

v1::ReadTrace parse_trace(std::string_view text, const std::string& origin) {
    if (text.size() > kMaxTraceBytes) {
        throw Error(Errc::too_large, origin + " is larger than " + std::to_string(kMaxTraceBytes) +
                                         " bytes, the limit of a trace");
    }
    const std::string_view content = trimmed(text);
    v1::ReadTrace trace;
    if (content.starts_with(kTraceTextMark)) {
        trace = trace_in_text(content.substr(kTraceTextMark.size()), origin);
    } else {
        from_json(content, trace, origin, kRecordAgain);
    }
    require_schema(trace.schema(), kTraceSchema, origin, "is not a trace", kRecordAgain);
    return in_context(origin, [&] { return checked_trace(trace); });
}

v1::ReadTrace within_limits(v1::ReadTrace trace) {
    for (std::size_t of_each = 256; of_each > 0 && ranges_in(trace) > kMaxTracedRanges;
         of_each /= 4) {
        limit_ranges(trace, of_each);
    }
    const std::vector<FilePlace> places = by_score(trace);
    std::size_t kept = std::min(places.size(), kMaxTracedFiles);
    v1::ReadTrace part = kept < places.size() ? with_hottest(trace, places, kept) : trace;
    while (kept > 0 && json_of(part).size() > kMaxTraceBytes) {
        kept = kept / 4 * 3;
        part = with_hottest(trace, places, kept);
    }
    return part;
}

std::string trace_json(const v1::ReadTrace& trace) {
    return json_of(within_limits(trace));
}

std::string trace_text(v1::ReadTrace trace, std::size_t limit) {
    trace.set_schema(kTraceSchema);
    std::string text = text_of(trace);
    if (text.size() <= limit) return text;
    const std::vector<FilePlace> places = by_score(trace);
    std::string shortest = text_of(with_hottest(trace, places, 0));
    // Digests do not compress. Those of images are only used to compare recordings.
    constexpr std::size_t kLargestPartOfImages = 4;
    if (shortest.size() > limit / kLargestPartOfImages) trace.clear_images();
    shortest = text_of(with_hottest(trace, places, 0));
    for (std::uint64_t gap = 1; shortest.size() > limit && gap < kMaxVolumeChunks; gap *= 2) {
        fill_gaps_of_volumes(trace, gap);
        shortest = text_of(with_hottest(trace, places, 0));
    }
    if (shortest.size() > limit) {
        throw Error(Errc::too_large,
                    "the trace does not fit into " + std::to_string(limit) +
                        " characters, even without its files",
                    "copy the file of the trace instead");
    }
    // By bisection: more files hardly ever compress to less.
    std::size_t fits = 0;
    std::size_t too_many = places.size() + 1;
    while (too_many - fits > 1) {
        const std::size_t count = fits + (too_many - fits) / 2;
        std::string candidate = text_of(with_hottest(trace, places, count));
        if (candidate.size() <= limit) {
            fits = count;
            shortest = std::move(candidate);
        } else {
            too_many = count;
        }
    }
    return shortest;
}

v1::ReadTrace only_about(const v1::ReadTrace& trace, const std::set<std::string>& diff_ids,
                         const std::set<std::string>& uuids) {
    v1::ReadTrace part = trace;
    part.clear_images();
    part.clear_layers();
    part.clear_volumes();
    for (const v1::TracedLayer& layer : trace.layers()) {
        if (diff_ids.contains(layer.diff_id())) *part.add_layers() = layer;
    }
    for (const v1::TracedImage& image : trace.images()) {
        const bool is_known = std::ranges::any_of(
            image.diff_ids(), [&](const std::string& id) { return diff_ids.contains(id); });
        if (is_known) *part.add_images() = image;
    }
    for (const v1::TracedVolume& volume : trace.volumes()) {
        if (uuids.contains(volume.uuid())) *part.add_volumes() = volume;
    }
    return part;
}

std::uint64_t traced_files(const v1::ReadTrace& trace) {
    std::uint64_t files = 0;
    for (const v1::TracedLayer& layer : trace.layers()) {
        files += static_cast<std::uint64_t>(layer.files_size());
    }
    return files;
}

std::uint64_t traced_bytes(const v1::ReadTrace& trace) {
    std::uint64_t bytes = 0;
    for (const v1::TracedLayer& layer : trace.layers()) {
        for (const v1::TracedFile& file : layer.files()) bytes += ranges_of(file).count();
    }
    return bytes;
}

std::filesystem::path traces_path(const std::filesystem::path& state_dir) {
    return state_dir / "traces.json";
}

std::filesystem::path boot_trace_path(const std::filesystem::path& state_dir) {
    return state_dir / "boot-trace.json";
}

v1::ReadTrace read_traces(const std::filesystem::path& state_dir) {
    const std::filesystem::path path = traces_path(state_dir);
    std::string text;
    try {
        text = read_file(path, kMaxTraceBytes);
    } catch (const Error& error) {
        if (error.code() == Errc::not_found) return {};
        throw;
    }
    return parse_trace(text, path.string());
}

void write_trace(const std::filesystem::path& path, const v1::ReadTrace& trace) {
    write_file_durably(path, trace_json(trace), 0644);
}

}  // namespace prebake::hydrate
