#include "agent/machine/instance.h"

#include <algorithm>
#include <array>

#include "agent/base/text.h"
#include "agent/machine/text_format.h"
#include "agent/machine/visible_file.h"

namespace prebake::machine {
namespace {

constexpr const char* kFromUuid = "product_uuid";
constexpr const char* kAzureChassis = "7783-7084-3265-9085-8269-3286-77";

/// Samples from the SMBIOS specification and from board vendors, never replaced: thousands of
/// machines share each.
constexpr std::array<std::string_view, 6> kSharedUuids{
    "03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc", "11111111-2222-3333-4444-555555555555",
    "00112233-4455-6677-8899-aabbccddeeff", "4c4c4544-0000-2010-8020-80c04f202020"};

/// The first three fields in the other byte order.
std::string swapped(const std::string& uuid) {
    constexpr std::array<std::size_t, 16> kFrom{6,  7,  4, 5,  2,  3,  0,  1,
                                                11, 12, 9, 10, 16, 17, 14, 15};
    constexpr std::array<std::size_t, 16> kTo{0, 1,  2,  3,  4,  5,  6,  7,
                                              9, 10, 11, 12, 14, 15, 16, 17};
    std::string other = uuid;
    for (std::size_t i = 0; i < kFrom.size(); ++i) other[kTo[i]] = uuid[kFrom[i]];
    return other;
}

/// In lower case; empty if it is not a UUID, or one that many machines share.
std::string usable_uuid(std::string_view text) {
    const std::string uuid = lower_case(text);
    if (!is_uuid(uuid)) return {};
    const bool is_one_digit = std::all_of(
        uuid.begin(), uuid.end(), [&uuid](char c) { return c == uuid.front() || c == '-'; });
    const bool is_pattern = uuid.starts_with("fefefefe-fefe-fefe-fefe");
    const bool is_shared =
        std::find(kSharedUuids.begin(), kSharedUuids.end(), uuid) != kSharedUuids.end();
    return is_one_digit || is_pattern || is_shared ? std::string() : uuid;
}

bool names_ec2(const std::string& uuid) {
    return !uuid.empty() && (uuid.starts_with("ec2") || swapped(uuid).starts_with("ec2"));
}

/// A UUID that starts with ec2 is not enough: so does one of 4096 random UUIDs.
bool is_ec2(const HostFacts& facts, const std::string& uuid) {
    const std::string hypervisor_uuid = usable_uuid(facts.hypervisor_uuid);
    return facts.sys_vendor == "Amazon EC2" || facts.product_version.ends_with(".amazon") ||
           names_ec2(hypervisor_uuid) ||
           (names_ec2(uuid) && (facts.sys_vendor == "Xen" || lower_case(facts.product_serial) ==
                                                                 lower_case(facts.product_uuid)));
}

std::string platform_of(const HostFacts& facts, const std::string& uuid) {
    if (is_ec2(facts, uuid)) return "ec2";
    if (facts.product_name == "Google Compute Engine" || facts.product_name == "Google" ||
        facts.product_serial.starts_with("GoogleCloud-")) {
        return "gce";
    }
    if (facts.chassis_asset_tag == kAzureChassis) return "azure";
    return facts.sys_vendor.empty() && facts.product_name.empty() && uuid.empty() ? "" : "other";
}

/// An ID from the platform, not one that we derived.
bool has_own_id(const v1::Instance& instance) {
    return !instance.id().empty() && instance.source() != kFromUuid;
}

}  // namespace

HostFacts read_host_facts(const Root& root) {
    const auto dmi = [&root](std::string_view name) {
        return visible_text(root, "/sys/class/dmi/id/" + std::string(name));
    };
    return HostFacts{.sys_vendor = dmi("sys_vendor"),
                     .product_name = dmi("product_name"),
                     .product_version = dmi("product_version"),
                     .product_serial = dmi("product_serial"),
                     .product_uuid = dmi("product_uuid"),
                     .board_asset_tag = dmi("board_asset_tag"),
                     .chassis_asset_tag = dmi("chassis_asset_tag"),
                     .hypervisor_uuid = visible_text(root, "/sys/hypervisor/uuid"),
                     .kernel_boot_id = visible_text(root, "/proc/sys/kernel/random/boot_id")};
}

v1::Instance identify(const HostFacts& facts) {
    v1::Instance instance;
    std::string uuid = usable_uuid(facts.product_uuid);
    if (uuid.empty()) uuid = usable_uuid(facts.hypervisor_uuid);
    instance.set_platform(platform_of(facts, uuid));
    instance.set_hardware_uuid(uuid);
    const std::string tag = lower_case(facts.board_asset_tag);
    if (instance.platform() == "ec2" && is_ec2_instance_id(tag)) {
        instance.set_id(tag);
        instance.set_source("board_asset_tag");
    } else if (!uuid.empty()) {
        instance.set_id(uuid);
        instance.set_source(kFromUuid);
    }
    return instance;
}

bool is_known(const v1::Instance& instance) {
    return !instance.id().empty() || !instance.hardware_uuid().empty();
}

Sameness compare(const v1::Instance& a, const v1::Instance& b) {
    if (has_own_id(a) && has_own_id(b) && a.platform() == b.platform()) {
        return a.id() == b.id() ? Sameness::same : Sameness::different;
    }
    // Checked again: it comes from a file that anyone may have edited.
    const std::string uuid = usable_uuid(a.hardware_uuid());
    const std::string other = usable_uuid(b.hardware_uuid());
    if (uuid.empty() || other.empty()) return Sameness::unknown;
    return uuid == other || uuid == swapped(other) ? Sameness::same : Sameness::different;
}

v1::Instance merged(const v1::Instance& base, const v1::Instance& more) {
    v1::Instance result = base;
    if (!has_own_id(base) && has_own_id(more)) {
        // The source of the ID knows the platform. DMI may only know "other".
        if (!more.platform().empty()) result.set_platform(more.platform());
        result.set_id(more.id());
        result.set_source(more.source());
    } else if (base.id().empty()) {
        result.set_id(more.id());
        result.set_source(more.source());
    }
    if (result.platform().empty()) result.set_platform(more.platform());
    if (result.hardware_uuid().empty()) result.set_hardware_uuid(more.hardware_uuid());
    return result;
}

}  // namespace prebake::machine
