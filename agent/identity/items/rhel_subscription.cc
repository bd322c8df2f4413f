#include "agent/identity/items/all.h"

namespace prebake::identity {

Item rhel_subscription_item() {
    return {
        .name = "rhel-subscription",
        .order = 740,
        .why = "All clones would use the builder's subscription under one consumer id.",
        .back =
            "subscription-manager(8) or the cloud's automatic registration (rhsmcertd(8)) "
            "registers the clone.",
        .targets =
            {
                {Target::What::contents, "/etc/pki/consumer"},
                {Target::What::contents, "/etc/pki/entitlement"},
                {Target::What::contents, "/var/lib/rhsm"},
                {Target::What::file, "/etc/sysconfig/rhn/systemid"},
                {Target::What::file, "/etc/sysconfig/rhn/osad-auth.conf"},
            },
    };
}

}  // namespace prebake::identity
