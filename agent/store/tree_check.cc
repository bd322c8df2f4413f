#include "agent/store/tree_check.h"

#include <linux/capability.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "agent/base/capabilities.h"
#include "agent/base/error.h"
#include "agent/base/file_source.h"
#include "agent/base/format.h"
#include "agent/base/wait.h"
#include "agent/containerd/content.h"
#include "agent/layer/compare.h"
#include "agent/layer/decompress.h"
#include "agent/layer/hashing_source.h"
#include "agent/store/snapshot_directories.h"
#include "agent/store/snapshot_use.h"
#include "agent/store/snapshot_view.h"

namespace prebake::store {
namespace {

/// To read any file, and the xattrs of overlayfs.
constexpr std::array kToReadTrees{Capability{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
                                  Capability{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}};

/// A blob while it is read: ends with a stop, and counts the bytes.
class CountedReads final : public Source {
  public:
    CountedReads(Source& from, std::uint64_t& count, const std::stop_token& stop)
        : from_(from), count_(count), stop_(stop) {}
    std::size_t read(std::span<std::byte> buffer) override {
        throw_if_stopped(stop_);
        const std::size_t got = from_.read(buffer);
        count_ += got;
        return got;
    }

  private:
    Source& from_;
    std::uint64_t& count_;
    const std::stop_token& stop_;
};

void read_to_end(Source& source) {
    constexpr std::size_t kBlockBytes = 65'536;
    std::array<std::byte, kBlockBytes> rest;
    while (source.read(rest) > 0) {
    }
}

/// How many snapshots of the image are there, from the lowest on.
std::size_t committed_layers(const v1::BakedImage& image, const SnapshotsByName& snapshots) {
    std::size_t count = 0;
    std::string parent;
    for (const v1::Layer& layer : image.layers()) {
        const auto held = snapshots.find(layer.chain_id());
        if (held == snapshots.end() || held->second.parent != parent ||
            held->second.kind != containerd::SnapshotKind::committed) {
            break;
        }
        parent = layer.chain_id();
        ++count;
    }
    return count;
}

}  // namespace

TreeCheck::Key TreeCheck::key_of(const Chain& chain, std::size_t layer) {
    return {chain.placement.namespace_(), chain.snapshotter, chain.layer(layer).chain_id()};
}

void TreeCheck::run(const v1::BakedImage& image, const v1::Placement& placement,
                    const std::string& snapshotter) {
    const Holdings& held = store_.holdings(placement.namespace_(), snapshotter);
    Chain chain{.image = image,
                .placement = placement,
                .snapshotter = snapshotter,
                .held = held,
                .length = committed_layers(image, held.snapshots),
                .directories = {}};
    std::vector<std::size_t> to_do;
    for (std::size_t i = 0; i < chain.length; ++i) {
        if (done_.insert(key_of(chain, i)).second) to_do.push_back(i);
    }
    if (to_do.empty()) return;
    std::string obstacle = lacking(kToReadTrees, own_capabilities().effective);
    if (!obstacle.empty()) {
        obstacle = "prebake may not read their files: " + obstacle;
    } else {
        try {
            open_directories(chain);
        } catch (const Error& error) {
            if (concerns_everything(error)) throw;
            obstacle = error.message();
        }
    }
    for (const std::size_t i : to_do) {
        if (obstacle.empty()) {
            check_layer(chain, i);
        } else {
            leave_out(chain, i, obstacle);
        }
    }
}

/// The view is needed no more when they are open: they belong to the committed snapshots.
void TreeCheck::open_directories(Chain& chain) {
    const SnapshotView view(connection_, chain.placement.namespace_(), chain.snapshotter,
                            chain.layer(chain.length - 1).chain_id());
    const SnapshotDirectories found = viewed_directories_of(view.mounts(), chain.length);
    if (!found.obstacle.empty()) {
        throw Error(Errc::unsupported, "the files of the snapshotter " + chain.snapshotter +
                                           " cannot be read: " + found.obstacle);
    }
    for (const std::filesystem::path& path : found.lowers) {
        chain.directories.push_back(open_directory(path));
    }
}

/// Why the layer cannot be read; empty if it can.
std::string TreeCheck::missing_blob(const Chain& chain, std::size_t layer) const {
    const auto blob = chain.held.blobs.find(chain.layer(layer).digest());
    if (blob != chain.held.blobs.end() &&
        store_.is_readable(chain.placement.namespace_(), blob->second)) {
        return {};
    }
    if (chain.placement.layers_kept()) return "their layers are not in the content store any more";
    return "their layers were not kept in the content store (discard_unpacked_layers)";
}

std::unique_ptr<Source> TreeCheck::open_blob(const Chain& chain, std::size_t layer) const {
    const oci::Digest digest = oci::Digest::parse(chain.layer(layer).digest());
    FileDescriptor file = store_.storage().open_blob(digest);
    if (file) return std::make_unique<FileSource>(std::move(file), digest.str(), 0);
    const containerd::Content content(connection_,
                                      {.ns = chain.placement.namespace_(), .lease = {}});
    return content.read(digest);
}

layer::Comparison TreeCheck::compare(const Chain& chain, std::size_t layer, Source& stored) {
    std::vector<int> lowers;
    bool are_lowers_sound = true;
    for (std::size_t below = layer; below > 0; --below) {
        lowers.push_back(chain.directories[chain.length - below].get());
        are_lowers_sound = are_lowers_sound && !damaged_.contains(key_of(chain, below - 1));
    }
    const std::unique_ptr<Source> tar =
        layer::tar_of_layer(stored, chain.layer(layer).media_type());
    return layer::compare(
        *tar,
        {.root = chain.directories[chain.length - 1 - layer].get(),
         .lowers = lowers,
         .whiteouts = layer == 0 ? layer::Whiteouts::apply : layer::Whiteouts::overlay,
         .are_lowers_sound = are_lowers_sound},
        [this] { throw_if_stopped(connection_.stop()); });
}

void TreeCheck::check_layer(const Chain& chain, std::size_t layer) {
    if (const std::string reason = missing_blob(chain, layer); !reason.empty()) {
        return leave_out(chain, layer, reason);
    }
    const std::string& digest = chain.layer(layer).digest();
    std::optional<layer::Comparison> comparison;
    std::string obstacle;
    try {
        const std::unique_ptr<Source> bytes = open_blob(chain, layer);
        CountedReads counted(*bytes, result_.bytes_read, connection_.stop());
        layer::HashingSource stored(counted);
        try {
            comparison = compare(chain, layer, stored);
        } catch (const Error& error) {
            if (concerns_everything(error)) throw;
            obstacle = error.message();
        }
        read_to_end(stored);
        const std::string actual = oci::Digest(stored.finish()).str();
        const bool is_damaged = actual != digest;
        content_.has_read(chain.image, chain.placement.namespace_(), digest,
                          is_damaged ? "content with digest " + actual : "");
        // What a damaged layer says about files means nothing.
        if (is_damaged) obstacle = "their layers are damaged in the content store";
    } catch (const Error& error) {
        if (concerns_everything(error)) throw;
        obstacle = error.message();
    }
    if (!obstacle.empty()) return leave_out(chain, layer, obstacle);
    ++result_.trees;
    result_.files += comparison->files;
    if (comparison->total > 0) report(chain, layer, *comparison);
}

void TreeCheck::report(const Chain& chain, std::size_t layer, const layer::Comparison& comparison) {
    damaged_.insert(key_of(chain, layer));
    const v1::Layer& compared = chain.layer(layer);
    const std::string& ns = chain.placement.namespace_();
    const Dependents dependents =
        dependents_of(compared.chain_id(), chain.held.snapshots, chains_in(record_, ns));
    const std::string of_layer = " of layer " + compared.digest();
    const Finding finding{.kind = FindingKind::tree_damaged,
                          .check = Check::trees,
                          .image = chain.image.name(),
                          .platform = chain.image.platform(),
                          .ns = ns,
                          .object = "files" + of_layer,
                          .subject = compared.chain_id(),
                          .expected = "no other differences",
                          .found = {},
                          .next_step = dependents.are_replaceable()
                                           ? "prebake verify --deep --repair"
                                           : "its snapshot is used by " + users_text(dependents) +
                                                 ": " + how_to_free(dependents),
                          .layer = compared.digest(),
                          .path = {},
                          .snapshotter = chain.snapshotter};
    for (const layer::Difference& difference : comparison.differences) {
        Finding& one = result_.findings.emplace_back(finding);
        one.path = "/" + printable(difference.path);
        one.object = "file " + one.path + of_layer;
        one.expected = difference.expected;
        one.found = difference.found;
    }
    const std::uint64_t untold = comparison.total - comparison.differences.size();
    if (untold == 0 && !comparison.is_cut_short) return;
    Finding& rest = result_.findings.emplace_back(finding);
    if (!comparison.is_cut_short) {
        rest.found = std::to_string(untold) + " more";
    } else {
        rest.expected = "a directory that resembles the layer";
        rest.found =
            "more differences: so many files are missing, or are something else, that the "
            "comparison ended";
    }
}

void TreeCheck::leave_out(const Chain& chain, std::size_t layer, const std::string& reason) {
    result_.uncompared.push_back({.image = chain.image.name(),
                                  .platform = chain.image.platform(),
                                  .ns = chain.placement.namespace_(),
                                  .snapshot = chain.layer(layer).chain_id(),
                                  .reason = reason});
}

}  // namespace prebake::store
