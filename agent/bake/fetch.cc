#include "agent/bake/fetch.h"

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/sha256.h"
#include "agent/base/wait.h"

namespace prebake::bake {
namespace {

/// One buffer per download. containerd takes up to 16 MiB a message; more than 1 MiB gains nothing.
constexpr std::size_t kChunkBytes = 1UL << 20;
/// How often the ingest of one blob is opened if containerd keeps going away while it is written.
constexpr int kMaxOpens = 6;

std::string how_to_delete(const oci::Digest& digest) {
    return "delete it in every namespace (ctr -n NAMESPACE content rm " + digest.str() +
           "), then bake again";
}

}  // namespace

std::uint64_t BlobFetcher::ensure(const Job& job) {
    std::uint64_t fetched = 0;
    Stored stored = Stored::already_there;
    once_.run({job.ns, job.blob.digest}, [&] {
        if (job.bytes == nullptr) return store_followed(job, stored, fetched);
        stored = store(job, nullptr, fetched);
        require_readable(job);
    });
    events_.on_event({.kind = EventKind::fetched,
                      .image = job.image.name(),
                      .layer = job.blob.digest.str(),
                      .current = fetched,
                      .total = job.blob.size});
    if (stored == Stored::already_there) label(job.image, job.ns, job.blob.digest, job.labels);
    return fetched;
}

/// Stores a layer, which may be unpacked meanwhile.
void BlobFetcher::store_followed(const Job& job, Stored& stored, std::uint64_t& fetched) {
    BlobFeed& feed = feed_of(job.ns, job.blob.digest);
    try {
        stored = store(job, &feed, fetched);
        require_readable(job);
    } catch (...) {
        feed.failed();
        throw;
    }
    feed.stored();
}

BlobFeed& BlobFetcher::feed_of(const std::string& ns, const oci::Digest& digest) {
    const std::scoped_lock lock(feeds_mutex_);
    return feeds_[{ns, digest}];
}

std::unique_ptr<Source> BlobFetcher::follow(const std::string& ns, const oci::Descriptor& layer,
                                            const std::stop_token& stop,
                                            std::unique_lock<Slots>& slot) {
    std::unique_ptr<Source> growing = feed_of(ns, layer.digest).follow(stop, slot);
    return growing ? std::move(growing) : store_.read(ns, layer.digest, 0);
}

void BlobFetcher::label(const ResolvedImage& image, const std::string& ns,
                        const oci::Digest& digest, const store::Labels& labels) {
    store_.outlast_restart(image.name(), [&] {
        const auto info = store_.info(ns, digest);
        if (!info) {
            throw Error(Errc::not_found,
                        "blob " + digest.str() + " disappeared from namespace " + ns,
                        "look for another program that deletes images during the bake");
        }
        const store::Labels missing = store::missing_labels(
            info->labels, with_sources(labels, info->labels, repositories_.at({ns, digest})));
        if (missing.empty()) return;
        store_.set_labels(ns, digest, missing);
        has_changed_ = true;
    });
}

/// Of a blob that is not there yet.
store::Labels BlobFetcher::new_labels(const Job& job) const {
    return with_sources(job.labels, {}, repositories_.at({job.ns, job.blob.digest}));
}

/// True if the namespace has the blob. Removes one whose file is lost, and a document that is
/// damaged, so that it is stored again.
bool BlobFetcher::is_there(const Job& job) {
    bool is_there = false;
    store_.outlast_restart(job.image.name(), [&] {
        const auto info = store_.info(job.ns, job.blob.digest);
        is_there = info && store_.is_readable(job.ns, *info);
        if (!info) return;
        if (!is_there) {
            notice(events_, job.image.name(),
                   "the file of blob " + job.blob.digest.str() +
                       " is missing or incomplete; storing the blob again");
            has_removed_ = true;
            // What is left of the file must go too: a new blob would adopt it.
            store_.remove(job.ns, job.blob.digest);
        } else if (job.bytes != nullptr && !is_sound(job)) {
            forget(job, "is damaged");
            is_there = false;
        }
    });
    return is_there;
}

/// Reads all of the blob.
bool BlobFetcher::is_sound(const Job& job) {
    const std::unique_ptr<Source> source = store_.read(job.ns, job.blob.digest, 0);
    const oci::Digest actual(sha256(*source, [&](std::size_t) { throw_if_stopped(job.stop); }));
    return actual == job.blob.digest;
}

/// Removes the blob from all namespaces of the image: they share one file, and a new blob adopts it
/// as long as one of them has it.
void BlobFetcher::forget(const Job& job, const std::string& why) {
    notice(events_, job.image.name(),
           "blob " + job.blob.digest.str() + " " + why + "; storing it again");
    has_removed_ = true;
    for (const std::string& ns : job.image.request.namespaces) {
        if (store_.info(ns, job.blob.digest)) store_.remove(ns, job.blob.digest);
    }
}

BlobFetcher::Replacement& BlobFetcher::replacement_of(const oci::Digest& digest) {
    const std::scoped_lock lock(replacements_mutex_);
    return replacements_[digest];
}

bool BlobFetcher::replace_damaged(const Job& job, std::uint64_t& fetched) {
    Replacement& replacement = replacement_of(job.blob.digest);
    const std::scoped_lock lock(replacement.running);
    if (replacement.done_in.contains(job.ns)) return true;  // by another image
    if (!store_.info(job.ns, job.blob.digest) || is_sound(job)) return false;
    std::vector<std::pair<std::string, store::Labels>> held;
    for (const std::string& ns : job.image.request.namespaces) {
        if (const auto info = store_.info(ns, job.blob.digest)) held.emplace_back(ns, info->labels);
    }
    forget(job, "is damaged");
    for (const auto& [ns, labels] : held) {
        const Job again{.image = job.image,
                        .ns = ns,
                        .blob = job.blob,
                        .labels = labels,
                        .bytes = nullptr,
                        .stop = job.stop};
        Stored stored = Stored::already_there;
        store_followed(again, stored, fetched);
        require_sound(again);
        replacement.done_in.insert(ns);
    }
    return true;
}

void BlobFetcher::require_sound(const Job& job) {
    if (is_sound(job)) return;
    throw Error(Errc::corrupt,
                "blob " + job.blob.digest.str() +
                    " is damaged, and containerd adopts the damaged file from another namespace",
                how_to_delete(job.blob.digest));
}

void BlobFetcher::require_readable(const Job& job) {
    store_.outlast_restart(job.image.name(), [&] {
        const auto info = store_.info(job.ns, job.blob.digest);
        if (!info || store_.is_readable(job.ns, *info)) return;
        throw Error(Errc::corrupt,
                    "containerd has lost the file of blob " + job.blob.digest.str() +
                        ", and adopts what is left of it from another namespace",
                    how_to_delete(job.blob.digest));
    });
}

BlobFetcher::Stored BlobFetcher::store(const Job& job, BlobFeed* feed, std::uint64_t& fetched) {
    const bool was_there = is_there(job);
    Stored stored = was_there ? Stored::already_there : Stored::with_labels;
    if (feed != nullptr) {
        stored = transfer(job, *feed, fetched);
    } else {
        // The labels of a blob that is there are read before they are changed, by label().
        const store::Labels labels = was_there ? store::Labels() : new_labels(job);
        store_.outlast_restart(job.image.name(),
                               [&] { store_.put(job.ns, job.blob, *job.bytes, labels); });
    }
    if (!was_there && job.bytes != nullptr) require_sound(job);
    if (!was_there || stored == Stored::with_labels) has_changed_ = true;
    return stored;
}

BlobFetcher::Stored BlobFetcher::transfer(const Job& job, BlobFeed& feed, std::uint64_t& fetched) {
    std::uint64_t received = 0;  // over the network
    std::uint64_t copied = 0;    // from another namespace
    for (int opened = 0; opened < kMaxOpens; ++opened) {
        throw_if_stopped(job.stop);
        std::unique_ptr<containerd::BlobWriter> writer;
        store_.outlast_restart(job.image.name(),
                               [&] { writer = store_.open_writer(job.ns, job.blob); });
        if (!writer) {  // perhaps stored by us, before containerd went away
            fetched += received;
            return Stored::already_there;
        }
        bool from_network = false;
        std::unique_ptr<Source> source;
        // An ingest that is full at once is a blob of another namespace that containerd adopts.
        if (writer->offset() < job.blob.size) {
            source = open_source(job, writer->offset(), from_network);
        }
        feed.begin(writer->readable_file(), writer->offset());
        std::uint64_t& moved = from_network ? received : copied;
        if (copy(job, *writer, source.get(), feed, moved, received)) {
            if (source) ++(writer->is_in_place() ? written_in_place_ : streamed_);
            fetched += received;
            return Stored::with_labels;
        }
    }
    throw Error(Errc::unavailable,
                "containerd went away " + std::to_string(kMaxOpens) +
                    " times while it stored blob " + job.blob.digest.str(),
                "see containerd's log, then bake again: what is stored is kept");
}

/// Copies and commits. False if containerd went away: the ingest keeps what it has acknowledged.
/// Adds to `moved`, which is `received` if the source is the network.
bool BlobFetcher::copy(const Job& job, containerd::BlobWriter& writer, Source* source,
                       BlobFeed& feed, std::uint64_t& moved, const std::uint64_t& received) {
    std::vector<std::byte> buffer(std::min<std::uint64_t>(kChunkBytes, job.blob.size + 1));
    for (;;) {
        throw_if_stopped(job.stop);
        // Outside the try block: the source has retried already, its errors are final.
        const std::size_t got = source == nullptr ? 0 : source->read(buffer);
        try {
            if (got == 0) {
                writer.commit(new_labels(job));
                return true;
            }
            writer.write(std::span(buffer).first(got));
        } catch (const Error& error) {
            if (error.code() != Errc::unavailable) throw;
            notice(events_, job.image.name(),
                   "containerd went away while layer " + job.blob.digest.short_form() +
                       " was stored; resuming when it is back");
            return false;
        }
        moved += got;
        feed.advance(writer.offset());
        events_.on_event({.kind = EventKind::fetching,
                          .image = job.image.name(),
                          .layer = job.blob.digest.str(),
                          .current = writer.offset(),
                          .total = job.blob.size,
                          .received = received});
    }
}

std::unique_ptr<Source> BlobFetcher::open_source(const Job& job, std::uint64_t offset,
                                                 bool& from_network) {
    std::vector<std::string> namespaces = job.image.request.namespaces;
    namespaces.insert(namespaces.end(), other_namespaces_.begin(), other_namespaces_.end());
    for (const std::string& ns : namespaces) {
        if (ns == job.ns) continue;
        // If it is there, containerd did not adopt it: its sharing policy is "isolated".
        const auto info = store_.info(ns, job.blob.digest);
        if (info && store_.is_readable(ns, *info)) {
            return store_.read(ns, job.blob.digest, offset);
        }
    }
    from_network = true;
    return layers_.open(job.image.request.reference, job.blob, offset, job.stop);
}

}  // namespace prebake::bake
