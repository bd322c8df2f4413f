#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::identity {

/// The new contents of /etc/hosts; nothing if `text` may stay. Removed are the builder's names (see
/// names_builder()), all names of 127.0.1.1, where Debian and cloud-init write the host's own name,
/// and the block of an earlier first boot. All else stays. "localhost" gets its addresses if it has
/// none: the SSM agent connects to it by name when it forwards ports. Pure.
std::optional<std::string> sealed_hosts(std::string_view text,
                                        const std::vector<std::string>& builder_names);

}  // namespace prebake::identity
