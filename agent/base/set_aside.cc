#include "agent/base/set_aside.h"

#include <cstdio>

#include "agent/base/file.h"

namespace prebake {

std::string_view ending_aside(const Error& why) {
    if (why.code() == Errc::unsupported) return ".newer";
    if (why.code() == Errc::corrupt || why.code() == Errc::too_large) return ".corrupt";
    return {};
}

std::optional<std::filesystem::path> set_aside(const std::filesystem::path& path,
                                               const Error& why) {
    const std::string_view ending = ending_aside(why);
    if (ending.empty()) return std::nullopt;
    std::filesystem::path aside = path;
    aside += ending;
    if (::rename(path.c_str(), aside.c_str()) != 0) throw errno_error("cannot rename", path);
    return aside;
}

}  // namespace prebake
