"""The daemon's unit under a real systemd, on a machine whose containerd does not come: the boot is
not held up by it, and the kubelet waits as long as it is told to."""

import json

import harness
from booted import BootTest, enable

DAEMON, WAIT = "prebaked.service", "prebake-wait-ready.service"
SOCKET = "/run/prebake/prebake.sock"
KUBELET = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
"""
INVENTORY = "/var/lib/amazon/ssm/{}/inventory/custom/prebake-node.json"


class NodeUnits(BootTest):
    def test_a_boot_without_containerd(self):
        machine = self.make_first_machine("node")
        machine.write("/etc/systemd/system/kubelet.service", KUBELET)
        machine.write(f"/etc/systemd/system/{WAIT}.d/soon.conf",
                      "[Service]\nExecStart=\nExecStart=/usr/bin/prebake status --wait=3\n")
        machine.write("/var/lib/amazon/ssm/somewhere", "the agent is installed")
        enable(machine, "preset", DAEMON, WAIT)
        machine.boot()
        self.assertEqual(machine.properties(DAEMON, "ActiveState", "NRestarts"),
                         {"ActiveState": "active", "NRestarts": "0"})
        self.assertEqual(machine.properties(WAIT, "ActiveState"), {"ActiveState": "inactive"},
                         "nobody wants it yet")

        status = json.loads(machine.run("prebake", "status", "--json", check=False))
        self.assertEqual(status["instance"]["id"], machine.instance.id)
        conditions = {item["type"]: item["status"] for item in status["conditions"]}
        self.assertEqual(conditions["IdentityClaimed"], "True")
        self.assertEqual(conditions["ContainerdServing"], "False")
        self.assertEqual(machine.run("stat", "-c", "%a %U:%G", SOCKET).strip(), "660 root:prebake")
        inventory = json.loads(machine.read(INVENTORY.format(machine.instance.id)))
        self.assertEqual(inventory["TypeName"], "Custom:PrebakeNode")
        self.assertIn("containerd", machine.properties(DAEMON, "StatusText")["StatusText"])

        # Whoever starts the kubelet: it waits for the node, and then comes all the same.
        machine.run("systemctl", "start", "kubelet.service")
        self.assertEqual(machine.properties(WAIT, "Result"), {"Result": "exit-code"})
        waited = machine.properties(WAIT, "ExecMainStartTimestampMonotonic",
                                    "ExecMainExitTimestampMonotonic")
        began, ended = (int(value) for value in sorted(waited.values(), key=int))
        self.assertGreaterEqual(ended - began, 3_000_000)
        kubelet = machine.properties("kubelet.service", "ExecMainStartTimestampMonotonic")
        self.assertGreaterEqual(int(*kubelet.values()), ended)

        machine.run("systemctl", "reload", DAEMON)
        self.assertEqual(machine.properties(DAEMON, "ActiveState"), {"ActiveState": "active"})
        machine.run("systemctl", "stop", DAEMON)
        self.assertEqual(machine.properties(DAEMON, "Result"), {"Result": "success"})
        machine.run("systemctl", "reset-failed")
        machine.power_off()


if __name__ == "__main__":
    harness.main()
