#include "agent/store/engine_check.h"

#include <utility>

#include "agent/base/error.h"
#include "agent/oci/platform.h"
#include "agent/store/names.h"
#include "agent/store/placements.h"
#include "agent/store/record.h"

namespace prebake::store {
namespace {

NameInEngine moved(std::string expected, std::string found) {
    return {.problem = FindingKind::name_moved,
            .expected = std::move(expected),
            .found = std::move(found)};
}

/// dockerd does not keep a variant of every platform that it runs.
bool is_platform(const docker::EngineImage& held, const std::string& wanted) {
    const oci::Platform platform = oci::Platform::parse(wanted);
    return held.platform.os == platform.os && held.platform.architecture == platform.architecture;
}

/// Position and ID of the first layer that differs; nothing if all are equal.
std::optional<NameInEngine> other_layers(const docker::EngineImage& held,
                                         const v1::BakedImage& image) {
    const auto count = static_cast<std::size_t>(image.layers_size());
    if (held.layers.size() != count) {
        return moved(std::to_string(count) + " layers", std::to_string(held.layers.size()));
    }
    for (std::size_t i = 0; i < count; ++i) {
        const std::string& wanted = image.layers(static_cast<int>(i)).diff_id();
        if (held.layers[i] == wanted) continue;
        return moved("layer " + std::to_string(i + 1) + " with diffID " + wanted, held.layers[i]);
    }
    return std::nullopt;
}

void check_placement(const v1::BakedImage& image, const v1::Placement& placement,
                     docker::Engine& engine, std::vector<Finding>& findings) {
    std::vector<Finding> found;
    bool has_name = false;
    for (const std::string& name : placement.names()) {
        const NameInEngine state = look_up(name, image, engine);
        if (!state.problem) {
            has_name = true;
            continue;
        }
        found.push_back({.kind = *state.problem,
                         .check = Check::names,
                         .image = image.name(),
                         .platform = image.platform(),
                         .ns = placement.namespace_(),
                         .object = "name " + name,
                         .subject = name,
                         .expected = state.expected,
                         .found = state.found,
                         .next_step = how_to_bake_again(image, placement.namespace_())});
    }
    for (Finding& finding : found) {
        // Removing the last tag of a repository removes its digest, too, and only a pull brings
        // that back. Containers that name the tag start.
        if (has_name && finding.kind == FindingKind::name_missing &&
            is_name_by_digest(finding.subject)) {
            finding.kind = FindingKind::digest_lost;
        }
        findings.push_back(std::move(finding));
    }
}

}  // namespace

NameInEngine look_up(const std::string& name, const v1::BakedImage& image, docker::Engine& engine) {
    const std::string& id = image.config().digest();
    const std::optional<docker::EngineImage> held = engine.inspect(name);
    if (!held) {
        return {.problem = FindingKind::name_missing,
                .expected = "image " + id,
                .found = "no such name in dockerd"};
    }
    if (held->id != id) return moved("image " + id, "image " + held->id);
    if (!is_platform(*held, image.platform())) {
        return moved("an image for " + image.platform(), "one for " + held->platform.str());
    }
    return other_layers(*held, image).value_or(NameInEngine{});
}

std::vector<Finding> check_engine(const v1::BakeRecord& record, docker::Engine& engine) {
    std::vector<Finding> findings;
    for (const v1::BakedImage& image : record.images()) {
        for (const v1::Placement& placement : image.placements()) {
            if (is_in_graph_driver(placement)) {
                check_placement(image, placement, engine, findings);
            }
        }
    }
    return findings;
}

}  // namespace prebake::store
