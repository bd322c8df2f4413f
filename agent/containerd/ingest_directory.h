#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "agent/base/file.h"

namespace prebake::containerd {

/// An ingest as containerd describes it when it opens it.
struct IngestKey {
    std::string ns;
    std::string ref;
    google::protobuf::Timestamp started_at;
};

/// The open files of one ingest.
class IngestFiles {
  public:
    /// Takes over the ingest's directory, and opens the data in it. @throws Error
    /// permission_denied, io.
    IngestFiles(FileDescriptor directory, std::filesystem::path data_path);

    const std::filesystem::path& data_path() const { return data_path_; }
    /// True if the data are as containerd creates them: a regular file with one name, on the
    /// directory's file system. Otherwise nothing below may be called.
    bool is_sound() const { return is_sound_; }
    /// Locks the ingest (flock(2)) until this object is destroyed, against other processes that
    /// fill it in place. containerd does not know this lock. False if another process holds it.
    bool try_lock() const;
    std::uint64_t size() const;
    /// True if the name still leads to the open file: nobody has removed or replaced it.
    bool is_in_place() const;

    /// Opened for reading: valid as long as this object, whatever the file is called.
    int readable() const { return readable_.get(); }
    /// Opened for writing; negative after close_data().
    int data() const { return data_.get(); }
    void close_data() { data_ = FileDescriptor(); }

  private:
    FileDescriptor directory_;
    std::filesystem::path data_path_;
    FileDescriptor data_;
    FileDescriptor readable_;
    bool is_sound_;
};

/// The directory in which containerd keeps ingests, and whether this process can write there. Only
/// an open ingest shows that the directory is containerd's own, and not that of another mount
/// namespace or a copy, so the first ingest decides it. Thread-safe.
class IngestDirectory {
  public:
    /// `content_root` is the content store's directory, if containerd reports one.
    explicit IngestDirectory(const std::optional<std::filesystem::path>& content_root);

    /// Why this process cannot fill ingests in place; nothing if it can, or does not know yet. An
    /// answer stays.
    std::optional<std::string> obstacle() const;

    /// The files of an ingest that containerd has open. Nothing if this process can open those of
    /// no ingest: obstacle() then says why.
    /// @throws Error conflict if only this one is not there; permission_denied, io.
    std::optional<IngestFiles> open(const IngestKey& key) const;

  private:
    std::filesystem::path root_;
    mutable std::mutex mutex_;
    mutable bool is_visible_ = false;
    mutable std::optional<std::string> obstacle_;
};

/// The disk space of an ingest that an earlier process left, written or reserved; 0 if it is not
/// there, or not visible. `content_root` as above.
std::uint64_t space_of_ingest(const std::filesystem::path& content_root, const std::string& ns,
                              const std::string& ref);

}  // namespace prebake::containerd
