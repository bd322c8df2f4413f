#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "agent/bake/blob_feed.h"
#include "agent/bake/blob_repositories.h"
#include "agent/bake/blob_store.h"
#include "agent/bake/event.h"
#include "agent/bake/layer_bytes.h"
#include "agent/bake/layer_source.h"
#include "agent/bake/once_map.h"
#include "agent/bake/resolve.h"
#include "agent/store/labels.h"

namespace prebake::bake {

/// Gets blobs into the content store, each at most once per namespace and bake. Thread-safe. The
/// referenced objects must live longer.
class BlobFetcher final : public LayerBytes {
  public:
    /// `repositories` has every blob that will be asked for. Before `layers` is asked for a blob,
    /// the other namespaces of its image and then `other_namespaces` are searched.
    BlobFetcher(const BlobStore& store, LayerSource& layers, EventSink& events,
                const BlobRepositories& repositories,
                std::vector<std::string> other_namespaces = {})
        : store_(store),
          layers_(layers),
          events_(events),
          repositories_(repositories),
          other_namespaces_(std::move(other_namespaces)) {}

    struct Job {
        const ResolvedImage& image;
        const std::string& ns;
        const oci::Descriptor& blob;
        const store::Labels& labels;  ///< distribution.source is added to these
        const std::string* bytes;     ///< of a document; null for a layer, which has to be fetched
        std::stop_token stop;         ///< stops this image alone
    };

    /// Makes the blob present in the namespace, under the bake's lease and with its labels. Takes
    /// it from there, from another namespace (containerd adopts it without copying if its sharing
    /// policy is "shared"), or from the layer source. Resumes an ingest that an earlier bake left.
    /// Returns the bytes that this call fetched over the network.
    /// A document whose stored bytes do not have its digest is stored again.
    /// @throws Error corrupt if containerd has lost the blob's file, or keeps a damaged one, and
    /// cannot forget it.
    std::uint64_t ensure(const Job& job);

    /// Stores a layer again if its stored bytes do not have its digest, as an unpacking that failed
    /// may show: in all namespaces of the image that have it. False if they have it, so that
    /// something else is wrong. Adds to `fetched` what came over the network.
    /// @throws Error as ensure(); corrupt if a namespace of another client keeps the damaged file.
    bool replace_damaged(const Job& job, std::uint64_t& fetched);

    std::unique_ptr<Source> follow(const std::string& ns, const oci::Descriptor& layer,
                                   const std::stop_token& stop,
                                   std::unique_lock<Slots>& slot) override;

    /// Sets those of `labels` that a stored blob does not have yet.
    void label(const ResolvedImage& image, const std::string& ns, const oci::Digest& digest,
               const store::Labels& labels);

    /// True if anything was stored or labelled.
    bool has_changed() const { return has_changed_; }
    /// How many layers were written into the store's own files, or streamed to containerd.
    std::size_t written_in_place() const { return written_in_place_; }
    std::size_t streamed() const { return streamed_; }
    /// True if a blob was removed to be stored again: what was listed before may not be true.
    bool has_removed() const { return has_removed_; }

  private:
    enum class Stored { with_labels, already_there };
    /// Namespaces share a blob's file, so one image at a time replaces a damaged one.
    struct Replacement {
        std::mutex running;
        std::set<std::string> done_in;  ///< namespaces
    };

    store::Labels new_labels(const Job& job) const;
    bool is_there(const Job& job);
    bool is_sound(const Job& job);
    Replacement& replacement_of(const oci::Digest& digest);
    void forget(const Job& job, const std::string& why);
    void require_readable(const Job& job);
    void require_sound(const Job& job);
    /// `feed` is null for a document.
    Stored store(const Job& job, BlobFeed* feed, std::uint64_t& fetched);
    void store_followed(const Job& job, Stored& stored, std::uint64_t& fetched);
    BlobFeed& feed_of(const std::string& ns, const oci::Digest& digest);
    Stored transfer(const Job& job, BlobFeed& feed, std::uint64_t& fetched);
    bool copy(const Job& job, containerd::BlobWriter& writer, Source* source, BlobFeed& feed,
              std::uint64_t& moved, const std::uint64_t& received);
    std::unique_ptr<Source> open_source(const Job& job, std::uint64_t offset, bool& from_network);

    const BlobStore& store_;
    LayerSource& layers_;
    EventSink& events_;
    const BlobRepositories& repositories_;
    std::vector<std::string> other_namespaces_;
    std::atomic<bool> has_changed_{false};
    std::atomic<std::size_t> written_in_place_{0};
    std::atomic<std::size_t> streamed_{0};
    std::atomic<bool> has_removed_{false};
    OnceMap<std::pair<std::string, oci::Digest>> once_;
    std::mutex replacements_mutex_;
    std::map<oci::Digest, Replacement> replacements_;
    std::mutex feeds_mutex_;
    std::map<std::pair<std::string, oci::Digest>, BlobFeed> feeds_;  ///< of layers
};

}  // namespace prebake::bake
