#include "agent/store/verify.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/sha256.h"
#include "agent/base/wait.h"
#include "agent/containerd/content.h"
#include "agent/oci/platform.h"
#include "agent/store/baked_images.h"
#include "agent/store/content_check.h"
#include "agent/store/labels.h"
#include "agent/store/names.h"
#include "agent/store/record.h"
#include "agent/store/sandbox.h"
#include "agent/store/store_view.h"
#include "agent/store/stored_image.h"
#include "agent/store/tree_check.h"

namespace prebake::store {
namespace {

std::string bytes_text(std::uint64_t bytes) {
    return std::to_string(bytes) + " bytes";
}

std::string label_text(const Labels& labels, const std::string& key) {
    const auto found = labels.find(key);
    return found == labels.end() ? "no such label" : "\"" + found->second + "\"";
}

/// What the object of a finding says when the whole check failed.
std::string object_of(Check check) {
    switch (check) {
        case Check::holdings:
            return "namespace";
        case Check::names:
            return "names";
        case Check::blobs:
            return "blobs";
        case Check::references:
            return "references";
        case Check::snapshots:
            return "snapshots";
        case Check::trees:
            return "files";
        case Check::cri:
            return "CRI";
        case Check::signatures:
            return "signatures";
    }
    return "";
}

const std::string& snapshotter_for(const v1::Placement& placement, const VerifyOptions& options) {
    const auto own = options.snapshotters.find(placement.namespace_());
    if (own != options.snapshotters.end()) return own->second;
    return options.snapshotter.empty() ? placement.snapshotter() : options.snapshotter;
}

/// Compares one image in one namespace with the store.
class PlacementCheck {
  public:
    PlacementCheck(const v1::BakedImage& image, const v1::Placement& placement, StoreView& store,
                   const containerd::Connection& connection, const VerifyOptions& options,
                   Verification& result)
        : image_(image),
          placement_(placement),
          ns_(placement.namespace_()),
          snapshotter_(snapshotter_for(placement, options)),
          store_(store),
          connection_(connection),
          result_(result) {}

    void run() {
        run_check(Check::holdings, [&] {
            held_ = &store_.holdings(ns_, placement_.unpacked() ? snapshotter_ : "");
        });
        if (held_ == nullptr) return;
        run_check(Check::names, [&] { check_names(); });
        run_check(Check::blobs, [&] { check_blobs(); });
        run_check(Check::references, [&] { check_references(); });
        if (placement_.unpacked()) run_check(Check::snapshots, [&] { check_snapshots(); });
        if (!is_for_cri(image_, placement_)) return;
        // Also if the builder's CRI did not resolve it, or did not run: this is another machine.
        if (const auto& failure = store_.cri_failure()) {
            check_ = Check::cri;
            report_failed(*failure);
        } else if (!store_.cri_service().answers) {
            ++result_.not_asked;
        } else {
            run_check(Check::cri, [&] { check_cri(); });
        }
    }

  private:
    /// A check that fails is a finding too; the other checks still run.
    template <typename Work>
    void run_check(Check check, Work work) {
        check_ = check;
        try {
            work();
        } catch (const Error& error) {
            if (concerns_everything(error)) throw;
            report_failed(error);
        }
    }

    void report_failed(const Error& error) {
        report(FindingKind::unreadable, object_of(check_), "", "an answer", error.message(),
               error.next_step());
    }

    /// The object of the finding is `what` and `subject`.
    void report(FindingKind kind, const std::string& what, const std::string& subject,
                std::string expected, std::string found, std::string next_step = {}) {
        if (next_step.empty()) next_step = how_to_bake_again(image_, ns_);
        result_.findings.push_back({.kind = kind,
                                    .check = check_,
                                    .image = image_.name(),
                                    .platform = image_.platform(),
                                    .ns = ns_,
                                    .object = subject.empty() ? what : what + " " + subject,
                                    .subject = subject,
                                    .expected = std::move(expected),
                                    .found = std::move(found),
                                    .next_step = std::move(next_step)});
    }

    void check_names() {
        for (const std::string& name : placement_.names()) {
            const auto held = held_->images.find(name);
            if (held == held_->images.end()) {
                report(FindingKind::name_missing, "name", name,
                       "target " + image_.target().digest(), "no such name");
                continue;
            }
            check_target(held->second);
            if (ns_ != kCriNamespace) continue;
            const Labels& labels = held->second.labels;
            check_label(FindingKind::unmanaged, "name", name, labels, std::string(kManagedLabel),
                        "managed");
            if (!placement_.pinned()) continue;
            check_label(FindingKind::unpinned, "name", name, labels, std::string(kPinnedLabel),
                        "pinned");
        }
    }

    void check_target(const containerd::Image& held) {
        const v1::Document& target = image_.target();
        if (held.target.digest.str() != target.digest()) {
            if (is_image_id(held.name) && leads_to_config(connection_, ns_, held.target,
                                                          oci::Platform::parse(image_.platform()),
                                                          oci::Digest::parse(held.name))) {
                return;  // another image has the same ID
            }
            report(FindingKind::name_moved, "name", held.name, "target " + target.digest(),
                   "target " + held.target.digest.str(),
                   "it was pulled or tagged since: bake its list again to record the new image, "
                   "or return to the old one: " +
                       how_to_bake_again(image_, ns_));
        } else if (oci::media_kind(held.target.media_type) !=
                       oci::media_kind(target.media_type()) ||
                   held.target.size != target.size()) {
            report(FindingKind::name_moved, "name", held.name,
                   target.media_type() + " of " + bytes_text(target.size()),
                   held.target.media_type + " of " + bytes_text(held.target.size));
        }
    }

    void check_label(FindingKind kind, const std::string& what, const std::string& subject,
                     const Labels& labels, const std::string& key, const std::string& value) {
        const auto found = labels.find(key);
        if (found != labels.end() && found->second == value) return;
        report(kind, what, subject, "label " + key + "=" + value, label_text(labels, key));
    }

    /// Null if there is no such blob. @throws Error usage if `digest` is malformed.
    const containerd::BlobInfo* find_blob(const std::string& digest) const {
        const auto found = held_->blobs.find(oci::Digest::parse(digest).str());
        return found == held_->blobs.end() ? nullptr : &found->second;
    }

    void check_blobs() {
        for (const auto& [digest, size] : blobs_of(image_, placement_)) {
            ++result_.blobs;
            const containerd::BlobInfo* blob = find_blob(digest);
            if (blob == nullptr) {
                report(FindingKind::blob_missing, "blob", digest, bytes_text(size), "no such blob");
            } else if (blob->size != size) {
                report(FindingKind::blob_damaged, "blob", digest, bytes_text(size),
                       bytes_text(blob->size));
            } else if (!store_.is_readable(ns_, *blob)) {
                report(FindingKind::blob_damaged, "blob", digest, bytes_text(size),
                       "its file is missing or incomplete");
            }
        }
    }

    void check_snapshots() {
        std::string parent;
        for (const v1::Layer& layer : image_.layers()) {
            ++result_.snapshots;
            check_snapshot(layer.chain_id(), parent);
            parent = layer.chain_id();
        }
    }

    void check_snapshot(const std::string& chain_id, const std::string& parent) {
        const auto held = held_->snapshots.find(chain_id);
        std::string expected = "committed";
        std::string found;
        if (held == held_->snapshots.end()) {
            found = "no such snapshot";
        } else if (held->second.kind != containerd::SnapshotKind::committed) {
            found = "not committed";
        } else if (held->second.parent != parent) {
            expected = "parent \"" + parent + "\"";
            found = "parent \"" + held->second.parent + "\"";
        } else {
            return;
        }
        report(FindingKind::snapshot_missing, "snapshot", chain_id, std::move(expected),
               std::move(found));
        result_.findings.back().object += " (" + snapshotter_ + ")";
    }

    /// The labels that protect from garbage collection what the names do not point at directly.
    void check_references() {
        std::string above;
        for (const v1::Document& index : image_.indexes()) {
            if (!above.empty()) require_references(above, {index.digest()});
            above = index.digest();
        }
        const std::string& manifest = image_.manifest().digest();
        if (!above.empty()) require_references(above, {manifest});
        std::vector<std::string> children{image_.config().digest()};
        if (placement_.layers_kept()) {
            for (const v1::Layer& layer : image_.layers()) children.push_back(layer.digest());
        }
        require_references(manifest, children);
        if (!placement_.unpacked() || image_.layers().empty()) return;
        if (const containerd::BlobInfo* config = find_blob(image_.config().digest())) {
            check_label(FindingKind::reference_missing, "blob", image_.config().digest(),
                        config->labels, snapshot_gc_label(snapshotter_), image_.chain_id());
        }
    }

    void require_references(const std::string& parent, const std::vector<std::string>& children) {
        const containerd::BlobInfo* blob = find_blob(parent);
        if (blob == nullptr) return;  // reported among the blobs
        std::set<std::string> referred;
        for (const auto& [key, value] : blob->labels) {
            if (key.starts_with("containerd.io/gc.ref.content")) referred.insert(value);
        }
        for (const std::string& child : children) {
            if (referred.contains(child)) continue;
            report(FindingKind::reference_missing, "blob", parent,
                   "a gc.ref.content label for " + child, "none");
        }
    }

    void check_cri() {
        const std::string host = oci::Platform::host().str();
        if (!placement_.cri_resolves() && image_.platform() != host) {
            return check_cri_of_other_platform(host);
        }
        const std::string& config = image_.config().digest();
        bool is_pin_heeded = false;
        for (const std::string& name : placement_.names()) {
            const containerd::CriImage* const known = store_.cri_image(name);
            const std::string id = known == nullptr ? "" : known->id;
            is_pin_heeded |= known != nullptr && known->pinned;
            if (id == config) continue;
            report(FindingKind::cri_unresolved, "CRI", name, "image " + config,
                   id.empty() ? "no such image" : "image " + id,
                   "a pod with this name would pull; see containerd's log, then " +
                       how_to_bake_again(image_, ns_));
        }
        if (!is_pin_heeded && has_pin_label()) {
            report(
                FindingKind::pin_ignored, "CRI", image_.name(),
                "the image to be reported as pinned", "it is not: this containerd ignores pins",
                "upgrade containerd to 1.6.22, 1.7.3 or later: with this one the kubelet deletes "
                "baked images when the disk fills up");
        }
    }

    /// CRI takes an image as pinned if one of its names is.
    bool has_pin_label() const {
        return std::ranges::any_of(placement_.names(), [&](const std::string& name) {
            const auto held = held_->images.find(name);
            if (held == held_->images.end() || !placement_.pinned()) return false;
            const auto label = held->second.labels.find(std::string(kPinnedLabel));
            return label != held->second.labels.end() && label->second == "pinned";
        });
    }

    /// CRI may have the index's image for this machine by the same names. If the machine could run
    /// both, that is not the one that was baked.
    void check_cri_of_other_platform(const std::string& host) {
        for (const std::string& name : placement_.names()) {
            const containerd::CriImage* const known = store_.cri_image(name);
            const bool is_another = known != nullptr && known->id != image_.config().digest();
            if (is_image_id(name) || (known != nullptr && !is_another)) continue;
            if (is_another && !runs_here(image_.platform())) continue;
            report(FindingKind::cri_other_platform, "CRI", name,
                   "an image for " + image_.platform(),
                   (is_another ? "the image " + known->id : "no image") +
                       " for this machine, which containerd takes for " + host,
                   "bake the image for " + host +
                       ", or use it on machines whose containerd "
                       "selects " +
                       image_.platform());
            return;
        }
    }

    const v1::BakedImage& image_;
    const v1::Placement& placement_;
    const std::string& ns_;
    const std::string& snapshotter_;
    StoreView& store_;
    const containerd::Connection& connection_;
    Verification& result_;
    const Holdings* held_ = nullptr;
    Check check_ = Check::holdings;  ///< the one that is running
};

bool is_wanted(std::string_view ns, const VerifyOptions& options) {
    const auto& wanted = options.namespaces;
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), ns) != wanted.end();
}

/// The sandbox image, if the record does not have it and an image is for pods. Without it no pod
/// starts.
void check_sandbox(const v1::BakeRecord& record, StoreView& store,
                   const containerd::Connection& connection, const VerifyOptions& options,
                   Verification& result) {
    const std::string& name = options.sandbox;
    const std::string ns(kCriNamespace);
    const v1::Placement* for_pods = nullptr;
    for (const v1::BakedImage& image : record.images()) {
        for (const v1::Placement& placement : image.placements()) {
            if (placement.namespace_() != ns) continue;
            const auto& names = placement.names();
            if (std::find(names.begin(), names.end(), name) != names.end()) return;
            for_pods = &placement;
        }
    }
    if (for_pods == nullptr) return;
    const auto report = [&](FindingKind kind, const std::string& found) {
        result.findings.push_back({.kind = kind,
                                   .check = Check::names,
                                   .image = name,
                                   .platform = oci::Platform::host().str(),
                                   .ns = ns,
                                   .object = "name " + name,
                                   .subject = name,
                                   .expected = "CRI's sandbox image, which every pod needs",
                                   .found = found,
                                   .next_step = "prebake bake " + name});
    };
    const std::map<std::string, containerd::Image>& images = store.holdings(ns, "").images;
    const auto held = images.find(name);
    if (record.sandbox_left_out()) {
        result.lacks_sandbox = held == images.end();
        return;
    }
    if (held == images.end()) return report(FindingKind::name_missing, "no such name");
    try {
        v1::BakedImage image =
            describe_sandbox(connection, held->second, snapshotter_for(*for_pods, options));
        // Nobody asked for a pin. A node's daemon sets one.
        image.mutable_placements(0)->set_pinned(false);
        PlacementCheck(image, image.placements(0), store, connection, options, result).run();
    } catch (const Error& error) {
        if (concerns_everything(error)) throw;
        report(FindingKind::blob_missing, error.message());
    }
}

}  // namespace

Verification verify(const v1::BakeRecord& record, const containerd::Connection& connection,
                    const VerifyOptions& options) {
    Verification result;
    StoreView store(connection);
    result.cri = store.cri_service();
    ContentCheck content(connection, result);
    TreeCheck trees(record, store, connection, content, result);
    for (const v1::BakedImage& image : record.images()) {
        bool is_counted = false;
        for (const v1::Placement& placement : image.placements()) {
            if (!is_wanted(placement.namespace_(), options)) continue;
            is_counted = true;
            result.is_for_pods |= placement.namespace_() == kCriNamespace;
            PlacementCheck(image, placement, store, connection, options, result).run();
            if (options.depth == Depth::content) {
                if (placement.unpacked()) {
                    trees.run(image, placement, snapshotter_for(placement, options));
                }
                content.run(image, placement);
            }
        }
        if (is_counted) ++result.images;
    }
    if (!options.sandbox.empty() && is_wanted(kCriNamespace, options)) {
        check_sandbox(record, store, connection, options, result);
    }
    return result;
}

}  // namespace prebake::store
