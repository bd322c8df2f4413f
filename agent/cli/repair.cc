#include "agent/cli/repair.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "agent/bake/bake.h"
#include "agent/bake/damaged_snapshots.h"
#include "agent/bake/name_conflicts.h"
#include "agent/bake/recorded_image.h"
#include "agent/bake/restore.h"
#include "agent/cli/bake_context.h"
#include "agent/cli/log.h"
#include "agent/containerd/content.h"
#include "agent/containerd/leases.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"

namespace prebake::cli {
namespace {

using Images = std::set<std::pair<std::string, std::string>>;  // name and platform

Images moved_images(const store::Verification& found) {
    Images moved;
    for (const store::Finding& finding : found.findings) {
        if (finding.kind != store::FindingKind::name_moved) continue;
        moved.emplace(finding.image, finding.platform);
    }
    return moved;
}

/// Neither restore() nor a bake repairs these.
bool is_about_tree(const store::Finding& finding) {
    return finding.kind == store::FindingKind::tree_damaged;
}

Images images_with_findings(const store::Verification& found) {
    const Images moved = moved_images(found);
    Images images;
    for (const store::Finding& finding : found.findings) {
        if (is_about_tree(finding)) continue;
        std::pair image(finding.image, finding.platform);
        if (!moved.contains(image)) images.insert(std::move(image));
    }
    return images;
}

/// Damaged layers go, with their files, which a new blob would adopt; namespaces share the file.
/// (Documents are replaced by the bake, which keeps what they refer to.)
void remove_damaged_layers(const v1::BakeRecord& record, const store::Verification& found,
                           const containerd::Connection& connection) {
    std::set<std::string> damaged;
    for (const store::Finding& finding : found.findings) {
        if (finding.kind == store::FindingKind::blob_damaged) damaged.insert(finding.subject);
    }
    std::set<std::string> namespaces;
    for (const v1::BakedImage& image : record.images()) {
        for (const v1::Layer& layer : image.layers()) {
            if (!damaged.contains(layer.digest())) continue;
            for (const v1::Placement& placement : image.placements()) {
                containerd::Content(connection, {.ns = placement.namespace_(), .lease = {}})
                    .remove(oci::Digest::parse(layer.digest()));
                namespaces.insert(placement.namespace_());
            }
        }
    }
    for (const std::string& ns : namespaces) containerd::Leases(connection, ns).collect_garbage();
}

store::Snapshotters snapshotters_of(const v1::BakedImage& image, const std::string& wanted) {
    store::Snapshotters snapshotters;
    if (wanted.empty()) return snapshotters;
    for (const v1::Placement& placement : image.placements()) {
        snapshotters.emplace(placement.namespace_(), wanted);
    }
    return snapshotters;
}

/// Restores images from what this disk has.
class DiskRepair {
  public:
    DiskRepair(const Invocation& invocation, const bake::BakeLock& lock,
               const v1::BakeRecord& record, const containerd::Connection& connection,
               bake::EventSink& events)
        : invocation_(invocation),
          lock_(lock),
          pinned_(bake::pinned_names({}, record)),
          connection_(connection),
          events_(events) {}

    /// Calls `on_failure` if what is there is not enough. @throws Error if no other image can be
    /// restored, either.
    void restore(const v1::BakedImage& image,
                 const std::function<void(const Error&)>& on_failure) const {
        try {
            bake::restore(lock_, image, snapshotters_of(image, invocation_.config.snapshotter),
                          pinned_, invocation_.state_dir, connection_, events_);
        } catch (const Error& error) {
            if (containerd::ends_session(error) || error.code() == Errc::conflict) throw;
            on_failure(error);
        }
    }

  private:
    const Invocation& invocation_;
    const bake::BakeLock& lock_;
    store::NameSet pinned_;
    const containerd::Connection& connection_;
    bake::EventSink& events_;
};

/// What this disk has is enough, unless content is lost.
void restore_from_disk(const DiskRepair& disk, const v1::BakeRecord& record,
                       const store::Verification& found) {
    const Images broken = images_with_findings(found);
    for (const v1::BakedImage& image : record.images()) {
        if (!broken.contains({image.name(), image.platform()})) continue;
        disk.restore(image, [](const Error& error) {
            log_debug("from this disk alone: " + std::string(error.what()));
        });
    }
}

}  // namespace

std::vector<bake::ImageRequest> requests_to_repair(const v1::BakeRecord& record,
                                                   const store::Verification& found) {
    const Images broken = images_with_findings(found);
    Images unlisted = broken;
    std::vector<bake::ImageRequest> requests;
    for (const v1::BakedImage& image : record.images()) {
        unlisted.erase({image.name(), image.platform()});
        if (!broken.contains({image.name(), image.platform()})) continue;
        for (const v1::Placement& placement : image.placements()) {
            bake::ImageRequest request = bake::request_of(image, placement);
            request.reference.digest = oci::Digest::parse(image.target().digest());
            requests.push_back(std::move(request));
        }
    }
    for (const auto& [name, platform] : unlisted) {  // of CRI's sandbox image
        requests.push_back({.reference = oci::Reference::parse(name),
                            .platform = oci::Platform::host(),
                            .namespaces = {std::string(store::kCriNamespace)},
                            .aliases = {},
                            .is_sandbox = true,
                            .origin = "needed by CRI"});
    }
    return requests;
}

bake::BakeLock lock_for_repair(const Invocation& invocation) {
    return bake::BakeLock(invocation.state_dir,
                          {.time_limit = invocation.config.lock_timeout, .on_wait = log_warning},
                          invocation.signals.token());
}

namespace {

/// The repair of everything else than files of snapshots.
store::Verification repair_parts(const Invocation& invocation, const bake::BakeLock& lock,
                                 const v1::BakeRecord& record, const store::Verification& found,
                                 const FindAgain& find_again, const DiskRepair& disk,
                                 BakeContext& context, bake::EventSink& events) {
    // First what the disk has: a layer that is damaged here may be whole elsewhere.
    restore_from_disk(disk, store::only_in_containerd(record), found);
    store::Verification left = find_again();
    remove_damaged_layers(store::only_in_containerd(record), left, context.connection);
    const std::vector<bake::ImageRequest> rest = requests_to_repair(record, left);
    if (rest.empty()) return left;
    const bake::Survey survey = context.resolve(invocation, rest, invocation.config.snapshotter);
    const bake::BakeResult result =
        bake::bake(lock, survey, bake_options(invocation), context.remote, context.connection,
                   context.docker(), events);
    for (const bake::ImageResult& image : result.images) {
        if (image.problem) log_error(image.problem->within("image " + image.name));
    }
    if (result.record_problem) log_error(*result.record_problem);
    return find_again();
}

/// Unpacks again what has damaged files. False if nothing was changed.
bool repair_trees(const DiskRepair& disk, const bake::BakeLock& lock, const v1::BakeRecord& record,
                  const store::Verification& found, const containerd::Connection& connection,
                  bake::EventSink& events) {
    std::set<bake::DamagedSnapshot> damaged;
    for (const store::Finding& finding : found.findings) {
        if (!is_about_tree(finding)) continue;
        damaged.insert(
            {.ns = finding.ns, .snapshotter = finding.snapshotter, .chain_id = finding.subject});
    }
    if (damaged.empty()) return false;
    const auto restore = [&](const v1::BakedImage& image) {
        disk.restore(image,
                     [&](const Error& error) { log_error(error.within("image " + image.name())); });
    };
    return bake::replace_damaged(lock, record, {damaged.begin(), damaged.end()}, connection, events,
                                 restore) > 0;
}

}  // namespace

store::Verification repair(const Invocation& invocation, const bake::BakeLock& lock,
                           const v1::BakeRecord& record, const store::Verification& found,
                           const FindAgain& find_again) {
    const auto progress =
        make_progress(invocation.quiet ? ProgressStyle::none : ProgressStyle::plain);
    const auto notice = [&](const std::string& message) {
        progress->on_event({.kind = bake::EventKind::notice, .message = message});
    };
    BakeContext context(invocation, notice);
    const v1::BakeRecord in_containerd = store::only_in_containerd(record);
    const DiskRepair disk(invocation, lock, in_containerd, context.connection, *progress);
    for (const auto& [name, platform] : moved_images(found)) {
        log_warning(name + " is not repaired: a client moved its name to another image");
    }
    store::Verification left = found;
    if (!std::ranges::all_of(found.findings, is_about_tree)) {
        left = repair_parts(invocation, lock, record, found, find_again, disk, context, *progress);
    }
    // Later: a layer that was damaged or missing is there by now.
    const bool has_changed =
        repair_trees(disk, lock, in_containerd, left, context.connection, *progress);
    return has_changed ? find_again() : left;
}

}  // namespace prebake::cli
