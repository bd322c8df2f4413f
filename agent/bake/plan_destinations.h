#pragma once

#include <string>
#include <vector>

#include "agent/bake/survey.h"

namespace prebake::bake {

/// One place where an image of the plan goes.
struct Destination {
    bool is_docker = false;  ///< dockerd has it then
    std::string ns;          ///< of containerd; moby for Docker
    std::string driver;      ///< snapshotter or graph driver; empty: it is not unpacked
    std::string reason;
};

/// Where a request of the survey goes, and why. Pure.
std::vector<Destination> destinations_of(const ImageRequest& request, const Survey& survey);

/// "k8s.io, docker (overlay2)"
std::string short_form(const std::vector<Destination>& destinations);

}  // namespace prebake::bake
