#include "agent/identity/items/all.h"

namespace prebake::identity {

Item osquery_item() {
    return {
        .name = "osquery",
        .order = 880,
        .why = "All clones would report as one host.",
        .back = "osqueryd makes a new database when it next starts, and enrols.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/var/osquery/osquery.db"},
                {Target::What::file, "/var/lib/osquery/osquery.db"},
            },
    };
}

}  // namespace prebake::identity
