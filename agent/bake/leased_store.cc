#include "agent/bake/leased_store.h"

#include "agent/bake/outlast.h"
#include "agent/bake/timed.h"
#include "agent/base/file_source.h"
#include "agent/containerd/leases.h"

namespace prebake::bake {

std::optional<containerd::BlobInfo> LeasedStore::info(const std::string& ns,
                                                      const oci::Digest& digest) const {
    return content(ns).info(digest);
}

bool LeasedStore::is_readable(const std::string& ns, const containerd::BlobInfo& blob) const {
    return content(ns).is_readable(blob);
}

std::unique_ptr<Source> LeasedStore::read(const std::string& ns, const oci::Digest& digest,
                                          std::uint64_t offset) const {
    // The namespace has the blob, or the caller would not ask. Its file is much faster than a call.
    if (FileDescriptor file = storage_.open_blob(digest)) {
        return std::make_unique<FileSource>(std::move(file), "blob " + digest.str(), offset);
    }
    return content(ns).read(digest, offset);
}

std::unique_ptr<containerd::BlobWriter> LeasedStore::open_writer(
    const std::string& ns, const oci::Descriptor& blob) const {
    auto writer = content(ns).open_writer(blob, ingests_);
    if (!writer) return nullptr;
    return std::make_unique<TimedWriter>(std::move(writer), times_);
}

void LeasedStore::put(const std::string& ns, const oci::Descriptor& blob, std::string_view bytes,
                      const store::Labels& labels) const {
    content(ns).put(containerd::ingest_ref(blob), blob, bytes, labels);
}

void LeasedStore::set_labels(const std::string& ns, const oci::Digest& digest,
                             const store::Labels& labels) const {
    content(ns).set_labels(digest, labels);
}

void LeasedStore::remove(const std::string& ns, const oci::Digest& digest) const {
    content(ns).remove(digest);
    containerd::Leases(connection_, ns).collect_garbage();
}

void LeasedStore::outlast_restart(const std::string& image,
                                  const std::function<void()>& work) const {
    if (on_restart_ == OnRestart::fail) return work();
    bake::outlast_restart(
        [&] { static_cast<void>(connection_.version()); }, connection_.stop(),
        [&] { notice(events_, image, "containerd stopped answering; waiting for it to return"); },
        work);
}

}  // namespace prebake::bake
