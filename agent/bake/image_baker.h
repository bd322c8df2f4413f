#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/bake/fetch.h"
#include "agent/bake/name_conflicts.h"
#include "agent/bake/session.h"
#include "agent/bake/survey.h"
#include "agent/bake/unpack.h"
#include "agent/base/worker_pool.h"

namespace prebake::bake {

class LayerDownloads;

/// What to do with a name that is there and points at another image.
enum class MovedNames {
    point_here,
    leave,
};

/// The result of one image, even if it is incomplete.
struct ImageYield {
    std::uint64_t bytes_fetched = 0;
    bool changed = false;       ///< something was fetched, unpacked or named
    bool cri_resolves = false;  ///< CRI was asked for every spelling, and knew it
};

/// Bakes one resolved image: content, snapshots, then names; whatever fails, no name points at
/// something that is not whole. Thread-safe: the images of a bake share one of these.
class ImageBaker {
  public:
    /// `pinned` are the names to pin.
    ImageBaker(const Session& session, const Survey& survey, const store::NameSet& pinned,
               MovedNames moved_names, WorkerPool& downloads, BlobFetcher& fetcher,
               Unpacker& unpacker);

    /// Adds to `yield` as it goes. @throws Error; what was finished stays under the session's
    /// lease.
    void bake(const ResolvedImage& image, ImageYield& yield);

  private:
    void store_documents(const ResolvedImage& image, const std::string& ns);
    void store_layers(const ResolvedImage& image, const std::string& ns, ImageYield& yield);
    void unpack_layers(const ResolvedImage& image, const std::string& ns, LayerDownloads& downloads,
                       ImageYield& yield);
    void write_names(const ResolvedImage& image, const std::string& ns, ImageYield& yield);
    void check_cri(const ResolvedImage& image, const std::set<std::string>& left,
                   ImageYield& yield);

    const Session& session_;
    const Survey& survey_;
    const store::NameSet& pinned_;
    MovedNames moved_names_;
    WorkerPool& downloads_;
    BlobFetcher& fetcher_;
    Unpacker& unpacker_;
    bool cri_available_;
};

}  // namespace prebake::bake
