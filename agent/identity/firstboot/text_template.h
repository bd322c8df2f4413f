#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/machine/metadata.h"

namespace prebake::identity::firstboot {

struct ResolvedTemplate {
    std::string text;
    std::vector<std::string> missing;  ///< placeholders without a value on this machine
};

/// Replaces {hostname}, {short_hostname}, {instance_id}, {local_ipv4}, {region}, {zone}, {account},
/// {instance_type} and {tag:NAME} by the facts of the machine. Pure.
/// @throws Error usage for another placeholder, or a brace that is not closed.
ResolvedTemplate resolve_template(std::string_view text, const machine::Metadata& metadata);

}  // namespace prebake::identity::firstboot
