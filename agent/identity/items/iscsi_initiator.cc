#include <algorithm>
#include <array>

#include "agent/identity/items/all.h"
#include "agent/identity/items/lines.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kPath = "/etc/iscsi/initiatorname.iscsi";
constexpr std::string_view kRequest = "GenerateName=yes\n";

/// Debian's iscsid does not start without the file, but makes a name where the file asks for one:
/// so says the script that does it.
bool makes_names_on_request(const machine::Root& root) {
    constexpr std::array kScripts{"/usr/lib/open-iscsi/startup-checks.sh",
                                  "/lib/open-iscsi/startup-checks.sh",
                                  "/usr/libexec/open-iscsi/startup-checks.sh"};
    return std::any_of(kScripts.begin(), kScripts.end(),
                       [&root](const char* path) { return root.info(path).has_value(); });
}

Changes further(const machine::Root& root, const ItemSettings&) {
    if (!root.info(kPath)) return {};
    if (!makes_names_on_request(root)) return {{Change::Kind::remove, std::string(kPath), {}}};
    if (read_regular(root, kPath) == kRequest) return {};
    return {{Change::Kind::write, std::string(kPath), std::string(kRequest)}};
}

}  // namespace

Item iscsi_initiator_item() {
    return {
        .name = "iscsi-initiator",
        .order = 300,
        .why =
            "Storage targets would take all clones for one initiator, and let them write to "
            "each other's volumes.",
        .back =
            "iscsid's start-up script (Debian), iscsi-init.service (Red Hat) or prebake's "
            "first boot makes a new name.",
        .on_clone = OnClone::renew,
        .further = further,
        .further_says =
            "writes \"GenerateName=yes\" to /etc/iscsi/initiatorname.iscsi where "
            "iscsid understands it (Debian), else removes the file",
        .proofs = {"/etc/iscsi/initiatorname.iscsi"},
    };
}

}  // namespace prebake::identity
