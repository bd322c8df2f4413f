#include "agent/bake/image_baker.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <stop_token>

#include "agent/bake/cri_check.h"
#include "agent/base/error.h"
#include "agent/base/wait.h"
#include "agent/containerd/cri.h"
#include "agent/oci/platform.h"
#include "agent/store/labels.h"
#include "agent/store/names.h"

namespace prebake::bake {
namespace {

const store::Labels kNoLabels;

}  // namespace

/// The layers of one image on their way into one namespace. Gone early, it gives up those that are
/// not stored yet and waits until no task refers to it any more.
class LayerDownloads {
  public:
    LayerDownloads(const ResolvedImage& image, const std::string& ns, BlobFetcher& fetcher,
                   const std::stop_token& outer)
        : image_(image),
          ns_(ns),
          fetcher_(fetcher),
          futures_(image.contents.layers.size()),
          forward_(outer, [this] { stop_.request_stop(); }) {}
    ~LayerDownloads() {
        stop_.request_stop();
        for (std::future<void>& future : futures_) {
            if (future.valid()) future.wait();
        }
    }
    LayerDownloads(const LayerDownloads&) = delete;
    LayerDownloads& operator=(const LayerDownloads&) = delete;

    void start(std::size_t layer, WorkerPool& pool) {
        futures_[layer] = pool.submit([this, layer] {
            try {
                fetch(layer);
            } catch (...) {
                // The image cannot be whole any more: no other layer of it needs to be waited for.
                {
                    const std::scoped_lock lock(mutex_);
                    if (!first_failure_) first_failure_ = std::current_exception();
                }
                stop_.request_stop();
                throw;
            }
        });
    }
    /// Waits until the layer is stored; false for one that was not started. @throws Error: the
    /// first that any layer of the image met with, not what that one's end did to the others.
    bool wait_for(std::size_t layer) {
        if (!futures_[layer].valid()) return false;
        try {
            futures_[layer].get();
        } catch (...) {
            const std::scoped_lock lock(mutex_);
            if (first_failure_) std::rethrow_exception(first_failure_);
            throw;
        }
        return true;
    }
    std::uint64_t bytes_fetched() const { return bytes_fetched_; }

  private:
    void fetch(std::size_t layer) {
        throw_if_stopped(stop_.get_token());
        const oci::Descriptor& blob = image_.contents.layers[layer];
        in_context("layer " + blob.digest.str(), [&] {
            bytes_fetched_ += fetcher_.ensure({.image = image_,
                                               .ns = ns_,
                                               .blob = blob,
                                               .labels = kNoLabels,
                                               .bytes = nullptr,
                                               .stop = stop_.get_token()});
        });
    }

    const ResolvedImage& image_;
    const std::string& ns_;
    BlobFetcher& fetcher_;
    std::atomic<std::uint64_t> bytes_fetched_{0};
    std::mutex mutex_;
    std::exception_ptr first_failure_;
    std::vector<std::future<void>> futures_;
    std::stop_source stop_;
    std::stop_callback<std::function<void()>> forward_;
};

namespace {

bool already_says(const std::optional<containerd::Image>& held, const containerd::Image& wanted) {
    if (!held || held->target.digest != wanted.target.digest) return false;
    return std::all_of(wanted.labels.begin(), wanted.labels.end(), [&](const auto& label) {
        const auto found = held->labels.find(label.first);
        return (found == held->labels.end() ? "" : found->second) == label.second;
    });
}

}  // namespace

ImageBaker::ImageBaker(const Session& session, const Survey& survey, const store::NameSet& pinned,
                       MovedNames moved_names, WorkerPool& downloads, BlobFetcher& fetcher,
                       Unpacker& unpacker)
    : session_(session),
      survey_(survey),
      pinned_(pinned),
      moved_names_(moved_names),
      downloads_(downloads),
      fetcher_(fetcher),
      unpacker_(unpacker),
      cri_available_(containerd::Cri(session.connection).available()) {}

void ImageBaker::bake(const ResolvedImage& image, ImageYield& yield) {
    for (const oci::Document& index : image.indexes) yield.bytes_fetched += index.bytes_fetched;
    yield.bytes_fetched += image.manifest.bytes_fetched + image.config.bytes_fetched;
    for (const std::string& ns : image.request.namespaces) {
        in_context("namespace " + ns, [&] {
            // The documents last: should one of them be damaged and have to be forgotten, what it
            // refers to is under our lease by then.
            store_layers(image, ns, yield);
            store_documents(image, ns);
        });
    }
    yield.changed = yield.changed || yield.bytes_fetched > 0;
    if (yield.changed) session_.storage.sync_content();
    for (const std::string& ns : image.request.namespaces) {
        in_context("namespace " + ns, [&] { write_names(image, ns, yield); });
    }
}

void ImageBaker::store_documents(const ResolvedImage& image, const std::string& ns) {
    const auto store = [&](const oci::Document& document, const store::Labels& labels) {
        fetcher_.ensure({.image = image,
                         .ns = ns,
                         .blob = document.descriptor,
                         .labels = labels,
                         .bytes = &document.bytes,
                         .stop = session_.connection.stop()});
    };
    store::Labels config_labels;
    if (!image.chain_ids.empty()) {
        config_labels.emplace(store::snapshot_gc_label(survey_.snapshotters.at(ns)),
                              image.chain_ids.back().str());
    }
    store(image.config, config_labels);
    store(image.manifest, store::gc_labels(image.contents, image.request.keep_layers
                                                               ? store::LayerReferences::keep
                                                               : store::LayerReferences::drop));
    for (const oci::Document& index : image.indexes) {
        store(index, store::gc_labels(oci::parse_index(index.descriptor.media_type, index.bytes)));
    }
}

void ImageBaker::store_layers(const ResolvedImage& image, const std::string& ns,
                              ImageYield& yield) {
    LayerDownloads downloads(image, ns, fetcher_, session_.connection.stop());
    for (const std::size_t i : layers_needed(image, survey_.store)) downloads.start(i, downloads_);
    try {
        unpack_layers(image, ns, downloads, yield);
    } catch (...) {
        yield.bytes_fetched += downloads.bytes_fetched();
        throw;
    }
    yield.bytes_fetched += downloads.bytes_fetched();
}

void ImageBaker::unpack_layers(const ResolvedImage& image, const std::string& ns,
                               LayerDownloads& downloads, ImageYield& yield) {
    for (std::size_t i = 0; i < image.contents.layers.size(); ++i) {
        const bool was_needed = downloads.wait_for(i);
        if (image.chain_ids.empty()) continue;
        const auto outcome = unpacker_.ensure(image, i, ns, survey_.snapshotters.at(ns));
        if (outcome == Unpacker::Outcome::unpacked) yield.changed = true;
        if (was_needed) {
            fetcher_.label(image, ns, image.contents.layers[i].digest,
                           {{std::string(store::kUncompressedLabel), image.diff_ids[i].str()}});
        }
    }
}

void ImageBaker::write_names(const ResolvedImage& image, const std::string& ns, ImageYield& yield) {
    const containerd::Images images = session_.images(ns);
    std::vector<std::string> created;
    std::set<std::string> left;
    for (const std::string& name : store::names_in(
             ns, image.request.references(), image.target.digest, image.config.descriptor.digest)) {
        const store::Pin pin = pinned_.contains({ns, name}) ? store::Pin::yes : store::Pin::no;
        const containerd::Image wanted{
            .name = name, .labels = store::name_labels(ns, pin), .target = image.target};
        session_.outlast_restart(image.name(), [&] {
            const auto held = images.get(name);
            const bool has_moved = held && held->target.digest != wanted.target.digest;
            if (has_moved && moved_names_ == MovedNames::leave) {
                left.insert(name);
                return;
            }
            if (already_says(held, wanted)) return;
            images.put(wanted);
            yield.changed = true;
            if (!held) created.push_back(name);
        });
    }
    if (ns != store::kCriNamespace) return;
    try {
        check_cri(image, left, yield);
    } catch (const Error& error) {
        // A name that pods cannot use must not look as if they could, nor keep its bytes on the
        // disk.
        if (error.code() == Errc::failed_precondition) {
            for (const std::string& name : created) images.remove(name);
        }
        throw;
    }
}

void ImageBaker::check_cri(const ResolvedImage& image, const std::set<std::string>& left,
                           ImageYield& yield) {
    if (!cri_available_ || !cri_selects(image)) return;
    const oci::Digest& config = image.config.descriptor.digest;
    session_.outlast_restart(image.name(), [&] {
        require_cri_resolves(
            session_.connection,
            store::pod_spellings(image.request.references(), image.target.digest, config, left),
            config);
    });
    yield.cri_resolves = true;
}

}  // namespace prebake::bake
