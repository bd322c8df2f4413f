#include "agent/oci/container_user.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "agent/oci/quoted.h"

namespace prebake::oci {
namespace {

constexpr const char* kPasswd = "/etc/passwd";
constexpr const char* kGroup = "/etc/group";

/// A number that is no ID (runc has signed ones) may be a name.
std::optional<std::uint32_t> id_in(std::string_view text) {
    std::int32_t id = -1;
    if (!text.empty() && text.front() == '+') text.remove_prefix(1);
    const auto [rest, failure] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (failure != std::errc() || rest != text.data() + text.size() || id < 0) return std::nullopt;
    return static_cast<std::uint32_t>(id);
}

/// The field of a line. A number that is none counts as 0, as in containerd.
std::uint32_t number_of(std::string_view line, int field) {
    return id_in(field_of(line, field)).value_or(0);
}

/// The first line of passwd(5) or group(5) that `matches`.
template <typename Matches>
std::optional<std::string_view> find_line(const std::optional<std::string>& file,
                                          const Matches& matches) {
    if (!file) return std::nullopt;
    for (const std::string_view each : lines_of(*file)) {
        const std::string_view line = trimmed(each);
        if (!line.empty() && matches(line)) return line;
    }
    return std::nullopt;
}

template <typename Matches>
std::string_view require_line(const std::optional<std::string>& file, const char* path,
                              std::string_view name, const Matches& matches) {
    if (const auto line = find_line(file, matches)) return *line;
    throw Error(Errc::not_found, quoted(name) + ", whom the image is to be run as, is not in " +
                                     path + " of the image");
}

std::string_view passwd_line_of(const std::optional<std::string>& passwd, std::string_view name) {
    return require_line(passwd, kPasswd, name,
                        [name](std::string_view line) { return field_of(line, 0) == name; });
}

/// Groups that list the user, without the one that is named like it.
std::vector<std::uint32_t> groups_with(std::string_view user,
                                       const std::optional<std::string>& group) {
    std::vector<std::uint32_t> gids;
    if (!group) return gids;
    for (const std::string_view each : lines_of(*group)) {
        const std::string_view line = trimmed(each);
        if (line.empty() || field_of(line, 0) == user) continue;
        std::string_view members = field_of(line, 3);
        while (!members.empty()) {
            const std::string_view member = members.substr(0, members.find(','));
            members.remove_prefix(std::min(members.size(), member.size() + 1));
            if (member == user) gids.push_back(number_of(line, 2));
        }
    }
    return gids;
}

void set_ids(std::string_view user, const std::optional<std::string>& passwd,
             const std::optional<std::string>& group, ContainerUser& found) {
    const std::size_t colon = user.find(':');
    const std::string_view who = user.substr(0, colon);
    const auto uid = id_in(who);
    if (colon == std::string_view::npos) {
        const auto line =
            uid ? find_line(passwd,
                            [&](std::string_view each) { return number_of(each, 2) == *uid; })
                : passwd_line_of(passwd, who);
        found.uid = line ? number_of(*line, 2) : *uid;
        found.gid = line ? number_of(*line, 3) : 0;
        return;
    }
    const std::string_view whose = user.substr(colon + 1);
    if (whose.find(':') != std::string_view::npos) {
        throw Error(Errc::usage, "the user " + quoted(user) + " of the image is not USER[:GROUP]");
    }
    found.uid = uid ? *uid : number_of(passwd_line_of(passwd, who), 2);
    const auto gid = id_in(whose);
    found.gid = gid ? *gid
                    : number_of(require_line(group, kGroup, whose,
                                             [whose](std::string_view line) {
                                                 return field_of(line, 0) == whose;
                                             }),
                                2);
}

}  // namespace

ContainerUser resolve_user(std::string_view user, const std::optional<std::string>& passwd,
                           const std::optional<std::string>& group) {
    ContainerUser found;
    std::string_view name = "root";
    if (!user.empty()) {
        set_ids(user, passwd, group, found);
        const auto line = find_line(
            passwd, [&](std::string_view each) { return number_of(each, 2) == found.uid; });
        name = line ? field_of(*line, 0) : std::string_view();
    }
    found.groups = {found.gid};
    if (name.empty()) return found;
    for (const std::uint32_t gid : groups_with(name, group)) {
        if (std::ranges::find(found.groups, gid) == found.groups.end()) found.groups.push_back(gid);
    }
    return found;
}

}  // namespace prebake::oci
