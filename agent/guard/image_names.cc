#include "agent/guard/image_names.h"

#include "agent/containerd/content.h"

namespace prebake::guard {

std::optional<containerd::Image> ContainerdImageNames::get(const std::string& ns,
                                                           const std::string& name) const {
    return containerd::Images(connection_, {.ns = ns, .lease = {}}).get(name);
}

bool ContainerdImageNames::set_labels(const std::string& ns, const std::string& name,
                                      const containerd::Labels& labels) {
    return containerd::Images(connection_, {.ns = ns, .lease = {}}).set_labels(name, labels);
}

std::optional<std::chrono::system_clock::time_point> ContainerdImageNames::touched_at(
    const std::string& ns, const oci::Digest& blob) const {
    return containerd::Content(connection_, {.ns = ns, .lease = {}}).touched_at(blob);
}

}  // namespace prebake::guard
