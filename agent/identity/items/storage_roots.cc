#include "agent/identity/items/storage_roots.h"

#include "agent/base/text.h"
#include "agent/identity/items/docker_settings.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

std::string configured_containerd_root(const machine::Root& root) {
    const std::string text = root.read("/etc/containerd/config.toml", kMaxTextBytes).value_or("");
    for (const std::string_view raw : lines_of(text)) {
        const std::string_view line = trimmed(raw);
        if (line.starts_with('[')) break;  // a table: the keys after it are not containerd's own
        if (!line.starts_with("root")) continue;
        const std::string_view rest = trimmed(line.substr(4));
        if (!rest.starts_with('=')) continue;
        const std::string_view value = trimmed(rest.substr(1));
        if (value.size() < 2 || (value.front() != '"' && value.front() != '\'')) continue;
        const std::string_view path = value.substr(1, value.find(value.front(), 1) - 1);
        if (is_usable_root(path)) return std::string(path);
    }
    return "/var/lib/containerd";
}

}  // namespace

std::vector<std::string> containerd_roots(const machine::Root& root) {
    std::vector<std::string> roots{configured_containerd_root(root)};
    for (const std::string& docker : docker_settings(root).data_roots)
        roots.push_back(docker + "/containerd/daemon");
    return roots;
}

}  // namespace prebake::identity
