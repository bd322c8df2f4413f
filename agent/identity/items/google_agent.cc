#include "agent/identity/items/all.h"

namespace prebake::identity {

Item google_agent_item() {
    return {
        .name = "google-agent",
        .order = 170,
        .why = "Google's guest agent would not see that the machine is another one.",
        .back = "The guest agent writes the id of the instance when it next starts.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/etc/google_instance_id"},
            },
    };
}

}  // namespace prebake::identity
