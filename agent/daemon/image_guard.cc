#include "agent/daemon/image_guard.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/timestamp.h"
#include "agent/containerd/content.h"
#include "agent/store/baked_images.h"
#include "agent/store/labels.h"
#include "agent/store/names.h"
#include "agent/store/storage.h"

namespace prebake::daemon {
namespace {

using containerd::EventKind;

/// Delay after a failed repair: a bake is running, the disk is full, or another client undoes each
/// repair. Unpacking a large image without success is expensive, so the delay grows.
constexpr std::chrono::seconds kRetryLater{30};
constexpr std::chrono::minutes kRetryLatest{8};

/// Of more images than are protected anywhere, a second loss of a pin may count as a pull.
constexpr std::size_t kMaxPulls = 4096;

const std::string kCri(store::kCriNamespace);

bool has_label(const containerd::Labels& labels, std::string_view key) {
    const auto found = labels.find(std::string(key));
    return found != labels.end() && !found->second.empty();
}

/// Whether the event reports a label that is gone by now: another event follows for that.
bool is_outdated(const containerd::Event& event, const containerd::Image& held) {
    return std::ranges::any_of(
        std::array{store::kPinnedLabel, store::kManagedLabel}, [&](std::string_view key) {
            return has_label(event.labels, key) && !has_label(held.labels, key);
        });
}

guard::ImageKey key_of(const guard::ImageHealth& image) {
    return {.image = image.name, .ns = image.ns};
}

}  // namespace

ImageGuard::ImageGuard(Surroundings surroundings)
    : with_(std::move(surroundings)),
      pins_(with_.options.pin_limits, with_.connection),
      cri_settings_(with_.options.snapshotter, with_.options.configured_runtime, with_.connection,
                    with_.log) {}

void ImageGuard::show_progress(const guard::RepairProgress& progress) {
    if (progress.done == 0) replace_health(progress.images);
    with_.on_progress(progress);
}

void ImageGuard::set_record(const v1::BakeRecord& record) {
    set_baked(record, images_.baked().sandbox());
}

void ImageGuard::check_everything() {
    pins_.forget_disk();
    read_cri_settings();
    adopt_sandbox();
    // What is found now goes before what was suspected until now.
    suspicions_.clear();
    find_evicted();
    const v1::BakeRecord wanted = images_.wanted();
    const store::NameSet pinned = images_.pinned_names();
    const auto why = [](const guard::ImageKey&) {
        return std::string("found when all was checked");
    };
    guard::Reconciled reconciled = guard::reconcile(
        {.wanted = wanted,
         .snapshotters = snapshotters_,
         .pinned = pinned,
         .state_dir = with_.options.state_dir,
         .connection = with_.connection,
         .events = with_.events,
         .may_repair = [](const guard::ImageKey&) { return true; },
         .why = why,
         .on_progress =
             [this](const guard::RepairProgress& progress) { show_progress(progress); }});
    with_.facts.images.clear();
    for (const guard::ImageKey& key : images_.evicted()) {
        with_.facts.images.push_back({.name = key.image,
                                      .ns = key.ns,
                                      .digest = images_.baked().target_of(key),
                                      .problem = {},
                                      .next_step = {}});
    }
    take_in(std::move(reconciled), why);
    with_.facts.is_reconciled = true;
}

void ImageGuard::read_cri_settings() {
    const guard::CriSettings answer = cri_settings_.read();
    report::NodeFacts& facts = with_.facts;
    facts.has_cri = answer.has_cri;
    facts.snapshotter = answer.snapshotter;
    facts.sandbox_image = answer.sandbox_image;
    facts.content_directory =
        store::Storage(containerd::plugins(with_.connection)).content_directory().value_or("");
    snapshotters_ = {{kCri, facts.snapshotter}};
    for (const v1::BakedImage& image : images_.baked().record().images()) {
        for (const v1::Placement& placement : image.placements()) {
            const std::string& ns = placement.namespace_();
            if (snapshotters_.contains(ns)) continue;
            snapshotters_.emplace(ns, store::snapshotter_of(ns, with_.connection));
        }
    }
}

void ImageGuard::set_baked(v1::BakeRecord record, store::SandboxImage sandbox) {
    auto baked = std::make_shared<const store::BakedImages>(std::move(record), std::move(sandbox));
    with_.accounts.set_baked(baked);
    images_.set_baked(std::move(baked));
}

void ImageGuard::adopt_sandbox() {
    report::NodeFacts& facts = with_.facts;
    facts.is_sandbox_missing = false;
    const store::BakedImages& baked = images_.baked();
    store::SandboxImage sandbox{.name = facts.sandbox_image, .found = {}};
    const store::SandboxImage& known = baked.sandbox();
    const store::PlacedImage* const own = baked.first_named(kCri, sandbox.name);
    if (!sandbox.name.empty() && (own == nullptr || !own->is_recorded)) {
        const bool is_found = known.name == sandbox.name && known.found;
        const auto held =
            containerd::Images(with_.connection, {.ns = kCri, .lease = {}}).get(sandbox.name);
        if (is_found && (!held || held->target.digest.str() == known.found->target().digest())) {
            return;
        }
        facts.is_sandbox_missing = !held;
        if (held) sandbox.found = describe_sandbox(*held);
    }
    if (known.name == sandbox.name && !known.found && !sandbox.found) return;
    set_baked(baked.record(), std::move(sandbox));
}

std::optional<v1::BakedImage> ImageGuard::describe_sandbox(const containerd::Image& held) {
    try {
        v1::BakedImage image =
            guard::describe_sandbox(with_.connection, held, with_.facts.snapshotter);
        with_.log.take_back("sandbox");
        return image;
    } catch (const Error& error) {
        if (containerd::ends_session(error)) throw;
        with_.log.warn("sandbox",
                       "the sandbox image " + held.name + " cannot be guarded: " + error.message());
        return {};
    }
}

FollowUp ImageGuard::on_event(const containerd::Event& event) {
    switch (event.kind) {
        case EventKind::image_created:
        case EventKind::image_updated:
            return on_image_named(event);
        case EventKind::image_deleted:
            with_.ledger_feed.on_event(event);
            suspect(images_.baked().named(event.ns, event.object), "deleted");
            return FollowUp::none;
        case EventKind::snapshot_removed: {
            with_.ledger_feed.on_event(event);
            const auto effective = snapshotters_.find(event.ns);
            if (event.snapshotter.empty() || effective == snapshotters_.end() ||
                event.snapshotter == effective->second) {
                suspect(images_.baked().made_of(event.ns, event.object),
                        "a snapshot of it was removed");
            }
            return FollowUp::none;
        }
        case EventKind::blob_deleted:
            with_.ledger_feed.on_event(event);
            suspect(images_.baked().made_of(event.ns, event.object), "content of it was deleted");
            return FollowUp::none;
        case EventKind::snapshot_committed:
            with_.ledger_feed.on_event(event);
            suspect(not_unpacked(images_.baked().made_of(event.ns, event.name)),
                    "somebody unpacked it");
            return FollowUp::none;
        case EventKind::snapshot_prepared:
            with_.ledger_feed.on_event(event);
            return FollowUp::none;
    }
    return FollowUp::none;
}

FollowUp ImageGuard::on_image_named(const containerd::Event& event) {
    auto held =
        containerd::Images(with_.connection, {.ns = event.ns, .lease = {}}).get(event.object);
    if (!held) return FollowUp::none;  // its deletion is another event
    const std::string target = held->target.digest.str();
    const bool is_news = with_.accounts.is_news(event.ns, event.object, target);
    if (is_news) with_.ledger_feed.image_named(event.ns, *held, event.at);

    const std::vector<guard::ImageKey> keys = images_.baked().named(event.ns, event.object);
    const bool is_sandbox = event.ns == kCri && event.object == images_.baked().sandbox().name;
    if (keys.empty()) return is_sandbox ? FollowUp::check_everything : FollowUp::none;
    std::vector<guard::ImageKey> same;
    std::copy_if(
        keys.begin(), keys.end(), std::back_inserter(same),
        [&](const guard::ImageKey& key) { return images_.baked().target_of(key) == target; });
    if (same.empty()) {
        // A sandbox image that nobody baked is whatever its name means.
        if (is_sandbox && !images_.baked().is_recorded(keys.front().image))
            return FollowUp::check_everything;
        suspect(keys, "its tag was moved");
        return FollowUp::none;
    }
    on_same_target(event, *held, same);
    return FollowUp::none;
}

void ImageGuard::on_same_target(const containerd::Event& event, containerd::Image& held,
                                const std::vector<guard::ImageKey>& keys) {
    bool was_evicted = false;
    for (const guard::ImageKey& key : keys) {
        was_evicted |= images_.evicted().contains(key);
        images_.set_evicted(key, false);
    }
    if (event.kind == EventKind::image_created || was_evicted) {
        return suspect(keys, "created again by another client");
    }
    if (is_moved(keys)) return suspect(keys, "its tag was moved back");
    if (event.ns != kCri || !images_.wants_pin(event.ns, event.object)) return;
    if (has_label(held.labels, store::kPinnedLabel) &&
        has_label(held.labels, store::kManagedLabel)) {
        return;
    }
    if (is_outdated(event, held)) return;
    pin_again(event, held, keys.front());
}

bool ImageGuard::is_moved(const std::vector<guard::ImageKey>& keys) const {
    const std::vector<guard::ImageHealth>& images = with_.facts.images;
    return std::any_of(images.begin(), images.end(), [&](const guard::ImageHealth& image) {
        return image.is_moved && std::find(keys.begin(), keys.end(), key_of(image)) != keys.end();
    });
}

void ImageGuard::pin_again(const containerd::Event& event, const containerd::Image& held,
                           const guard::ImageKey& key) {
    const bool is_pull = was_pulled(event.ns, held);
    if (is_pull) with_.ledger_feed.image_named(event.ns, held, event.at);
    const char* const why =
        is_pull
            ? "pulled again, which replaces its labels (pull policy Always, or a credential check)"
            : "somebody took its label off";
    const guard::SteadyTime now = std::chrono::steady_clock::now();
    if (!allowance_.take(key, now)) {
        if (suspicions_.add_later(key, why, now + guard::RepairAllowance::kWithin)) {
            with_.log.note(
                guard::Severity::warning,
                key.image + " in " + key.ns + " keeps losing its pin; not re-pinning for 60 s");
        }
        return;
    }
    const containerd::Images images(with_.connection, {.ns = event.ns, .lease = {}});
    if (!images.set_labels(held.name, store::name_labels(event.ns, store::Pin::yes))) return;
    with_.accounts.repinned(event.ns, event.object);
    v1::Repair repair;
    *repair.mutable_at() = to_timestamp(std::chrono::system_clock::now());
    repair.set_image(key.image);
    repair.set_namespace_(key.ns);
    repair.set_what("pinned again");
    repair.set_why(why);
    with_.log.add(std::move(repair));
    repaired_.insert(key);
    decorate();
}

/// A pull also writes the labels of the image's documents; removing a label does not.
bool ImageGuard::was_pulled(const std::string& ns, const containerd::Image& held) {
    const containerd::Content content(with_.connection, {.ns = ns, .lease = {}});
    const auto touched_at = content.touched_at(held.target.digest);
    if (!touched_at) return false;
    if (pulled_at_.size() >= kMaxPulls) pulled_at_.clear();
    Time& known = pulled_at_[ns + " " + held.target.digest.str()];
    if (*touched_at <= std::max(known, checked_at_)) return false;
    known = *touched_at;
    return true;
}

/// Those that are known not to be unpacked.
std::vector<guard::ImageKey> ImageGuard::not_unpacked(std::vector<guard::ImageKey> keys) const {
    const std::vector<guard::ImageHealth>& images = with_.facts.images;
    std::erase_if(keys, [&](const guard::ImageKey& key) {
        return std::ranges::none_of(images, [&](const guard::ImageHealth& image) {
            return key_of(image) == key && !image.is_unpacked;
        });
    });
    return keys;
}

void ImageGuard::suspect(const std::vector<guard::ImageKey>& keys, const std::string& why) {
    const guard::SteadyTime now = std::chrono::steady_clock::now();
    for (const guard::ImageKey& key : keys) {
        if (!images_.evicted().contains(key)) suspicions_.add(key, why, now);
    }
}

void ImageGuard::check_suspects(guard::SteadyTime now) {
    const std::map<guard::ImageKey, std::string> suspects = suspicions_.take(now);
    if (suspects.empty()) return;
    const auto why = [&](const guard::ImageKey& key) {
        const auto found = suspects.find(key);
        return found == suspects.end() ? std::string() : found->second;
    };
    try {
        find_evicted();
        std::set<guard::ImageKey> keys;
        for (const auto& [key, reason] : suspects) keys.insert(key);
        const v1::BakeRecord wanted = images_.wanted(keys);
        const store::NameSet pinned = images_.pinned_names();
        take_in(
            guard::reconcile(
                {.wanted = wanted,
                 .snapshotters = snapshotters_,
                 .pinned = pinned,
                 .state_dir = with_.options.state_dir,
                 .connection = with_.connection,
                 .events = with_.events,
                 .may_repair =
                     [&](const guard::ImageKey& key) { return allowance_.take(key, now); },
                 .why = why,
                 .on_progress =
                     [this](const guard::RepairProgress& progress) { show_progress(progress); }}),
            why);
    } catch (const Error&) {
        for (const auto& [key, reason] : suspects) {
            suspicions_.add_later(key, reason, now + kRetryLater);
        }
        throw;
    }
}

void ImageGuard::find_evicted() {
    const std::set<guard::ImageKey> unpinned = images_.unpinned();
    for (const guard::ImageKey& key : unpinned) {
        const containerd::Images store(with_.connection, {.ns = key.ns, .lease = {}});
        const std::vector<std::string> names = images_.baked().names_of(key);
        const bool is_deleted = std::any_of(names.begin(), names.end(),
                                            [&](const auto& name) { return !store.get(name); });
        if (is_deleted && !images_.evicted().contains(key)) {
            with_.log.note(
                guard::Severity::info,
                key.image + " in " + key.ns + " was deleted after the budget had unpinned it");
        }
        images_.set_evicted(key, is_deleted);
    }
}

void ImageGuard::take_in(guard::Reconciled reconciled,
                         const std::function<std::string(const guard::ImageKey&)>& why) {
    const guard::SteadyTime now = std::chrono::steady_clock::now();
    const std::set<guard::ImageKey> open(reconciled.to_retry.begin(), reconciled.to_retry.end());
    for (const guard::ImageHealth& image : reconciled.images) {
        if (!open.contains(key_of(image))) retries_.erase(key_of(image));
    }
    for (const guard::ImageKey& key : open) {
        Backoff& backoff = retries_.try_emplace(key, kRetryLater, kRetryLatest).first->second;
        suspicions_.add_later(key, why(key), now + backoff.next());
    }
    for (v1::Repair& repair : reconciled.repairs) {
        const guard::ImageKey key{.image = repair.image(), .ns = repair.namespace_()};
        if (!repair.what().empty()) {
            repaired_.insert(key);
            to_settle_.insert(key);
        }
        // A repair that is retried is logged once, when it ends.
        if (!open.contains(key)) with_.log.add(std::move(repair));
    }
    checked_at_ = std::chrono::system_clock::now();
    replace_health(std::move(reconciled.images));
    decorate();
}

void ImageGuard::replace_health(std::vector<guard::ImageHealth> checked) {
    std::vector<guard::ImageHealth>& images = with_.facts.images;
    for (guard::ImageHealth& image : checked) {
        const auto known =
            std::find_if(images.begin(), images.end(), [&](const guard::ImageHealth& old) {
                return key_of(old) == key_of(image) && old.digest == image.digest;
            });
        if (known == images.end()) {
            images.push_back(std::move(image));
        } else {
            *known = std::move(image);
        }
    }
}

void ImageGuard::decorate() {
    const auto sandbox = images_.baked().sandbox_key();
    for (guard::ImageHealth& image : with_.facts.images) {
        const guard::ImageKey key = key_of(image);
        image.is_sandbox = sandbox == key;
        image.is_unpinned_by_budget = images_.unpinned().contains(key);
        image.is_evicted = images_.evicted().contains(key);
        image.is_repaired = repaired_.contains(key);
    }
}

void ImageGuard::settle_accounts() {
    if (to_settle_.empty()) return;
    with_.ledger_feed.restored(images_.wanted(to_settle_), snapshotters_);
    to_settle_.clear();
}

void ImageGuard::keep_budget() {
    const auto usage = [&](const guard::ImageKey& key) {
        const ledger::ImageUsage used = with_.accounts.usage(key);
        return guard::Usage{.starts = used.starts, .last_used = used.last_used};
    };
    for (const guard::PinChange& change : pins_.decide(images_, snapshotters_, usage)) {
        images_.set_unpinned(change.key, !change.is_pinned);
        try {
            pins_.apply(change, images_);
        } catch (const Error&) {
            images_.set_unpinned(change.key, change.is_pinned);
            throw;
        }
        with_.log.note(
            guard::Severity::info,
            change.key.image + (change.is_pinned ? " is pinned again, there is room"
                                                 : " is unpinned to leave room on the disk"));
    }
    decorate();
}

}  // namespace prebake::daemon
