#include "agent/cli/trace_files.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "agent/base/ascii.h"
#include "agent/base/error.h"
#include "agent/base/file_trust.h"
#include "agent/hydrate/documents.h"
#include "agent/hydrate/file_system.h"
#include "agent/hydrate/trace.h"

namespace prebake::cli {
namespace {

hydrate::NamedTrace read_trace_file(const std::string& file, WhoseFile whose) {
    return {.origin = file,
            .trace = hydrate::parse_trace(read_trusted_file(file, hydrate::kMaxTraceBytes, whose),
                                          file)};
}

/// Files of the directory, in the order of their names. Text forms have any other ending.
std::vector<std::string> files_in(const std::filesystem::path& directory) {
    std::vector<std::string> files;
    std::error_code ignored;  // without the directory there are no traces
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        std::error_code gone;
        if (!entry.is_regular_file(gone)) continue;
        if (entry.path().filename().string().starts_with('.')) continue;
        files.push_back(entry.path().string());
    }
    std::ranges::sort(files);
    return files;
}

/// Of file systems that are mounted.
std::set<std::string> uuids_here() {
    std::set<std::string> uuids;
    hydrate::FileSystems file_systems(hydrate::Detail::identity);
    for (const hydrate::Mount& mount : file_systems.mounts()) {
        const hydrate::FileSystem* found = file_systems.find(mount.number);
        if (found != nullptr) uuids.insert(found->superblock.uuid);
    }
    return uuids;
}

/// Adds what earlier bakes have kept of these layers.
void add_earlier(const std::filesystem::path& state_dir, const std::set<std::string>& diff_ids,
                 hydrate::MergedTrace& merged) {
    if (diff_ids.empty()) return;
    try {
        const v1::ReadTrace earlier = hydrate::read_traces(state_dir);
        hydrate::TraceSum sum;
        sum.add(merged.trace);
        sum.add(hydrate::only_about(earlier, diff_ids, {}));
        merged.trace = sum.result();
    } catch (const Error& error) {
        merged.dropped.push_back("traces of earlier bakes are not kept: " + error.message());
    }
}

}  // namespace

std::vector<hydrate::NamedTrace> read_trace_files(const Config& config,
                                                  const std::vector<bake::ImageRequest>& requests,
                                                  std::vector<std::string>& warnings) {
    std::vector<hydrate::NamedTrace> traces;
    std::set<std::string> known;
    for (const bake::ImageRequest& request : requests) {
        for (const std::string& file : request.traces) {
            if (!known.insert(file).second) continue;
            try {
                traces.push_back(read_trace_file(file, WhoseFile::invokers));
            } catch (const Error& error) {
                throw Error(Errc::usage, request.origin + ": trace: " + error.message(),
                            error.next_step());
            }
        }
    }
    for (const std::string& file : files_in(config.traces)) {
        if (!known.insert(file).second) continue;
        try {
            traces.push_back(read_trace_file(file, WhoseFile::ours));
        } catch (const Error& error) {
            warnings.push_back("a trace is not used: " + error.message());
        }
    }
    return traces;
}

std::vector<std::string> keep_traces(const std::filesystem::path& state_dir,
                                     const std::vector<hydrate::NamedTrace>& traces,
                                     const v1::BakeRecord& record,
                                     const std::set<std::string>& baked) {
    std::set<std::string> diff_ids;
    std::set<std::string> of_others;
    std::set<std::string> of_baked;
    for (const v1::BakedImage& image : record.images()) {
        auto& group = baked.contains(image.name()) ? of_baked : of_others;
        for (const v1::Layer& layer : image.layers()) {
            if (layer.diff_id().empty()) continue;
            diff_ids.insert(layer.diff_id());
            group.insert(layer.diff_id());
        }
    }
    for (const std::string& diff_id : of_baked) of_others.erase(diff_id);
    const std::set<std::string> uuids = traces.empty() ? std::set<std::string>() : uuids_here();
    // Before they are merged: traces of other images do not decide what is an outlier.
    std::vector<hydrate::NamedTrace> ours;
    ours.reserve(traces.size());
    for (const hydrate::NamedTrace& trace : traces) {
        ours.push_back(
            {.origin = trace.origin, .trace = hydrate::only_about(trace.trace, diff_ids, uuids)});
    }
    hydrate::MergedTrace merged = hydrate::merge_traces(ours);
    for (const v1::TracedLayer& layer : merged.trace.layers()) of_others.erase(layer.diff_id());
    add_earlier(state_dir, of_others, merged);
    const std::filesystem::path path = hydrate::traces_path(state_dir);
    if (merged.trace.layers().empty() && merged.trace.volumes().empty()) {
        std::error_code ignored;  // usually it is not there
        std::filesystem::remove(path, ignored);
        return merged.dropped;
    }
    merged.trace.set_prebake_version(PREBAKE_VERSION);
    hydrate::write_trace(path, merged.trace);
    return merged.dropped;
}

std::string trace_file_name(const std::string& image) {
    std::string name = image;
    for (char& c : name) {
        if (!is_alphanumeric(c) && c != '.' && c != '_') c = '-';
    }
    return name + ".json";
}

}  // namespace prebake::cli
