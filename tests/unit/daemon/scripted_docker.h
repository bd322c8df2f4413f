#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/docker/engine.h"
#include "agent/oci/digest.h"
#include "agent/oci/manifest.h"
#include "agent/store/engine_check.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::daemon {

/// The diffID of a layer.
inline std::string diff_id(const std::string& layer) {
    return oci::Digest::of("the tar of " + layer).str();
}

/// An image of dockerd with these layers, bottom first.
inline docker::EngineImage engine_image(const std::vector<std::string>& layers) {
    docker::EngineImage image;
    std::string all;
    for (const std::string& layer : layers) {
        all += "/" + layer;
        image.layers.push_back(diff_id(layer));
    }
    image.id = oci::Digest::of("config of " + all).str();
    image.platform = oci::Platform::host();
    return image;
}

/// The same image in the bake record. Its layers have 100 bytes each.
inline v1::BakedImage recorded_image(const std::string& name,
                                     const std::vector<std::string>& layers) {
    const docker::EngineImage image = engine_image(layers);
    v1::BakedImage baked;
    baked.set_name(name);
    baked.set_platform(oci::Platform::host().str());
    baked.mutable_target()->set_digest(oci::Digest::of("index of " + image.id).str());
    baked.mutable_manifest()->set_digest(oci::Digest::of("manifest of " + image.id).str());
    baked.mutable_config()->set_digest(image.id);
    baked.mutable_baked_at()->set_seconds(1'000);
    std::vector<oci::Digest> diff_ids;
    for (const std::string& id : image.layers) diff_ids.push_back(oci::Digest::parse(id));
    const std::vector<oci::Digest> chains = oci::chain_ids(diff_ids);
    for (std::size_t i = 0; i < layers.size(); ++i) {
        v1::Layer& layer = *baked.add_layers();
        layer.set_digest(oci::Digest::of(layers[i]).str());
        layer.set_diff_id(image.layers[i]);
        layer.set_chain_id(chains[i].str());
        layer.set_size(100);
    }
    baked.set_chain_id(chains.back().str());
    v1::Placement& placement = *baked.add_placements();
    placement.set_namespace_("moby");
    placement.add_names(name);
    placement.set_unpacked(true);
    placement.set_graph_driver("overlay2");
    return baked;
}

/// A dockerd that does what the test says. Thread-safe.
class ScriptedDocker {
  public:
    ScriptedDocker() {
        info_.version = "20.10.24";
        info_.driver = "overlay2";
        info_.data_root = "/var/lib/docker";
    }

    void set_info(docker::EngineInfo info) {
        change([&] { info_ = std::move(info); });
    }
    docker::EngineInfo info() {
        const std::scoped_lock lock(mutex_);
        return info_;
    }
    void set_up(bool is_up) {
        change([&] {
            is_up_ = is_up;
            ++run_;  // ends the streams
            events_.clear();
        });
    }
    /// It still runs, and remembers its events.
    void break_streams() {
        change([&] { ++run_; });
    }
    void name(const std::string& name, const docker::EngineImage& image) {
        change([&] { images_[name] = images_[image.id] = image; });
    }
    void remove_name(const std::string& name) {
        change([&] { images_.erase(name); });
    }
    void remove_image(const std::string& id) {
        change(
            [&] { std::erase_if(images_, [&](const auto& one) { return one.second.id == id; }); });
    }
    bool has(const std::string& name) {
        const std::scoped_lock lock(mutex_);
        return images_.contains(name);
    }
    void add_container(docker::EngineContainer container) {
        change([&] { containers_.push_back(std::move(container)); });
    }
    void happens(const std::string& type, const std::string& action, const std::string& id,
                 const std::string& image = {}) {
        change([&] {
            events_.push_back({.type = type,
                               .action = action,
                               .id = id,
                               .image = image,
                               .at = std::chrono::system_clock::now()});
        });
    }
    /// A container that a client creates and starts.
    void runs(const std::string& id, const std::string& image) {
        happens("container", "create", id, image);
        happens("container", "start", id, image);
    }
    std::size_t connections() {
        const std::scoped_lock lock(mutex_);
        return connections_;
    }

    std::unique_ptr<docker::Engine> connect(const std::stop_token& stop) {
        const std::scoped_lock lock(mutex_);
        ++connections_;
        return std::make_unique<Client>(*this, stop);
    }

  private:
    class Client final : public docker::Engine {
      public:
        Client(ScriptedDocker& docker, std::stop_token stop)
            : at_(docker), stop_(std::move(stop)) {}

        const std::filesystem::path& socket() const override { return socket_; }
        docker::EngineInfo info() override {
            return at_.ask([&] { return at_.info_; });
        }
        std::optional<docker::EngineImage> inspect(const std::string& name) override {
            return at_.ask([&]() -> std::optional<docker::EngineImage> {
                const auto found = at_.images_.find(name);
                if (found == at_.images_.end()) return {};
                return found->second;
            });
        }
        void pull(const docker::PullRequest&,
                  const std::function<void(const docker::PullProgress&)>&) override {}
        void tag(const std::string& name, const oci::Reference& tag) override {
            at_.ask([&] { return at_.images_[*tag.tag_name()] = at_.images_.at(name); });
            at_.happens("image", "tag", name);
        }
        void load(Source&, std::uint64_t) override {}
        std::vector<docker::EngineContainer> containers() override {
            return at_.ask([&] { return at_.containers_; });
        }
        [[noreturn]] void follow_events(
            std::chrono::system_clock::time_point since, const std::function<void()>& on_subscribed,
            const std::function<void(const docker::EngineEvent&)>& on_event) override {
            std::unique_lock lock(at_.mutex_);
            const auto first =
                std::ranges::find_if(at_.events_, [&](const auto& e) { return e.at >= since; });
            auto next = static_cast<std::size_t>(first - at_.events_.begin());
            const std::size_t run = at_.run_;
            lock.unlock();
            on_subscribed();
            lock.lock();
            for (;;) {
                at_.changed_.wait(lock, stop_,
                                  [&] { return at_.run_ != run || next < at_.events_.size(); });
                if (stop_.stop_requested()) throw Error(Errc::cancelled, "stopped");
                if (at_.run_ != run) throw Error(Errc::unavailable, "dockerd stopped");
                const docker::EngineEvent event = at_.events_[next++];
                lock.unlock();
                on_event(event);
                lock.lock();
            }
        }

      private:
        ScriptedDocker& at_;
        const std::stop_token stop_;
        const std::filesystem::path socket_ = "/run/docker.sock";
    };

    template <typename Change>
    void change(Change change) {
        const std::scoped_lock lock(mutex_);
        change();
        changed_.notify_all();
    }
    template <typename Answer>
    std::invoke_result_t<Answer> ask(Answer answer) {
        const std::scoped_lock lock(mutex_);
        if (!is_up_) throw Error(Errc::unavailable, "nothing listens on /run/docker.sock");
        return answer();
    }

    std::mutex mutex_;
    std::condition_variable_any changed_;
    bool is_up_ = true;
    std::size_t run_ = 0;
    std::size_t connections_ = 0;
    docker::EngineInfo info_;
    std::map<std::string, docker::EngineImage> images_;  ///< by name and by ID
    std::vector<docker::EngineContainer> containers_;
    std::deque<docker::EngineEvent> events_;
};

}  // namespace prebake::daemon
