#include "agent/hydrate/trace_check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/format.h"
#include "agent/hydrate/trace_merge.h"
#include "agent/hydrate/traced_file.h"
#include "agent/oci/digest.h"
#include "agent/oci/quoted.h"

namespace prebake::hydrate {
namespace {

[[noreturn]] void refuse(const std::string& what) {
    throw Error(Errc::corrupt, what, kRecordAgain);
}

void limit(const char* what, std::size_t actual, std::size_t maximum) {
    if (actual <= maximum) return;
    throw Error(Errc::too_large,
                std::string("a trace has at most ") + std::to_string(maximum) + " " + what,
                kRecordAgain);
}

void require_diff_id(const std::string& text) {
    if (!oci::Digest::try_parse(text)) refuse(oci::quoted(text) + " is not the diffID of a layer");
}

/// Why a path is not one inside a layer; null if it is.
const char* wrong_in(std::string_view path) {
    if (path.empty()) return "is empty";
    if (path.size() > kMaxTracedPathBytes) return "is too long";
    if (path.front() == '/') return "is absolute";
    if (path.find('\0') != std::string_view::npos) return "has a NUL";
    while (true) {
        const std::size_t slash = path.find('/');
        const std::string_view name = path.substr(0, slash);
        if (name == "..") return "has \"..\"";
        if (name.empty() || name == ".") return "has an empty part, or \".\"";
        if (slash == std::string_view::npos) return nullptr;
        path.remove_prefix(slash + 1);
    }
}

bool is_duration(double seconds) {
    return std::isfinite(seconds) && seconds >= 0;
}

/// What JSON can say: years 1 to 9999.
bool is_date(const google::protobuf::Timestamp& time) {
    constexpr std::int64_t kFirst = -62'135'596'800;
    constexpr std::int64_t kLast = 253'402'300'799;
    constexpr std::int32_t kSecond = 1'000'000'000;
    return time.seconds() >= kFirst && time.seconds() <= kLast && time.nanos() >= 0 &&
           time.nanos() < kSecond;
}

/// Returns the number of its ranges.
std::size_t check_file(const v1::TracedFile& file) {
    if (const char* wrong = wrong_in(file.path())) {
        refuse("the path " + oci::quoted(file.path()) + " " + wrong);
    }
    const bool is_aligned = std::ranges::all_of(
        file.ranges(), [](std::uint64_t bytes) { return bytes % kRangeUnit == 0; });
    if (!is_aligned) {
        refuse("a range of " + oci::quoted(file.path()) + " is not a multiple of " +
               std::to_string(kRangeUnit));
    }
    if (!is_duration(file.seconds())) refuse("the seconds of a file are not a time");
    in_context(oci::quoted(file.path()), [&] { return ranges_of(file); });
    return static_cast<std::size_t>(file.ranges_size()) / 2;
}

void check_layers(const v1::ReadTrace& trace) {
    limit("layers", static_cast<std::size_t>(trace.layers_size()), kMaxTracedLayers);
    std::size_t files = 0;
    std::size_t ranges = 0;
    for (const v1::TracedLayer& layer : trace.layers()) {
        require_diff_id(layer.diff_id());
        files += static_cast<std::size_t>(layer.files_size());
        limit("files", files, kMaxTracedFiles);
        in_context("layer " + layer.diff_id(), [&] {
            for (const v1::TracedFile& file : layer.files()) {
                ranges += check_file(file);
                limit("ranges of files", ranges, kMaxTracedRanges);
            }
        });
    }
}

void check_images(const v1::ReadTrace& trace) {
    limit("images", static_cast<std::size_t>(trace.images_size()), kMaxTracedImages);
    for (const v1::TracedImage& image : trace.images()) {
        limit("layers of an image", static_cast<std::size_t>(image.diff_ids_size()),
              kMaxTracedLayers);
        for (const std::string& diff_id : image.diff_ids()) require_diff_id(diff_id);
        if (!is_duration(image.seconds())) refuse("the seconds of an image are not a time");
        if (!is_date(image.recorded_at())) refuse("an image was recorded at no possible time");
    }
}

void check_volumes(const v1::ReadTrace& trace) {
    limit("volumes", static_cast<std::size_t>(trace.volumes_size()), kMaxTracedVolumes);
    std::size_t runs = 0;
    for (const v1::TracedVolume& volume : trace.volumes()) {
        runs += static_cast<std::size_t>(volume.runs_size()) / 2;
        limit("runs of volumes", runs, kMaxTracedRanges);
        if (volume.uuid().empty()) refuse("a volume has no UUID");
        if (volume.chunk_bytes() != kChunkBytes) {
            refuse("the chunks of a volume have " + std::to_string(volume.chunk_bytes()) +
                   " bytes, not " + std::to_string(kChunkBytes));
        }
        in_context("volume " + shorten(printable(volume.uuid()), 80),
                   [&] { return chunks_of(volume); });
    }
}

}  // namespace

v1::ReadTrace checked_trace(const v1::ReadTrace& trace) {
    check_images(trace);
    check_layers(trace);
    check_volumes(trace);
    TraceSum sum;
    sum.add(trace);
    v1::ReadTrace result = sum.result();
    result.set_schema(trace.schema());
    result.set_prebake_version(trace.prebake_version());
    return result;
}

}  // namespace prebake::hydrate
