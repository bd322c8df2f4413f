#include "agent/daemon/engine_ledger.h"

#include <optional>
#include <utility>
#include <vector>

#include "agent/oci/digest.h"
#include "agent/oci/manifest.h"
#include "agent/store/placements.h"

namespace prebake::daemon {
namespace {

const std::string kNamespace(store::kDockerNamespace);
/// As the key of the snapshot that a layer was unpacked in.
const std::string kUnpacking = "dockerd";

/// Bottom first. Empty if a layer has an ID of a kind that we do not know.
std::vector<std::string> chains_of(const docker::EngineImage& image) {
    std::vector<oci::Digest> diff_ids;
    for (const std::string& layer : image.layers) {
        const auto digest = oci::Digest::try_parse(layer);
        if (!digest) return {};
        diff_ids.push_back(*digest);
    }
    std::vector<std::string> chains;
    for (const oci::Digest& chain : oci::chain_ids(diff_ids)) chains.push_back(chain.str());
    return chains;
}

}  // namespace

void EngineLedger::forget() {
    images_.clear();
    chains_.clear();
    is_listed_ = false;
}

/// dockerd knows an image by its config and its layers by what they unpack to. If the record has
/// them, it says more.
v1::BakedImage EngineLedger::describe(const std::string& name,
                                      const docker::EngineImage& image) const {
    v1::BakedImage contents;
    contents.set_name(name);
    contents.set_platform(image.platform.str());
    contents.mutable_target()->set_digest(image.id);
    contents.mutable_config()->set_digest(image.id);
    std::map<std::string, const v1::Layer*> recorded;
    for (const v1::BakedImage& baked : baked_->record().images()) {
        for (const v1::Layer& layer : baked.layers()) recorded.emplace(layer.chain_id(), &layer);
        if (baked.config().digest() != image.id) continue;
        *contents.mutable_target() = baked.target();
        *contents.mutable_manifest() = baked.manifest();
    }
    const std::vector<std::string> chains = chains_of(image);
    for (std::size_t i = 0; i < chains.size(); ++i) {
        v1::Layer& layer = *contents.add_layers();
        const auto known = recorded.find(chains[i]);
        if (known != recorded.end()) {
            layer = *known->second;
        } else {
            layer.set_digest(image.layers[i]);
            layer.set_diff_id(image.layers[i]);
        }
        layer.set_chain_id(chains[i]);
    }
    if (!chains.empty()) contents.set_chain_id(chains.back());
    return contents;
}

void EngineLedger::seen(const EngineSeen& seen, const std::string& driver) {
    Chains chains;
    for (const auto& [name, image] : seen.images) {
        std::string below;
        for (std::string& chain : chains_of(image)) {
            chains.emplace(chain, below);
            below = std::move(chain);
        }
    }
    if (is_listed_) image_changes(seen, chains);
    if (seen.containers) relist(seen, chains, driver);
    images_ = seen.images;
    chains_ = std::move(chains);
}

/// What changed since the last seen().
void EngineLedger::image_changes(const EngineSeen& seen, const Chains& chains) {
    for (const auto& [name, image] : images_) {
        if (!seen.images.contains(name)) accounts_.image_gone(kNamespace, name);
    }
    for (const auto& [chain, below] : chains_) {
        if (!chains.contains(chain)) accounts_.snapshot_removed(kNamespace, chain, seen.at);
    }
    for (const auto& [name, image] : seen.images) {
        const auto before = images_.find(name);
        if (before != images_.end() && before->second.id == image.id) continue;
        const bool is_new = seen.news.contains(name) || before != images_.end() ||
                            baked_->first_named(kNamespace, name) != nullptr;
        // An image that only a container named may have been there all the time.
        for (const std::string& chain : is_new ? chains_of(image) : std::vector<std::string>()) {
            if (chains_.contains(chain)) continue;
            accounts_.snapshot_committed(kNamespace, kUnpacking, chain, seen.at);
        }
        accounts_.image_appeared(
            {.ns = kNamespace, .name = name, .contents = describe(name, image), .blobs = {}},
            is_new ? std::optional<Time>(seen.at) : std::nullopt);
    }
}

void EngineLedger::relist(const EngineSeen& seen, const Chains& chains, const std::string& driver) {
    store::Holdings holdings{
        .ns = kNamespace, .snapshotter = driver, .images = {}, .blobs = {}, .snapshots = {}};
    for (const auto& [name, image] : seen.images) {
        const v1::BakedImage contents = describe(name, image);
        const auto target = oci::Digest::try_parse(contents.target().digest());
        if (!target) continue;
        if (accounts_.is_news(kNamespace, name, target->str())) {
            accounts_.image_appeared(
                {.ns = kNamespace, .name = name, .contents = contents, .blobs = {}}, std::nullopt);
        }
        holdings.images.emplace(
            name, containerd::Image{
                      .name = name,
                      .labels = {},
                      .target = {
                          .media_type = {}, .digest = *target, .annotations = {}, .platform = {}}});
    }
    // dockerd does not say when it got a layer: those that a listing finds were there before.
    for (const auto& [chain, below] : chains) {
        holdings.snapshots.emplace(
            chain, containerd::SnapshotInfo{.name = chain,
                                            .parent = below,
                                            .kind = containerd::SnapshotKind::committed,
                                            .labels = {}});
    }
    std::vector<ledger::ListedContainer> containers;
    for (const docker::EngineContainer& container : *seen.containers) {
        const auto image = seen.images.find(container.image);
        if (image == seen.images.end()) continue;
        const std::vector<std::string> own = chains_of(image->second);
        if (own.empty()) continue;
        holdings.snapshots.emplace(
            container.id, containerd::SnapshotInfo{.name = container.id,
                                                   .parent = own.back(),
                                                   .kind = containerd::SnapshotKind::active,
                                                   .labels = {},
                                                   .created_at = container.created_at});
        containers.push_back({.snapshot_key = container.id,
                              .image = container.image,
                              .has_started = container.has_started});
    }
    accounts_.relist(holdings, containers, seen.at);
    is_listed_ = true;
}

void EngineLedger::happened(const EngineHappened& news) {
    const docker::EngineEvent& event = news.event;
    if (event.action == "create") {
        const auto image = images_.find(news.image_name);
        if (image == images_.end()) return;
        const std::vector<std::string> chains = chains_of(image->second);
        if (chains.empty()) return;
        accounts_.snapshot_prepared(kNamespace, event.id, chains.back());
        accounts_.container_created(kNamespace, event.id, news.image_name, event.at);
    } else if (event.action == "start") {
        accounts_.task_started(kNamespace, event.id, event.at);
    } else if (event.action == "destroy") {
        accounts_.snapshot_removed(kNamespace, event.id, event.at);
    }
}

}  // namespace prebake::daemon
