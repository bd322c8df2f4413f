#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "agent/base/file.h"
#include "agent/containerd/blob_writer.h"
#include "agent/containerd/content_writer.h"
#include "agent/containerd/ingest_directory.h"

namespace prebake::containerd {

/// The BlobWriter that fills the ingest's file itself. containerd does not see these bytes until
/// the commit, for which it opens the ingest again: then it hashes the file, and verifies size and
/// digest as for a stream.
class InPlaceWriter final : public BlobWriter {
  public:
    /// `files` are sound and locked, and no stream holds the ingest. Reserves the disk space.
    /// @throws Error no_space, conflict, io.
    InPlaceWriter(IngestTarget target, IngestFiles files);
    /// If commit() was not called, gives back the disk space that is not written.
    ~InPlaceWriter() override;
    InPlaceWriter(const InPlaceWriter&) = delete;
    InPlaceWriter& operator=(const InPlaceWriter&) = delete;

    std::uint64_t offset() const override { return position_; }
    /// @throws Error corrupt past the declared size, no_space, conflict if the file was removed,
    /// io.
    void write(std::span<const std::byte> bytes) override;
    void commit(const Labels& labels) override;
    bool is_in_place() const override { return true; }
    std::optional<FileDescriptor> readable_file() const override;

  private:
    void reserve();
    bool give_back_space() const;
    void require_in_place() const;

    IngestTarget target_;
    IngestFiles files_;
    std::uint64_t position_;
    std::uint64_t written_back_;
};

/// Smaller blobs are streamed: to open an ingest twice costs several fsyncs of containerd, as much
/// as to stream so many bytes.
inline constexpr std::uint64_t kLeastInPlaceBytes = 4UL << 20;

/// A reference of our own. Other clients share "layer-sha256:…", and would resume an ingest that is
/// still being filled: containerd does not lock it meanwhile.
std::string in_place_ref(const oci::Digest& digest);

/// Opens the ingest of `target` to fill it in place. If `directory` cannot be written, or all bytes
/// are there already, the writer is a stream. Null if the blob is in the namespace.
/// @throws Error as Content::open_writer().
std::unique_ptr<BlobWriter> open_in_place(const IngestTarget& target,
                                          const IngestDirectory& directory);

}  // namespace prebake::containerd
