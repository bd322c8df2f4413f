#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/guard/disk_usage.h"
#include "agent/guard/image_names.h"
#include "agent/guard/image_repairer.h"
#include "agent/store/labels.h"

/// What the guard needs of containerd, scripted.
namespace prebake::guard {

inline std::string digest_of(char letter) {
    return "sha256:" + std::string(64, letter);
}

class FakeNames final : public ImageNames {
  public:
    struct Entry {
        containerd::Labels labels;
        std::string target;
    };
    std::map<std::pair<std::string, std::string>, Entry> names;
    std::map<std::string, std::chrono::system_clock::time_point> touched;  ///< by digest
    std::optional<Error> failure;                                          ///< of set_labels()

    std::optional<containerd::Image> get(const std::string& ns,
                                         const std::string& name) const override {
        const auto found = names.find({ns, name});
        if (found == names.end()) return {};
        return containerd::Image{.name = name,
                                 .labels = found->second.labels,
                                 .target = {.media_type = {},
                                            .digest = oci::Digest::parse(found->second.target),
                                            .size = 1,
                                            .annotations = {},
                                            .platform = {}}};
    }
    bool set_labels(const std::string& ns, const std::string& name,
                    const containerd::Labels& labels) override {
        if (failure) throw Error(*failure);
        const auto found = names.find({ns, name});
        if (found == names.end()) return false;
        for (const auto& [key, value] : labels) {
            if (value.empty()) {
                found->second.labels.erase(key);
            } else {
                found->second.labels[key] = value;
            }
        }
        return true;
    }
    std::optional<std::chrono::system_clock::time_point> touched_at(
        const std::string&, const oci::Digest& blob) const override {
        const auto found = touched.find(blob.str());
        if (found == touched.end()) return {};
        return found->second;
    }

    bool is_pinned(const std::string& ns, const std::string& name) const {
        const auto& labels = names.at({ns, name}).labels;
        return labels.contains(std::string(store::kPinnedLabel));
    }
};

class FakeDisk final : public DiskUsage {
  public:
    std::optional<DiskRoom> disk;
    std::map<std::string, std::uint64_t> layers;  ///< by chain ID
    std::size_t measured = 0;

    std::optional<DiskRoom> room(const std::string&) override { return disk; }
    std::uint64_t layer_bytes(const std::string&, const std::string&,
                              const std::string& chain_id) override {
        ++measured;
        return layers[chain_id];
    }
    void forget_directories() override {}
};

class FakeRepairer final : public ImageRepairer {
  public:
    std::deque<std::vector<store::Finding>> findings;  ///< of each verify(); then none
    std::map<std::string, Error> failures;             ///< of restore(), by image
    std::optional<Error> verify_failure;
    std::vector<std::string> verified;  ///< the images of each verify(): "a b"
    std::vector<std::string> restored;
    bool is_bake_running = false;
    std::function<void()> on_restore = [] {};

    std::vector<store::Finding> verify(const v1::BakeRecord& record,
                                       const store::Snapshotters&) override {
        if (verify_failure) throw Error(*verify_failure);
        std::string names;
        for (const v1::BakedImage& image : record.images()) {
            names += (names.empty() ? "" : " ") + image.name();
        }
        verified.push_back(names);
        if (findings.empty()) return {};
        std::vector<store::Finding> found = std::move(findings.front());
        findings.pop_front();
        return found;
    }
    void restore(const v1::BakedImage& image, const store::Snapshotters&,
                 const store::NameSet&) override {
        restored.push_back(image.name());
        on_restore();
        const auto failure = failures.find(image.name());
        if (failure != failures.end()) throw Error(failure->second);
    }
    bool can_restore() const override { return !is_bake_running; }
};

/// A clock that stands still until it is moved.
struct FakeClock {
    Moment moment{.steady = std::chrono::steady_clock::time_point(std::chrono::hours(1)),
                  .wall = std::chrono::system_clock::time_point(std::chrono::hours(480'000)),
                  .uptime = std::chrono::hours(1)};

    void advance(std::chrono::milliseconds by) {
        moment.steady += by;
        moment.wall += by;
        moment.uptime += by;
    }
    TimeSource source() {
        return [this] { return moment; };
    }
};

/// An image with one layer, pinned in k8s.io. Its name in containerd is its name in the record.
inline v1::BakedImage baked_image(const std::string& name, char letter) {
    v1::BakedImage image;
    image.set_name(name);
    image.mutable_target()->set_digest(digest_of(letter));
    image.set_chain_id("chain-" + name);
    v1::Layer& layer = *image.add_layers();
    layer.set_digest("blob-" + name);
    layer.set_chain_id("chain-" + name);
    layer.set_size(10);
    v1::Placement& placement = *image.add_placements();
    placement.set_namespace_("k8s.io");
    placement.add_names(name);
    placement.set_pinned(true);
    placement.set_unpacked(true);
    placement.set_layers_kept(true);
    placement.set_snapshotter("overlayfs");
    return image;
}

}  // namespace prebake::guard
