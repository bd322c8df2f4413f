#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// Memberships of the machine: domains, subscriptions.
// One line for each path.
// clang-format off
constexpr Item kEnrollmentItems[] = {
    {
        .name = "kerberos-keytab",
        .why = "Anyone with a clone could impersonate the builder in its realm.",
        .regeneration = "Not recreated. The clone gets one when it joins the realm.",
        .targets = {
            remove("/etc/krb5.keytab"),
        },
    },
    {
        .name = "sssd",
        .why = "Names, password hashes and tickets of the builder's users would be on every clone.",
        .regeneration = "sssd fills its caches again.",
        .targets = {
            remove_inside("/var/lib/sss/db"),
            remove_inside("/var/lib/sss/mc"),
            remove_inside("/var/lib/sss/secrets"),
        },
        .written_by = {{"sssd*.socket"}, {"sssd.service"}},
    },
    {
        .name = "samba",
        .why = "Clones would share the password of the builder's machine account and its SID.",
        .regeneration = "The clone gets new ones when it joins the domain (net ads join).",
        .targets = {
            remove("/var/lib/samba/private/secrets.tdb"),
            remove("/var/lib/samba/private/secrets.ldb"),
            remove("/var/lib/samba/private/netlogon_creds_cli.tdb"),
            remove("/var/lib/samba/secrets.tdb"),
        },
        .written_by = {{"winbind.service"}, {"nmb*.service"}, {"smb*.service"}},
    },
    {
        .name = "ipa-client",
        .why =
            "A clone would count as enrolled under the builder's name and could not enroll under "
            "its own.",
        .regeneration = "ipa-client-install(1) writes it when the clone enrolls.",
        .targets = {
            remove("/etc/ipa/ca.crt"),
            remove("/etc/ipa/default.conf"),
            remove_inside("/etc/ipa/nssdb"),
            remove_inside("/var/lib/ipa-client/pki"),
            remove_inside("/var/lib/ipa-client/sysrestore"),
        },
    },
    {
        .name = "rhel-subscription",
        .why = "All clones would use the builder's subscription under one consumer ID.",
        .regeneration =
            "subscription-manager(8) or the cloud's automatic registration (rhsmcertd(8)) "
            "registers the clone.",
        .targets = {
            remove_inside("/etc/pki/consumer"),
            remove_inside("/etc/pki/entitlement"),
            remove_inside("/var/lib/rhsm"),
            remove("/etc/sysconfig/rhn/systemid"),
            remove("/etc/sysconfig/rhn/osad-auth.conf"),
        },
        .written_by = {{"rhsmcertd.service", StopStage::managers}},
    },
    {
        .name = "insights",
        .why = "All clones would report as one machine.",
        .regeneration = "insights-client(8) generates a new ID when the clone is registered.",
        .targets = {
            remove("/etc/insights-client/machine-id"),
            remove("/etc/insights-client/.registered"),
            remove("/etc/insights-client/.unregistered"),
            remove("/etc/insights-client/.last-upload.results"),
            remove("/etc/rhsm/facts/insights-client.facts"),
        },
        .proofs = {"/etc/insights-client/machine-id"},
        .written_by = {
            {"insights-client*.timer", StopStage::managers},
            {"insights-client*.path", StopStage::managers},
        },
    },
    {
        .name = "ubuntu-pro",
        .why = "All clones would use the builder's contract under one machine token.",
        .regeneration =
            "ubuntu-advantage.service attaches a cloud's Pro instances automatically. Attach "
            "others with pro(1).",
        .targets = {
            remove_inside("/var/lib/ubuntu-advantage/private"),
            remove("/var/lib/ubuntu-advantage/machine-token.json"),
            remove("/etc/apt/auth.conf.d/90ubuntu-advantage"),
        },
        .written_by = {
            {"ua-timer.timer", StopStage::managers},
            {"esm-cache.service", StopStage::managers},
        },
    },
    {
        .name = "suse-registration",
        .why = "All clones would be registered as one system.",
        .regeneration = "SUSEConnect(8) or the cloud's registration client registers the clone.",
        .targets = {
            remove("/etc/zypp/credentials.d/SCCcredentials"),
            remove("/etc/zypp/credentials.d/NCCcredentials"),
            remove("/etc/SUSEConnect"),
            remove_inside("/var/cache/cloudregister"),
        },
    },
    {
        .name = "snapd-device",
        .why =
            "All clones share the device key and the serial number that snapd got for the builder.",
        .regeneration =
            "Not recreated. snapd creates them only on a machine without state, and without its "
            "state it forgets the installed snaps.",
        .by_default = Default::report,
        .targets = {
            remove("/var/lib/snapd/device/private-keys-v1/*"),
        },
    },
    {
        .name = "juju",
        .why = "All clones would be one machine to the Juju controller, with one password.",
        .regeneration =
            "Not recreated. Juju installs its agent on the machines that it adds (`juju "
            "add-machine`).",
        .targets = {
            remove("/var/lib/juju/agents/*/agent.conf"),
        },
        .written_by = {{"jujud-*.service", StopStage::managers}},
    },
    {
        .name = "landscape",
        .why = "All clones would be one computer to Landscape.",
        .regeneration = "landscape-client(8) registers the clone when it next starts.",
        .targets = {
            remove("/var/lib/landscape/client/broker.bpickle*"),
            remove_inside("/var/lib/landscape/client/messages"),
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> enrollment_items() {
    return kEnrollmentItems;
}

}  // namespace prebake::identity
