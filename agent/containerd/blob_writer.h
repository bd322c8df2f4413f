#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "agent/base/file.h"
#include "agent/containerd/connection.h"

namespace prebake::containerd {

/// An open ingest. If it is destroyed without commit(), the ingest stays, and the same reference
/// resumes it. The implementation is a stream to containerd, or the ingest's own file. Used by one
/// thread at a time.
class BlobWriter {
  public:
    virtual ~BlobWriter() = default;
    /// Bytes that the ingest already holds; the next write() continues there. It is the blob's size
    /// if containerd can adopt the blob from another namespace: then only commit() is needed.
    virtual std::uint64_t offset() const = 0;
    virtual void write(std::span<const std::byte> bytes) = 0;
    /// Makes containerd verify size and digest, and commits the blob. If another client has
    /// committed it meanwhile, that is success. @throws Error corrupt if the bytes do not match;
    /// the ingest is then aborted, so that no writer resumes from them.
    virtual void commit(const Labels& labels) = 0;

    /// True if the bytes do not pass through containerd.
    virtual bool is_in_place() const { return false; }
    /// The file that holds the first offset() bytes, for pread(2). It stays valid after the commit,
    /// which renames the file. Nothing if the ingest is a stream. @throws Error io.
    virtual std::optional<FileDescriptor> readable_file() const { return std::nullopt; }
};

}  // namespace prebake::containerd
