#pragma once

#include <chrono>
#include <string>

#include "proto/prebake/v1/identity.pb.h"

namespace prebake::node {

/// Since the kernel started, with the time that the machine slept.
std::chrono::nanoseconds uptime();

/// The kernel's name for this boot. @throws Error io, not_found.
std::string read_boot_id();

/// Whose counts a ledger has: the instance and when it claimed; "unclaimed" before.
std::string ledger_claim(const v1::Claim& claim);

}  // namespace prebake::node
