#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/base/stream.h"
#include "agent/containerd/connection.h"
#include "agent/oci/manifest.h"

namespace prebake::containerd {

struct BlobInfo {
    oci::Digest digest;
    std::uint64_t size = 0;
    Labels labels;
    std::chrono::system_clock::time_point created_at = {};  ///< in this namespace
};

/// An open ingest. Dropping it without commit() keeps the ingest, so that the same reference
/// resumes it. Behind it is either a stream to containerd or (later) the ingest's own file: callers
/// do not know which.
class BlobWriter {
  public:
    virtual ~BlobWriter() = default;
    /// Bytes that the ingest already holds; the next write() continues there. Equal to the blob's
    /// size when containerd can adopt the blob from another namespace: commit() at once.
    virtual std::uint64_t offset() const = 0;
    virtual void write(std::span<const std::byte> bytes) = 0;
    /// Makes containerd verify size and digest, and names the blob. Someone else having committed
    /// it meanwhile is success. @throws Error corrupt if the bytes do not match; the ingest is then
    /// aborted, so that nothing resumes from bad bytes.
    virtual void commit(const Labels& labels) = 0;
};

/// containerd.services.content.v1
class Content {
  public:
    Content(const Connection& connection, Scope scope);

    std::optional<BlobInfo> info(const oci::Digest& digest) const;
    /// When the blob's labels were written last, as each pull does to an image's documents, also
    /// when all of it is there; nothing if there is no such blob.
    std::optional<std::chrono::system_clock::time_point> touched_at(
        const oci::Digest& digest) const;
    /// All blobs of the namespace.
    std::vector<BlobInfo> list() const;
    /// The blob's bytes from `offset` on. @throws Error not_found, from here or from
    /// Source::read(); also when containerd knows the blob and its file is gone.
    std::unique_ptr<Source> read(const oci::Digest& digest, std::uint64_t offset = 0) const;
    /// The whole of a small blob. @throws Error too_large over `limit`.
    std::string read_all(const oci::Digest& digest, std::size_t limit) const;
    /// True if the blob's file is there to its last byte. (Up to 2.1 a power cut can leave a blob
    /// that containerd knows, and no file.)
    bool is_readable(const BlobInfo& blob) const;
    /// Forgets the blob in this namespace. One that does not exist is fine.
    void remove(const oci::Digest& digest) const;
    /// Sets the given labels (an empty value deletes one) and leaves all others.
    void set_labels(const oci::Digest& digest, const Labels& labels) const;

    /// Opens the ingest `ref` for `blob`, resuming what is there. Null when the blob is already in
    /// this namespace; it is then under the scope's lease too. Waits while another client writes
    /// the same reference; @throws Error conflict when that writer makes no progress for a minute.
    std::unique_ptr<BlobWriter> open_writer(const std::string& ref,
                                            const oci::Descriptor& blob) const;
    /// Drops an ingest; one that does not exist is fine.
    void abort(const std::string& ref) const;
    /// Stores a small blob in one round trip; already there is fine.
    void put(const std::string& ref, const oci::Descriptor& blob, std::string_view bytes,
             const Labels& labels) const;

  private:
    const Connection& connection_;
    Scope scope_;
};

/// The ingest reference that CRI, ctr and Docker use for `descriptor` ("layer-sha256:…",
/// "config-sha256:…", "manifest-…", "index-…", else "unknown-…"): with the same name, concurrent
/// pulls of a blob share one ingest.
std::string ingest_ref(const oci::Descriptor& descriptor);

}  // namespace prebake::containerd
