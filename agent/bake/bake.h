#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/event.h"
#include "agent/bake/survey.h"
#include "agent/base/error.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::bake {

enum class SpaceCheck { refuse, ignore };

struct BakeOptions {
    std::filesystem::path state_dir = "/var/lib/prebake";
    std::size_t parallel_images = 3;
    std::size_t parallel_downloads = 6;
    SpaceCheck space_check = SpaceCheck::refuse;
    std::string prebake_version;
};

/// The worst outcome last.
enum class Outcome { already_there, baked, interrupted, failed };

struct ImageResult {
    std::string name;
    std::string platform;
    Outcome outcome = Outcome::failed;
    std::optional<Error> problem;  ///< of a failed image
    std::optional<oci::Digest> digest;
    std::vector<v1::Placement> placements;  ///< of an image that is usable now
    std::uint64_t bytes_fetched = 0;
    std::uint64_t bytes_reused = 0;
    std::chrono::duration<double> seconds{0};
};

struct BakeResult {
    std::vector<ImageResult> images;  ///< in the order of the requests
    std::chrono::duration<double> seconds{0};
    std::optional<Error> record_problem;  ///< the images are there, but not recorded
};

/// Bakes every image of the survey and writes the bake record. One image's failure is its result;
/// the others go on. When connection.stop() is requested, returns soon, with what was begun marked
/// interrupted; what is stored is kept for a day for the next bake to resume.
/// @throws Error before anything is changed: conflict when another bake uses the state directory,
/// no_space when the disk clearly cannot hold it, corrupt when there is a record that is none.
BakeResult bake(const Survey& survey, const BakeOptions& options, registry::Remote& remote,
                const containerd::Connection& connection, EventSink& events);

}  // namespace prebake::bake
