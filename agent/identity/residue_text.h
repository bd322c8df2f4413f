#pragma once

#include <string>
#include <string_view>

#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

// Texts of the residue report. All pure.

enum class Machine {
    running,  ///< the machine that we run on
    image,    ///< a mounted machine image
};

/// Why a machine with this claim is not ready for a snapshot; empty if it is. A running machine
/// must have been sealed since it booted: every boot writes much of what a seal removes. `boot_id`
/// is this boot's; it is ignored for an image.
std::string why_not_sealed(const v1::Claim& claim, Machine machine, std::string_view boot_id);

}  // namespace prebake::identity
