#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "agent/bake/once_map.h"
#include "agent/bake/resolve.h"
#include "agent/bake/session.h"
#include "agent/store/labels.h"

namespace prebake::bake {

/// Gets blobs into the content store, each at most once per namespace and bake. Thread-safe.
class BlobFetcher {
  public:
    explicit BlobFetcher(const Session& session) : session_(session) {}

    struct Job {
        const ResolvedImage& image;
        const std::string& ns;
        const oci::Descriptor& blob;
        const store::Labels& labels;  ///< beside distribution.source, which is always set
        const std::string* bytes;  ///< of a document that we hold already; null: from the registry
        std::stop_token stop;      ///< gives up this image alone
    };

    /// Makes the blob present in the namespace, under the session's lease and with its labels.
    /// Takes it from there, from another namespace (no byte is moved under containerd's shared
    /// policy), or from the registry. Resumes an ingest that an earlier bake left. Returns the
    /// bytes that came over the network on behalf of this call.
    std::uint64_t ensure(const Job& job);

    /// True once something was stored or labelled.
    bool has_changed() const { return has_changed_; }

    /// Gives a stored blob those of the labels that it does not have yet.
    void label(const ResolvedImage& image, const std::string& ns, const oci::Digest& digest,
               const store::Labels& labels);

  private:
    bool has_lost_file(const Job& job) const;
    bool is_there(const Job& job);
    void require_readable(const Job& job);
    std::uint64_t store(const Job& job);
    std::uint64_t transfer(const Job& job);
    bool copy(const Job& job, containerd::BlobWriter& writer, Source* source, std::uint64_t& moved);
    std::unique_ptr<Source> open_source(const Job& job, std::uint64_t offset, bool& from_network);

    const Session& session_;
    std::atomic<bool> has_changed_{false};
    OnceMap<std::pair<std::string, oci::Digest>> once_;
    std::mutex labelling_;  // distribution.source is read, changed and written back
};

}  // namespace prebake::bake
