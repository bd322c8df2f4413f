#include "agent/bake/verify.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "agent/bake/labels.h"
#include "agent/bake/names.h"
#include "agent/base/error.h"
#include "agent/base/sha256.h"
#include "agent/base/wait.h"
#include "agent/containerd/content.h"
#include "agent/containerd/cri.h"
#include "agent/containerd/images.h"
#include "agent/containerd/snapshots.h"

namespace prebake::bake {
namespace {

constexpr std::size_t kReadBytes = 1UL << 20;

std::string bytes_text(std::uint64_t bytes) {
    return std::to_string(bytes) + " bytes";
}

std::string label_text(const Labels& labels, const std::string& key) {
    const auto found = labels.find(key);
    return found == labels.end() ? "no such label" : "\"" + found->second + "\"";
}

/// True of what is no finding about one object: we were told to stop, or containerd does not
/// answer.
bool concerns_everything(const Error& error) {
    return error.code() == Errc::cancelled || is_retryable(error.code());
}

/// The blobs that have to be there, with their sizes.
std::map<std::string, std::uint64_t> blobs_of(const v1::BakedImage& image,
                                              const v1::Placement& placement) {
    std::map<std::string, std::uint64_t> blobs;
    for (const v1::Document& index : image.indexes()) blobs[index.digest()] = index.size();
    blobs[image.manifest().digest()] = image.manifest().size();
    blobs[image.config().digest()] = image.config().size();
    if (!placement.layers_kept()) return blobs;
    for (const v1::Layer& layer : image.layers()) blobs[layer.digest()] = layer.size();
    return blobs;
}

/// The command that makes good what is missing, and nothing else: the recorded digest, not what its
/// tag means by now.
std::string bake_again(const v1::BakedImage& image, const v1::Placement& placement) {
    const bool has_digest = image.name().find('@') != std::string::npos;
    return "bake it again: prebake bake -n " + placement.namespace_() + " --platform " +
           image.platform() + " " + image.name() +
           (has_digest ? "" : "@" + image.target().digest());
}

/// Holds one image in one namespace against the store.
class PlacementCheck {
  public:
    PlacementCheck(const v1::BakedImage& image, const v1::Placement& placement,
                   const containerd::Connection& connection,
                   const std::optional<containerd::Cri>& cri, const VerifyOptions& options,
                   Verification& result)
        : image_(image),
          placement_(placement),
          ns_(placement.namespace_()),
          snapshotter_(options.snapshotter.empty() ? placement.snapshotter() : options.snapshotter),
          cri_(cri),
          result_(result),
          images_(connection, scope()),
          content_(connection, scope()),
          snapshots_(connection, scope(), snapshotter_) {}

    void run() {
        guarded("names", [&] { check_names(); });
        guarded("blobs", [&] { check_blobs(); });
        guarded("references", [&] { check_references(); });
        if (placement_.unpacked()) guarded("snapshots", [&] { check_snapshots(); });
        if (placement_.cri_resolves() && cri_) guarded("CRI", [&] { check_cri(); });
    }

  private:
    containerd::Scope scope() const { return {.ns = ns_, .lease = {}}; }

    /// What cannot be checked is a finding too, and ends this check alone.
    template <typename Check>
    void guarded(const std::string& what, Check check) {
        try {
            check();
        } catch (const Error& error) {
            if (concerns_everything(error)) throw;
            report(what, "an answer", error.message(), error.next_step());
        }
    }

    void report(std::string object, std::string expected, std::string found,
                std::string next_step = {}) {
        if (next_step.empty()) next_step = bake_again(image_, placement_);
        result_.findings.push_back({.image = image_.name(),
                                    .ns = ns_,
                                    .object = std::move(object),
                                    .expected = std::move(expected),
                                    .found = std::move(found),
                                    .next_step = std::move(next_step)});
    }

    void check_names() {
        const v1::Document& target = image_.target();
        for (const std::string& name : placement_.names()) {
            const auto held = images_.get(name);
            if (!held) {
                report("name " + name, "target " + target.digest(), "no such name");
                continue;
            }
            if (held->target.digest.str() != target.digest()) {
                report("name " + name, "target " + target.digest(),
                       "target " + held->target.digest.str(),
                       "something pulled or tagged it anew: bake its list again to record the new "
                       "one, or go back: " +
                           bake_again(image_, placement_));
            } else if (held->target.media_type != target.media_type() ||
                       held->target.size != target.size()) {
                report("name " + name, target.media_type() + " of " + bytes_text(target.size()),
                       held->target.media_type + " of " + bytes_text(held->target.size));
            }
            if (ns_ != kCriNamespace) continue;
            check_label("name " + name, held->labels, std::string(kManagedLabel), "managed");
            if (!placement_.pinned()) continue;
            check_label("name " + name, held->labels, std::string(kPinnedLabel), "pinned");
        }
    }

    void check_label(const std::string& object, const Labels& labels, const std::string& key,
                     const std::string& value) {
        const auto found = labels.find(key);
        if (found != labels.end() && found->second == value) return;
        report(object, "label " + key + "=" + value, label_text(labels, key));
    }

    void check_blobs() {
        for (const auto& [digest, size] : blobs_of(image_, placement_)) {
            ++result_.blobs;
            const auto info = content_.info(oci::Digest::parse(digest));
            if (!info) {
                report("blob " + digest, bytes_text(size), "no such blob");
            } else if (info->size != size) {
                report("blob " + digest, bytes_text(size), bytes_text(info->size));
            } else if (!content_.is_readable(*info)) {
                report("blob " + digest, bytes_text(size), "its file is gone or cut short");
            }
        }
    }

    void check_snapshots() {
        std::string parent;
        for (const v1::Layer& layer : image_.layers()) {
            ++result_.snapshots;
            const std::string object = "snapshot " + layer.chain_id() + " (" + snapshotter_ + ")";
            const auto info = snapshots_.stat(layer.chain_id());
            if (!info) {
                report(object, "committed", "no such snapshot");
            } else if (!info->committed) {
                report(object, "committed", "not committed");
            } else if (info->parent != parent) {
                report(object, "parent \"" + parent + "\"", "parent \"" + info->parent + "\"");
            }
            parent = layer.chain_id();
        }
    }

    /// The labels that keep the garbage collector from what the names do not point at themselves.
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
        if (const auto config = content_.info(oci::Digest::parse(image_.config().digest()))) {
            check_label("blob " + image_.config().digest(), config->labels,
                        snapshot_gc_label(snapshotter_), image_.chain_id());
        }
    }

    void require_references(const std::string& parent, const std::vector<std::string>& children) {
        const auto info = content_.info(oci::Digest::parse(parent));
        if (!info) return;  // reported among the blobs
        std::set<std::string> referred;
        for (const auto& [key, value] : info->labels) {
            if (key.starts_with("containerd.io/gc.ref.content")) referred.insert(value);
        }
        for (const std::string& child : children) {
            if (referred.contains(child)) continue;
            report("blob " + parent, "a gc.ref.content label for " + child, "none");
        }
    }

    void check_cri() {
        for (const std::string& name : placement_.names()) {
            const auto image = cri_->image_status(name);
            if (image && image->id == image_.config().digest()) continue;
            report("CRI " + name, "image " + image_.config().digest(),
                   image ? "image " + image->id : "no such image",
                   "a pod that asks for it would pull; see containerd's log, then " +
                       bake_again(image_, placement_));
        }
    }

    const v1::BakedImage& image_;
    const v1::Placement& placement_;
    const std::string& ns_;
    const std::string& snapshotter_;
    const std::optional<containerd::Cri>& cri_;
    Verification& result_;
    containerd::Images images_;
    containerd::Content content_;
    containerd::Snapshots snapshots_;
};

/// Reads a blob to its end; what is wrong with it, or an empty string.
std::string damage_of(const containerd::Content& content, const std::string& digest,
                      Verification& result, const std::stop_token& stop) {
    try {
        const std::unique_ptr<Source> source = content.read(oci::Digest::parse(digest));
        Sha256 hash;
        std::vector<std::byte> buffer(kReadBytes);
        while (const std::size_t got = source->read(buffer)) {
            throw_if_stopped(stop);
            hash.update(std::span(buffer).first(got));
            result.bytes_read += got;
        }
        const std::string actual = "sha256:" + hash.finish_hex();
        return actual == digest ? "" : "content with digest " + actual;
    } catch (const Error& error) {
        if (concerns_everything(error)) throw;
        return "it cannot be read: " + error.message();
    }
}

/// Reads each blob once, however many images and namespaces share it.
class ContentCheck {
  public:
    ContentCheck(const containerd::Connection& connection, Verification& result)
        : connection_(connection), result_(result) {}

    void run(const v1::BakedImage& image, const v1::Placement& placement) {
        const std::string& ns = placement.namespace_();
        const containerd::Content content(connection_, {.ns = ns, .lease = {}});
        for (const auto& [digest, size] : blobs_of(image, placement)) {
            if (!read_.insert(digest).second || !is_there(content, digest)) continue;
            const std::string damage = damage_of(content, digest, result_, connection_.stop());
            if (damage.empty()) continue;
            result_.findings.push_back({.image = image.name(),
                                        .ns = ns,
                                        .object = "blob " + digest,
                                        .expected = "content with this digest",
                                        .found = damage,
                                        .next_step = "delete it in every namespace (ctr -n " + ns +
                                                     " content rm " + digest + "), then " +
                                                     bake_again(image, placement)});
        }
    }

  private:
    /// What is missing, or is no digest, was reported already.
    static bool is_there(const containerd::Content& content, const std::string& digest) {
        try {
            const auto info = content.info(oci::Digest::parse(digest));
            return info && content.is_readable(*info);
        } catch (const Error& error) {
            if (concerns_everything(error)) throw;
            return false;
        }
    }

    const containerd::Connection& connection_;
    Verification& result_;
    std::set<std::string> read_;
};

bool is_wanted(const v1::Placement& placement, const VerifyOptions& options) {
    const auto& wanted = options.namespaces;
    return wanted.empty() ||
           std::find(wanted.begin(), wanted.end(), placement.namespace_()) != wanted.end();
}

}  // namespace

Verification verify(const v1::BakeRecord& record, const containerd::Connection& connection,
                    const VerifyOptions& options) {
    Verification result;
    static_cast<void>(connection.version());
    std::optional<containerd::Cri> cri(std::in_place, connection);
    if (!cri->available()) cri.reset();
    ContentCheck content(connection, result);
    for (const v1::BakedImage& image : record.images()) {
        bool is_counted = false;
        for (const v1::Placement& placement : image.placements()) {
            if (!is_wanted(placement, options)) continue;
            is_counted = true;
            PlacementCheck(image, placement, connection, cri, options, result).run();
            if (options.depth == Depth::content) content.run(image, placement);
        }
        if (is_counted) ++result.images;
    }
    return result;
}

}  // namespace prebake::bake
