#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/bake/event.h"
#include "agent/bake/image_store.h"
#include "agent/bake/layer_source.h"
#include "agent/docker/engine.h"
#include "agent/registry/credentials.h"
#include "proto/prebake/v1/bake_record.pb.h"

namespace prebake::bake {

/// dockerd, as a bake uses it. What is referred to must live longer.
struct DockerTarget {
    docker::Engine& engine;
    docker::EngineInfo info;
    registry::CredentialSource& credentials;
};

/// The names that an image has in dockerd: for each reference by digest, and by tag if it has one.
std::vector<std::string> engine_names(const ResolvedImage& image);

/// Whether dockerd's graph driver has the image by all these names. @throws Error as Engine.
bool is_in_engine(const ResolvedImage& image, docker::Engine& engine);

/// Bakes images into dockerd's graph driver, which nothing but its API reaches: dockerd pulls each
/// reference by digest, so that RepoDigests has it (Amazon ECS and `docker run NAME@DIGEST` look
/// there), and gives it its tag. If dockerd cannot pull, but the registry serves us, it loads an
/// archive of what we fetch; then only the tags lead to the image.
class EngineBaker final : public ImageStore {
  public:
    EngineBaker(const DockerTarget& docker, LayerSource& layers, EventSink& events,
                std::stop_token stop);

    void bake(const ResolvedImage& image, ImageChanges& changes) override;

  private:
    class Progress;

    void bake_reference(const ResolvedImage& image, const oci::Reference& reference,
                        ImageChanges& changes);
    void pull(const ResolvedImage& image, const oci::Reference& reference, ImageChanges& changes);
    void load(const ResolvedImage& image, const oci::Reference& reference, const Error& cause,
              ImageChanges& changes);
    std::optional<docker::RegistryLogin> login_for(const oci::Reference& reference);

    DockerTarget docker_;
    LayerSource& layers_;
    EventSink& events_;
    std::stop_token stop_;
};

}  // namespace prebake::bake
