#include "agent/bake/plan_destinations.h"

#include "agent/store/names.h"
#include "agent/store/placements.h"

namespace prebake::bake {
namespace {

std::string reason_in_containerd(const std::string& ns, const ImageRequest& request) {
    if (request.is_sandbox) return "CRI needs it for every pod";
    if (ns == store::kCriNamespace) return "k8s.io has the images of pods";
    if (ns == store::kDockerNamespace) return "the runtime is containerd: dockerd is not asked";
    return "the list or -n names this namespace";
}

std::string reason_in_docker(const docker::EngineInfo& docker) {
    return "dockerd " + docker.version + " keeps its images in " +
           (docker.uses_containerd_store ? "containerd" : "its graph driver");
}

}  // namespace

std::vector<Destination> destinations_of(const ImageRequest& request, const Survey& survey) {
    std::vector<Destination> destinations;
    for (const std::string& ns : request.namespaces) {
        const bool is_docker =
            survey.docker && ns == store::kDockerNamespace && is_for_docker(request);
        const auto snapshotter = survey.snapshotters.find(ns);
        const bool has_driver = request.unpack && snapshotter != survey.snapshotters.end();
        destinations.push_back({.is_docker = is_docker,
                                .ns = ns,
                                .driver = has_driver ? snapshotter->second : "",
                                .reason = is_docker ? reason_in_docker(*survey.docker)
                                                    : reason_in_containerd(ns, request)});
    }
    if (request.in_graph_driver && survey.docker) {
        destinations.push_back({.is_docker = true,
                                .ns = std::string(store::kDockerNamespace),
                                .driver = survey.docker->driver,
                                .reason = reason_in_docker(*survey.docker)});
    }
    return destinations;
}

std::string short_form(const std::vector<Destination>& destinations) {
    std::string text;
    for (const Destination& destination : destinations) {
        text += text.empty() ? "" : ", ";
        text += destination.is_docker ? "docker (" + destination.driver + ")" : destination.ns;
    }
    return text;
}

}  // namespace prebake::bake
