#pragma once

#include <string>
#include <string_view>

#include "proto/prebake/v1/identity.pb.h"

namespace prebake::identity {

// Texts of the residue report. Pure.

enum class Machine {
    running,  ///< the one that we run on
    image,    ///< one that is mounted somewhere
};

/// What is wrong with a claim before a snapshot; empty if nothing is. A running machine must have
/// been sealed since it booted: every boot writes much of what a seal removes. `boot_id` is this
/// boot's, and of no interest for an image.
std::string why_not_sealed(const v1::Claim& claim, Machine machine, std::string_view boot_id);

}  // namespace prebake::identity
