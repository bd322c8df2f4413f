#include "agent/daemon/ledger_feed.h"

#include <set>
#include <utility>

#include "agent/base/error.h"
#include "agent/containerd/containers.h"
#include "agent/containerd/content.h"
#include "agent/oci/platform.h"
#include "agent/store/stored_image.h"

namespace prebake::daemon {
namespace {

using containerd::EventKind;

/// A start on an unknown chain makes us list its namespace, but not more often than this.
constexpr std::chrono::seconds kListInterval{10};
/// The subject of the standing warning about namespaces.
constexpr const char* kUnreadable = "namespaces";

}  // namespace

std::size_t LedgerFeed::list_everything(const store::Snapshotters& known, Time now,
                                        const std::function<bool(const std::string&)>& is_wanted) {
    std::size_t found = 0;
    std::string unreadable;
    for (const std::string& ns : containerd::namespaces(connection_)) {
        if (!is_wanted(ns)) continue;
        try {
            const auto own = known.find(ns);
            // First: of a container that is created meanwhile the snapshot is found, and its start
            // is an event.
            const std::vector<ledger::ListedContainer> containers = containers_of(ns);
            const store::Holdings holdings = store::read_holdings(
                connection_, ns,
                own == known.end() ? store::snapshotter_of(ns, connection_) : own->second);
            describe_news(holdings);
            found += accounts_.relist(holdings, containers, now);
        } catch (const Error& error) {
            if (error.code() == Errc::cancelled || is_retryable(error.code())) throw;
            // A broken snapshotter of one namespace must not keep the others from being counted.
            unreadable += (unreadable.empty() ? "" : "; ") + ns + ": " + error.message();
        }
    }
    accounts_.all_listed();
    if (unreadable.empty()) {
        log_.clear(kUnreadable);
    } else {
        log_.warn(kUnreadable, "some starts are not counted in namespace " + unreadable);
    }
    return found;
}

std::vector<ledger::ListedContainer> LedgerFeed::containers_of(const std::string& ns) const {
    const containerd::Containers containers(connection_, ns);
    const std::set<std::string> started = containers.started();
    std::vector<ledger::ListedContainer> listed;
    for (const containerd::Container& container : containers.list()) {
        // dockerd leaves it out, and gives the snapshot the container's ID, too.
        const bool has_key = !container.snapshot_key.empty();
        listed.push_back({.snapshot_key = has_key ? container.snapshot_key : container.id,
                          .image = container.image,
                          .has_started = started.contains(container.id)});
    }
    return listed;
}

void LedgerFeed::describe_news(const store::Holdings& holdings) {
    for (const auto& [name, image] : holdings.images) {
        const std::string target = image.target.digest.str();
        if (!accounts_.is_news(holdings.ns, name, target)) continue;
        const auto contents = describe(holdings.ns, image);
        if (!contents) continue;
        ledger::SeenImage seen{.ns = holdings.ns, .name = name, .contents = *contents, .blobs = {}};
        for (const v1::Layer& layer : contents->layers()) {
            const auto blob = holdings.blobs.find(layer.digest());
            if (blob != holdings.blobs.end()) {
                seen.blobs.emplace(layer.digest(), blob->second.created_at);
            }
        }
        accounts_.image_appeared(seen, std::nullopt);
    }
}

std::optional<v1::BakedImage> LedgerFeed::describe(const std::string& ns,
                                                   const containerd::Image& image) {
    std::string key = ns + " " + image.target.digest.str();
    if (key != described_) {
        description_.reset();
        described_.clear();
        try {
            description_ = store::describe_stored(connection_, ns, image, oci::Platform::host());
        } catch (const Error& error) {
            if (containerd::ends_session(error)) throw;
            log_.note(guard::Severity::debug,
                      image.name + " in " + ns + " is not counted: " + error.message());
            return {};
        }
        described_ = std::move(key);
    }
    return description_;
}

void LedgerFeed::image_named(const std::string& ns, const containerd::Image& image,
                             std::optional<Time> at) {
    const auto contents = describe(ns, image);
    if (!contents) return;
    ledger::SeenImage seen{.ns = ns, .name = image.name, .contents = *contents, .blobs = {}};
    seen.contents.set_name(image.name);
    const containerd::Content content(connection_, {.ns = ns, .lease = {}});
    for (const v1::Layer& layer : contents->layers()) {
        if (const auto blob = content.info(oci::Digest::parse(layer.digest()))) {
            seen.blobs.emplace(layer.digest(), blob->created_at);
        }
    }
    accounts_.image_appeared(seen, at);
}

void LedgerFeed::restored(const guard::RestoredParts& parts,
                          const store::Snapshotters& snapshotters) {
    for (const auto& [ns, own] : parts) {
        const auto snapshotter = snapshotters.find(ns);
        store::Holdings holdings = store::read_holdings(
            connection_, ns, snapshotter == snapshotters.end() ? "" : snapshotter->second);
        // Where the other parts came from is not known here.
        const auto is_other = [&own = own](const auto& entry) {
            return !own.contains(entry.first);
        };
        std::erase_if(holdings.images, is_other);
        std::erase_if(holdings.blobs, is_other);
        std::erase_if(holdings.snapshots, is_other);
        accounts_.restored(holdings);
    }
}

void LedgerFeed::on_event(const containerd::Event& event,
                          const std::optional<containerd::Image>& held) {
    switch (event.kind) {
        case EventKind::image_created:
        case EventKind::image_updated:
            if (held && accounts_.is_news(event.ns, event.object, held->target.digest.str())) {
                image_named(event.ns, *held, event.at);
            }
            return;
        case EventKind::image_deleted:
            return accounts_.image_gone(event.ns, event.object);
        case EventKind::snapshot_prepared:
            return snapshot_prepared(event);
        case EventKind::snapshot_committed:
            return accounts_.snapshot_committed(event.ns, event.object, event.name, event.at);
        case EventKind::snapshot_removed:
            return accounts_.snapshot_removed(event.ns, event.object, event.at);
        case EventKind::blob_deleted:
            return accounts_.blob_deleted(event.ns, event.object, event.at);
        case EventKind::container_created:
            // containerd's clients give a container's snapshot the container's ID.
            return accounts_.container_created(event.ns, event.object, event.name, event.at);
        case EventKind::task_started:
            return task_started(event);
    }
}

void LedgerFeed::task_started(const containerd::Event& event) {
    std::string key = event.object;
    if (!accounts_.awaits_start(event.ns, key)) {
        const auto container = containerd::Containers(connection_, event.ns).find(event.object);
        if (!container || !accounts_.awaits_start(event.ns, container->snapshot_key)) return;
        key = container->snapshot_key;
        accounts_.container_created(event.ns, key, container->image, {});
    }
    accounts_.task_started(event.ns, key, event.at);
}

void LedgerFeed::snapshot_prepared(const containerd::Event& event) {
    const auto note = [&] {
        return accounts_.snapshot_prepared(event.ns, event.object, event.parent);
    };
    const auto count_volume = [&] {
        if (ledger::is_image_volume(event.object)) {
            accounts_.task_started(event.ns, event.object, event.at);
        }
    };
    if (note() != ledger::Prepared::on_unknown_image) return count_volume();
    const auto now = clock_().steady;
    const auto listed = listed_.find(event.ns);
    if (listed != listed_.end() && now - listed->second < kListInterval) return;
    listed_[event.ns] = now;
    describe_news(store::read_holdings(connection_, event.ns, {}));
    // It may still be unknown: a step of a builder, for example. A listing does not count it
    // either.
    note();
    count_volume();
}

}  // namespace prebake::daemon
