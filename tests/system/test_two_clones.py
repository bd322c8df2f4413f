#!/usr/bin/python3
"""Two clones of a sealed image share no identity; each claims its own exactly once.

Debian, systemd, sshd and cloud-init are real; firmware and metadata service are not.
"""

import secrets
import shutil

import harness
from booted import CLAIM, TLS_KEY, BootTest, enable, identity_of, lasting, print_table

SEED = "/var/lib/cloud/seed/nocloud"  # in place of a medium that the cloud attaches
SSH_KEYS = [f"/etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "ecdsa", "ed25519")]
BAKED = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/" + "5eed" * 16

# Traces of a build. SECRET is replaced with a unique text.
PLANTED = {
    "/root/.ssh/authorized_keys": "ssh-ed25519 SECRET packer\n",
    "/root/.docker/config.json": '{"auths": {"registry.example": {"auth": "SECRET"}}}\n',
    "/root/.aws/credentials": "[default]\naws_secret_access_key = SECRET\n",
    "/root/.bash_history": "curl -H 'Authorization: SECRET'\n",
    "/var/lib/amazon/ssm/Vault/Manifest": '{"EC2RegistrationKey": "SECRET"}\n',
    "/var/lib/amazon/ssm/Vault/Store/EC2RegistrationKey": '{"PrivateKey": "SECRET"}\n',
    "/var/lib/amazon/ssm/registration": '{"ManagedInstanceID": "mi-SECRET"}\n',
    "/var/lib/amazon/ssm/i-0123456789abcdef0/document/orchestration/1/stdout": "SECRET\n",
    "/var/lib/docker/engine-id": "SECRET",
    "/etc/docker/key.json": '{"d": "SECRET"}\n',
    "/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid": "SECRET",
    "/var/lib/kubelet/pki/kubelet-client-current.pem": "SECRET\n",
    "/var/lib/kubelet/kubeconfig": "token: SECRET\n",
    "/var/lib/dhcp/dhclient.eth0.leases": "lease { option host-name SECRET; }\n",
    "/var/lib/chrony/chrony.drift": "17.000042 0.5 SECRET\n",
    "/var/lib/NetworkManager/secret_key": "SECRET",
    "/var/lib/systemd/credential.secret": "SECRET",
    "/var/log/app/app.log": "started with SECRET\n",
    "/var/log/cloud-init-output.log": "SECRET\n",
    "/var/mail/root": "From: SECRET\n",
    "/var/spool/cron/atjobs/a00001017f": "fetch SECRET\n",
    "/var/tmp/leftover": "SECRET\n",
    "/var/lib/systemd/coredump/core.app.0.zst": "SECRET",
    "/etc/machine-info": "PRETTY_HOSTNAME=SECRET\n",
    "/home/admin/.ssh/known_hosts": "SECRET\n",
    "/home/admin/.zsh_history": "SECRET\n",
}

# An ordinary service that writes when it stops, like sessions, daemons and systemd. It waits two
# seconds, so that a seal that does not wait for it would come first.
LATE_SECRET = "/run/late-secret"
LATE_WRITER = f"""[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'test -e {LATE_SECRET} || exit 0; n=20; \\
    while test $n -gt 0 -a -s /etc/machine-id; do sleep 0.1; n=$((n - 1)); done; \\
    cp {LATE_SECRET} /root/.bash_history; cp {LATE_SECRET} /var/log/late.log'
[Install]
WantedBy=multi-user.target
"""


def lines_of_keys(booted, paths):
    """Base64 lines that are unique to these keys: not the first ones, which encode the type."""
    found = []
    for path in paths:
        lines = booted.read(path).splitlines()[1:-1]
        found += lines[3:] or lines[-1:]
    return [line for line in found if len(line) >= 16]


class Story:
    """Of a builder and its clones. `is_on_nitro`: the firmware identifies a machine; otherwise only
    the metadata service does."""
    cloud_init = False
    is_on_nitro = True

    def setUp(self):
        self.seen = {}  # name of a machine -> its identity
        self.secret = "builders-" + secrets.token_hex(8)

    def make(self, name, image=None):
        if image:
            made = self.make_machine(name, image=image, dmi=self.is_on_nitro)
        else:
            made = self.make_first_machine(name, cloud_init=self.cloud_init, dmi=self.is_on_nitro)
        if self.cloud_init:
            made.write(f"{SEED}/meta-data", f"instance-id: {made.instance.id}\n"
                                            f"local-hostname: {made.instance.hostname}\n")
            secret = self.secret if name == "builder" else "of-nobody"
            made.write(f"{SEED}/user-data", f"#cloud-config\n# {secret}\n")
        return made

    def boot_and_see(self, booting, name):
        booting.boot()
        claim = self.assert_claimed(booting)
        self.seen[name] = identity_of(booting)
        return claim

    def assert_all_differ(self, *names):
        for item in self.seen["builder"]:
            values = [self.seen[name][item] for name in names if item in self.seen[name]]
            self.assertEqual(len(set(values)), len(values), f"{item}: {values}")

    def test_story(self):
        self.the_builder_is_sealed_at_its_shutdown()
        self.two_clones_share_nothing()
        self.booted_again_they_are_the_same()
        self.a_clone_of_a_booted_clone_is_fresh()

    def the_builder_is_sealed_at_its_shutdown(self):
        self.builder = builder = self.make("builder")
        for path, text in PLANTED.items():
            builder.write(path, text.replace("SECRET", self.secret), 0o600)
        builder.write("/etc/systemd/system/late-writer.service", LATE_WRITER)
        builder.write(BAKED, "a layer")
        enable(builder, "enable", "late-writer.service")
        self.boot_and_see(builder, "builder")
        shutil.rmtree(builder.path(SEED), ignore_errors=True)
        builder.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
        builder.run("sh", "-c", f"echo {self.secret} >{LATE_SECRET}")
        builder.run("logger", f"says {self.secret}")
        builder.run("journalctl", "--flush")
        builder.run("journalctl", "--sync")

        machine_id = self.seen["builder"]["machine-id"]
        self.needles = [self.secret, machine_id, self.seen["builder"]["NVMe host id"],
                       self.seen["builder"]["iSCSI initiator"],
                       self.seen["builder"]["host name"], builder.instance.id]
        self.needles += [value for item, value in self.seen["builder"].items() if "SSH" in item]
        self.needles += lines_of_keys(builder, [*SSH_KEYS, TLS_KEY, "/root/.ssh/id_ed25519"])
        found = builder.files_with(self.needles)
        self.assertGreaterEqual(set(found), {*PLANTED, *SSH_KEYS, TLS_KEY, "/etc/machine-id"},
                                "the search finds what is there")
        self.seed = builder.path("/var/lib/systemd/random-seed").read_bytes()

        builder.run("prebake", "seal", "--at-shutdown")
        self.assertIn(self.secret, builder.read("/root/.bash_history"), "nothing is sealed yet")
        builder.power_off()
        self.assertIn("sealed", builder.console_text())
        self.assertEqual(self.check_sealed(builder), [])
        self.assertEqual(self.claim_of(builder)["state"], "SEALED")
        self.assertEqual(builder.path("/etc/machine-id").read_bytes(), b"")
        self.assertFalse(builder.path("/var/lib/systemd/random-seed").exists(),
                         "systemd saves a seed at the shutdown, before we seal")
        self.assert_nothing_of_the_builder(builder)
        self.sealed = builder.image()

    def two_clones_share_nothing(self):
        self.one, self.two = self.make("one", self.sealed), self.make("two", self.sealed)
        for clone, name in ((self.one, "clone 1"), (self.two, "clone 2")):
            claim = self.boot_and_see(clone, name)
            self.assertNotIn("clonedFrom", claim)
            self.assertFalse(claim["unsealedInPlace"])
            self.assert_nothing_of_the_builder(clone)
            self.assertEqual(clone.read(BAKED), "a layer")
            self.assertEqual(clone.read(CLAIM), clone.run("cat", "/run/claim-that-ssm-saw"),
                             "the SSM agent starts when the machine is itself")
        print_table(f"{type(self).__name__}: a builder and two clones of its sealed image",
                    {name: self.seen[name] for name in ("builder", "clone 1", "clone 2")})
        self.assert_all_differ("builder", "clone 1", "clone 2")

    def booted_again_they_are_the_same(self):
        for clone, name in ((self.one, "clone 1"), (self.two, "clone 2")):
            before = clone.read(CLAIM)
            clone.power_off()
            clone.imds.requests.clear()
            clone.boot()
            self.assertEqual(lasting(identity_of(clone)), lasting(self.seen[name]))
            self.assertEqual(clone.read(CLAIM), before)
            if self.is_on_nitro:
                self.assertEqual(clone.properties("prebake-online.service", "ActiveState"),
                                 {"ActiveState": "inactive"}, "nothing to do needs no network")
        clone = self.two
        print(clone.run("systemd-analyze", "critical-chain", "prebake-firstboot.service"))
        print(clone.run("sh", "-c", "systemd-analyze blame | grep prebake"))

    def a_clone_of_a_booted_clone_is_fresh(self):
        self.one.power_off()
        self.three = self.make("three", self.one.image())
        private = lines_of_keys(self.one, [*SSH_KEYS, TLS_KEY])
        claim = self.boot_and_see(self.three, "clone of clone 1")
        self.assertEqual(claim["clonedFrom"]["id"], self.one.instance.id)
        self.assertEqual(self.three.files_with(private), [])
        if not self.is_on_nitro:
            # Known only when the network was up: services that had started by then keep it.
            self.three.power_off()
            self.three.boot()
            self.seen["clone of clone 1"] = identity_of(self.three)
        print_table(f"{type(self).__name__}: an unsealed clone is cloned",
                    {name: self.seen[name] for name in ("clone 1", "clone of clone 1")})
        self.assert_all_differ("builder", "clone 1", "clone 2", "clone of clone 1")

    def assert_nothing_of_the_builder(self, cloned):
        """The claim records which instance was sealed. Nothing else does."""
        found = cloned.files_with(self.needles)
        self.assertIn(found, ([], [CLAIM]))
        claim = cloned.read(CLAIM)
        for needle in self.needles:
            if needle != self.builder.instance.id:
                self.assertNotIn(needle, claim)
        machine_id = self.seen["builder"]["machine-id"]
        for path in cloned.root.rglob("*"):
            self.assertNotIn(machine_id, path.name)
        for vault in ("Vault", "registration"):
            self.assertFalse(cloned.path(f"/var/lib/amazon/ssm/{vault}").exists())
        seed = cloned.path("/var/lib/systemd/random-seed")
        self.assertFalse(seed.exists() and seed.read_bytes() == self.seed)


class CloudInitOnNitro(Story, BootTest):
    """cloud-init creates SSH host keys and host names; the firmware identifies the instance."""
    cloud_init = True


class NoCloudInitNoFirmware(Story, BootTest):
    """prebake creates them; only the metadata service identifies the instance."""
    is_on_nitro = False


if __name__ == "__main__":
    harness.main()
