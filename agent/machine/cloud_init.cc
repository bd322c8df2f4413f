#include "agent/machine/cloud_init.h"

#include <array>

#include "agent/base/text.h"
#include "agent/machine/text_format.h"
#include "agent/machine/visible_file.h"

namespace prebake::machine {

namespace {

bool kernel_line_has(const Root& root, std::string_view parameter) {
    const std::string line = visible_text(root, "/proc/cmdline");
    std::string_view rest = line;
    while (!rest.empty()) {
        const std::size_t end = rest.find(' ');
        if (trimmed(rest.substr(0, end)) == parameter) return true;
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    return false;
}

}  // namespace

bool cloud_init_is_disabled_by_kernel(const Root& root) {
    return kernel_line_has(root, "cloud-init=disabled");
}

bool cloud_init_network_is_disabled_by_kernel(const Root& root) {
    return kernel_line_has(root, "network-config=disabled");
}

bool cloud_init_is_active(const Root& root) {
    if (root.info("/run/cloud-init/enabled")) return true;
    if (root.info("/run/cloud-init/disabled")) return false;
    return root.info("/usr/bin/cloud-init") && !root.info("/etc/cloud/cloud-init.disabled") &&
           !cloud_init_is_disabled_by_kernel(root);
}

std::string cloud_init_instance_id(const Root& root) {
    // The first is this boot's. The second may be from the machine that this one was cloned from,
    // if cloud-init has not written it yet.
    constexpr std::array kPlaces{"/run/cloud-init/.instance-id", "/var/lib/cloud/data/instance-id"};
    for (const char* place : kPlaces) {
        std::string id = visible_text(root, place);
        // Its names for all machines without a data source or without an ID.
        if (id == "iid-datasource-none" || id == "nocloud") continue;
        if (is_word(id, 256, "-._:")) return id;
    }
    return {};
}

}  // namespace prebake::machine
