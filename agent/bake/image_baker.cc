#include "agent/bake/image_baker.h"

#include <algorithm>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "agent/bake/image_content.h"
#include "agent/bake/layer_downloads.h"
#include "agent/bake/plan.h"
#include "agent/base/error.h"
#include "agent/containerd/cri.h"
#include "agent/store/labels.h"
#include "agent/store/names.h"
#include "agent/store/stored_image.h"

namespace prebake::bake {
namespace {

/// What `name` is to point at. A name by image ID that points at another manifest with this config
/// stays: if each bake of the images that share it moved it, none would ever find nothing to do.
oci::Descriptor target_of(const std::string& name, const std::optional<containerd::Image>& held,
                          const ResolvedImage& image, const containerd::Connection& connection,
                          const std::string& ns) {
    const oci::Digest& config = image.config.descriptor.digest;
    const bool is_shared =
        held && held->target.digest != image.target.digest && name == config.str() &&
        store::leads_to_config(connection, ns, held->target, *image.request.platform, config);
    return is_shared ? held->target : image.target;
}

/// True if the name already points at the target and has the labels.
bool is_up_to_date(const std::optional<containerd::Image>& held, const containerd::Image& wanted) {
    return held && held->target.digest == wanted.target.digest &&
           held->target.size == wanted.target.size &&
           oci::media_kind(held->target.media_type) == oci::media_kind(wanted.target.media_type) &&
           store::missing_labels(held->labels, wanted.labels).empty();
}

/// The trees of an image's layers that are written before their turn. The destructor stops what is
/// left and waits for it.
class TreesAhead {
  public:
    TreesAhead(Unpacker& unpacker, const std::stop_token& outer)
        : unpacker_(unpacker), forward_(outer, [this] { stop_.request_stop(); }) {}
    ~TreesAhead() {
        stop_.request_stop();
        for (const auto& ahead : begun_) unpacker_.abandon(ahead);
    }
    TreesAhead(const TreesAhead&) = delete;
    TreesAhead& operator=(const TreesAhead&) = delete;

    void start(const UnpackJob& job, bool has_parent) {
        if (auto ahead = unpacker_.start(job, has_parent, stop_.get_token())) {
            begun_.push_back(std::move(ahead));
        }
    }

  private:
    Unpacker& unpacker_;
    std::vector<std::shared_ptr<Unpacker::Ahead>> begun_;
    std::stop_source stop_;
    std::stop_callback<std::function<void()>> forward_;
};

/// Indexes of layers, the largest first: what takes longest begins first.
std::vector<std::size_t> largest_first(const ResolvedImage& image,
                                       std::vector<std::size_t> layers) {
    std::stable_sort(layers.begin(), layers.end(), [&](std::size_t a, std::size_t b) {
        return image.contents.layers[a].size > image.contents.layers[b].size;
    });
    return layers;
}

}  // namespace

ImageBaker::ImageBaker(const LeasedStore& store, const BakeTarget& target, WorkerPool& downloads,
                       BlobFetcher& fetcher, Unpacker& unpacker)
    : store_(store),
      target_(target),
      downloads_(downloads),
      fetcher_(fetcher),
      unpacker_(unpacker),
      cri_available_(containerd::Cri(store.connection()).available()) {}

void ImageBaker::bake(const ResolvedImage& image, ImageChanges& changes) {
    if (image.request.namespaces.empty()) return;
    for (const oci::Document& index : image.indexes) changes.bytes_fetched += index.bytes_fetched;
    changes.bytes_fetched += image.manifest.bytes_fetched + image.config.bytes_fetched;
    for (const trust::Proof& proof : image.proofs) {
        changes.bytes_fetched += proof.manifest.bytes_fetched + proof.blob.bytes_fetched;
    }
    if (changes.bytes_fetched == 0 && is_whole(image)) {
        for (const std::string& ns : image.request.namespaces) {
            if (ns == store::kCriNamespace) check_cri(image, {}, changes);
        }
        return;
    }
    for (const std::string& ns : image.request.namespaces) {
        in_context("namespace " + ns, [&] {
            // The documents last: a damaged one is deleted and stored again, and what it refers to
            // must be under our lease by then.
            store_layers(image, ns, changes);
            store_documents(image, ns);
        });
    }
    changes.changed = changes.changed || changes.bytes_fetched > 0;
    if (changes.changed) store_.storage().sync_content();
    for (const std::string& ns : image.request.namespaces) {
        in_context("namespace " + ns, [&] { write_names(image, ns, changes); });
    }
}

/// True if the bake has nothing to do. Asking about the whole image takes one call for each name;
/// storing and unpacking what is there takes several for each layer, and some of them write.
bool ImageBaker::is_whole(const ResolvedImage& image) {
    // Another image may have shared what was removed, and failed before it was stored again.
    if (fetcher_.has_removed()) return false;
    const std::vector<std::string>& namespaces = image.request.namespaces;
    return std::all_of(namespaces.begin(), namespaces.end(), [&](const std::string& ns) {
        // The names now: the content was listed when the bake began, and since then they have kept
        // it.
        return has_all(target_.present, image, ns, target_.snapshotters, target_.repositories) &&
               in_context("namespace " + ns, [&] { return has_names(image, ns); });
    });
}

bool ImageBaker::has_names(const ResolvedImage& image, const std::string& ns) {
    const containerd::Images images = store_.images(ns);
    const std::vector<std::string> names = names_in(ns, image);
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
        bool is_there = false;
        store_.outlast_restart(image.name(), [&] {
            const auto held = images.get(name);
            is_there = is_up_to_date(held, wanted_name(name, held, image, ns));
        });
        return is_there;
    });
}

containerd::Image ImageBaker::wanted_name(const std::string& name,
                                          const std::optional<containerd::Image>& held,
                                          const ResolvedImage& image, const std::string& ns) const {
    const store::Pin pin = target_.pinned.contains({ns, name}) ? store::Pin::yes : store::Pin::no;
    return {.name = name,
            .labels = store::name_labels(ns, pin),
            .target = target_of(name, held, image, store_.connection(), ns)};
}

void ImageBaker::store_documents(const ResolvedImage& image, const std::string& ns) {
    for (const auto& [document, labels] : documents_of(image, ns, target_.snapshotters)) {
        fetcher_.ensure({.image = image,
                         .ns = ns,
                         .blob = document->descriptor,
                         .labels = labels,
                         .bytes = &document->bytes,
                         .stop = store_.connection().stop()});
    }
}

void ImageBaker::store_layers(const ResolvedImage& image, const std::string& ns,
                              ImageChanges& changes) {
    LayerDownloads downloads(image, ns, fetcher_, store_.connection().stop());
    const std::vector<std::size_t> needed =
        largest_first(image, layers_needed(image, target_.present));
    for (const std::size_t i : needed) downloads.start(i, downloads_);
    TreesAhead trees(unpacker_, downloads.stop_token());
    for (const std::size_t i : needed) {
        if (image.chain_ids.empty() || has_snapshot(image, i, ns)) continue;
        trees.start(job_of(image, i, ns), i > 0 && has_snapshot(image, i - 1, ns));
    }
    try {
        unpack_layers(image, ns, downloads, changes);
    } catch (...) {
        changes.bytes_fetched += downloads.bytes_fetched();
        throw;
    }
    changes.bytes_fetched += downloads.bytes_fetched();
}

bool ImageBaker::has_snapshot(const ResolvedImage& image, std::size_t layer,
                              const std::string& ns) const {
    return target_.present.snapshots.contains({ns, image.chain_ids[layer]});
}

UnpackJob ImageBaker::job_of(const ResolvedImage& image, std::size_t layer,
                             const std::string& ns) const {
    return {.image = image, .layer = layer, .ns = ns, .snapshotter = target_.snapshotters.at(ns)};
}

void ImageBaker::unpack_layers(const ResolvedImage& image, const std::string& ns,
                               LayerDownloads& downloads, ImageChanges& changes) {
    // A label costs containerd as many syncs as a snapshot: it is set while the next one is made.
    std::vector<std::future<void>> labels;
    WorkerPool labelling(1);
    for (std::size_t i = 0; i < image.contents.layers.size(); ++i) {
        const bool was_needed = downloads.wait_for(i);
        if (image.chain_ids.empty()) continue;
        const UnpackOutcome outcome = unpack(image, i, ns, changes);
        if (outcome == UnpackOutcome::unpacked) changes.changed = true;
        if (!was_needed) continue;
        labels.push_back(labelling.submit([this, &image, &ns, i] {
            fetcher_.label(image, ns, image.contents.layers[i].digest,
                           {{std::string(store::kUncompressedLabel), image.diff_ids[i].str()}});
        }));
    }
    for (std::future<void>& label : labels) label.get();
}

UnpackOutcome ImageBaker::unpack(const ResolvedImage& image, std::size_t layer,
                                 const std::string& ns, ImageChanges& changes) {
    try {
        return unpacker_.ensure(job_of(image, layer, ns));
    } catch (const Error& error) {
        const bool is_about_the_layer = !is_retryable(error.code()) &&
                                        error.code() != Errc::cancelled &&
                                        error.code() != Errc::no_space;
        if (target_.damaged_layers == DamagedLayers::leave || !is_about_the_layer) throw;
        const bool is_replaced = fetcher_.replace_damaged({.image = image,
                                                           .ns = ns,
                                                           .blob = image.contents.layers[layer],
                                                           .labels = {},
                                                           .bytes = nullptr,
                                                           .stop = store_.connection().stop()},
                                                          changes.bytes_fetched);
        if (!is_replaced) throw;
    }
    return unpacker_.ensure(job_of(image, layer, ns));
}

void ImageBaker::write_names(const ResolvedImage& image, const std::string& ns,
                             ImageChanges& changes) {
    const containerd::Images images = store_.images(ns);
    std::vector<std::string> created;
    std::set<std::string> left;
    for (const std::string& name : names_in(ns, image)) {
        store_.outlast_restart(image.name(), [&] {
            const auto held = images.get(name);
            const containerd::Image wanted = wanted_name(name, held, image, ns);
            const bool has_moved = held && held->target.digest != wanted.target.digest;
            if (has_moved && target_.moved_names == MovedNames::leave) {
                left.insert(name);
                return;
            }
            if (is_up_to_date(held, wanted)) return;
            // Before the call: containerd may go away after it wrote the name.
            changes.changed = true;
            if (!held) created.push_back(name);
            images.put(wanted);
        });
    }
    if (ns != store::kCriNamespace) return;
    try {
        check_cri(image, left, changes);
    } catch (const Error& error) {
        // A name that pods cannot use must not look usable, nor keep its content on the disk.
        if (error.code() == Errc::failed_precondition) {
            for (const std::string& name : created) {
                if (!target_.shared_ids.contains({ns, name})) images.remove(name);
            }
        }
        throw;
    }
}

void ImageBaker::check_cri(const ResolvedImage& image, const std::set<std::string>& left,
                           ImageChanges& changes) {
    const oci::Descriptor& config = image.config.descriptor;
    // Pods cannot use artifacts.
    const bool is_image = image.request.kind != ImageKind::artifact &&
                          oci::media_kind(config.media_type) == oci::MediaKind::config;
    if (!cri_available_ || !is_image) return;
    const bool is_selected = cri_selects(image);
    try {
        store_.outlast_restart(image.name(), [&] {
            require_cri_resolves(store_.connection(),
                                 store::pod_spellings(image.request.references(),
                                                      image.target.digest, config.digest, left),
                                 config.digest, is_selected ? target_.cri_patience : kCriDoubt);
        });
        changes.cri_resolves = true;
    } catch (const Error& error) {
        // It is for another machine, where the daemon asks again.
        if (is_selected || error.code() != Errc::failed_precondition) throw;
    }
}

}  // namespace prebake::bake
