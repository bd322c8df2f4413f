#include "agent/base/set_aside.h"

#include <cstdio>

#include "agent/base/file.h"

namespace prebake {

std::optional<std::filesystem::path> set_aside(const std::filesystem::path& path,
                                               const Error& why) {
    std::filesystem::path aside = path;
    if (why.code() == Errc::unsupported) {
        aside += ".newer";
    } else if (why.code() == Errc::corrupt || why.code() == Errc::too_large) {
        aside += ".corrupt";
    } else {
        return std::nullopt;
    }
    if (::rename(path.c_str(), aside.c_str()) != 0) throw errno_error("cannot rename", path);
    return aside;
}

}  // namespace prebake
