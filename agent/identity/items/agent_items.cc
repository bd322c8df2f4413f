#include "agent/identity/items/extra_changes.h"
#include "agent/identity/items/tables.h"

namespace prebake::identity {
namespace {

// Configuration management, clusters, VPNs, monitoring.
// One line for each path.
// clang-format off
constexpr Item kAgentItems[] = {
    {
        .name = "puppet",
        .why = "All clones would be one node to the Puppet server.",
        .regeneration = "The agent generates a key and requests a certificate at its next run.",
        .on_clone = OnClone::renew,
        .extra_changes = puppet_changes,
        .extra_description =
            "removes the contents of the ssl directories in /etc/puppetlabs/puppet, /etc/puppet "
            "and /var/lib/puppet, except a server's certificate authority (ca)",
        .proofs = {
            "/etc/puppetlabs/puppet/ssl/public_keys/*.pem",
            "/var/lib/puppet/ssl/public_keys/*.pem",
        },
        .written_by = {
            {"puppet.service", StopStage::managers},
            {"pxp-agent.service", StopStage::managers},
            {"mcollective.service", StopStage::managers},
        },
    },
    // A clone keeps it: it may be a server that was restored from a snapshot, whose authority
    // signed every agent's certificate.
    {
        .name = "puppet-data",
        .why =
            "Clones would hold the builder's catalogs and reports, including secrets. Clones of a "
            "server would hold the key of its certificate authority.",
        .regeneration =
            "The agent fills its cache at its next run. A server creates a new authority when it "
            "next starts.",
        .targets = {
            remove("/etc/puppetlabs/puppet/ssl/ca"),
            remove("/etc/puppet/ssl/ca"),
            remove("/var/lib/puppet/ssl/ca"),
            remove("/opt/puppetlabs/puppet/cache/client_data"),
            remove("/opt/puppetlabs/puppet/cache/reports"),
            remove("/opt/puppetlabs/puppet/cache/state"),
            remove("/var/cache/puppet/client_data"),
            remove("/var/cache/puppet/reports"),
            remove_inside("/var/cache/puppet/state"),
        },
    },
    {
        .name = "salt",
        .why = "All clones would be one minion to the Salt master.",
        .regeneration =
            "salt-minion derives an ID from the host name and generates a new key when it next "
            "starts.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/etc/salt/minion_id"),
            remove("/etc/salt/pki/minion/minion.pem"),
            remove("/etc/salt/pki/minion/minion.pub"),
        },
        .proofs = {"/etc/salt/minion_id", "/etc/salt/pki/minion/minion.pub"},
        .written_by = {{"salt-minion.service", StopStage::managers}},
    },
    // A clone keeps it: it also holds copies of files that Salt replaced.
    {
        .name = "salt-data",
        .why =
            "Clones would hold the builder's pillars, which are secrets: salt-minion caches them.",
        .regeneration = "salt-minion gets them from the master at its next run.",
        .targets = {
            remove_inside("/var/cache/salt/minion"),
        },
    },
    {
        .name = "chef",
        .why = "All clones would be one node to the Chef server.",
        .regeneration = "chef-client registers a node without a key if it has a validation key.",
        .targets = {
            remove("/etc/chef/client.pem"),
            remove("/etc/cinc/client.pem"),
            remove_inside("/var/chef/cache"),
            remove_inside("/var/chef/backup"),
        },
        .written_by = {
            {"chef-client.timer", StopStage::managers},
            {"chef-client.service", StopStage::managers},
            {"cinc-client.timer", StopStage::managers},
            {"cinc-client.service", StopStage::managers},
        },
    },
    // A clone keeps it: it may be a server that was restored from a snapshot.
    {
        .name = "consul-data",
        .why =
            "Clones of a server would hold a copy of the cluster's data. All clones would hold "
            "the builder's services, tokens and gossip keys.",
        .regeneration =
            "Consul gets it from the cluster that it joins. Data of the builder's own cluster is "
            "not recreated.",
        .targets = {
            remove("/opt/consul/acl-tokens.json"),
            remove("/opt/consul/checks"),
            remove("/opt/consul/raft"),
            remove("/opt/consul/serf"),
            remove("/opt/consul/services"),
            remove("/opt/consul/data/acl-tokens.json"),
            remove("/opt/consul/data/checks"),
            remove("/opt/consul/data/raft"),
            remove("/opt/consul/data/serf"),
            remove("/opt/consul/data/services"),
            remove("/var/lib/consul/acl-tokens.json"),
            remove("/var/lib/consul/checks"),
            remove("/var/lib/consul/raft"),
            remove("/var/lib/consul/serf"),
            remove("/var/lib/consul/services"),
        },
        .extra_changes = consul_data_changes,
        .extra_description = "removes node-id where raft is beside it: on a server",
        .proofs = {"/opt/consul/node-id", "/opt/consul/data/node-id", "/var/lib/consul/node-id"},
    },
    // Without proofs: a clone of a server keeps its ID, see consul-data.
    {
        .name = "consul",
        .why = "All clones would be one node to Consul, which accepts only one of them.",
        .regeneration = "Consul generates a new ID when it next starts, and joins as configured.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/opt/consul/checkpoint-signature"),
            remove("/opt/consul/data/checkpoint-signature"),
            remove("/var/lib/consul/checkpoint-signature"),
        },
        .extra_changes = consul_changes,
        .extra_description =
            "removes node-id from /opt/consul, /opt/consul/data and /var/lib/consul, unless raft "
            "beside it shows that this is a server",
        .written_by = {{"consul.service", StopStage::managers}},
    },
    // nomad-data has what jobs and a server's raft hold, and a server's node-id, by which raft
    // knows its voters.
    {
        .name = "nomad",
        .why = "All clones would be one client to Nomad.",
        .regeneration = "Nomad generates a new ID when it next starts, and joins as configured.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/opt/nomad/data/client/client-id"),
            remove("/opt/nomad/data/client/secret-id"),
            remove("/var/lib/nomad/client/client-id"),
            remove("/var/lib/nomad/client/secret-id"),
        },
        .proofs = {"/opt/nomad/data/client/client-id", "/var/lib/nomad/client/client-id"},
        .written_by = {{"nomad.service", StopStage::orchestrators}},
    },
    // A clone keeps it: it may be a server that was restored from a snapshot.
    {
        .name = "nomad-data",
        .why =
            "Clones would hold data of the builder's jobs. Clones of a server would hold a copy "
            "of the cluster's data.",
        .regeneration =
            "Nomad gets it from the cluster that it joins. Data of the builder's own cluster is "
            "not recreated.",
        .targets = {
            remove_inside("/opt/nomad/data/client"),
            remove_inside("/opt/nomad/data/server"),
            remove_inside("/opt/nomad/data/alloc"),
            remove_inside("/var/lib/nomad/client"),
            remove_inside("/var/lib/nomad/server"),
            remove_inside("/var/lib/nomad/alloc"),
        },
    },
    {
        .name = "teleport",
        .why = "All clones would be one node to Teleport, with one certificate.",
        .regeneration =
            "Teleport generates a new ID when it next starts, and joins with a token or another "
            "join method.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/teleport/host_uuid"),
            remove_inside("/var/lib/teleport/proc"),
        },
        .proofs = {"/var/lib/teleport/host_uuid"},
    },
    {
        .name = "tailscale",
        .why = "All clones would be one node of the tailnet, with one private key.",
        .regeneration =
            "tailscaled generates a new key when it next starts, and joins with an auth key.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/tailscale/tailscaled.state"),
            // Its ID would make the logs of all clones look like one machine's.
            remove("/var/lib/tailscale/tailscaled.log*"),
            // Private keys of the name in the tailnet and of the SSH server.
            remove("/var/lib/tailscale/certs"),
            remove("/var/lib/tailscale/ssh"),
        },
    },
    // A clone keeps it: files that were sent to its users wait there.
    {
        .name = "tailscale-data",
        .why =
            "Clones would hold what the builder knew of its tailnet, and files that were sent to "
            "it.",
        .regeneration = "tailscaled fills its caches when it next joins. Files are not recreated.",
        .targets = {
            remove_inside("/var/lib/tailscale"),
        },
    },
    {
        .name = "zerotier",
        .why = "All clones would be one node of the network, with one private key.",
        .regeneration =
            "zerotier-one generates a new identity when it next starts. The network has to "
            "authorize it.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/zerotier-one/identity.public"),
            remove("/var/lib/zerotier-one/identity.secret"),
            remove("/var/lib/zerotier-one/authtoken.secret"),
            remove_inside("/var/lib/zerotier-one/peers.d"),
        },
        .proofs = {"/var/lib/zerotier-one/identity.public"},
    },
    {
        .name = "osquery",
        .why = "All clones would report as one host.",
        .regeneration = "osqueryd creates a new database when it next starts, and enrolls.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/osquery/osquery.db"),
            remove("/var/lib/osquery/osquery.db"),
        },
        .written_by = {{"osqueryd.service", StopStage::managers}},
    },
    {
        .name = "netbird",
        .why = "All clones would be one peer of the network, with one private key.",
        .regeneration = "netbird generates a new key at `netbird up`, which needs a setup key.",
        .targets = {
            remove("/etc/netbird/config.json"),
            remove("/var/lib/netbird/config.json"),
            remove("/var/lib/netbird/default.json"),
            remove("/var/lib/netbird/state.json"),
        },
        .written_by = {{"netbird.service", StopStage::managers}},
    },
    {
        .name = "netdata",
        .why = "All clones would be one node in Netdata Cloud and for a parent.",
        .regeneration =
            "The agent generates a new ID when it next starts. Claim it again, with a token in "
            "claim.conf.",
        .on_clone = OnClone::renew,
        .targets = {
            remove("/var/lib/netdata/registry/netdata.public.unique.id"),
            remove("/var/lib/netdata/cloud.d"),
            remove("/var/lib/netdata/status-netdata.json"),
            remove("/var/lib/netdata/netdata.api.key"),
            remove("/var/lib/netdata/bearer_tokens"),
            // A static build.
            remove("/opt/netdata/var/lib/netdata/registry/netdata.public.unique.id"),
            remove("/opt/netdata/var/lib/netdata/cloud.d"),
            remove("/opt/netdata/var/lib/netdata/status-netdata.json"),
            remove("/opt/netdata/var/lib/netdata/netdata.api.key"),
            remove("/opt/netdata/var/lib/netdata/bearer_tokens"),
        },
        .proofs = {
            "/var/lib/netdata/registry/netdata.public.unique.id",
            "/opt/netdata/var/lib/netdata/registry/netdata.public.unique.id",
        },
        .written_by = {{"netdata.service", StopStage::managers}},
    },
    // A clone keeps it: its history.
    {
        .name = "netdata-data",
        .why = "Clones would show the builder's metrics as those of another node.",
        .regeneration = "Netdata collects new ones.",
        .targets = {
            remove_inside("/var/cache/netdata"),
            remove_inside("/opt/netdata/var/cache/netdata"),
        },
    },
    {
        .name = "monitoring-agents",
        .why = "All clones would report as one agent.",
        .regeneration =
            "The agents generate a new ID when they next start. Enroll Checkmk's, Wazuh's and "
            "Elastic's again.",
        .targets = {
            // Enrolled in Fleet. Without the file the agent runs on its own.
            remove("/opt/Elastic/Agent/fleet.enc"),
            remove("/var/lib/elastic-agent/fleet.enc"),
            remove("/etc/elastic-agent/fleet.enc"),
            // Splunk's GUID.
            remove("/opt/splunk/etc/instance.cfg"),
            remove("/opt/splunkforwarder/etc/instance.cfg"),
            // Dynatrace.
            remove("/var/lib/dynatrace/oneagent/agent/config/ruxithost.id"),
            // The key of the agent's own API.
            remove("/etc/datadog-agent/auth_token"),
            remove_inside("/var/db/newrelic-infra/data"),
            // Elastic Beats.
            remove("/var/lib/*beat/meta.json"),
            // Emptied, because Wazuh and OSSEC do not start without the file.
            empty("/var/ossec/etc/client.keys"),
            // Checkmk: the ID and the key under which the server knows the agent.
            remove("/var/lib/cmk-agent/registered_connections.json"),
            // Grafana Agent and Alloy.
            remove("/var/lib/grafana-agent/agent_seed.json"),
            remove("/var/lib/alloy/data/alloy_seed.json"),
        },
        .written_by = {
            {"elastic-agent.service", StopStage::managers},
            {"SplunkForwarder.service", StopStage::managers},
            {"Splunkd.service", StopStage::managers},
            {"oneagent.service", StopStage::managers},
            {"datadog-agent*.service", StopStage::managers},
            {"newrelic-infra.service", StopStage::managers},
            {"cmk-agent-ctl-daemon.service", StopStage::managers},
        },
    },
    {
        .name = "vulnerability-agents",
        .why = "All clones would be one asset to the scanner.",
        .regeneration =
            "Qualys' agent requests a new ID when it next starts. Link Tenable's agent again.",
        .targets = {
            remove("/etc/qualys/hostid"),
            remove("/etc/tenable_tag"),
            remove("/opt/nessus_agent/var/nessus/uuid"),
        },
        .written_by = {
            {"qualys-cloud-agent.service", StopStage::managers},
            {"nessusagent.service", StopStage::managers},
        },
    },
    {
        .name = "ci-runners",
        .why = "All clones would be one runner, and take each other's jobs.",
        .regeneration =
            "gitlab-runner generates a new ID when it next starts. Register GitHub's runner again.",
        .targets = {
            remove("/etc/gitlab-runner/.runner_system_id"),
            remove("~/.gitlab-runner/.runner_system_id"),
            remove("/opt/actions-runner/.credentials"),
            remove("/opt/actions-runner/.credentials_rsaparams"),
            remove("/opt/actions-runner/.runner"),
            remove("~/actions-runner/.credentials"),
            remove("~/actions-runner/.credentials_rsaparams"),
            remove("~/actions-runner/.runner"),
        },
        .written_by = {
            {"gitlab-runner.service", StopStage::managers},
            {"actions.runner.*.service", StopStage::managers},
        },
    },
    {
        .name = "crowdstrike",
        .why = "All clones share the sensor's agent ID.",
        .regeneration =
            "Run `falconctl -d -f --aid` while the image is built. prebake cannot remove the "
            "file: it also holds the customer ID, without which the sensor does not work.",
        .by_default = Default::report,
        .targets = {
            remove("/opt/CrowdStrike/falconstore"),
        },
    },
    {
        .name = "munge-key",
        .why = "Anyone with the image can forge credentials for every machine that trusts the key.",
        .regeneration =
            "Not recreated: munged does not start without the key, and all machines of a cluster "
            "must share it. Bring it with user data instead.",
        .by_default = Default::report,
        .targets = {
            remove("/etc/munge/munge.key"),
        },
    },
    {
        .name = "erlang-cookie",
        .why =
            "Anyone with the image could run programs in RabbitMQ, and in every Erlang node of a "
            "clone.",
        .regeneration =
            "Erlang generates a new one when a node next starts. If nodes form a cluster, give "
            "them one at first boot.",
        .targets = {
            remove("/var/lib/rabbitmq/.erlang.cookie"),
            remove("~/.erlang.cookie"),
        },
    },
    {
        .name = "ceph-keys",
        .why = "Anyone with the image could read, change and delete what the Ceph cluster stores.",
        .regeneration = "Not recreated. Give clones the keys that they need at first boot.",
        .targets = {
            // Not those of daemons, which lie beside their data.
            remove("/etc/ceph/*.keyring"),
            remove("/var/lib/ceph/bootstrap-*/ceph.keyring"),
        },
    },
    {
        .name = "aws-agents",
        .why =
            "Clones would continue at the builder's positions in log streams, and mount EFS with "
            "the builder's key.",
        .regeneration =
            "The CloudWatch and CodeDeploy agents recreate it when they next start. EFS gets a "
            "new key at the next mount.",
        .targets = {
            remove_inside("/opt/aws/amazon-cloudwatch-agent/logs/state"),
            remove("/opt/aws/amazon-cloudwatch-agent/logs/*.log*"),
            remove("/var/lib/awslogs/agent-state"),
            remove("/var/awslogs/state/agent-state"),
            remove_inside("/opt/codedeploy-agent/deployment-root"),
            remove("/etc/codedeploy-agent/conf/codedeploy.onpremises.yml"),
            remove("/etc/amazon/efs/privateKey.pem"),
        },
        .written_by = {
            {"codedeploy-agent.service", StopStage::managers},
            {"amazon-cloudwatch-agent.service", StopStage::loggers},
            {"awslogsd.service", StopStage::loggers},
        },
    },
    // Not chrony.keys, which administrators share between machines on purpose. Not systemd's
    // /var/lib/systemd/timesync/clock, which only keeps the time from going back.
    {
        .name = "time-sources",
        .why =
            "Clones would use the builder's NTS cookies and keys, and correct their clocks by the "
            "drift of another clock.",
        .regeneration = "chronyd and ntpd recreate it while they run.",
        .targets = {
            remove("/var/lib/chrony/*.nts"),
            remove("/var/lib/chrony/ntskeys"),
            remove("/var/lib/chrony/chrony.drift"),
            remove("/var/lib/chrony/drift"),
            remove("/var/lib/ntp/ntp.drift"),
            remove("/var/lib/ntp/drift"),
            remove("/var/lib/ntpsec/ntp.drift"),
        },
        .written_by = {
            {"chrony.service"},
            {"chronyd.service"},
            {"ntp.service"},
            {"ntpd.service"},
            {"ntpsec.service"},
        },
    },
};
// clang-format on

}  // namespace

std::span<const Item> agent_items() {
    return kAgentItems;
}

}  // namespace prebake::identity
