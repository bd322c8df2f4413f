#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/docker/engine.h"

namespace prebake::docker {

/// A dockerd that has images by name, and pulls those that a registry of its own has.
class FakeEngine final : public Engine {
  public:
    std::map<std::string, EngineImage> images;    ///< by every name that leads there
    std::map<std::string, EngineImage> registry;  ///< by "repository@digest"
    std::optional<Error> pull_error = {};         ///< what each pull throws
    EngineInfo answer = {};                       ///< of info()
    std::vector<PullRequest> pulls = {};          ///< those that were asked for
    std::vector<std::pair<std::string, std::string>> tags = {};
    std::vector<PullProgress> progress = {};                 ///< what each pull shows
    std::map<std::string, EngineImage> images_of_load = {};  ///< what an archive brings
    std::string loaded = {};                                 ///< the last one

    const std::filesystem::path& socket() const override { return socket_; }
    EngineInfo info() override { return answer; }
    std::optional<EngineImage> inspect(const std::string& name) override {
        const auto found = images.find(name);
        if (found == images.end()) return std::nullopt;
        return found->second;
    }
    void pull(const PullRequest& request,
              const std::function<void(const PullProgress&)>& on_progress) override {
        pulls.push_back(request);
        if (pull_error) throw Error(*pull_error);
        const std::string name = request.reference.name() + "@" + request.reference.digest->str();
        for (const PullProgress& each : progress) on_progress(each);
        images[name] = registry.at(name);
    }
    void tag(const std::string& name, const oci::Reference& tag) override {
        tags.emplace_back(name, *tag.tag_name());
        images[*tag.tag_name()] = images.at(name);
    }
    void load(Source& archive, std::uint64_t) override {
        loaded = read_up_to(archive, 1U << 20).value_or("too long");
        images.insert(images_of_load.begin(), images_of_load.end());
    }
    std::vector<EngineContainer> containers() override { return {}; }
    [[noreturn]] void follow_events(std::chrono::system_clock::time_point,
                                    const std::function<void()>& begun,
                                    const std::function<void(const EngineEvent&)>&) override {
        begun();
        throw Error(Errc::cancelled, "no events");
    }

  private:
    std::filesystem::path socket_ = "/run/docker.sock";
};

}  // namespace prebake::docker
