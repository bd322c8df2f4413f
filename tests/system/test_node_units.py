"""The daemon's unit under a real systemd, on a machine whose containerd does not start: the boot
does not wait for it, and the kubelet waits until the deadline."""

import json
import time

import harness
from booted import BootTest, enable
from daemons import wait_until

DAEMON, WAIT, READY = "prebaked.service", "prebake-wait-ready.service", "prebake-ready.target"
RECORD = "/var/lib/prebake/bake.json"
SOCKET = "/run/prebake/prebake.sock"
LATE = "/run/prebake/late.env"
KUBELET = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
"""
INVENTORY = "/var/lib/amazon/ssm/{}/inventory/custom/prebake-node.json"


# Fails at first, like a kubelet whose configuration is written late.
RESTARTED_KUBELET = """\
[Service]
ExecStart=/bin/sh -c 'test -e /run/tried && exec sleep infinity; touch /run/tried; exit 1'
Restart=on-failure
RestartSec=1s
"""

# In addition to the configuration of every test.
DEADLINE = """
[readiness]
deadline = "3s"
"""


class NodeUnits(BootTest):
    def machine_with_kubelet(self, name, deadline=DEADLINE):
        machine = self.make_first_machine(name)
        machine.write("/etc/systemd/system/kubelet.service", KUBELET)
        machine.write("/etc/prebake/conf.d/deadline.toml", deadline)
        enable(machine, "preset", DAEMON, READY)
        machine.write(RECORD, '{"schema": "prebake.v1.BakeRecord"}')
        return machine

    def times(self, machine, unit, *names):
        shown = machine.properties(unit, *(f"{name}TimestampMonotonic" for name in names))
        return tuple(int(shown[f"{name}TimestampMonotonic"]) for name in names)

    def test_a_boot_without_containerd(self):
        machine = self.machine_with_kubelet("open")
        machine.write("/var/lib/amazon/ssm/somewhere", "the agent is installed")
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

        # However the kubelet is started: it waits for the node, and then starts anyway.
        machine.run("systemctl", "start", "kubelet.service")
        self.assertEqual(machine.properties(WAIT, "Result"), {"Result": "exit-code"})
        self.assertEqual(machine.properties(READY, "ActiveState"), {"ActiveState": "inactive"})
        began, ended = self.times(machine, WAIT, "ExecMainStart", "ExecMainExit")
        self.assertGreaterEqual(ended - began, 3_000_000)
        begun, = self.times(machine, "kubelet.service", "ExecMainStart")
        self.assertGreaterEqual(begun, ended)

        machine.run("systemctl", "reload", DAEMON)
        self.assertEqual(machine.properties(DAEMON, "ActiveState"), {"ActiveState": "active"})
        machine.run("systemctl", "stop", DAEMON)
        self.assertEqual(machine.properties(DAEMON, "Result"), {"Result": "success"})
        machine.run("systemctl", "reset-failed")
        self.it_is_started_until_its_trouble_ends(machine)
        machine.power_off()

    def it_is_started_until_its_trouble_ends(self, machine):
        for _ in range(20):  # somebody edits the configuration
            machine.run("systemctl", "restart", DAEMON)
        machine.run("systemctl", "stop", DAEMON)
        crash = machine.write(f"/etc/systemd/system/{DAEMON}.d/crash.conf",
                              "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=10ms\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", DAEMON, check=False)
        wait_until(lambda: int(machine.properties(DAEMON, "NRestarts")["NRestarts"]) > 40,
                   "it has crashed often")
        crash.unlink()
        machine.run("systemctl", "daemon-reload")
        wait_until(lambda: machine.properties(DAEMON, "ActiveState") == {"ActiveState": "active"},
                   "it runs again")

    def test_a_restarted_kubelet_does_not_wait_as_long_again(self):
        machine = self.machine_with_kubelet("restarted", '[readiness]\ndeadline = "8s"\n')
        machine.write("/etc/systemd/system/kubelet.service", RESTARTED_KUBELET)
        machine.boot()
        machine.run("systemctl", "start", "kubelet.service")
        wait_until(lambda: machine.properties("kubelet.service", "ActiveState", "NRestarts") == {
            "ActiveState": "active", "NRestarts": "1"}, "the kubelet runs")
        began, ended = self.times(machine, WAIT, "ExecMainStart", "ExecMainExit")
        begun, = self.times(machine, "kubelet.service", "ExecMainStart")
        self.assertGreaterEqual(begun, ended, "it waited here again")
        self.assertGreaterEqual(ended - began, 5_000_000)
        self.assertLess(ended - began, 8_000_000)
        # After the node has been ready, the full deadline applies again.
        machine.run("systemctl", "start", "containerd.service")
        machine.run("systemctl", "start", READY)
        self.assertFalse(machine.run_raw("test", "-e", LATE).returncode == 0)
        machine.power_off()

    def test_required_it_fails_closed(self):
        machine = self.machine_with_kubelet("closed")
        enable(machine, "add-requires", "kubelet.service", READY)
        enable(machine, "add-wants", "multi-user.target", "kubelet.service")
        machine.boot(expected="degraded")
        self.assertEqual(machine.properties(WAIT, "Result"), {"Result": "exit-code"})
        self.assertEqual(machine.properties("kubelet.service", "ActiveState",
                                            "ExecMainStartTimestampMonotonic"),
                         {"ActiveState": "inactive", "ExecMainStartTimestampMonotonic": "0"})
        # The next start waits again, and the node is ready now.
        machine.run("systemctl", "start", "containerd.service")
        machine.run("systemctl", "start", "kubelet.service")
        for unit in (READY, "kubelet.service"):
            self.assertEqual(machine.properties(unit, "ActiveState"), {"ActiveState": "active"},
                             unit)
        # containerd can restart while all of them run, and no unit waits again.
        machine.run("systemctl", "restart", "containerd.service")
        self.assertEqual(machine.properties("kubelet.service", "ActiveState"),
                         {"ActiveState": "active"})
        # It does not stop with the daemon either.
        machine.run("systemctl", "stop", DAEMON)
        self.assertEqual(machine.properties("kubelet.service", "ActiveState"),
                         {"ActiveState": "active"})
        machine.run("systemctl", "reset-failed")
        machine.power_off()

    def test_without_a_bake_no_unit_waits(self):
        """As on a running node with a new package: it claims nothing before its next boot."""
        machine = self.machine_with_kubelet("running", deadline="")
        machine.path(RECORD).unlink()
        enable(machine, "disable", "prebake-firstboot.service")
        enable(machine, "add-requires", "kubelet.service", READY)
        machine.boot(expected="degraded")  # the replacement of the SSM agent needs a claim
        begun = time.monotonic()
        machine.run("systemctl", "start", "kubelet.service")
        machine.run("systemctl", "restart", "kubelet.service")
        self.assertLess(time.monotonic() - begun, 30)
        self.assertEqual(machine.properties(READY, "ActiveState"), {"ActiveState": "active"})
        machine.power_off()

    def test_masked_units_delay_nothing(self):
        """Although the deadline is longer than a boot may take here."""
        machine = self.machine_with_kubelet("masked", deadline="")
        enable(machine, "mask", DAEMON)
        enable(machine, "add-wants", "multi-user.target", "kubelet.service")
        machine.boot(expected="degraded")
        self.assertEqual(machine.properties("kubelet.service", "ActiveState"),
                         {"ActiveState": "active"})
        said = machine.run("prebake", "status", check=False)
        self.assertTrue(said.startswith("UNKNOWN"), said)
        self.assertIn("systemctl status prebaked", said)
        machine.power_off()


if __name__ == "__main__":
    harness.main()
