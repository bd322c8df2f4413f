#pragma once

#include <string>
#include <string_view>

#include "agent/machine/root.h"
#include "proto/prebake/v1/identity.pb.h"

namespace prebake::machine {

/// What firmware and hypervisor report about the machine (/sys/class/dmi/id, /sys/hypervisor),
/// trimmed; empty if missing.
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

/// Reads the facts from /sys and /proc in `root`. Does not throw for missing files.
HostFacts read_host_facts(const Root& root);

/// The instance that the facts identify without a network. EC2 on Nitro has the instance
/// ID in board_asset_tag; other platforms have only the hardware UUID. Placeholders that firmware
/// uses as UUID (all zeros, all ones, well-known samples) are ignored. Pure.
v1::Instance identify(const HostFacts& facts);

/// True if the instance has an ID or a hardware UUID.
bool is_known(const v1::Instance& instance);

enum class Sameness { same, different, unknown };

/// By the IDs, if both are known and from one platform; else by the hardware UUIDs, in either byte
/// order of their first three fields (SMBIOS 7.2.1; firmware differs); else unknown. Pure.
Sameness compare(const v1::Instance& a, const v1::Instance& b);

/// `base`, with its missing values taken from `more`. An ID from the platform's own metadata
/// replaces one that was derived from a UUID. Pure.
v1::Instance merged(const v1::Instance& base, const v1::Instance& more);

}  // namespace prebake::machine
