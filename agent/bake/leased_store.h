#pragma once

#include <string>
#include <utility>

#include "agent/bake/blob_store.h"
#include "agent/bake/event.h"
#include "agent/bake/stage_times.h"
#include "agent/containerd/connection.h"
#include "agent/containerd/content.h"
#include "agent/containerd/images.h"
#include "agent/containerd/ingest_directory.h"
#include "agent/store/storage.h"

namespace prebake::bake {

/// Whether a restart of containerd fails the work in progress, or the work waits and continues.
enum class OnRestart { resume, fail };

/// containerd as the steps of one bake use it: what they create is under the bake's lease. The
/// referenced objects must live longer.
class LeasedStore final : public BlobStore {
  public:
    /// `lease` is an id that exists in each namespace to work in.
    LeasedStore(const containerd::Connection& connection, const store::Storage& storage,
                EventSink& events, std::string lease, OnRestart on_restart)
        : connection_(connection),
          storage_(storage),
          events_(events),
          lease_(std::move(lease)),
          on_restart_(on_restart),
          ingests_(storage.content_directory()) {}

    const containerd::Connection& connection() const { return connection_; }
    const store::Storage& storage() const { return storage_; }
    EventSink& events() const { return events_; }
    /// Where the time of the bake goes.
    StageTimes& times() const { return times_; }
    /// Why blobs cannot be written in place; nothing if they can, or if none had to be stored yet.
    std::optional<std::string> in_place_obstacle() const { return ingests_.obstacle(); }
    containerd::Scope scope(const std::string& ns) const { return {.ns = ns, .lease = lease_}; }
    containerd::Images images(const std::string& ns) const { return {connection_, scope(ns)}; }

    std::optional<containerd::BlobInfo> info(const std::string& ns,
                                             const oci::Digest& digest) const override;
    bool is_readable(const std::string& ns, const containerd::BlobInfo& blob) const override;
    std::unique_ptr<Source> read(const std::string& ns, const oci::Digest& digest,
                                 std::uint64_t offset) const override;
    std::unique_ptr<containerd::BlobWriter> open_writer(const std::string& ns,
                                                        const oci::Descriptor& blob) const override;
    void put(const std::string& ns, const oci::Descriptor& blob, std::string_view bytes,
             const store::Labels& labels) const override;
    void set_labels(const std::string& ns, const oci::Digest& digest,
                    const store::Labels& labels) const override;
    void remove(const std::string& ns, const oci::Digest& digest) const override;
    void outlast_restart(const std::string& image,
                         const std::function<void()>& work) const override;

  private:
    containerd::Content content(const std::string& ns) const { return {connection_, scope(ns)}; }

    const containerd::Connection& connection_;
    const store::Storage& storage_;
    EventSink& events_;
    std::string lease_;
    OnRestart on_restart_;
    mutable StageTimes times_;
    containerd::IngestDirectory ingests_;
};

}  // namespace prebake::bake
