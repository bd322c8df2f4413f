#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/containerd/connection.h"
#include "agent/hydrate/read_ahead.h"
#include "agent/hydrate/residency.h"
#include "agent/oci/reference.h"
#include "agent/oci/runtime_spec.h"
#include "proto/prebake/v1/bake_record.pb.h"
#include "proto/prebake/v1/hydration.pb.h"

/// What an image reads when it starts: it is run once, with a cold page cache.
namespace prebake::hydrate {

/// An image that is unpacked in containerd.
struct ImageToRecord {
    v1::BakedImage image;  ///< name, documents and layers
    std::string ns;
    std::string snapshotter;
};

/// The image by its name in the first of the namespaces that has it. `snapshotter` is empty for the
/// one that the namespace's clients use.
/// @throws Error not_found if none has it, failed_precondition if it is not unpacked, both with the
/// next step; unsupported if it is no image to be run.
ImageToRecord find_image_to_record(const containerd::Connection& connection,
                                   const std::vector<std::string>& namespaces,
                                   const std::string& snapshotter, const oci::Reference& reference);

struct RecordingOptions {
    std::vector<std::string> command = {};  ///< empty: what the image says
    /// The end of the recording, if the container runs that long.
    std::chrono::milliseconds time_limit{60'000};
    /// Run by sh on this machine until it succeeds, with the container's process in $PREBAKE_PID.
    /// Then the recording ends; the time limit becomes an error. Empty: none.
    std::string until_ready = {};
    oci::ContainerNetwork network = oci::ContainerNetwork::loopback;
    ReadAheadPlaces places = {};
    /// Gets the end of what the container wrote, also if the recording fails.
    std::function<void(const std::string&)> on_output = [](const std::string&) {};
};

enum class RecordingEnd { ended, time_limit, ready };

struct Recording {
    v1::ReadTrace trace;  ///< of one image
    RecordingEnd end = RecordingEnd::ended;
    std::chrono::duration<double> seconds{};
    /// Of the image's files, which could not be dropped from the page cache: whether the container
    /// read them is not known.
    std::uint64_t stayed_bytes = 0;
    /// False: the kernel may have read more than the container, because read-ahead was on.
    bool is_exact = true;
    ResidencyMethod method = ResidencyMethod::cachestat;
};

/// Drops the files of the image from the page cache, switches off read-ahead, runs the image, and
/// sees what is in the cache then. Leaves no container. Removes what earlier recordings left.
/// @throws Error failed_precondition if the container fails; timed_out if it does not become ready;
/// unsupported if its files are not in directories of this machine; cancelled.
Recording record_image(const containerd::Connection& connection, const ImageToRecord& image,
                       const RecordingOptions& options);

/// When to look for what was read: after 1, 2, 4, 8, ... seconds.
std::chrono::seconds next_look(std::chrono::seconds last);

}  // namespace prebake::hydrate
