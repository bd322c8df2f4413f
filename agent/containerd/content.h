#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/stream.h"
#include "agent/containerd/blob_writer.h"
#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"

namespace prebake::containerd {

struct BlobInfo {
    oci::Digest digest;
    std::uint64_t size = 0;
    Labels labels;
    std::chrono::system_clock::time_point created_at = {};  ///< in this namespace
};

struct IngestTarget;
class IngestDirectory;

/// containerd.services.content.v1
class Content {
  public:
    Content(const Connection& connection, Scope scope);

    std::optional<BlobInfo> info(const oci::Digest& digest) const;
    /// When the blob's labels were last written; nothing if there is no such blob. Each pull writes
    /// those of an image's documents, also if nothing has to be fetched.
    std::optional<std::chrono::system_clock::time_point> touched_at(
        const oci::Digest& digest) const;
    /// All blobs of the namespace.
    std::vector<BlobInfo> list() const;
    /// The blob's bytes from `offset` on. @throws Error not_found, from here or from
    /// Source::read(), also if containerd knows the blob but its file is gone.
    std::unique_ptr<Source> read(const oci::Digest& digest, std::uint64_t offset = 0) const;
    /// The whole of a small blob. @throws Error too_large over `limit`.
    std::string read_all(const oci::Digest& digest, std::size_t limit) const;
    /// True if the blob's last byte can be read. (Up to 2.1 a power cut can leave a blob that
    /// containerd knows without its file.)
    bool is_readable(const BlobInfo& blob) const;
    /// Removes the blob from this namespace; does nothing if it is not there.
    void remove(const oci::Digest& digest) const;
    /// Sets the given labels (an empty value deletes one); other labels stay.
    void set_labels(const oci::Digest& digest, const Labels& labels) const;

    /// Opens the ingest `ref` for `blob` and resumes it if it exists. Null if the blob is already
    /// in this namespace; it is then under the scope's lease too. Waits while another client writes
    /// the same reference. @throws Error conflict if that client makes no progress for a minute.
    std::unique_ptr<BlobWriter> open_writer(const std::string& ref,
                                            const oci::Descriptor& blob) const;
    /// The same, but fills the ingest in place if the blob is not small and `directory` can be
    /// written; otherwise streams to ingest_ref(). In place it uses a reference of ours: an ingest
    /// of another client is not resumed. Waits while another prebake fills it.
    /// @throws Error as above; no_space if the disk is too small.
    std::unique_ptr<BlobWriter> open_writer(const oci::Descriptor& blob,
                                            const IngestDirectory& directory) const;
    /// Removes an ingest; does nothing if there is none.
    void abort(const std::string& ref) const;
    /// Stores a small blob in one round trip, unless it is there already.
    void put(const std::string& ref, const oci::Descriptor& blob, std::string_view bytes,
             const Labels& labels) const;

  private:
    IngestTarget target(std::string ref, const oci::Descriptor& blob) const;

    const Connection& connection_;
    Scope scope_;
};

/// The ingest reference that CRI, ctr and Docker use for `descriptor` ("layer-sha256:…",
/// "config-sha256:…", "manifest-…", "index-…", else "unknown-…"): concurrent pulls of a blob share
/// one ingest by its name.
std::string ingest_ref(const oci::Descriptor& descriptor);

}  // namespace prebake::containerd
