#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prebake::identity {

/// What /etc/hosts is to say instead of `text`; nothing if it may stay. Names of the builder go
/// (see names_builder()), and so do all of a line for 127.0.1.1, where Debian and cloud-init write
/// the host's own name, and the block of an earlier first boot; other lines stay as they are.
/// "localhost" gets its addresses if it has none: the SSM agent dials it by name when it forwards
/// ports. Pure.
std::optional<std::string> sealed_hosts(std::string_view text,
                                        const std::vector<std::string>& builder_names);

}  // namespace prebake::identity
