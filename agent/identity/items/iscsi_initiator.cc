#include <algorithm>
#include <array>

#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/lines.h"
#include "agent/machine/root.h"

namespace prebake::identity {
namespace {

constexpr std::string_view kInitiatorPath = "/etc/iscsi/initiatorname.iscsi";
constexpr std::string_view kRequest = "GenerateName=yes\n";

/// Debian's iscsid does not start without the file, but its startup script generates a name if the
/// file requests one.
bool makes_names_on_request(const machine::Root& root) {
    constexpr std::array kScripts{"/usr/lib/open-iscsi/startup-checks.sh",
                                  "/lib/open-iscsi/startup-checks.sh",
                                  "/usr/libexec/open-iscsi/startup-checks.sh"};
    return std::any_of(kScripts.begin(), kScripts.end(),
                       [&root](const char* path) { return root.info(path).has_value(); });
}

}  // namespace

Changes iscsi_initiator_changes(const machine::Root& root, const ItemSettings&) {
    if (!root.info(kInitiatorPath)) return {};
    if (!makes_names_on_request(root))
        return {{Change::Kind::remove, std::string(kInitiatorPath), {}}};
    if (read_regular(root, kInitiatorPath) == kRequest) return {};
    return {{Change::Kind::write, std::string(kInitiatorPath), std::string(kRequest)}};
}

}  // namespace prebake::identity
