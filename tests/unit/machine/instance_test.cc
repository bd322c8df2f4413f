#include "agent/machine/instance.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <utility>

#include "agent/base/file.h"
#include "tests/unit/temporary_directory.h"

namespace prebake::machine {
namespace {

constexpr const char* kUuid = "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11";
constexpr const char* kSwappedUuid = "1a9d1c4f-367a-5c4f-9b0e-2f6f3f1d8a11";
constexpr const char* kEc2Uuid = "ec2ae145-d1dc-13b2-94ed-012345abcdef";
constexpr const char* kEc2SwappedUuid = "45e12aec-dcd1-b213-94ed-012345abcdef";
constexpr const char* kAzureTag = "7783-7084-3265-9085-8269-3286-77";

v1::Instance instance(const char* platform, const char* id, const char* uuid, const char* source) {
    v1::Instance result;
    result.set_platform(platform);
    result.set_id(id);
    result.set_hardware_uuid(uuid);
    result.set_source(source);
    return result;
}

HostFacts facts(std::initializer_list<std::pair<std::string HostFacts::*, const char*>> values) {
    HostFacts result;
    for (const auto& value : values) result.*value.first = value.second;
    return result;
}

struct Identified {
    const char* name;
    HostFacts facts;
    const char* platform;
    const char* id;
    const char* uuid;
    const char* source;
};

TEST_CASE("identify: what firmware reports") {
    const Identified rows[] = {
        {"EC2 Nitro",
         facts({{&HostFacts::sys_vendor, "Amazon EC2"},
                {&HostFacts::product_name, "m5.large"},
                {&HostFacts::product_uuid, kEc2Uuid},
                {&HostFacts::board_asset_tag, "i-0123456789abcdef0"}}),
         "ec2", "i-0123456789abcdef0", kEc2Uuid, "board_asset_tag"},
        {"EC2 Nitro, old short id",
         facts(
             {{&HostFacts::sys_vendor, "Amazon EC2"}, {&HostFacts::board_asset_tag, "i-0123abcd"}}),
         "ec2", "i-0123abcd", "", "board_asset_tag"},
        {"EC2 Nitro, upper case",
         facts({{&HostFacts::sys_vendor, "Amazon EC2"},
                {&HostFacts::product_uuid, "EC2AE145-D1DC-13B2-94ED-012345ABCDEF"},
                {&HostFacts::board_asset_tag, "I-0123456789ABCDEF0"}}),
         "ec2", "i-0123456789abcdef0", kEc2Uuid, "board_asset_tag"},
        {"EC2 Nitro, not root: no UUID, the asset tag is there",
         facts({{&HostFacts::sys_vendor, "Amazon EC2"},
                {&HostFacts::board_asset_tag, "i-0123456789abcdef0"}}),
         "ec2", "i-0123456789abcdef0", "", "board_asset_tag"},
        {"EC2, an asset tag that is no instance id",
         facts({{&HostFacts::sys_vendor, "Amazon EC2"},
                {&HostFacts::product_uuid, kEc2Uuid},
                {&HostFacts::board_asset_tag, "i-0123456789abcdef0;x"}}),
         "ec2", kEc2Uuid, kEc2Uuid, "product_uuid"},
        {"EC2 Xen",
         facts({{&HostFacts::sys_vendor, "Xen"},
                {&HostFacts::product_name, "HVM domU"},
                {&HostFacts::product_version, "4.11.amazon"},
                {&HostFacts::product_uuid, kEc2Uuid},
                {&HostFacts::hypervisor_uuid, kEc2Uuid}}),
         "ec2", kEc2Uuid, kEc2Uuid, "product_uuid"},
        {"EC2 Xen, little-endian UUID, by vendor alone",
         facts({{&HostFacts::sys_vendor, "Xen"}, {&HostFacts::product_uuid, kEc2SwappedUuid}}),
         "ec2", kEc2SwappedUuid, kEc2SwappedUuid, "product_uuid"},
        {"EC2 Xen paravirtual: no DMI at all", facts({{&HostFacts::hypervisor_uuid, kEc2Uuid}}),
         "ec2", kEc2Uuid, kEc2Uuid, "product_uuid"},
        {"EC2: the serial number repeats the UUID in another case",
         facts({{&HostFacts::sys_vendor, "Bochs"},
                {&HostFacts::product_serial, kEc2Uuid},
                {&HostFacts::product_uuid, "EC2AE145-D1DC-13B2-94ED-012345ABCDEF"}}),
         "ec2", kEc2Uuid, kEc2Uuid, "product_uuid"},
        {"QEMU whose random UUID begins with ec2",
         facts({{&HostFacts::sys_vendor, "QEMU"},
                {&HostFacts::product_name, "Standard PC"},
                {&HostFacts::product_uuid, kEc2Uuid}}),
         "other", kEc2Uuid, kEc2Uuid, "product_uuid"},
        {"QEMU with an asset tag in the form of EC2's",
         facts({{&HostFacts::sys_vendor, "QEMU"},
                {&HostFacts::product_uuid, kUuid},
                {&HostFacts::board_asset_tag, "i-0123456789abcdef0"}}),
         "other", kUuid, kUuid, "product_uuid"},
        {"GCE",
         facts({{&HostFacts::sys_vendor, "Google"},
                {&HostFacts::product_name, "Google Compute Engine"},
                {&HostFacts::product_serial, "GoogleCloud-0123456789ABCDEF"},
                {&HostFacts::product_uuid, kUuid}}),
         "gce", kUuid, kUuid, "product_uuid"},
        {"GCE, short product name", facts({{&HostFacts::product_name, "Google"}}), "gce", "", "",
         ""},
        {"GCE by its serial number only",
         facts({{&HostFacts::product_serial, "GoogleCloud-0123456789ABCDEF"}}), "gce", "", "", ""},
        {"Azure",
         facts({{&HostFacts::sys_vendor, "Microsoft Corporation"},
                {&HostFacts::product_name, "Virtual Machine"},
                {&HostFacts::product_uuid, "4F1C9D1A-7A36-4F5C-9B0E-2F6F3F1D8A11"},
                {&HostFacts::chassis_asset_tag, kAzureTag}}),
         "azure", kUuid, kUuid, "product_uuid"},
        {"Hyper-V that is not Azure",
         facts({{&HostFacts::sys_vendor, "Microsoft Corporation"},
                {&HostFacts::product_uuid, kUuid}}),
         "other", kUuid, kUuid, "product_uuid"},
        {"VMware",
         facts({{&HostFacts::sys_vendor, "VMware, Inc."}, {&HostFacts::product_uuid, kUuid}}),
         "other", kUuid, kUuid, "product_uuid"},
        {"container: nothing", HostFacts{}, "", "", "", ""},
        {"container: the kernel's boot id is not the machine",
         facts({{&HostFacts::kernel_boot_id, kUuid}}), "", "", "", ""},
        {"a board without a UUID", facts({{&HostFacts::sys_vendor, "ACME"}}), "other", "", "", ""},
        {"a UUID and nothing else", facts({{&HostFacts::product_uuid, kUuid}}), "other", kUuid,
         kUuid, "product_uuid"},
        {"a useless product UUID, and a hypervisor's",
         facts({{&HostFacts::product_uuid, "00000000-0000-0000-0000-000000000000"},
                {&HostFacts::hypervisor_uuid, kUuid}}),
         "other", kUuid, kUuid, "product_uuid"},
    };
    for (const Identified& row : rows) {
        CAPTURE(row.name);
        const v1::Instance found = identify(row.facts);
        CHECK(found.platform() == row.platform);
        CHECK(found.id() == row.id);
        CHECK(found.hardware_uuid() == row.uuid);
        CHECK(found.source() == row.source);
    }
}

TEST_CASE("identify: UUIDs that many machines have count as none") {
    const char* const useless[] = {"00000000-0000-0000-0000-000000000000",
                                   "ffffffff-ffff-ffff-ffff-ffffffffffff",
                                   "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
                                   "03000200-0400-0500-0006-000700080009",
                                   "00020003-0004-0005-0006-000700080009",
                                   "12345678-1234-5678-90ab-cddeefaabbcc",
                                   "11111111-2222-3333-4444-555555555555",
                                   "00112233-4455-6677-8899-aabbccddeeff",
                                   "fefefefe-fefe-fefe-fefe-fefefefefefe",
                                   "Not Settable",
                                   "Not Present",
                                   "4f1c9d1a7a364f5c9b0e2f6f3f1d8a11",
                                   "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a1g",
                                   "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11 "};
    for (const char* const uuid : useless) {
        CAPTURE(uuid);
        CHECK(identify(facts({{&HostFacts::sys_vendor, "ACME"}, {&HostFacts::product_uuid, uuid}}))
                  .hardware_uuid()
                  .empty());
        CHECK(identify(facts({{&HostFacts::sys_vendor, "ACME"}, {&HostFacts::product_uuid, uuid}}))
                  .id()
                  .empty());
    }
}

struct Compared {
    const char* name;
    v1::Instance a;
    v1::Instance b;
    Sameness expected;
};

TEST_CASE("compare: ids, then UUIDs in either byte order, else unknown") {
    const char* const one = "i-0123456789abcdef0";
    const char* const two = "i-0fedcba9876543210";
    const Compared rows[] = {
        {"one id", instance("ec2", one, "", "board_asset_tag"),
         instance("ec2", one, "", "metadata"), Sameness::same},
        {"two ids", instance("ec2", one, "", "metadata"), instance("ec2", two, "", "metadata"),
         Sameness::different},
        {"one id outweighs two UUIDs: stopped and started on other hardware",
         instance("ec2", one, kUuid, "metadata"), instance("ec2", one, kEc2Uuid, "metadata"),
         Sameness::same},
        {"two ids outweigh one UUID", instance("ec2", one, kUuid, "metadata"),
         instance("ec2", two, kUuid, "metadata"), Sameness::different},
        {"an id and a derived one: UUIDs decide", instance("ec2", one, kEc2Uuid, "metadata"),
         instance("ec2", kEc2Uuid, kEc2Uuid, "product_uuid"), Sameness::same},
        {"an id and a derived one: other UUIDs", instance("gce", "42", kEc2Uuid, "metadata"),
         instance("gce", kUuid, kUuid, "product_uuid"), Sameness::different},
        {"Azure: one machine as generation 1 and 2 show it",
         instance("azure", kUuid, kUuid, "product_uuid"),
         instance("azure", kSwappedUuid, kSwappedUuid, "product_uuid"), Sameness::same},
        {"Azure: the vmId of the metadata, and firmware in the other byte order",
         instance("azure", kUuid, kSwappedUuid, "metadata"),
         instance("azure", kSwappedUuid, kSwappedUuid, "product_uuid"), Sameness::same},
        {"upper case in an edited file",
         instance("", "", "4F1C9D1A-7A36-4F5C-9B0E-2F6F3F1D8A11", ""),
         instance("other", kUuid, kUuid, "product_uuid"), Sameness::same},
        {"ids of two platforms do not compare; UUIDs do",
         instance("other", "iid-1", kUuid, "cloud-init"), instance("ec2", one, kUuid, "metadata"),
         Sameness::same},
        {"ids of two platforms and no UUID", instance("gce", "42", "", "metadata"),
         instance("ec2", one, "", "metadata"), Sameness::unknown},
        {"cloud-init on an unknown platform", instance("", "iid-1", "", "cloud-init"),
         instance("", "iid-1", "", "cloud-init"), Sameness::same},
        {"cloud-init on an unknown platform, another one", instance("", "iid-1", "", "cloud-init"),
         instance("", "iid-2", "", "cloud-init"), Sameness::different},
        {"nothing on one side", instance("ec2", one, kUuid, "metadata"), v1::Instance(),
         Sameness::unknown},
        {"nothing on both sides", v1::Instance(), v1::Instance(), Sameness::unknown},
        {"an id here, a UUID there", instance("ec2", one, "", "metadata"),
         instance("ec2", kUuid, kUuid, "product_uuid"), Sameness::unknown},
        {"UUIDs that thousands have", instance("", "", "03000200-0400-0500-0006-000700080009", ""),
         instance("", "", "03000200-0400-0500-0006-000700080009", ""), Sameness::unknown},
        {"rubbish for a UUID", instance("", "", "x", ""), instance("", "", "x", ""),
         Sameness::unknown},
    };
    for (const Compared& row : rows) {
        CAPTURE(row.name);
        CHECK(compare(row.a, row.b) == row.expected);
        CHECK(compare(row.b, row.a) == row.expected);
    }
}

TEST_CASE("merged: the platform's own ID replaces a derived one, and nothing else is lost") {
    const v1::Instance derived = instance("other", kUuid, kUuid, "product_uuid");
    const v1::Instance told = instance("ec2", "i-0123456789abcdef0", "", "metadata");

    const v1::Instance learned = merged(derived, told);
    CHECK(learned.platform() == "ec2");
    CHECK(learned.id() == "i-0123456789abcdef0");
    CHECK(learned.source() == "metadata");
    CHECK(learned.hardware_uuid() == kUuid);

    const v1::Instance kept = merged(told, derived);
    CHECK(kept.platform() == "ec2");
    CHECK(kept.id() == "i-0123456789abcdef0");
    CHECK(kept.hardware_uuid() == kUuid);

    CHECK(merged(v1::Instance(), derived).SerializeAsString() == derived.SerializeAsString());
    CHECK(merged(derived, v1::Instance()).SerializeAsString() == derived.SerializeAsString());
    CHECK(merged(told, instance("ec2", "i-other", "", "metadata")).id() == "i-0123456789abcdef0");
    CHECK(merged(instance("azure", kUuid, kUuid, "product_uuid"),
                 instance("", "iid-1", "", "cloud-init"))
              .platform() == "azure");
}

TEST_CASE("read_host_facts: trimmed, and empty for missing files") {
    const TemporaryDirectory directory;
    const auto write = [&](const char* path, std::string_view text) {
        write_file_durably(directory.path() / path, text, 0444);
    };
    write("sys/class/dmi/id/sys_vendor", "Amazon EC2\n");
    write("sys/class/dmi/id/board_asset_tag", " i-0123456789abcdef0 \n");
    write("sys/class/dmi/id/product_name", std::string(10'000, 'x'));
    write("proc/sys/kernel/random/boot_id", "4f1c9d1a-7a36-4f5c-9b0e-2f6f3f1d8a11\n");
    const HostFacts found = read_host_facts(Root(directory.path()));
    CHECK(found.sys_vendor == "Amazon EC2");
    CHECK(found.board_asset_tag == "i-0123456789abcdef0");
    CHECK(found.product_name.empty());  // longer than any firmware's: not believed
    CHECK(found.product_uuid.empty());
    CHECK(found.hypervisor_uuid.empty());
    CHECK(found.kernel_boot_id == kUuid);
    CHECK(identify(found).id() == "i-0123456789abcdef0");
}

}  // namespace
}  // namespace prebake::machine
