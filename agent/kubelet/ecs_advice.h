#pragma once

#include <string>
#include <vector>

#include "agent/kubelet/ecs_images.h"
#include "agent/kubelet/ecs_settings.h"
#include "proto/prebake/v1/node.pb.h"

/// What belongs into the ECS agent's configuration on a machine with baked images. Pure.
namespace prebake::kubelet {

/// The variables for /etc/ecs/ecs.config. The names by digest are left out, with a warning, if
/// there are too many names for one variable.
/// @throws Error failed_precondition if there are no images; too_large if they have too many names.
v1::EcsAdvice advise_ecs(const std::vector<EcsImage>& images);

/// The advice as a part of /etc/ecs/ecs.config. Each variable has its reason as a comment.
std::string to_variables(const v1::EcsAdvice& advice);

struct MergedEcsConfig {
    std::string text;
    std::vector<std::string> changes;  ///< for people; empty: nothing was to be changed
};

/// The text of an ecs.config with the advice. Comments and other variables stay as they are, a
/// value is replaced where it stands, with the reason as a comment; entries of a list stay, and the
/// missing ones follow them.
/// Merging again changes nothing. @throws Error too_large if the list becomes too long.
MergedEcsConfig merge_ecs_config(const std::string& text, const v1::EcsAdvice& advice);

/// The settings that make the agent pull or remove baked images. A missing one belongs into
/// `file`.
std::vector<v1::EcsClash> find_ecs_clashes(const std::vector<EcsImage>& images,
                                           const EcsSettings& settings, const std::string& file);

/// Settings that have no effect, because with prefer-cached the agent removes nothing.
std::vector<std::string> ecs_settings_without_effect(const EcsSettings& settings);

}  // namespace prebake::kubelet
