#!/usr/bin/python3
"""Our units together with other units: on Debian, Ubuntu and Amazon Linux's EKS image systemd finds
no cycle at boot and at shutdown, and every unit starts after the units that it waits for.

Services of other distributions are stand-ins that only have their names and orderings.
"""

import re

import harness
from booted import BootTest, enable

READY = "prebake-ready.target"
EMPTY_RECORD = '{"schema": "prebake.v1.BakeRecord"}'  # with a bake record, units wait for readiness
RECORD_FOR_DOCKER = """{"schema": "prebake.v1.BakeRecord", "images": [
    {"name": "localhost/app:1", "placements": [
        {"namespace": "moby", "names": ["localhost/app:1"], "graphDriver": "overlay2"}]}]}"""
FIRST_BOOT, ONLINE, DAEMON = ("prebake-firstboot.service", "prebake-online.service",
                              "prebaked.service")
CONTAINERD = """
    [Unit]
    After=network.target local-fs.target
"""
KUBELET = """
    [Unit]
    After=containerd.service
    Wants=containerd.service
"""
DOCKER = """
    [Unit]
    After=network-online.target containerd.service
    Wants=network-online.target containerd.service
"""
# What uses Docker is delayed; Docker itself has to run before images can be checked that are in it.
COMPOSE = f"""
    [Unit]
    Requires=docker.service
    After=docker.service {READY}
"""
WANTED = ["multi-user.target"]
DELAYED = ("kubelet.service", "snap.kubelet-eks.daemon.service", "ecs.service", "compose.service")

# Name -> ([Unit], the unit that wants it). From the packages of the distributions.
DEBIAN = {
    # cloud-init, sshd, chrony and iscsid are Debian's. These are the units that run containers.
    "kubelet.service": (KUBELET, WANTED),
    "docker.service": (DOCKER, WANTED),
    "compose.service": (COMPOSE, WANTED),
    "amazon-ssm-agent.service": ("""
        [Unit]
        After=network-online.target
        Wants=network-online.target
    """, WANTED),
}
UBUNTU = {
    **DEBIAN,
    # cloud-init's generator makes it wanted.
    "cloud-init.target": ("[Unit]\nAfter=multi-user.target\n", WANTED),
    # 24.3 and later: one process, and units that wait for its stages.
    "cloud-init-main.service": ("""
        [Unit]
        DefaultDependencies=no
        After=systemd-remount-fs.service
        Before=sysinit.target shutdown.target
        Conflicts=shutdown.target
        RequiresMountsFor=/var/lib/cloud
    """, ["cloud-init.target"]),
    "cloud-init-local.service": ("""
        [Unit]
        DefaultDependencies=no
        Wants=network-pre.target
        After=cloud-init-main.service systemd-remount-fs.service
        Before=network-pre.target sysinit.target shutdown.target
        Conflicts=shutdown.target
        RequiresMountsFor=/var/lib/cloud
    """, ["cloud-init.target"]),
    "cloud-init-network.service": ("""
        [Unit]
        DefaultDependencies=no
        Wants=cloud-init-local.service sshd-keygen.service sshd.service
        After=cloud-init-local.service systemd-networkd-wait-online.service networking.service
        Before=network-online.target sshd-keygen.service sshd.service sysinit.target
        Before=systemd-user-sessions.service shutdown.target
        Conflicts=shutdown.target
    """, ["cloud-init.target"]),
    "cloud-init.service": None,
    "cloud-config.service": ("""
        [Unit]
        After=network-online.target cloud-config.target
        Wants=network-online.target cloud-config.target
    """, ["cloud-init.target"]),
    "cloud-final.service": ("""
        [Unit]
        After=network-online.target time-sync.target cloud-config.service rc-local.service
        After=multi-user.target
        Before=apt-daily.service
        Wants=network-online.target cloud-config.service
    """, ["cloud-init.target"]),
    "snap.amazon-ssm-agent.amazon-ssm-agent.service": ("""
        [Unit]
        After=network-online.target snapd.service
        Wants=network-online.target
    """, WANTED),
    "amazon-ssm-agent.service": None,
    "snapd.service": ("""
        [Unit]
        After=snapd.socket
    """, WANTED),
    "snap.kubelet-eks.daemon.service": (KUBELET, WANTED),
    "kubelet.service": None,
    "systemd-networkd-wait-online.service": ("""
        [Unit]
        DefaultDependencies=no
        Conflicts=shutdown.target
        Requires=systemd-networkd.service
        After=systemd-networkd.service
        Before=network-online.target shutdown.target
    """, ["network-online.target"]),
    "ecs.service": ("""
        [Unit]
        Requires=docker.service
        After=docker.service
    """, WANTED),
}
# Here cloud-init's units are ordinary services, and nodeadm configures and starts containerd and
# the kubelet.
AMAZON = {
    "cloud-init.target": ("[Unit]\n", WANTED),
    "cloud-init-local.service": ("""
        [Unit]
        Wants=network-pre.target
        After=systemd-remount-fs.service
        Before=network-pre.target shutdown.target
        Conflicts=shutdown.target
    """, ["cloud-init.target"]),
    "cloud-init.service": ("""
        [Unit]
        Wants=cloud-init-local.service sshd-keygen.target
        After=cloud-init-local.service network.target systemd-networkd-wait-online.service
        Before=network-online.target sshd-keygen.target sshd.service systemd-user-sessions.service
    """, ["cloud-init.target"]),
    "cloud-config.service": UBUNTU["cloud-config.service"],
    # Not After=multi-user.target as on Debian and Ubuntu: services of that target wait for it.
    "cloud-final.service": ("""
        [Unit]
        After=network-online.target cloud-config.service rc-local.service
        Wants=network-online.target cloud-config.service
    """, ["cloud-init.target"]),
    "nodeadm-boot-hook.service": ("""
        [Unit]
        After=systemd-networkd.service
        Before=systemd-networkd-wait-online.service nodeadm-config.service
    """, WANTED),
    "nodeadm-config.service": ("""
        [Unit]
        After=systemd-networkd-wait-online.service
        Before=cloud-init.service
    """, WANTED),
    # It starts units from its own process, like the original.
    "nodeadm-run.service": ("""
        [Unit]
        Requires=nodeadm-config.service
        After=nodeadm-config.service cloud-final.service
        [Service]
        ExecStart=/bin/systemctl restart containerd.service
        ExecStart=/bin/systemctl start kubelet.service
    """, WANTED),
    "kubelet.service": (KUBELET, []),
    "systemd-networkd-wait-online.service": UBUNTU["systemd-networkd-wait-online.service"],
    "amazon-ssm-agent.service": DEBIAN["amazon-ssm-agent.service"],
    "sshd-keygen@ed25519.service": ("""
        [Unit]
        Before=sshd-keygen.target
    """, ["sshd-keygen.target"]),
    "sshd-keygen.target": ("[Unit]\n", []),
    "sshd.service": ("""
        [Unit]
        After=network.target sshd-keygen.target
        Wants=sshd-keygen.target
    """, WANTED),
    "ecs.service": ("""
        [Unit]
        After=cloud-final.service docker.service
    """, WANTED),
    "docker.service": (DOCKER, WANTED),
}
# One process that starts containerd as its child, and is the kubelet as well.
K3S = {
    "containerd.service": None,
    "k3s.service": ("""
        [Unit]
        After=network-online.target
        Wants=network-online.target
        [Service]
        Type=exec
        ExecStart=/bin/sh -c 'containerd & wait'
    """, WANTED),
}
STAND_IN = """
    [Service]
    Type=oneshot
    RemainAfterExit=yes
"""


class BootOrder(BootTest):
    def machine_with(self, name, units, cloud_init=False):
        machine = self.make_first_machine(name, cloud_init=cloud_init)
        enable(machine, "preset", DAEMON, READY)
        enable(machine, "enable", "containerd.service")
        machine.write("/var/lib/prebake/bake.json", EMPTY_RECORD)
        for unit, stands in units.items():
            if stands is None:
                machine.path(f"/etc/systemd/system/{unit}").unlink(missing_ok=True)
                enable(machine, "mask", unit)
                continue
            text, _ = stands
            if unit.endswith(".service") and "Type=" not in text:
                text += STAND_IN if "[Service]" not in text else STAND_IN.replace("[Service]", "")
                if "ExecStart" not in text:
                    text += "    ExecStart=/bin/true\n"
            machine.write(f"/etc/systemd/system/{unit}", re.sub(r"(?m)^ +", "", text))
        for unit, stands in units.items():
            for target in stands[1] if stands else ():
                enable(machine, "add-wants", target, unit)
        # Every unit that can be delayed requires the target.
        for unit in DELAYED:
            if units.get(unit):
                enable(machine, "add-requires", unit, READY)
        return machine

    def assert_in_order(self, machine, units):
        for unit in units:
            begun = machine.begun_at(unit)
            self.assertGreater(begun, 0, f"{unit} was not started")
            self.assertLess(machine.ended_at(FIRST_BOOT), begun, f"{FIRST_BOOT}, {unit}")
        for unit in DELAYED:
            if unit in units:
                self.assertLess(machine.ended_at(READY), machine.begun_at(unit), unit)

    def boots_and_goes_down_in_order(self, name, units, **options):
        machine = self.machine_with(name, units, **options)
        machine.boot()
        here = [unit for unit, stands in units.items() if stands and unit.endswith(".service")]
        self.assert_in_order(machine, here)
        machine.run("prebake", "seal", "--at-shutdown")
        machine.power_off()
        self.assertEqual(self.check_sealed(machine), [])
        self.assertIn("sealed", machine.console_text())
        clone = self.make_machine(f"{name}-clone", machine.image()).boot()
        self.assert_in_order(clone, here)
        # The seal removes the journal of the builder; the messages of its shutdown are on its
        # console.
        for booted in (machine, clone):
            self.assertNotRegex(booted.log_of_systemd(), "ordering cycle")
        clone.power_off()

    def test_debian(self):
        self.boots_and_goes_down_in_order("debian", DEBIAN, cloud_init=True)

    def test_ubuntu(self):
        self.boots_and_goes_down_in_order("ubuntu", UBUNTU)

    def test_amazon_linux_with_nodeadm(self):
        self.boots_and_goes_down_in_order("amazon", AMAZON)

    def test_what_starts_containerd_itself_does_not_wait(self):
        machine = self.machine_with("k3s", K3S)
        enable(machine, "add-wants", "k3s.service", READY)
        machine.boot()
        self.assertGreater(machine.ended_at(READY), machine.begun_at("k3s.service"))
        self.assertNotRegex(machine.log_of_systemd(), "ordering cycle")
        self.assertIn("k3s.service wants prebake-ready.target and does not wait",
                      machine.journal(DAEMON))
        # Ordered by hand: the daemon says so, and what k3s waits for names the reason.
        machine.write("/etc/systemd/system/k3s.service.d/wait.conf",
                      f"[Unit]\nAfter={READY}\n")
        machine.run("systemctl", "stop", "k3s.service")
        machine.run("systemctl", "restart", DAEMON)
        self.assertIn("k3s.service waits for prebake-ready.target", machine.journal(DAEMON))
        status = machine.run("prebake", "status", check=False)
        self.assertIn("/etc/systemd/system/k3s.service.d/wait.conf", status)
        machine.power_off()

    def test_docker_runs_before_what_was_baked_for_it_is_checked(self):
        machine = self.machine_with("docker", {"docker.service": (DOCKER, WANTED),
                                               "ecs.service": UBUNTU["ecs.service"]})
        machine.write("/var/lib/prebake/bake.json", RECORD_FOR_DOCKER)
        machine.write("/etc/prebake/conf.d/deadline.toml", '[readiness]\ndeadline = "5s"\n')
        # Nothing answers for dockerd: the node never becomes ready.
        machine.boot(expected="degraded")
        self.assertGreater(machine.ended_at("docker.service"), 0)
        self.assertEqual(machine.begun_at("ecs.service"), 0, "what uses Docker waited")
        self.assertNotRegex(machine.log_of_systemd(), "ordering cycle")
        self.assertNotIn("docker.service", machine.journal(DAEMON))
        # Ordered by hand: the daemon says so, with what to do.
        machine.write("/etc/systemd/system/docker.service.d/wait.conf",
                      f"[Unit]\nAfter={READY}\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", DAEMON)
        self.assertIn("docker.service waits for prebake-ready.target, which needs the dockerd",
                      machine.journal(DAEMON))
        status = machine.run("prebake", "status", check=False)
        self.assertIn("/etc/systemd/system/docker.service.d/wait.conf", status)
        self.assertIn("remove that order", status)
        machine.power_off()

    def test_a_cycle_would_be_seen(self):
        machine = self.machine_with("cycle", {"cycle.service": ("""
            [Unit]
            After=multi-user.target kubelet.service
            Before=basic.target
        """, WANTED)})
        machine.boot(expected=None)
        self.assertRegex(machine.log_of_systemd(), "ordering cycle")
        machine.power_off()


if __name__ == "__main__":
    harness.main()
