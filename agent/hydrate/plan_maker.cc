#include "agent/hydrate/plan_maker.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/hydrate/chunk_set.h"
#include "agent/hydrate/file_places.h"
#include "agent/hydrate/traced_file.h"

namespace prebake::hydrate {
namespace {

constexpr int kMaxSentinels = 8;
constexpr int kSentinelsInLayers = 2;

class PlanMaker {
  public:
    PlanMaker(const v1::ReadTrace& trace, FileSystems& file_systems)
        : file_systems_(file_systems), places_(file_systems) {
        for (const v1::TracedLayer& layer : trace.layers()) layers_[layer.diff_id()] = &layer;
    }

    MadePlan make(const PlanFiles& files, const v1::ReadTrace& trace) {
        add_essentials(files);
        const std::vector<const ImageFiles*> images = by_priority(files.images);
        for (const ImageFiles* image : images) add_traced(*image);
        for (const ImageFiles* image : images) add_image(*image);
        for (const ImageFiles* image : images) add_blobs(*image);
        add_boot(trace);
        add_layers(images);
        for (const std::filesystem::path& path : files.sentinels) add_sentinel(path);
        add_sentinels_in_layers(images);
        add_last_sentinels(files.essentials);
        add_notes();
        return std::move(made_);
    }

  private:
    void add_notes() {
        for (const auto& [number, why] : places_.unknown()) {
            made_.notes.push_back("some files are read by their names: " + why);
        }
        for (const auto& [number, index] : volumes_) {
            const FileSystem* const found = file_systems_.find(number);
            if (found == nullptr || found->unread.empty()) continue;
            made_.notes.push_back("the plan has files, but no inodes of " +
                                  found->mount_point.string() + ": " + found->unread);
        }
        if (std::string why = places_.left_out(); !why.empty()) made_.notes.push_back(why);
    }

    static std::vector<const ImageFiles*> by_priority(const std::vector<ImageFiles>& images) {
        std::vector<const ImageFiles*> sorted;
        sorted.reserve(images.size());
        for (const ImageFiles& image : images) sorted.push_back(&image);
        std::ranges::stable_sort(sorted, std::greater(), &ImageFiles::priority);
        return sorted;
    }

    /// What was added to places_ becomes a part of each volume, without what is in earlier parts.
    void end_part(v1::HydrationRank rank, const std::string& image) {
        for (auto& [number, chunks] : places_.take()) end_part(rank, image, number, chunks);
    }

    void end_part(v1::HydrationRank rank, const std::string& image, dev_t number, ChunkSet chunks) {
        ChunkSet& planned = planned_[number];
        // The volume of a canary is larger than the builder's, and nodes refuse a plan with places
        // that a device does not have.
        chunks.limit_to(end_of(number));
        chunks.subtract(planned);
        if (chunks.empty()) return;
        planned.add(chunks);
        made_.cold.chunks += chunks.count();
        if (rank == v1::TRACED) made_.cold.traced_chunks += chunks.count();
        v1::PlannedPart& part = *volume_of(number).add_parts();
        part.set_rank(rank);
        part.set_image(image);
        part.set_chunks(chunks.count());
        write_runs(chunks, *part.mutable_runs());
    }

    std::uint64_t end_of(dev_t number) {
        const FileSystem* const found = file_systems_.find(number);
        return found == nullptr ? 0 : chunks_of_device(found->bytes);
    }

    v1::PlannedVolume& volume_of(dev_t number) {
        const auto known = volumes_.find(number);
        if (known != volumes_.end()) return *made_.plan.mutable_volumes(known->second);
        volumes_[number] = made_.plan.volumes_size();
        v1::PlannedVolume& volume = *made_.plan.add_volumes();
        if (const FileSystem* found = file_systems_.find(number)) {
            volume.set_uuid(found->superblock.uuid);
            volume.set_type(found->superblock.type);
            volume.set_mount_point(found->mount_point);
            volume.set_bytes(found->bytes);
            volume.set_chunk_bytes(kChunkBytes);
        }
        return volume;
    }

    v1::PlannedFiles& add_files(v1::HydrationRank rank, const std::string& image) {
        v1::PlannedFiles& files = *made_.plan.add_files();
        files.set_rank(rank);
        files.set_image(image);
        return files;
    }

    void add_essentials(const PlanFiles& files) {
        v1::PlannedFiles& names = add_files(v1::METADATA, "");
        for (const std::filesystem::path& path : files.essentials) {
            struct stat unused {};
            // What is named has to be there on the node, too.
            if (lstat(path.c_str(), &unused) != 0) continue;
            places_.add_tree(path);
            names.add_paths(path);
        }
        Places places = places_.take();
        for (auto& [number, chunks] : places) {
            const FileSystem* const found = file_systems_.find(number);
            for (const ByteRange& range : found->superblock.basics) {
                chunks.add_bytes(range.offset, range.length);
            }
            end_part(v1::METADATA, "", number, std::move(chunks));
        }
    }

    void add_traced(const ImageFiles& image) {
        bool is_traced = false;
        for (const ImageFiles::Layer& layer : image.layers) {
            const auto traced = layers_.find(layer.diff_id);
            if (traced == layers_.end()) continue;
            is_traced = true;
            // Images share layers, and so what was seen of them.
            const bool is_first = counted_.insert(layer.diff_id).second;
            for (const v1::TracedFile& file : traced->second->files()) {
                const FileRanges read = ranges_of(file);
                places_.add_ranges(layer.directory, file.path(), read);
                if (is_first) made_.cold.traced_bytes += read.count();
            }
        }
        if (!is_traced) ++made_.cold.untraced_images;
        end_part(v1::TRACED, image.name);
    }

    void add_image(const ImageFiles& image) {
        v1::PlannedFiles names;
        for (const ImageFiles::Layer& layer : image.layers) {
            // A layer that an earlier image has, too, is read with that one.
            if (!walked_.insert(layer.directory).second) continue;
            places_.add_tree(layer.directory);
            names.add_paths(layer.directory);
        }
        end_part(v1::IMAGES, image.name);
        if (names.paths_size() > 0) {
            *add_files(v1::IMAGES, image.name).mutable_paths() = names.paths();
        }
    }

    void add_blobs(const ImageFiles& image) {
        if (image.blobs.empty()) return;
        v1::PlannedFiles& names = add_files(v1::IMAGES, image.name);
        for (const std::filesystem::path& blob : image.blobs) {
            places_.add_tree(blob);
            names.add_paths(blob);
        }
        end_part(v1::IMAGES, image.name);
    }

    void add_boot(const v1::ReadTrace& trace) {
        for (const v1::TracedVolume& traced : trace.volumes()) {
            for (const auto& [number, index] : std::map(volumes_)) {
                const v1::PlannedVolume& volume = made_.plan.volumes(index);
                if (volume.uuid() != traced.uuid() || traced.chunk_bytes() != kChunkBytes) continue;
                end_part(v1::BOOT, "", number, chunks_of(traced));
            }
        }
    }

    void add_layers(const std::vector<const ImageFiles*>& images) {
        std::set<std::string> known;
        for (const ImageFiles* image : images) {
            for (const ImageFiles::Layer& layer : image->layers) {
                if (!known.insert(layer.directory).second) continue;
                v1::PlannedLayer& planned = *made_.plan.add_layers();
                planned.set_diff_id(layer.diff_id);
                planned.set_directory(layer.directory);
            }
        }
    }

    /// The volume of the plan that has the file; null if there is none.
    v1::PlannedVolume* volume_with(const struct stat& file) {
        const auto volume = volumes_.find(file.st_dev);
        if (volume == volumes_.end()) return nullptr;
        return made_.plan.mutable_volumes(volume->second);
    }

    /// Returns whether it can be one.
    bool add_sentinel(const std::filesystem::path& path) {
        constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        struct stat found {};
        if (lstat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
        const FileDescriptor file(open(path.c_str(), kFlags));
        v1::PlannedVolume* const planned = volume_with(found);
        if (!file || planned == nullptr || planned->sentinels_size() >= kMaxSentinels) return false;
        const std::optional<std::uint64_t> place = place_of_start(file.get(), path);
        if (!place) return false;
        v1::Sentinel& sentinel = *planned->add_sentinels();
        sentinel.set_path(path);
        sentinel.set_size(static_cast<std::uint64_t>(found.st_size));
        sentinel.set_offset(*place);
        return true;
    }

    /// A volume with layers alone has no other file that is known to stay, and the others' may all
    /// be replaced before the plan is read.
    void add_sentinels_in_layers(const std::vector<const ImageFiles*>& images) {
        for (const ImageFiles* image : images) {
            for (const ImageFiles::Layer& layer : image->layers) {
                struct stat found {};
                if (stat(layer.directory.c_str(), &found) != 0) continue;
                const v1::PlannedVolume* const planned = volume_with(found);
                if (planned == nullptr) continue;
                int& in_layers = sentinels_in_layers_[found.st_dev];
                if (in_layers >= kSentinelsInLayers) continue;
                if (add_first_file_of(layer.directory)) ++in_layers;
            }
        }
    }

    /// Of a volume that has programs alone.
    void add_last_sentinels(const std::vector<std::filesystem::path>& essentials) {
        for (const std::filesystem::path& path : essentials) {
            struct stat found {};
            if (lstat(path.c_str(), &found) != 0) continue;
            const v1::PlannedVolume* const planned = volume_with(found);
            if (planned != nullptr && planned->sentinels_size() == 0) add_sentinel(path);
        }
    }

    bool add_first_file_of(const std::filesystem::path& layer) {
        // What is looked at of a layer without any file that has a place.
        constexpr int kMostEntries = 200;
        std::error_code failure;
        std::filesystem::recursive_directory_iterator entry(layer, failure);
        for (int i = 0; i < kMostEntries; ++i) {
            if (failure || entry == std::filesystem::recursive_directory_iterator()) return false;
            if (add_sentinel(entry->path())) return true;
            entry.increment(failure);
        }
        return false;
    }

    FileSystems& file_systems_;
    FilePlaces places_;
    std::map<std::string, const v1::TracedLayer*, std::less<>> layers_;
    std::set<std::string> counted_;  ///< diffIDs
    std::set<std::filesystem::path> walked_;
    std::map<dev_t, int> volumes_;  ///< indexes in the plan
    std::map<dev_t, ChunkSet> planned_;
    std::map<dev_t, int> sentinels_in_layers_;
    MadePlan made_;
};

}  // namespace

std::uint64_t ColdBytes::bytes() const {
    return chunks * kChunkBytes;
}

double ColdBytes::amplification() const {
    if (traced_bytes == 0) return 0;
    return static_cast<double>(traced_chunks * kChunkBytes) / static_cast<double>(traced_bytes);
}

MadePlan make_plan(const PlanFiles& files, const v1::ReadTrace& trace, FileSystems& file_systems) {
    return PlanMaker(trace, file_systems).make(files, trace);
}

}  // namespace prebake::hydrate
