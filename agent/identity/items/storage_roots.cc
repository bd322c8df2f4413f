#include "agent/identity/items/storage_roots.h"

#include <boost/json.hpp>

#include "agent/base/text.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

/// The daemons refuse other paths, too.
bool is_usable(std::string_view path) {
    return path.size() > 1 && path.starts_with('/') && path.find("/..") == std::string_view::npos;
}

}  // namespace

std::string docker_root(const machine::Root& root) {
    const std::string text = root.read("/etc/docker/daemon.json", kMaxTextBytes).value_or("");
    boost::system::error_code error;
    const boost::json::value settings = boost::json::parse(text, error);
    if (!error && settings.is_object()) {
        for (const char* const key : {"data-root", "graph"}) {
            const boost::json::value* const value = settings.as_object().if_contains(key);
            if (value == nullptr || !value->is_string()) continue;
            const std::string_view path(value->as_string().data(), value->as_string().size());
            if (is_usable(path)) return std::string(path);
        }
    }
    return "/var/lib/docker";
}

std::string containerd_root(const machine::Root& root) {
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
        if (is_usable(path)) return std::string(path);
    }
    return "/var/lib/containerd";
}

}  // namespace prebake::identity
