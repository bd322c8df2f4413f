#include "agent/guard/image_guard.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/timestamp.h"
#include "agent/containerd/introspection.h"
#include "agent/guard/left_images.h"
#include "agent/store/baked_images.h"
#include "agent/store/labels.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"
#include "agent/store/sandbox.h"
#include "agent/store/storage.h"

namespace prebake::guard {
namespace {

using containerd::EventKind;

/// The delays before a failed repair is retried although nothing shows that its cause is gone.
/// Unpacking a large image is work, so the delays grow.
constexpr std::chrono::seconds kRetrySoon{2};
constexpr std::chrono::seconds kRetryLater{30};
constexpr std::chrono::minutes kRetryLatest{8};

/// How often notice_causes() looks.
constexpr std::chrono::seconds kCauseInterval{1};
/// How much room a full disk must have gained: a part of the image. Less is gained and lost all the
/// time, for example by logs. Of a large image only a small layer may be missing.
constexpr std::uint64_t kGainedPart = 8;
constexpr std::uint64_t kLeastGain = 1ULL << 20;
constexpr std::uint64_t kMostGain = 64ULL << 20;

/// Far more than there are protected images. Beyond this limit all entries are dropped: then a pin
/// that is removed by hand may be counted as a pull.
constexpr std::size_t kMaxPulls = 4096;

const std::string kCri(store::kCriNamespace);

bool has_label(const containerd::Labels& labels, std::string_view key) {
    const auto found = labels.find(std::string(key));
    return found != labels.end() && !found->second.empty();
}

/// True if a label that the event shows is gone by now. Another event follows about that.
bool is_outdated(const containerd::Event& event, const containerd::Image& held) {
    return std::ranges::any_of(
        std::array{store::kPinnedLabel, store::kManagedLabel}, [&](std::string_view key) {
            return has_label(event.labels, key) && !has_label(held.labels, key);
        });
}

/// Whether notice_causes() finds out that the cause is gone.
bool is_watched(RetryCause cause) {
    return cause == RetryCause::disk_full || cause == RetryCause::bake_runs;
}

bool is_removal(const containerd::Event& event) {
    return event.kind == EventKind::snapshot_removed || event.kind == EventKind::blob_deleted;
}

std::chrono::seconds first_delay(RetryCause cause) {
    const bool is_soon = cause == RetryCause::not_checked || cause == RetryCause::other;
    return is_soon ? kRetrySoon : kRetryLater;
}

}  // namespace

ImageGuard::ImageGuard(GuardOptions options, Environment environment)
    : with_(std::move(environment)),
      keeps_deleted_(options.keeps_deleted),
      wants_sandbox_(options.wants_sandbox),
      pins_(options.pin_limits, with_.disk, with_.names),
      cri_settings_(std::move(options.snapshotter), std::move(options.configured_runtime),
                    with_.connection, with_.log) {}

GuardActions ImageGuard::take_actions() {
    return std::exchange(actions_, {});
}

void ImageGuard::show_progress(const RepairProgress& progress) {
    if (progress.done == 0) replace_health(progress.images);
    with_.on_progress(progress);
}

Reconciled ImageGuard::run_reconcile(const v1::BakeRecord& wanted,
                                     const std::function<bool(const ImageKey&)>& may_repair,
                                     const std::function<std::string(const ImageKey&)>& why) {
    const store::NameSet pinned = images_.pinned_names();
    // Before a repair fills the disk with what containerd collects again if it fails.
    free_before_.clear();
    for (const v1::BakedImage& image : wanted.images()) {
        for (const v1::Placement& placement : image.placements()) {
            const auto [room, is_new] = free_before_.try_emplace(placement.namespace_());
            if (is_new) room->second = free_bytes(placement.namespace_());
        }
    }
    return reconcile(
        {.wanted = wanted,
         .snapshotters = snapshotters_,
         .pinned = pinned,
         .repairer = with_.repairer,
         .clock = with_.clock,
         .may_repair = may_repair,
         .why = why,
         .on_progress = [this](const RepairProgress& progress) { show_progress(progress); }});
}

void ImageGuard::check_everything() {
    // What is found now replaces what was suspected.
    suspicions_.clear();
    retries_.clear();
    causes_due_.reset();
    find_left_images(images_, with_.names, with_.log);
    const auto why = [](const ImageKey&) { return std::string("found by a check of all images"); };
    Reconciled reconciled = run_reconcile(
        images_.wanted(), [](const ImageKey&) { return true; }, why);
    state_.images = left_images(images_);
    apply(std::move(reconciled), why);
}

void ImageGuard::read_settings() {
    with_.disk.forget_directories();
    const CriSettings settings = cri_settings_.read();
    state_.cri = settings.cri;
    state_.snapshotter = settings.snapshotter;
    state_.sandbox_image = settings.sandbox_image;
    state_.content_directory =
        store::Storage(containerd::plugins(with_.connection)).content_directory().value_or("");
    snapshotters_ = {{kCri, settings.snapshotter}};
    for (const v1::BakedImage& image : images_.baked().record().images()) {
        for (const v1::Placement& placement : image.placements()) {
            const std::string& ns = placement.namespace_();
            if (snapshotters_.contains(ns) || store::is_in_graph_driver(placement)) continue;
            snapshotters_.emplace(ns, store::snapshotter_of(ns, with_.connection));
        }
    }
    protect_sandbox();
}

void ImageGuard::set_record(v1::BakeRecord record) {
    set_baked(std::move(record), images_.baked().sandbox());
}

void ImageGuard::set_baked(v1::BakeRecord record, store::SandboxImage sandbox) {
    images_.set_baked(
        std::make_shared<const store::BakedImages>(std::move(record), std::move(sandbox)));
}

void ImageGuard::protect_sandbox() {
    state_.is_sandbox_missing = false;
    const store::BakedImages& baked = images_.baked();
    const store::SandboxImage& known = baked.sandbox();
    store::SandboxImage sandbox{.name = state_.sandbox_image, .found = {}};
    const store::PlacedImage* const own = baked.first_named(kCri, sandbox.name);
    if (!sandbox.name.empty() && (own == nullptr || !own->is_recorded)) {
        const bool is_found = known.name == sandbox.name && known.found;
        const auto held = with_.names.get(kCri, sandbox.name);
        if (is_found && (!held || held->target.digest.str() == known.found->target().digest())) {
            return;
        }
        state_.is_sandbox_missing = wants_sandbox_ && !held && !baked.record().sandbox_left_out();
        if (held) sandbox.found = try_to_describe_sandbox(*held);
    }
    if (known.name == sandbox.name && !known.found && !sandbox.found) return;
    set_baked(baked.record(), std::move(sandbox));
}

std::optional<v1::BakedImage> ImageGuard::try_to_describe_sandbox(const containerd::Image& held) {
    try {
        v1::BakedImage image = store::describe_sandbox(with_.connection, held, state_.snapshotter);
        with_.log.clear("sandbox");
        return image;
    } catch (const Error& error) {
        if (containerd::ends_session(error)) throw;
        with_.log.warn("sandbox",
                       "cannot protect the sandbox image " + held.name + ": " + error.message());
        return {};
    }
}

FollowUp ImageGuard::on_event(const containerd::Event& event,
                              const std::optional<containerd::Image>& held) {
    const FollowUp follow_up = react(event, held);
    suspect_unwell(event, held);
    return follow_up;
}

FollowUp ImageGuard::react(const containerd::Event& event,
                           const std::optional<containerd::Image>& held) {
    switch (event.kind) {
        case EventKind::image_created:
        case EventKind::image_updated:
            // If it is gone by now, its deletion is another event.
            return held ? on_image_named(event, *held) : FollowUp::none;
        case EventKind::image_deleted:
            suspect(images_.baked().named(event.ns, event.object), "deleted");
            return FollowUp::none;
        case EventKind::snapshot_removed: {
            const auto effective = snapshotters_.find(event.ns);
            if (event.snapshotter.empty() || effective == snapshotters_.end() ||
                event.snapshotter == effective->second) {
                suspect(without_our_garbage(images_.baked().made_of(event.ns, event.object)),
                        "a snapshot of it was removed");
            }
            return FollowUp::none;
        }
        case EventKind::blob_deleted:
            suspect(without_our_garbage(images_.baked().made_of(event.ns, event.object)),
                    "content of it was deleted");
            return FollowUp::none;
        case EventKind::snapshot_committed:
            suspect(not_unpacked(images_.baked().made_of(event.ns, event.name)),
                    "another client unpacked it");
            return FollowUp::none;
        case EventKind::snapshot_prepared:
        case EventKind::container_created:
        case EventKind::task_started:
            return FollowUp::none;
    }
    return FollowUp::none;
}

FollowUp ImageGuard::on_image_named(const containerd::Event& event, const containerd::Image& held) {
    const std::string target = held.target.digest.str();
    const std::vector<ImageKey> keys = images_.baked().named(event.ns, event.object);
    const bool is_sandbox = event.ns == kCri && event.object == images_.baked().sandbox().name;
    if (keys.empty()) return is_sandbox ? FollowUp::check_everything : FollowUp::none;
    std::vector<ImageKey> same;
    std::copy_if(keys.begin(), keys.end(), std::back_inserter(same),
                 [&](const ImageKey& key) { return images_.baked().target_of(key) == target; });
    if (same.empty()) {
        // A sandbox image that was not baked is whatever its name points to.
        if (is_sandbox && !images_.baked().is_recorded(keys.front().image))
            return FollowUp::check_everything;
        suspect(keys, "its tag was moved");
        return FollowUp::none;
    }
    on_same_target(event, held, same);
    return FollowUp::none;
}

void ImageGuard::on_same_target(const containerd::Event& event, const containerd::Image& held,
                                const std::vector<ImageKey>& keys) {
    bool was_evicted = false;
    for (const ImageKey& key : keys) {
        was_evicted |= images_.evicted().contains(key) || images_.removed().contains(key);
        images_.set_evicted(key, false);
        images_.set_removed(key, false);
    }
    if (event.kind == EventKind::image_created || was_evicted) {
        return suspect(keys, "another client created it");
    }
    if (is_moved(keys)) return suspect(keys, "its tag was moved back");
    if (event.ns != kCri || !images_.wants_pin(event.ns, event.object)) return;
    if (has_label(held.labels, store::kPinnedLabel) &&
        has_label(held.labels, store::kManagedLabel)) {
        return;
    }
    if (is_outdated(event, held)) return;
    restore_pin(event, held, keys.front());
}

bool ImageGuard::is_moved(const std::vector<ImageKey>& keys) const {
    const std::vector<ImageHealth>& images = state_.images;
    return std::any_of(images.begin(), images.end(), [&](const ImageHealth& image) {
        return image.is_moved && std::find(keys.begin(), keys.end(), image.key()) != keys.end();
    });
}

void ImageGuard::restore_pin(const containerd::Event& event, const containerd::Image& held,
                             const ImageKey& key) {
    const bool is_pull = was_pulled(event.ns, held);
    if (is_pull) actions_.pulled_again.push_back({.ns = event.ns, .image = held, .at = event.at});
    const char* const why =
        is_pull
            ? "pulled again, which replaces its labels (pull policy Always, or a credential check)"
            : "its label was removed";
    const Moment now = with_.clock();
    if (!allowance_.take(key, now.steady)) {
        if (suspicions_.add_later(key, why, now.steady + RepairAllowance::kWithin)) {
            with_.log.note(Severity::warning, key.image + " in " + key.ns +
                                                  " keeps losing its pin; not re-pinning for " +
                                                  std::to_string(RepairAllowance::kWithin.count()) +
                                                  " s");
        }
        return;
    }
    if (!with_.names.set_labels(event.ns, held.name,
                                store::name_labels(event.ns, store::Pin::yes))) {
        return;
    }
    actions_.repinned.push_back({.ns = event.ns, .name = event.object});
    v1::Repair repair;
    *repair.mutable_at() = to_timestamp(now.wall);
    repair.set_image(key.image);
    repair.set_namespace_(key.ns);
    repair.set_platform(key.platform);
    repair.set_what("pinned again");
    repair.set_why(why);
    with_.log.add(std::move(repair));
    repaired_.insert(key);
    update_flags();
}

/// A pull also writes the labels of the image's documents. Removing a label from the name does not.
bool ImageGuard::was_pulled(const std::string& ns, const containerd::Image& held) {
    const auto touched_at = with_.names.touched_at(ns, held.target.digest);
    if (!touched_at) return false;
    if (pulled_at_.size() >= kMaxPulls) pulled_at_.clear();
    Time& known = pulled_at_[ns + " " + held.target.digest.str()];
    if (*touched_at <= std::max(known, checked_at_)) return false;
    known = *touched_at;
    return true;
}

/// Whatever happens to an image that has a problem may be the end of it. What happened before the
/// check that found the problem, for example by our own repair, is not news.
void ImageGuard::suspect_unwell(const containerd::Event& event,
                                const std::optional<containerd::Image>& held) {
    std::vector<ImageKey> keys = keys_about(event);
    // A repair takes content from any namespace.
    if (held) {
        const std::vector<ImageKey> same = keys_with(held->target.digest.str());
        keys.insert(keys.end(), same.begin(), same.end());
    }
    if (is_removal(event)) keys = without_our_garbage(std::move(keys));
    for (const ImageKey& key : keys) {
        const ImageHealth* const image = health_of(key);
        if (image == nullptr || image->problem.empty() || event.at < image->checked_at) continue;
        const auto retry = retries_.find(key);
        suspect({key}, retry == retries_.end() ? "something of it changed" : retry->second.why);
        if (retry != retries_.end()) retries_.erase(retry);
    }
}

std::vector<ImageKey> ImageGuard::keys_about(const containerd::Event& event) const {
    switch (event.kind) {
        case EventKind::image_created:
        case EventKind::image_updated:
        case EventKind::image_deleted:
            return images_.baked().named(event.ns, event.object);
        case EventKind::snapshot_committed:
            return images_.baked().made_of(event.ns, event.name);
        case EventKind::snapshot_removed:
        case EventKind::blob_deleted:
            return images_.baked().made_of(event.ns, event.object);
        case EventKind::snapshot_prepared:
        case EventKind::container_created:
        case EventKind::task_started:
            return {};
    }
    return {};
}

/// The images whose names point to this digest, or that have this manifest, in any namespace.
std::vector<ImageKey> ImageGuard::keys_with(const std::string& digest) const {
    std::vector<ImageKey> keys;
    for (const store::PlacedImage& placed : images_.baked().images()) {
        if (placed.image.target().digest() == digest || placed.image.manifest().digest() == digest)
            keys.push_back(placed.key);
    }
    return keys;
}

/// `keys` without the images that the disk had no room for: what containerd removes of them is what
/// the failed repair had unpacked.
std::vector<ImageKey> ImageGuard::without_our_garbage(std::vector<ImageKey> keys) const {
    std::erase_if(keys, [&](const ImageKey& key) {
        const auto retry = retries_.find(key);
        return retry != retries_.end() && retry->second.cause == RetryCause::disk_full;
    });
    return keys;
}

/// Those of `keys` that were not unpacked at the last check.
std::vector<ImageKey> ImageGuard::not_unpacked(std::vector<ImageKey> keys) const {
    const std::vector<ImageHealth>& images = state_.images;
    std::erase_if(keys, [&](const ImageKey& key) {
        return std::ranges::none_of(images, [&](const ImageHealth& image) {
            return image.key() == key && !image.is_unpacked;
        });
    });
    return keys;
}

void ImageGuard::suspect(const std::vector<ImageKey>& keys, const std::string& why) {
    const SteadyTime now = with_.clock().steady;
    for (const ImageKey& key : keys) {
        if (images_.evicted().contains(key) || images_.removed().contains(key)) continue;
        suspicions_.add(key, why, now);
    }
}

void ImageGuard::check_suspects() {
    const SteadyTime now = with_.clock().steady;
    const std::map<ImageKey, std::string> suspects = suspicions_.take(now);
    if (suspects.empty()) return;
    const auto why = [&](const ImageKey& key) {
        const auto found = suspects.find(key);
        return found == suspects.end() ? std::string() : found->second;
    };
    try {
        find_left_images(images_, with_.names, with_.log);
        std::set<ImageKey> keys;
        for (const auto& [key, reason] : suspects) keys.insert(key);
        const auto may_repair = [&](const ImageKey& key) { return allowance_.take(key, now); };
        apply(run_reconcile(images_.wanted(keys), may_repair, why), why);
        check_backoff_.reset();
    } catch (const Error&) {
        const SteadyTime again = now + check_backoff_.next();
        for (const auto& [key, reason] : suspects) suspicions_.add_later(key, reason, again);
        throw;
    }
}

void ImageGuard::retry_later(const ImageKey& key, RetryCause cause, const std::string& why) {
    const SteadyTime now = with_.clock().steady;
    const auto known = retries_.find(key);
    if (known == retries_.end() || known->second.cause != cause) {
        retries_.insert_or_assign(key, Retry{.backoff = Backoff(first_delay(cause), kRetryLatest),
                                             .cause = cause,
                                             .why = why,
                                             .free_bytes = {}});
    }
    Retry& retry = retries_.at(key);
    suspicions_.add_later(key, why, now + retry.backoff.next());
    if (!is_watched(cause)) return;
    if (cause == RetryCause::disk_full) retry.free_bytes = free_before_[key.ns];
    if (!causes_due_) causes_due_ = now + kCauseInterval;
}

std::optional<SteadyTime> ImageGuard::suspects_due() const {
    const std::optional<SteadyTime> due = suspicions_.due();
    if (!due || !causes_due_) return due ? due : causes_due_;
    return std::min(*due, *causes_due_);
}

void ImageGuard::notice_causes() {
    const SteadyTime now = with_.clock().steady;
    if (!causes_due_ || now < *causes_due_) return;
    causes_due_.reset();
    for (auto& [key, retry] : retries_) {
        if (!is_watched(retry.cause)) continue;
        // What was free before the repair may be unknown: then what is free now counts.
        const bool is_unknown = retry.cause == RetryCause::disk_full && !retry.free_bytes;
        if (is_unknown) retry.free_bytes = free_bytes(key.ns);
        if (is_gone(key, retry)) {
            suspicions_.add(key, retry.why, now);
        } else {
            causes_due_ = now + kCauseInterval;
        }
    }
}

bool ImageGuard::is_gone(const ImageKey& key, const Retry& retry) const {
    if (retry.cause == RetryCause::bake_runs) return with_.repairer.can_restore();
    const std::optional<std::uint64_t> free = free_bytes(key.ns);
    const ImageHealth* const image = health_of(key);
    if (!free || !retry.free_bytes || image == nullptr) return false;
    return *free >=
           *retry.free_bytes + std::clamp(image->bytes / kGainedPart, kLeastGain, kMostGain);
}

/// Of the disk that the namespace unpacks into; nothing if it is unknown.
std::optional<std::uint64_t> ImageGuard::free_bytes(const std::string& ns) const {
    const auto found = snapshotters_.find(ns);
    try {
        const auto room =
            with_.disk.room(found == snapshotters_.end() ? "overlayfs" : found->second);
        if (!room) return {};
        return room->free_bytes;
    } catch (const Error&) {
        return {};  // the retry comes without it, only later
    }
}

const ImageHealth* ImageGuard::health_of(const ImageKey& key) const {
    const auto found =
        std::ranges::find_if(state_.images, [&](const auto& image) { return image.key() == key; });
    return found == state_.images.end() ? nullptr : &*found;
}

void ImageGuard::apply(Reconciled reconciled,
                       const std::function<std::string(const ImageKey&)>& why) {
    const Moment now = with_.clock();
    const auto& open = reconciled.to_retry;
    for (const ImageHealth& image : reconciled.images) {
        if (!open.contains(image.key())) retries_.erase(image.key());
        if (image.problem.empty()) with_.log.forget_failures(image.key());
    }
    for (const auto& [key, cause] : open) retry_later(key, cause, why(key));
    for (auto& [ns, parts] : reconciled.restored) actions_.restored[ns].merge(parts);
    for (const ImageKey& key : reconciled.named_again) {
        actions_.named_again.insert(key.ns);
        if (key.ns == store::kDockerNamespace) images_.set_restored(key);
    }
    for (v1::Repair& repair : reconciled.repairs) {
        const ImageKey key = key_of(repair);
        if (!repair.what().empty()) repaired_.insert(key);
        // A repair that will be retried is reported when it succeeds or fails for good.
        if (!open.contains(key)) with_.log.add(std::move(repair));
    }
    checked_at_ = now.wall;
    replace_health(std::move(reconciled.images));
    update_flags();
}

void ImageGuard::replace_health(std::vector<ImageHealth> checked) {
    std::vector<ImageHealth>& images = state_.images;
    for (ImageHealth& image : checked) {
        const auto known = std::find_if(images.begin(), images.end(), [&](const ImageHealth& old) {
            return old.key() == image.key() && old.digest == image.digest;
        });
        if (known == images.end()) {
            images.push_back(std::move(image));
        } else {
            *known = std::move(image);
        }
    }
}

void ImageGuard::update_flags() {
    const auto sandbox = images_.baked().sandbox_key();
    for (ImageHealth& image : state_.images) {
        const ImageKey key = image.key();
        image.is_sandbox = sandbox == key;
        image.is_unpinned_by_budget = images_.unpinned().contains(key);
        image.is_evicted = images_.evicted().contains(key);
        image.is_removed = images_.removed().contains(key);
        if (image.is_removed) image.problem = kRemoved;
        image.is_repaired = repaired_.contains(key);
    }
}

HeldContent ImageGuard::content_to_hold() const {
    HeldContent content;
    for (const store::PlacedImage& placed : images_.baked().images()) {
        if (store::is_in_graph_driver(placed.placement)) continue;
        std::set<std::string>& digests = content[placed.key.ns];
        const bool is_wanted =
            keeps_deleted_ && placed.placement.pinned() && !images_.unpinned().contains(placed.key);
        if (!is_wanted || pins_.is_below_floor() || is_moved({placed.key})) continue;
        if (images_.removed().contains(placed.key)) continue;
        digests.insert(placed.image.target().digest());
    }
    return content;
}

void ImageGuard::keep_budget(const UsageOf& usage) {
    if (!has_pin_limits()) return;
    for (const PinChange& change : pins_.decide(images_, snapshotters_, usage)) {
        images_.set_unpinned(change.key, !change.is_pinned);
        try {
            pins_.apply(change, images_);
        } catch (const Error&) {
            images_.set_unpinned(change.key, change.is_pinned);
            throw;
        }
        with_.log.note(
            Severity::info,
            change.key.image + (change.is_pinned ? " is pinned again: there is room on the disk"
                                                 : " is unpinned to leave room on the disk"));
    }
    update_flags();
}

}  // namespace prebake::guard
