#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/hydrate/planned_volumes.h"
#include "agent/hydrate/work_list.h"
#include "proto/prebake/v1/hydration.pb.h"

namespace prebake::hydrate {

/// An image of the plan of which a container that is starting has layers.
struct StartingImage {
    std::string name;
    bool is_its_own = false;  ///< the container's topmost layer is in it

    bool operator==(const StartingImage&) const = default;
};

/// Which directories of layers are read with which image. A layer that several images have is read
/// with the first of them only.
class ImageDirectories {
  public:
    explicit ImageDirectories(const v1::HydrationPlan& plan);

    bool has(const std::filesystem::path& directory) const;

    /// Images with some of the directories, `lowers`, which are those of a container from its top
    /// to its bottom. Images that are read for nothing else come first, then those with more of the
    /// directories. A relative path stands for all directories that end with it. Pure.
    std::vector<StartingImage> images_with(const std::vector<std::filesystem::path>& lowers) const;

  private:
    struct Image {
        std::string name;
        std::vector<std::filesystem::path> directories;
    };
    std::vector<Image> images_;
};

/// The parts of a list with these images: what was traced of any of them, then the rest of each.
/// `volumes`: as the parts have them. Pure.
std::vector<std::size_t> parts_of(const std::vector<StartingImage>& images, const WorkList& work,
                                  const std::vector<const VolumeToRead*>& volumes);

/// Containers that were created, until their root file systems are mounted.
class StartingContainers {
  public:
    using Time = std::chrono::steady_clock::time_point;

    explicit StartingContainers(std::filesystem::path mountinfo = "/proc/self/mountinfo")
        : mountinfo_(std::move(mountinfo)) {}

    /// `directory`: of the runtime, with config.json and rootfs.
    void add(const std::filesystem::path& directory, Time now);

    /// The directories of layers of each container whose root file system is mounted now, as
    /// OverlayMount::lowers, but with links of dockerd resolved unless `known` has them. Each comes
    /// once. One that is not mounted within ten seconds is forgotten: it has another file system.
    std::vector<std::vector<std::filesystem::path>> take_mounted(Time now,
                                                                 const ImageDirectories& known);

  private:
    struct Created {
        std::filesystem::path directory;
        Time until;
    };
    std::filesystem::path mountinfo_;
    std::vector<Created> waiting_;
};

}  // namespace prebake::hydrate
