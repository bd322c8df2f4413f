#include "agent/identity/items/all.h"

namespace prebake::identity {

Item monitoring_agents_item() {
    return {
        .name = "monitoring-agents",
        .order = 890,
        .why = "All clones would report as one agent.",
        .back = "The agents make a new id when they next start; Wazuh's has to be enrolled.",
        .targets =
            {
                // Elastic Beats.
                {Target::What::file, "/var/lib/*beat/meta.json"},
                // Emptied: Wazuh and OSSEC do not start without the file.
                {Target::What::bytes, "/var/ossec/etc/client.keys"},
                // Grafana's agent and Alloy.
                {Target::What::file, "/var/lib/grafana-agent/agent_seed.json"},
                {Target::What::file, "/var/lib/alloy/data/alloy_seed.json"},
            },
    };
}

}  // namespace prebake::identity
