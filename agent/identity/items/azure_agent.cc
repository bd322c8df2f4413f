#include "agent/identity/items/all.h"

namespace prebake::identity {

Item azure_agent_item() {
    return {
        .name = "azure-agent",
        .order = 160,
        .why =
            "It holds the builder's provisioning data (ovf-env.xml, with the password), its "
            "certificates and their keys.",
        .back = "The Azure agent provisions the instance and fetches them anew.",
        .targets =
            {
                {Target::What::contents, "/var/lib/waagent"},
            },
    };
}

}  // namespace prebake::identity
