#include "agent/identity/items/all.h"

namespace prebake::identity {

Item ecs_agent_item() {
    return {
        .name = "ecs-agent",
        .order = 540,
        .why =
            "Clones would register as the builder's container instance, and the agent stops "
            "with an error.",
        .back = "The ECS agent registers the instance when it next starts.",
        .on_clone = OnClone::renew,
        .targets =
            {
                {Target::What::file, "/var/lib/ecs/data/agent.db"},
                {Target::What::file, "/var/lib/ecs/data/ecs_agent_data.json"},
            },
    };
}

}  // namespace prebake::identity
