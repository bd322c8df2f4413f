#include "agent/hydrate/layer_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/wait.h"
#include "agent/hydrate/traced_file.h"
#include "agent/oci/json_text.h"

namespace prebake::hydrate {
namespace {

/// Ranges of a file in a trace: gaps between more are filled.
constexpr std::size_t kMaxRangesOfFile = 256;

struct stat status_of(const std::filesystem::path& path) {
    struct stat status = {};
    if (::lstat(path.c_str(), &status) != 0) throw errno_error("cannot look at", path);
    return status;
}

/// Nothing if it is gone: somebody may remove the image meanwhile.
FileDescriptor open_to_look(const std::filesystem::path& path) {
    FileDescriptor file(
        ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC));
    if (!file && errno != ENOENT) throw errno_error("cannot open", path);
    return file;
}

/// Traces count in units of 4096 bytes, whatever the pages of this machine are.
FileRanges in_units(const FileRanges& ranges) {
    FileRanges result;
    for (const ChunkRun& run : ranges.runs()) {
        const std::uint64_t first = run.first / kRangeUnit * kRangeUnit;
        const std::uint64_t end =
            (run.first + run.count + kRangeUnit - 1) / kRangeUnit * kRangeUnit;
        result.add(ChunkRun{.first = first, .count = end - first});
    }
    return result;
}

}  // namespace

LayerCache::LayerCache(const std::vector<LayerDirectory>& layers, ResidencyMethod method,
                       std::stop_token stop)
    : method_(method), stop_(std::move(stop)) {
    std::set<std::string> known;
    for (const LayerDirectory& layer : layers) {
        if (!known.insert(layer.diff_id).second) continue;
        layers_.push_back({.diff_id = layer.diff_id, .directory = layer.directory, .files = {}});
        list_files(layers_.back());
    }
}

void LayerCache::list_files(Layer& layer) const {
    std::error_code failure;
    std::filesystem::recursive_directory_iterator entry(layer.directory, failure);
    std::vector<std::filesystem::path> paths;
    for (; !failure && entry != std::filesystem::recursive_directory_iterator();
         entry.increment(failure)) {
        throw_if_stopped(stop_);
        if (entry->symlink_status(failure).type() == std::filesystem::file_type::regular) {
            paths.push_back(entry->path());
        }
    }
    if (failure) {
        throw Error(Errc::io, "cannot list the files of the layer " + layer.diff_id + " in " +
                                  layer.directory.string() + ": " + failure.message());
    }
    std::ranges::sort(paths);
    std::set<std::pair<dev_t, ino_t>> linked;
    for (const std::filesystem::path& path : paths) {
        const struct stat status = status_of(path);
        if (status.st_size == 0) continue;
        // All names of a file have one cache: the first one stands for them.
        if (status.st_nlink > 1 && !linked.insert({status.st_dev, status.st_ino}).second) continue;
        layer.files.push_back({.path = path.string().substr(layer.directory.string().size() + 1)});
    }
}

template <typename Visit>
void LayerCache::for_each_file(const Visit& visit) {
    for (Layer& layer : layers_) {
        for (File& file : layer.files) {
            throw_if_stopped(stop_);
            const std::filesystem::path path = layer.directory / file.path;
            in_context(path.string(), [&] { visit(file, path); });
        }
    }
}

FileRanges LayerCache::cached(const std::filesystem::path& path) const {
    const FileDescriptor file = open_to_look(path);
    return file ? cached_ranges(file.get(), method_) : FileRanges();
}

void LayerCache::drop() {
    // Dirty pages stay, so everything is written first, once for each file system.
    std::set<dev_t> synced;
    for (const Layer& layer : layers_) {
        if (synced.insert(status_of(layer.directory).st_dev).second) {
            sync_file_system(layer.directory);
        }
    }
    for_each_file([&](File& file, const std::filesystem::path& path) {
        const FileDescriptor opened = open_to_look(path);
        if (!opened) return;
        drop_from_cache(opened.get());
        file.stayed = cached_ranges(opened.get(), method_);
    });
}

void LayerCache::look(double seconds) {
    for_each_file([&](File& file, const std::filesystem::path& path) {
        FileRanges now = cached(path);
        if (now.empty()) return;
        now.subtract(file.stayed);
        if (now.empty()) return;
        file.read.add(now);
        if (file.seconds < 0) file.seconds = seconds;
    });
}

v1::ReadTrace LayerCache::result() const {
    v1::ReadTrace trace;
    for (const Layer& layer : layers_) {
        v1::TracedLayer traced;
        traced.set_diff_id(layer.diff_id);
        for (const File& file : layer.files) {
            if (file.seconds < 0) continue;
            if (oci::valid_utf8(file.path) != file.path) {
                trace.set_omitted_files(trace.omitted_files() + 1);
                continue;
            }
            v1::TracedFile& out = *traced.add_files();
            out.set_path(file.path);
            set_ranges(with_at_most(in_units(file.read), kMaxRangesOfFile), out);
            out.set_recordings(1);
            out.set_seconds(file.seconds);
        }
        if (!traced.files().empty()) *trace.add_layers() = traced;
    }
    return trace;
}

std::uint64_t LayerCache::stayed_bytes() const {
    std::uint64_t bytes = 0;
    for (const Layer& layer : layers_) {
        for (const File& file : layer.files) bytes += file.stayed.count();
    }
    return bytes;
}

std::vector<dev_t> LayerCache::devices() const {
    std::set<dev_t> devices;
    for (const Layer& layer : layers_) devices.insert(status_of(layer.directory).st_dev);
    return {devices.begin(), devices.end()};
}

}  // namespace prebake::hydrate
