#include "agent/layer/entry_names.h"

#include <cerrno>
#include <climits>

#include "agent/base/error.h"
#include "agent/layer/contained.h"

namespace prebake::layer {
namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";

}  // namespace

std::string path_of(const TarEntry& entry) {
    std::string path = clean_path(entry.name);
    if (path.find('\0') != std::string::npos) {
        throw Error(Errc::corrupt, "the layer has a name with NUL in it");
    }
    if (path.size() >= PATH_MAX) {
        errno = ENAMETOOLONG;
        throw entry_error("cannot write", path);
    }
    return path;
}

SplitPath split_path(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return {{}, path};
    return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string joined_path(const std::string& directory, const std::string& name) {
    return directory.empty() ? name : directory + "/" + name;
}

Whiteout whiteout_of(const std::string& path, const std::string& name) {
    if (!name.starts_with(kWhiteoutPrefix)) return {};
    if (name == kOpaqueMarker) return {.kind = Whiteout::Kind::directory_contents};
    std::string hidden = name.substr(kWhiteoutPrefix.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
        throw Error(Errc::corrupt, "the layer has a whiteout of nothing: " + path);
    }
    return {.kind = Whiteout::Kind::file, .name = std::move(hidden)};
}

SplitPath link_target(const std::string& link,
                      const std::function<std::string(const std::string& path)>& resolve) {
    SplitPath target = split_path(link);
    const bool names_directory = target.name.empty() || target.name == ".";
    if (names_directory || clean_path(target.directory) != target.directory) {
        // By text, as containerd does it.
        target.directory = resolve(target.directory);
        if (names_directory) target = split_path(target.directory);
    }
    if (target.name.empty() || target.name == "..") {
        errno = EISDIR;
        throw entry_error("cannot link to", link);
    }
    return target;
}

}  // namespace prebake::layer
