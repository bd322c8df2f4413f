#include "agent/bake/fetch.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/containerd/leases.h"

namespace prebake::bake {
namespace {

/// One buffer per download. containerd takes up to 16 MiB a message; more than 1 MiB gains nothing.
constexpr std::size_t kChunkBytes = 1UL << 20;
/// How often one blob's ingest is reopened because containerd went away while it was written.
constexpr int kMaxOpens = 6;

}  // namespace

std::uint64_t BlobFetcher::ensure(const Job& job) {
    std::uint64_t fetched = 0;
    once_.run({job.ns, job.blob.digest}, [&] {
        fetched = store(job);
        require_readable(job);
    });
    session_.events.on_event({.kind = EventKind::fetched,
                              .image = job.image.name(),
                              .layer = job.blob.digest.str(),
                              .current = fetched,
                              .total = job.blob.size});
    // Every image adds its own labels (its repository, its children), even if the blob exists.
    label(job.image, job.ns, job.blob.digest, job.labels);
    return fetched;
}

/// True if containerd knows the blob and has no whole file of it.
bool BlobFetcher::has_lost_file(const Job& job) const {
    const containerd::Content content = session_.content(job.ns);
    const auto info = content.info(job.blob.digest);
    return info && !content.is_readable(*info);
}

/// True if the namespace has the blob. Removes a blob that has lost its file, so that it is
/// stored again.
bool BlobFetcher::is_there(const Job& job) {
    bool is_whole = false;
    session_.outlast_restart(job.image.name(), [&] {
        const containerd::Content content = session_.content(job.ns);
        const auto info = content.info(job.blob.digest);
        is_whole = info && content.is_readable(*info);
        if (!info || is_whole) return;
        session_.notice(job.image.name(),
                        "blob " + job.blob.digest.str() + " has lost its file; storing it again");
        content.remove(job.blob.digest);
        // While remains of the file exist, containerd would use them for the new blob.
        containerd::Leases(session_.connection, job.ns).collect_garbage();
    });
    return is_whole;
}

void BlobFetcher::require_readable(const Job& job) {
    session_.outlast_restart(job.image.name(), [&] {
        if (!has_lost_file(job)) return;
        throw Error(Errc::corrupt,
                    "containerd has lost the file of blob " + job.blob.digest.str() +
                        ", and takes what is left of it in another namespace for the blob",
                    "delete it in every namespace (ctr -n NAMESPACE content rm " +
                        job.blob.digest.str() + "), then bake again");
    });
}

std::uint64_t BlobFetcher::store(const Job& job) {
    if (!is_there(job)) has_changed_ = true;
    if (job.bytes == nullptr) return transfer(job);
    session_.outlast_restart(job.image.name(), [&] {
        session_.content(job.ns).put(containerd::ingest_ref(job.blob), job.blob, *job.bytes, {});
    });
    return 0;
}

std::uint64_t BlobFetcher::transfer(const Job& job) {
    const std::string ref = containerd::ingest_ref(job.blob);
    std::uint64_t fetched = 0;
    for (int opened = 0; opened < kMaxOpens; ++opened) {
        throw_if_stopped(job.stop);
        std::unique_ptr<containerd::BlobWriter> writer;
        session_.outlast_restart(job.image.name(), [&] {
            writer = session_.content(job.ns).open_writer(ref, job.blob);
        });
        if (!writer) return fetched;
        bool from_network = false;
        std::unique_ptr<Source> source;
        // An ingest that is full at once is a blob of another namespace, to be adopted as it is.
        if (writer->offset() < job.blob.size) {
            source = open_source(job, writer->offset(), from_network);
        }
        std::uint64_t moved = 0;
        const bool is_whole = copy(job, *writer, source.get(), moved);
        if (from_network) fetched += moved;
        if (is_whole) return fetched;
    }
    throw Error(Errc::unavailable,
                "containerd went away " + std::to_string(kMaxOpens) +
                    " times while it stored blob " + job.blob.digest.str(),
                "see containerd's log, then bake again: what is stored is kept");
}

/// False when containerd went away in the middle: what it has acknowledged is kept in the ingest.
bool BlobFetcher::copy(const Job& job, containerd::BlobWriter& writer, Source* source,
                       std::uint64_t& moved) {
    std::vector<std::byte> buffer(std::min<std::uint64_t>(kChunkBytes, job.blob.size + 1));
    for (;;) {
        throw_if_stopped(job.stop);
        // Errors of the registry were already retried and are passed on. Errors of containerd are
        // handled here.
        const std::size_t got = source == nullptr ? 0 : source->read(buffer);
        try {
            if (got == 0) {
                writer.commit({});
                return true;
            }
            writer.write(std::span(buffer).first(got));
        } catch (const Error& error) {
            if (error.code() != Errc::unavailable) throw;
            session_.notice(job.image.name(), "containerd went away in the middle of layer " +
                                                  job.blob.digest.short_form() +
                                                  "; going on when it is back");
            return false;
        }
        moved += got;
        session_.events.on_event({.kind = EventKind::fetching,
                                  .image = job.image.name(),
                                  .layer = job.blob.digest.str(),
                                  .current = writer.offset(),
                                  .total = job.blob.size});
    }
}

std::unique_ptr<Source> BlobFetcher::open_source(const Job& job, std::uint64_t offset,
                                                 bool& from_network) {
    std::vector<std::string> namespaces = job.image.request.namespaces;
    namespaces.insert(namespaces.end(), session_.other_namespaces.begin(),
                      session_.other_namespaces.end());
    for (const std::string& ns : namespaces) {
        if (ns == job.ns) continue;
        const containerd::Content other = session_.content(ns);
        // Not adopted, yet there: the store's sharing policy is "isolated".
        const auto info = other.info(job.blob.digest);
        if (info && other.is_readable(*info)) return other.read(job.blob.digest, offset);
    }
    from_network = true;
    return session_.remote.open_blob(job.image.request.reference, job.blob, offset, job.stop);
}

void BlobFetcher::label(const ResolvedImage& image, const std::string& ns,
                        const oci::Digest& digest, const store::Labels& labels) {
    const std::string source = store::source_label(image.request.reference);
    const std::scoped_lock lock(labelling_);
    session_.outlast_restart(image.name(), [&] {
        const containerd::Content content = session_.content(ns);
        const auto info = content.info(digest);
        if (!info) {
            throw Error(Errc::not_found, "blob " + digest.str() + " vanished from namespace " + ns,
                        "look for another program that deletes images while prebake bakes");
        }
        const auto held = [&](const std::string& key) {
            const auto found = info->labels.find(key);
            return found == info->labels.end() ? std::string() : found->second;
        };
        store::Labels missing;
        for (const auto& [key, value] : labels) {
            if (held(key) != value) missing.emplace(key, value);
        }
        const std::string sources = store::source_value(held(source), image.request.reference);
        if (held(source) != sources) missing.emplace(source, sources);
        if (missing.empty()) return;
        content.set_labels(digest, missing);
        has_changed_ = true;
    });
}

}  // namespace prebake::bake
