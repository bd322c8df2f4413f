#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/bake/blob_store.h"
#include "agent/bake/event.h"
#include "agent/bake/layer_source.h"
#include "agent/base/error.h"
#include "tests/unit/base/bytes_source.h"

namespace prebake::bake::test {

using prebake::tests::BytesSource;

/// The content store of containerd in memory, with its rules on ingests, adoption and labels. Files
/// are shared by all namespaces. Thread-safe.
class FakeStore final : public BlobStore {
  public:
    using Key = std::pair<std::string, oci::Digest>;  // namespace, digest

    // The interface is const, like containerd::Content: the state is not in the object.
    mutable std::map<Key, store::Labels> blobs;        ///< what containerd knows
    mutable std::map<oci::Digest, std::string> files;  ///< the content; missing if lost
    mutable std::map<oci::Digest, std::uint64_t> sizes;
    mutable std::map<Key, std::string> ingests;
    bool shares = true;       ///< the sharing policy between namespaces
    bool is_visible = true;   ///< ingests are filled in place
    bool puts_adopt = false;  ///< put() adopts the file of another namespace, too
    // How often containerd goes away during a call.
    mutable int failing_writes = 0;   ///< after half of the bytes
    mutable int failing_commits = 0;  ///< after the blob was committed
    mutable int failing_opens = 0;
    // What was called.
    mutable int label_calls = 0;
    mutable int restarts = 0;
    mutable std::vector<Key> removed;

    void add(const std::string& ns, const std::string& bytes, const store::Labels& labels = {}) {
        const oci::Digest digest = oci::Digest::of(bytes);
        blobs[{ns, digest}] = labels;
        files[digest] = bytes;
        sizes[digest] = bytes.size();
    }
    void lose_file(const std::string& bytes) { files.erase(oci::Digest::of(bytes)); }
    bool has(const std::string& ns, const std::string& bytes) const {
        return blobs.contains({ns, oci::Digest::of(bytes)});
    }
    store::Labels labels(const std::string& ns, const std::string& bytes) const {
        return blobs.at({ns, oci::Digest::of(bytes)});
    }

    std::optional<containerd::BlobInfo> info(const std::string& ns,
                                             const oci::Digest& digest) const override {
        const std::scoped_lock lock(mutex_);
        const auto blob = blobs.find({ns, digest});
        if (blob == blobs.end()) return std::nullopt;
        return containerd::BlobInfo{
            .digest = digest, .size = sizes.at(digest), .labels = blob->second};
    }
    bool is_readable(const std::string& /*ns*/, const containerd::BlobInfo& blob) const override {
        const std::scoped_lock lock(mutex_);
        const auto file = files.find(blob.digest);
        return file != files.end() && file->second.size() == blob.size;
    }
    std::unique_ptr<Source> read(const std::string& /*ns*/, const oci::Digest& digest,
                                 std::uint64_t offset) const override {
        const std::scoped_lock lock(mutex_);
        return std::make_unique<BytesSource>(files.at(digest).substr(offset));
    }
    std::unique_ptr<containerd::BlobWriter> open_writer(const std::string& ns,
                                                        const oci::Descriptor& blob) const override;
    void put(const std::string& ns, const oci::Descriptor& blob, std::string_view bytes,
             const store::Labels& labels) const override {
        const std::scoped_lock lock(mutex_);
        if (blobs.contains({ns, blob.digest})) return update(ns, blob.digest, labels);
        if (puts_adopt && is_anywhere(blob.digest)) return adopt(ns, blob, labels);
        commit(ns, blob, std::string(bytes), labels);
    }
    void set_labels(const std::string& ns, const oci::Digest& digest,
                    const store::Labels& labels) const override {
        const std::scoped_lock lock(mutex_);
        update(ns, digest, labels);
    }
    void remove(const std::string& ns, const oci::Digest& digest) const override {
        const std::scoped_lock lock(mutex_);
        removed.emplace_back(ns, digest);
        blobs.erase({ns, digest});
        if (!is_anywhere(digest)) files.erase(digest);
    }
    void outlast_restart(const std::string& /*image*/,
                         const std::function<void()>& work) const override {
        for (;;) {
            try {
                return work();
            } catch (const Error& error) {
                if (error.code() != Errc::unavailable) throw;
                ++restarts;
            }
        }
    }

  private:
    friend class FakeWriter;

    bool is_anywhere(const oci::Digest& digest) const {
        return std::any_of(blobs.begin(), blobs.end(),
                           [&](const auto& blob) { return blob.first.second == digest; });
    }
    void update(const std::string& ns, const oci::Digest& digest,
                const store::Labels& labels) const {
        if (labels.empty()) return;
        ++label_calls;
        for (const auto& [key, value] : labels) {
            store::Labels& held = blobs.at({ns, digest});
            if (value.empty()) {
                held.erase(key);
            } else {
                held[key] = value;
            }
        }
    }
    void commit(const std::string& ns, const oci::Descriptor& blob, std::string bytes,
                const store::Labels& labels) const {
        if (oci::Digest::of(bytes) != blob.digest) {
            ingests.erase({ns, blob.digest});
            throw Error(Errc::corrupt, "unexpected digest");
        }
        files[blob.digest] = std::move(bytes);
        adopt(ns, blob, labels);
    }
    void adopt(const std::string& ns, const oci::Descriptor& blob,
               const store::Labels& labels) const {
        sizes[blob.digest] = blob.size;
        blobs[{ns, blob.digest}] = labels;
        ingests.erase({ns, blob.digest});
    }

    mutable std::mutex mutex_;
};

class FakeWriter final : public containerd::BlobWriter {
  public:
    FakeWriter(const FakeStore& store, std::string ns, oci::Descriptor blob, bool adopts)
        : store_(store), ns_(std::move(ns)), blob_(std::move(blob)), adopts_(adopts) {}

    std::uint64_t offset() const override {
        const std::scoped_lock lock(store_.mutex_);
        return adopts_ ? blob_.size : store_.ingests[{ns_, blob_.digest}].size();
    }
    void write(std::span<const std::byte> bytes) override {
        const std::scoped_lock lock(store_.mutex_);
        std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        std::string& ingest = store_.ingests[{ns_, blob_.digest}];
        if (store_.failing_writes > 0) {
            --store_.failing_writes;
            ingest += text.substr(0, text.size() / 2);
            throw Error(Errc::unavailable, "containerd is gone");
        }
        ingest += text;
    }
    void commit(const store::Labels& labels) override {
        const std::scoped_lock lock(store_.mutex_);
        if (adopts_) {
            store_.adopt(ns_, blob_, labels);
        } else {
            store_.commit(ns_, blob_, store_.ingests[{ns_, blob_.digest}], labels);
        }
        if (store_.failing_commits > 0) {
            --store_.failing_commits;
            throw Error(Errc::unavailable, "containerd is gone");
        }
    }

    bool is_in_place() const override { return store_.is_visible && !adopts_; }

  private:
    const FakeStore& store_;
    std::string ns_;
    oci::Descriptor blob_;
    bool adopts_;
};

inline std::unique_ptr<containerd::BlobWriter> FakeStore::open_writer(
    const std::string& ns, const oci::Descriptor& blob) const {
    const std::scoped_lock lock(mutex_);
    if (failing_opens > 0) {
        --failing_opens;
        throw Error(Errc::unavailable, "containerd is gone");
    }
    if (blobs.contains({ns, blob.digest})) return nullptr;
    return std::make_unique<FakeWriter>(*this, ns, blob, shares && is_anywhere(blob.digest));
}

/// Layers in memory, by digest. What is not there is not found.
class FakeLayers final : public LayerSource {
  public:
    struct Layer {
        std::string bytes;
        std::optional<Error> failure = {};  ///< at the end of the bytes
    };
    struct Opened {
        std::string repository;
        std::uint64_t offset;
        bool operator==(const Opened&) const = default;
    };
    std::map<std::pair<std::string, oci::Digest>, Layer> layers;  ///< by repository and digest
    std::vector<Opened> opened;

    std::unique_ptr<Source> open(const oci::Reference& repository, const oci::Descriptor& layer,
                                 std::uint64_t offset, const std::stop_token& /*stop*/) override {
        const std::scoped_lock lock(mutex_);
        opened.push_back({.repository = repository.repository, .offset = offset});
        const auto found = layers.find({repository.repository, layer.digest});
        if (found == layers.end()) throw Error(Errc::not_found, "no such layer");
        return std::make_unique<BytesSource>(found->second.bytes.substr(offset),
                                             found->second.failure);
    }

  private:
    std::mutex mutex_;
};

/// Keeps the notices, and what the last EventKind::fetching received.
class Notices final : public EventSink {
  public:
    std::vector<std::string> texts;
    std::uint64_t received = 0;
    void on_event(const Event& event) override {
        const std::scoped_lock lock(mutex_);
        if (event.kind == EventKind::notice) texts.push_back(event.message);
        if (event.kind == EventKind::fetching) received = event.received;
    }

  private:
    std::mutex mutex_;
};

}  // namespace prebake::bake::test
