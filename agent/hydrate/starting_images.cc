#include "agent/hydrate/starting_images.h"

#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/file.h"
#include "agent/base/json.h"
#include "agent/hydrate/mountinfo.h"

namespace prebake::hydrate {
namespace {

// On a cold disk, containerd's shim has to be read before it mounts anything.
constexpr std::chrono::seconds kUntilMounted{10};
constexpr std::size_t kMaxSpecBytes = 4UL << 20;

bool is_same(const std::filesystem::path& directory, const std::filesystem::path& lower) {
    if (lower.is_absolute()) return directory == lower;
    const std::string& end = lower.native();
    const std::string& whole = directory.native();
    return whole.size() > end.size() && whole.ends_with(end) &&
           whole[whole.size() - end.size() - 1] == '/';
}

/// Where dockerd has mounted the root file system, whose directory of the runtime has none. Empty:
/// not there, or not complete yet.
std::filesystem::path root_in_spec(const std::filesystem::path& directory) {
    const std::filesystem::path path = directory / "config.json";
    google::protobuf::Struct spec;
    try {
        from_json(read_file(path, kMaxSpecBytes), spec, path.string(), "");
    } catch (const Error&) {
        return {};
    }
    const auto root = spec.fields().find("root");
    if (root == spec.fields().end()) return {};
    const auto& fields = root->second.struct_value().fields();
    const auto place = fields.find("path");
    return place == fields.end() ? "" : place->second.string_value();
}

const OverlayMount* overlay_of(const std::filesystem::path& container,
                               const std::vector<OverlayMount>& overlays) {
    const auto at = [&](const std::filesystem::path& place) -> const OverlayMount* {
        const auto found = std::ranges::find(overlays, place, &OverlayMount::mount_point);
        return found == overlays.end() ? nullptr : &*found;
    };
    std::error_code ignored;
    const std::filesystem::path directory = std::filesystem::canonical(container, ignored);
    if (ignored) return nullptr;
    if (const OverlayMount* const found = at(directory / "rootfs")) return found;
    const std::filesystem::path root = root_in_spec(directory);
    return root.is_absolute() ? at(root) : nullptr;
}

}  // namespace

ImageDirectories::ImageDirectories(const v1::HydrationPlan& plan) {
    for (const v1::PlannedFiles& files : plan.files()) {
        if (files.rank() != v1::IMAGES || files.image().empty()) continue;
        images_.push_back(
            {.name = files.image(), .directories = {files.paths().begin(), files.paths().end()}});
    }
}

bool ImageDirectories::has(const std::filesystem::path& directory) const {
    return std::ranges::any_of(images_, [&](const Image& image) {
        return std::ranges::find(image.directories, directory) != image.directories.end();
    });
}

std::vector<StartingImage> ImageDirectories::images_with(
    const std::vector<std::filesystem::path>& lowers) const {
    struct Match {
        StartingImage image;
        bool has_other = false;
        std::size_t count = 0;
    };
    std::vector<Match> matches;
    for (const Image& image : images_) {
        Match match{.image = {.name = image.name}};
        for (const std::filesystem::path& directory : image.directories) {
            const auto lower = std::ranges::find_if(lowers, [&](const std::filesystem::path& each) {
                return is_same(directory, each);
            });
            if (lower == lowers.end()) {
                match.has_other = true;
                continue;
            }
            ++match.count;
            if (lower == lowers.begin()) match.image.is_its_own = true;
        }
        if (match.count > 0) matches.push_back(std::move(match));
    }
    std::ranges::stable_sort(matches, [](const Match& a, const Match& b) {
        return std::pair(a.has_other, b.count) < std::pair(b.has_other, a.count);
    });
    std::vector<StartingImage> images;
    images.reserve(matches.size());
    for (Match& match : matches) images.push_back(std::move(match.image));
    return images;
}

std::vector<std::size_t> parts_of(const std::vector<StartingImage>& images, const WorkList& work,
                                  const std::vector<const VolumeToRead*>& volumes) {
    std::vector<std::size_t> parts;
    for (const v1::HydrationRank rank : {v1::TRACED, v1::IMAGES}) {
        for (const StartingImage& image : images) {
            // The second part of an image on a volume is what the content store has of it, which
            // no container reads.
            std::set<std::size_t> seen;
            for (std::size_t i = 0; i < work.parts(); ++i) {
                const PartWork& part = work.part(i);
                if (part.rank != rank) continue;
                if (volumes[part.volume]->parts[part.index].image != image.name) continue;
                if (seen.insert(part.volume).second) parts.push_back(i);
            }
        }
    }
    return parts;
}

void StartingContainers::add(const std::filesystem::path& directory, Time now) {
    if (std::ranges::find(waiting_, directory, &Created::directory) != waiting_.end()) return;
    waiting_.push_back({.directory = directory, .until = now + kUntilMounted});
}

std::vector<std::vector<std::filesystem::path>> StartingContainers::take_mounted(
    Time now, const ImageDirectories& known) {
    std::vector<std::vector<std::filesystem::path>> mounted;
    if (waiting_.empty()) return mounted;
    std::vector<OverlayMount> overlays;
    try {
        overlays = parse_overlays(read_file(mountinfo_, kMaxMountinfoBytes));
    } catch (const Error&) {
        // As if nothing were mounted: it only means that nothing comes first.
    }
    std::erase_if(waiting_, [&](const Created& created) {
        const OverlayMount* const overlay = overlay_of(created.directory, overlays);
        if (overlay == nullptr) return now >= created.until;
        std::vector<std::filesystem::path> lowers = overlay->lowers;
        for (std::filesystem::path& lower : lowers) {
            if (lower.is_relative() || known.has(lower)) continue;
            // The mount has just looked it up, so this reads nothing of the disk.
            std::error_code ignored;
            const std::filesystem::path real = std::filesystem::canonical(lower, ignored);
            if (!ignored) lower = real;
        }
        mounted.push_back(std::move(lowers));
        return true;
    });
    return mounted;
}

}  // namespace prebake::hydrate
