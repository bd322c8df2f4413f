"""Base of the tests that boot machines: images with prebake, and the identity of a machine.

Environment:
  PREBAKE   the executable under test (required)
"""

import dataclasses
import hashlib
import json
import os
import re
import ssl
import subprocess
import unittest
import uuid

import machine
from daemons import ADMIN_PATH, Workspace
from harness import print_rows
from machine import Firmware, Image, Machine
from metadata_service import MetadataService

TLS_KEY, TLS_CERTIFICATE = "/etc/prebake/tls/host.key", "/etc/prebake/tls/host.crt"
CLAIM = "/var/lib/prebake/claim.json"
CONFIGURATION = f"""
[firstboot]
tls_key = "{TLS_KEY}"
tls_certificate = "{TLS_CERTIFICATE}"
metadata_timeout = "5s"
"""
RANDOM_SEED = "random seed"
SSM_SAW = "/run/claim-that-ssm-saw"
UNITS = {
    # In place of the SSM agent: prints the identity of the machine when it started.
    "amazon-ssm-agent.service": f"""
        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/bin/cp {CLAIM} {SSM_SAW}
        [Install]
        WantedBy=multi-user.target
    """,
    # In place of encrypted swap with a random key: the tmpfs at /tmp waits for swap.target, so
    # many orderings that look correct become cycles.
    "random-key-swap.service": """
        [Unit]
        DefaultDependencies=no
        After=systemd-random-seed.service
        Before=swap.target umount.target
        Conflicts=umount.target
        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/bin/true
        [Install]
        WantedBy=swap.target
    """,
    # Disabled in containers by default. Here it is one of the units that write at shutdown.
    "systemd-random-seed.service.d/everywhere.conf": """
        [Unit]
        ConditionVirtualization=
    """,
}


@dataclasses.dataclass(frozen=True)
class Instance:
    """A cloud instance, as its firmware and its metadata service describe it."""
    id: str
    hostname: str
    uuid: str

    @classmethod
    def fresh(cls, number):
        low = uuid.uuid4()
        return cls(f"i-{low.hex[:17]}", f"ip-10-0-0-{number}.eu-central-1.compute.internal",
                   f"ec2{str(low)[3:]}")


class BootTest(unittest.TestCase):
    """All machines of a class share a workspace and an image with prebake installed and enabled."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.program = os.path.abspath(os.environ["PREBAKE"])
        cls.workspace = Workspace()
        cls.addClassCleanup(cls.workspace.remove)
        cls.image = Image((machine.base_root(),)).with_layer(
            machine.layer_with_prebake(cls.workspace.path / "prebake", cls.program))
        cls._machines = 0

    @classmethod
    def make_machine(cls, name, image=None, instance=None, dmi=True, imds=True, disks=()):
        """A machine that is powered off. Its metadata service is `machine.imds`."""
        cls._machines += 1
        instance = instance or Instance.fresh(cls._machines)
        # The name is also the host name.
        name = f"{cls._machines}-" + re.sub("[^a-z0-9]+", "-", name)[:40].strip("-")
        made = Machine(cls.workspace.path / name, image or cls.image,
                       Firmware.of_nitro(instance.id, instance.uuid) if dmi else Firmware({}),
                       disks)
        cls.addClassCleanup(made.close)
        made.instance = instance
        made.imds = None
        if imds:
            made.imds = MetadataService(made.network.listener, instance.id, instance.hostname)
            cls.addClassCleanup(made.imds.stop)
        else:
            made.network.listener.close()
        return made

    @classmethod
    def make_first_machine(cls, name, cloud_init=False, **options):
        """A machine that was installed, not cloned."""
        made = cls.make_machine(name, **options)
        made.write("/etc/prebake/prebake.toml", CONFIGURATION)
        made.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
        for unit, text in UNITS.items():
            made.write(f"/etc/systemd/system/{unit}", re.sub(r"(?m)^ +", "", text))
        enable(made, "preset", "prebake-firstboot.service", "prebake-online.service",
               "prebake-seal.service")
        enable(made, "enable", "amazon-ssm-agent.service", "random-key-swap.service")
        # A container has no NVMe.
        enable(made, "mask", "nvmf-autoconnect.service")
        if not cloud_init:
            made.write("/etc/cloud/cloud-init.disabled", "")
        made.write("/etc/cloud/cloud.cfg.d/99-test.cfg", "datasource_list: [NoCloud]\n"
                   "network: {config: disabled}\nlocale: C.UTF-8\n")
        return made

    def claim_of(self, booted):
        return json.loads(booted.read(CLAIM))

    def assert_claimed(self, booted):
        claim = self.claim_of(booted)
        self.assertEqual(claim["state"], "CLAIMED", json.dumps(claim, indent=1))
        self.assertEqual(claim["instance"]["id"], booted.instance.id)
        return claim

    def check_sealed(self, off):
        """The findings of `prebake seal --check` on the machine's files, run from outside."""
        done = subprocess.run([self.program, "--config", off.path("/etc/prebake/prebake.toml"),
                               "--json", "seal", "--check", "--root", off.root],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={"PATH": ADMIN_PATH})
        self.assertIn(done.returncode, (0, 4), done.stderr)
        residue = json.loads(done.stdout).get("residue", [])
        self.assertEqual(done.returncode == 0, not residue, done.stdout)
        return [(item["item"], item["path"], item["kind"]) for item in residue]


def enable(off, verb, *units):
    done = subprocess.run(["systemctl", "--root", off.root, verb, *units], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env={"PATH": ADMIN_PATH})
    if done.returncode != 0:
        raise AssertionError(f"systemctl {verb} {units}: {done.stdout}")


def identity_of(booted):
    """The identity of a running machine; name -> value."""
    found = {"machine-id": booted.run("cat", "/etc/machine-id").strip(),
             "host name": booted.run("cat", "/proc/sys/kernel/hostname").strip()}
    keys = booted.run("ssh-keyscan", "-T", "10", "-t", "rsa,ecdsa,ed25519", "localhost")
    for line in keys.splitlines():
        if not line.startswith("#"):
            _, kind, key = line.split()
            found[f"SSH {kind}"] = key
    certificate = ssl.PEM_cert_to_DER_cert(booted.read(TLS_CERTIFICATE))
    found["TLS certificate"] = hashlib.sha256(certificate).hexdigest()
    found["NVMe host NQN"] = booted.read("/etc/nvme/hostnqn").strip()
    found["NVMe host id"] = booted.read("/etc/nvme/hostid").strip()
    # The first step of iscsid.service; the rest needs a kernel module.
    booted.run("/lib/open-iscsi/startup-checks.sh")
    initiator = booted.read("/etc/iscsi/initiatorname.iscsi")
    found["iSCSI initiator"] = re.search(r"(?m)^InitiatorName=(\S+)$", initiator)[1]
    seed = booted.path("/var/lib/systemd/random-seed")
    if seed.exists():  # a clone of an unsealed machine has none before its first shutdown
        found[RANDOM_SEED] = hashlib.sha256(seed.read_bytes()).hexdigest()
    return found


def lasting(identity):
    """Without the values that change at every boot."""
    return {item: value for item, value in identity.items() if item != RANDOM_SEED}


def shown(value):
    """Shortened for a table. Keys differ at the end, host names at the start."""
    if value is None:
        return "-"
    return value if len(value) <= 27 else f"{value[:12]}...{value[-12:]}"


def print_table(title, machines):
    """`machines`: column -> result of identity_of()."""
    items = list(dict.fromkeys(item for found in machines.values() for item in found))
    rows = [["item", *machines]]
    rows += [[item, *(shown(found.get(item)) for found in machines.values())] for item in items]
    print_rows(title, rows)
