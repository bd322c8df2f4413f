#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/bake/bake_lock.h"
#include "agent/bake/event.h"
#include "agent/bake/survey.h"
#include "agent/bake/unpack.h"
#include "agent/base/error.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::bake {

enum class SpaceCheck { refuse, ignore };

struct BakeOptions {
    std::filesystem::path state_dir = "/var/lib/prebake";
    std::size_t parallel_images = 3;
    std::size_t parallel_downloads = 6;
    /// Memory for what large layers get over additional connections.
    std::uint64_t read_ahead_bytes = 0;
    std::size_t parallel_unpacks = 2;
    SpaceCheck space_check = SpaceCheck::refuse;
    std::string prebake_version;
    /// Recorded if pods get an image; nothing: what the record says stays.
    std::optional<bool> leaves_sandbox_out = {};
};

/// From best to worst.
enum class ImageOutcome { already_there, baked, interrupted, failed };

struct ImageResult {
    std::string name;
    std::string platform;
    bool is_sandbox = false;  ///< needed by CRI, not listed
    ImageOutcome outcome = ImageOutcome::failed;
    std::optional<Error> problem;  ///< if the image failed
    std::optional<oci::Digest> digest;
    std::vector<v1::Placement> placements;  ///< if the image is usable now
    std::vector<v1::Signature> signatures;  ///< that the rules of trust require
    std::uint64_t bytes_fetched = 0;
    std::uint64_t bytes_reused = 0;
    std::chrono::duration<double> seconds{0};
    std::chrono::system_clock::time_point ended_at = {};

    bool is_usable() const {
        return outcome == ImageOutcome::already_there || outcome == ImageOutcome::baked;
    }
};

/// How layers got into the content store.
struct StoredLayers {
    std::size_t in_place = 0;
    std::size_t streamed = 0;  ///< through containerd, as small ones always are
    /// Why no layer could be written in place; nothing if they could, or if none had to be stored.
    std::optional<std::string> streamed_because;
};

struct BakeResult {
    std::vector<ImageResult> images;  ///< in the order of the requests
    StoredLayers stored_layers;
    std::chrono::duration<double> seconds{0};
    std::optional<Error> record_problem;  ///< why the images are not in the record
    /// Why it is not known that pods find all images in k8s.io, and how that becomes known.
    std::optional<Error> cri_doubt;
    Unpacker::Counts unpacked;
    std::map<std::string, double> stage_seconds;  ///< by to_string(Stage), of all threads together
};

/// Bakes every image of the survey and writes the bake record. An image that fails does not stop
/// the others. After a stop request to the connection, returns soon, with unfinished images marked
/// interrupted; what is stored of them is kept for a day, for the next bake to resume.
/// `lock` is the one of the state directory, taken before the survey, and `docker` what the survey
/// was made with.
/// @throws Error before any image is changed: no_space if the disk is clearly too small,
/// permission_denied or io if the bake record cannot be read. A damaged record is replaced, as are
/// damaged blobs that the bake meets.
BakeResult bake(const BakeLock& lock, const Survey& survey, const BakeOptions& options,
                registry::Remote& remote, const containerd::Connection& connection,
                const DockerTarget* docker, EventSink& events);

}  // namespace prebake::bake
