#pragma once

#include <string>
#include <string_view>

#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::machine {

/// What firmware and hypervisor say about the machine (/sys/class/dmi/id, /sys/hypervisor), white
/// space trimmed, empty where there is nothing.
struct HostFacts {
    std::string sys_vendor;
    std::string product_name;
    std::string product_version;
    std::string product_serial;
    std::string product_uuid;
    std::string board_asset_tag;
    std::string chassis_asset_tag;
    std::string hypervisor_uuid;
    std::string kernel_boot_id;  ///< /proc/sys/kernel/random/boot_id
};

/// Of the running kernel; `root` is the tree whose /sys and /proc are read. Never throws for what
/// is missing.
HostFacts read_host_facts(const Root& root);

/// The identity of this machine that is known without a network. EC2 on Nitro names the instance
/// in board_asset_tag; elsewhere the hardware UUID must do. UUIDs that firmware fills in for want
/// of a better one (all zeros, all ones, the well-known samples) count as none. Pure.
v1::Instance identify(const HostFacts& facts);

/// True if there is anything to know the instance by.
bool is_known(const v1::Instance& instance);

enum class Sameness { same, different, unknown };

/// Ids decide if both are known and of one platform; else hardware UUIDs, in either byte order of
/// their first three fields (SMBIOS 7.2.1; firmware disagrees); else unknown. Pure.
Sameness compare(const v1::Instance& a, const v1::Instance& b);

/// `base` completed by what `more` knows and it does not; an id of the platform's own metadata
/// replaces one that was derived from a UUID. Pure.
v1::Instance merged(const v1::Instance& base, const v1::Instance& more);

}  // namespace prebake::machine
