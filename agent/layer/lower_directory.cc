#include "agent/layer/lower_directory.h"

#include <fcntl.h>

#include <cerrno>

#include "agent/base/error.h"
#include "agent/layer/contained.h"

namespace prebake::layer {
namespace {

/// What has the path, whatever it is. Without a value, and ENOENT, if nothing has it.
FileDescriptor open_below(const Contained& tree, const std::string& path) {
    // Most paths have no links, and then one call is enough.
    FileDescriptor file = tree.open(path, O_PATH, LinksAmongDirectories::refuse);
    struct stat status = {};
    if (!file && errno == ENOENT) return file;
    if (file && ::fstat(file.get(), &status) == 0 && !S_ISLNK(status.st_mode)) return file;
    return tree.open(tree.resolve(path), O_PATH, LinksAmongDirectories::refuse);
}

}  // namespace

LowerDirectory find_lower_directory(const std::string& path, std::span<const int> lowers) {
    for (const int lower : lowers) {
        const FileDescriptor file = open_below(Contained(lower), path);
        if (!file && errno == ENOENT) continue;
        if (!file) throw entry_error("cannot look in a lower layer at", path);
        LowerDirectory found;
        if (::fstat(file.get(), &found.status) != 0) throw errno_error("cannot look at", path);
        if (!S_ISDIR(found.status.st_mode)) return {};
        found.fd = FileDescriptor(::openat(file.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!found.fd) throw errno_error("cannot open in a lower layer", path);
        return found;
    }
    return {};
}

}  // namespace prebake::layer
