#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::oci {

/// As whom a container's process runs.
struct ContainerUser {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;  ///< all of them, `gid` first

    bool operator==(const ContainerUser&) const = default;
};

/// Resolves the `User` of an image config (OCI image-spec, config.md) as containerd does: "",
/// "uid", "name", "uid:gid", "name:group" and mixtures. `passwd` and `group` are /etc/passwd and
/// /etc/group of the image, if it has them. Pure.
/// @throws Error not_found for a name that the files do not have; usage for another form.
ContainerUser resolve_user(std::string_view user, const std::optional<std::string>& passwd,
                           const std::optional<std::string>& group);

}  // namespace prebake::oci
