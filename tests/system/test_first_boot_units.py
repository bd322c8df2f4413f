#!/usr/bin/python3
"""The units under a real systemd: their settings, failures and orderings."""

import struct
import time

import harness
from booted import CLAIM, SSM_SAW, BootTest, identity_of, lasting
from daemons import wait_until

UNITS = ("prebake-firstboot.service", "prebake-online.service", "prebake-seal.service")
FIRST_BOOT, ONLINE, SEAL = UNITS
OTHER_UNITS = ("prebake-bake.service", "prebaked.service", "prebake-wait-ready.service",
               "prebake-ready.target", "prebake-hydrate.service", "prebake-wait-hydrated.service",
               "prebake-hydrated.target", "prebake-record.service")
# The highest exposure that `systemd-analyze security` may report, times ten. Units that write
# anywhere as root get a higher value than units that listen.
EXPOSURE = {"prebaked.service": 25, "prebake-bake.service": 29, "prebake-wait-ready.service": 20,
            "prebake-wait-hydrated.service": 20}
MOST_EXPOSURE = 35
UTMP = struct.Struct("h2xi32s4s32s256s52x")  # type, pid, line, id, user, host; utmp(5)
DROP_IN = "/etc/prebake/firstboot.d/50-test"


class UnitsTest(BootTest):
    def first_machine(self, **options):
        return self.make_first_machine(self.id().rpartition(".")[2], **options)

    def result_of(self, booted, unit):
        return booted.properties(unit, "Result")["Result"]

    # Settings

    def test_systemd_accepts_the_units(self):
        booted = self.first_machine().boot()
        ours = sorted(path.name for path in booted.path("/usr/lib/systemd/system").glob("prebake*"))
        self.assertEqual(ours, sorted((*UNITS, *OTHER_UNITS)))
        # Without man pages, which only the package installs.
        verified = booted.run("systemd-analyze", "verify", "--man=no", *ours, check=False)
        self.assertEqual(verified, "")
        for unit in ours:
            if unit.endswith(".service"):
                with self.subTest(unit):
                    limit = EXPOSURE.get(unit, MOST_EXPOSURE)
                    said = booted.run("systemd-analyze", "security", "--offline=true", "--no-pager",
                                      f"--threshold={limit}", f"/usr/lib/systemd/system/{unit}")
                    print(said.splitlines()[-1])
        # At shutdown systemd breaks a cycle by not stopping a unit, so it would not seal.
        booted.run("prebake", "seal", "--at-shutdown")
        booted.run("prebake", "seal", "--disarm")
        booted.power_off()
        booted.boot()
        history = booted.log_of_systemd()
        self.assertIn("Stopped prebake-seal.service", history)
        self.assertNotIn("ordering cycle", history)

    def test_only_first_boot_is_enabled(self):
        booted = self.first_machine().boot()
        states = {unit: booted.properties(unit, "UnitFileState")["UnitFileState"]
                  for unit in UNITS}
        self.assertEqual(states, {FIRST_BOOT: "enabled", ONLINE: "static", SEAL: "static"})
        self.assertEqual(booted.properties(SEAL, "ActiveState"), {"ActiveState": "inactive"})

    # First boot

    def test_before_and_after(self):
        """sshd and the SSM agent start after the machine has its identity."""
        booted = self.first_machine().boot()
        for unit in ("ssh.service", "dbus.service"):
            self.assertLess(booted.ended_at(FIRST_BOOT), booted.begun_at(unit), unit)
        self.assertLess(booted.ended_at(ONLINE), booted.begun_at("amazon-ssm-agent.service"))
        self.assertEqual(booted.read(CLAIM), booted.run("cat", SSM_SAW))

    def test_a_first_boot_that_fails_does_not_stop_the_boot(self):
        machine = self.first_machine()
        good = machine.read("/etc/prebake/prebake.toml")
        machine.write("/etc/prebake/prebake.toml", "[firstboot]\nnonsense = 1\n")
        machine.boot(expected="degraded")
        for unit in (FIRST_BOOT, ONLINE):
            self.assertEqual(self.result_of(machine, unit), "exit-code")
        for unit in ("multi-user.target", "ssh.service"):
            machine.run("systemctl", "is-active", unit)
        begun = machine.properties("amazon-ssm-agent.service", "ExecMainStartTimestampMonotonic")
        self.assertNotIn("0", begun.values(), "it was started anyway")
        machine.run("systemctl", "restart", "ssh.service")
        for unit in (FIRST_BOOT, ONLINE):
            self.assertEqual(machine.journal(unit).count("Starting "), 1,
                             "once a boot, whatever is started later")
        machine.power_off()
        machine.write("/etc/prebake/prebake.toml", good)
        machine.boot()
        self.assert_claimed(machine)

    def test_a_power_cut_in_the_middle(self):
        machine = self.first_machine()
        machine.write(DROP_IN, "#!/bin/sh\necho begun >>/var/lib/begun\n"
                               "while test -e /etc/wait; do sleep 0.1; done\n"
                               "echo ended >>/var/lib/ended\n", 0o755)
        machine.write("/etc/wait", "")
        machine.power_on()
        wait_until(machine.path("/var/lib/begun").exists, "the drop-in runs")
        machine.pull_the_plug()
        keys = machine.read("/etc/ssh/ssh_host_ed25519_key")
        self.assertEqual(self.claim_of(machine)["state"], "CLAIMING")
        machine.path("/etc/wait").unlink()
        for _ in range(2):
            machine.boot()
            self.assert_claimed(machine)
            self.assertEqual(machine.read("/etc/ssh/ssh_host_ed25519_key"), keys)
            self.assertEqual(machine.read("/var/lib/ended"), "ended\n", "once to success")
            machine.power_off()
        self.assertEqual(machine.read("/var/lib/begun"), "begun\n" * 2)

    def test_drop_ins_may_use_the_network_and_other_users(self):
        machine = self.first_machine()
        machine.write(DROP_IN, "#!/bin/sh -e\n"
                               "python3 -c 'import socket; socket.create_connection("
                               '("169.254.169.254", 80))\'\n'
                               "setpriv --reuid nobody --clear-groups id -un >/var/lib/who\n"
                               "env >/var/lib/environment\n", 0o755)
        machine.boot()
        self.assert_claimed(machine)
        self.assertEqual(machine.read("/var/lib/who"), "nobody\n")
        self.assertIn(f"PREBAKE_INSTANCE_ID={machine.instance.id}\n",
                      machine.read("/var/lib/environment"))

    def test_a_metadata_service_that_does_not_help(self):
        for behaviour in ("silent", "throttled", "html", "absent"):
            for dmi in (True, False):
                with self.subTest(behaviour, dmi=dmi):
                    machine = self.make_first_machine(f"{behaviour}-{'dmi' if dmi else 'none'}",
                                                      dmi=dmi, imds=behaviour != "absent")
                    if machine.imds:
                        machine.imds.behaviour = behaviour
                    begun = time.monotonic()
                    machine.boot()
                    self.assertLess(time.monotonic() - begun, 30)
                    claim = self.claim_of(machine)
                    self.assertEqual(claim["state"], "CLAIMED")
                    self.assertEqual(claim["instance"]["id"], machine.instance.id if dmi else "")
                    self.assertEqual(claim["instanceUnknown"], not dmi)
                    self.assertEqual(self.result_of(machine, ONLINE), "success")
                    self.assertRegex(machine.journal(ONLINE), "no instance metadata")
                    self.assertEqual(machine.read(CLAIM), machine.run("cat", SSM_SAW))
                    before = lasting(identity_of(machine))
                    machine.power_off()
                    machine.boot()
                    self.assertEqual(lasting(identity_of(machine)), before)

    # Sealing

    def test_sealed_at_once_then_powered_off(self):
        """systemd and agetty write to wtmp after the seal, but nothing about a person."""
        machine = self.first_machine()
        machine.boot()
        machine.run("prebake", "seal", "--yes")
        self.assertIn("SEALED", machine.run("prebake", "status", check=False))
        machine.power_off()
        records = machine.path("/var/log/wtmp").read_bytes()
        written = [tuple(field.strip(b"\0") if isinstance(field, bytes) else field
                         for field in UTMP.unpack_from(records, begin))
                   for begin in range(0, len(records), UTMP.size)]
        self.assertTrue(written, "something is written after the seal")
        self.assertEqual(self.check_sealed(machine), [], written)

    def test_armed_and_not_shut_down(self):
        machine = self.first_machine().boot()
        before = lasting(identity_of(machine))
        machine.run("systemctl", "start", "prebaked.service")
        said = machine.run("prebake", "seal", "--at-shutdown")
        self.assertRegex(said.splitlines()[0], r"^units to stop: .*prebaked\.service")
        self.assertIn("ARMED", machine.run("prebake", "status", check=False))
        machine.run("systemctl", "is-active", SEAL)
        self.assertNotEqual(machine.run_raw("systemctl", "stop", SEAL).returncode, 0)
        machine.run("systemctl", "isolate", "multi-user.target")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "daemon-reexec")
        machine.run("systemctl", "is-active", SEAL)
        self.assertEqual(lasting(identity_of(machine)), before)
        machine.run("prebake", "seal", "--disarm")
        machine.run("systemctl", "is-active", "prebaked.service", "systemd-random-seed.service")
        machine.reboot()
        self.assertFalse(self.assert_claimed(machine)["unsealedInPlace"])
        self.assertEqual(lasting(identity_of(machine)), before)

    def test_armed_and_rebooted(self):
        """The sealed machine itself boots again, as a builder does after its AMI is created."""
        machine = self.first_machine().boot()
        before = identity_of(machine)
        machine.run("prebake", "seal", "--at-shutdown")
        machine.reboot()
        claim = self.assert_claimed(machine)
        self.assertTrue(claim["unsealedInPlace"])
        self.assertIn("unsealed in place", machine.journal(ONLINE))
        after = identity_of(machine)
        for item in before:
            # systemd derives both of these from the hardware, which is the same.
            if item not in ("machine-id", "host name"):
                self.assertNotEqual(after[item], before[item], item)

    def test_a_machine_id_below_a_mount(self):
        """The state that systemd leaves if the root was read-only when it started."""
        machine = self.first_machine().boot()
        machine.run("cp", "/etc/machine-id", "/run/machine-id")
        machine.run("mount", "--bind", "/run/machine-id", "/etc/machine-id")
        machine.run("prebake", "seal", "--at-shutdown")
        machine.power_off()
        self.assertEqual(machine.read("/etc/machine-id"), "")
        self.assertEqual(self.check_sealed(machine), [])

    def test_drop_ins_of_a_seal_at_shutdown(self):
        machine = self.first_machine()
        machine.write("/etc/prebake/seal.d/50-test", "#!/bin/sh -e\n"
                      "rm /opt/agent/id\nchown nobody /opt/agent\n", 0o755)
        machine.write("/opt/agent/id", "of the builder\n")
        machine.boot()
        machine.run("prebake", "seal", "--at-shutdown")
        machine.power_off()
        self.assertFalse(machine.path("/opt/agent/id").exists())
        self.assertEqual(machine.path("/opt/agent").stat().st_uid, 65534)
        self.assertEqual(self.check_sealed(machine), [])

    def test_a_failed_seal_is_reported_on_the_console(self):
        machine = self.first_machine()
        machine.write("/etc/prebake/seal.d/50-test", "#!/bin/sh\necho no luck >&2\nexit 1\n", 0o755)
        machine.boot()
        machine.run("prebake", "seal", "--at-shutdown")
        machine.power_off()
        self.assertRegex(machine.console_text(), r"(?s)50-test.*NOT SEALED|NOT SEALED.*50-test")
        self.assertIn("claim", [item for item, _, _ in self.check_sealed(machine)])


if __name__ == "__main__":
    harness.main()
