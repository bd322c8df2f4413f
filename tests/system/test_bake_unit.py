#!/usr/bin/python3
"""prebake-bake.service and repairs of the daemon write layers into files of containerd, from within
their sandboxes, and say so if they cannot."""

import os

import harness
import oci_image
from packaged import CONTAINERD_CONFIG, STORE, PackagedTest

MEBI = 1 << 20
BAKE, DAEMON = "prebake-bake.service", "prebaked.service"
ELSEWHERE = "/srv/containerd"
IN_PLACE = "1 layer written in place"
STREAMED = "streamed through containerd"
# What a blob of one namespace needs in another one is copied.
ISOLATED = '[plugins."io.containerd.metadata.v1.bolt"]\n  content_sharing_policy = "isolated"\n'


class BakeUnit(PackagedTest):
    def builder(self, name, **options):
        made = self.make_packaged(name, **options)
        made.write("/etc/prebake/conf.d/sandbox.toml", harness.NO_SANDBOX)
        self.registry = self.registry_in(made)
        self.list_image(made, "shop/web")
        return made

    def list_image(self, machine, repository):
        """Only this image, with one large layer."""
        self.layer = oci_image.layer([oci_image.file("noise", os.urandom(8 * MEBI))])
        reference = self.push(machine, self.registry, repository, self.layer)
        self.write_list(machine, (reference, {"namespaces": ["k8s.io", "other"]}))

    def log_of_start(self, machine, unit):
        """What the unit says when it is started, or started again."""
        before = len(machine.journal(unit).splitlines())
        machine.run("systemctl", "restart", unit)
        return "\n".join(machine.journal(unit).splitlines()[before:])

    def write_drop_in(self, machine, unit, setting):
        machine.write(f"/etc/systemd/system/{unit}.d/test.conf", f"[Service]\n{setting}\n")
        machine.run("systemctl", "daemon-reload")

    def configure(self, machine, text):
        path = "/etc/containerd/config.toml"
        machine.write(path, machine.read(path).replace("version = 2\n", f"version = 2\n{text}", 1))

    def test_where_containerd_has_its_default_root(self):
        machine = self.builder("default")
        machine.boot()
        said = self.log_of_start(machine, BAKE)
        self.assertIn(IN_PLACE, said)
        self.assertNotIn(f"{STREAMED}:", said)
        machine.run("prebake", "verify", "--deep")
        self.registry.stop()

    def test_where_containerd_has_another_root(self):
        """The report says which setting is missing; with it, layers are written in place."""
        machine = self.builder("elsewhere", containerd=False)
        self.configure(machine, f'root = "{ELSEWHERE}"\n')
        machine.boot()
        machine.run("sh", "-ec", f"mkdir -p {ELSEWHERE}; mount -t tmpfs elsewhere {ELSEWHERE}")
        machine.run("systemctl", "start", "containerd")
        said = self.log_of_start(machine, BAKE)
        self.assertRegex(said, f"{STREAMED}: .*{ELSEWHERE}.*Read-only file system")
        self.assertNotIn("written in place", said)
        machine.run("prebake", "verify", "--deep")

        self.list_image(machine, "shop/next")
        self.write_drop_in(machine, BAKE, f"ReadWritePaths={ELSEWHERE}")
        self.assertIn(IN_PLACE, self.log_of_start(machine, BAKE))
        machine.run("prebake", "verify", "--deep")
        self.registry.stop()

    def test_the_repairs_of_the_daemon(self):
        machine = self.builder("repaired")
        self.configure(machine, ISOLATED)
        machine.boot()
        # The other namespace gets a copy.
        self.assertIn("2 layers written in place", self.log_of_start(machine, BAKE))
        self.registry.stop()
        self.assertNotIn(STREAMED, self.log_of_repair(machine))
        self.write_drop_in(machine, DAEMON, f"ReadOnlyPaths={STORE}")
        self.assertRegex(self.log_of_repair(machine), f"{STREAMED}: .*Read-only file system")

    def log_of_repair(self, machine):
        """Deletes the layer in one namespace. The daemon restores it when it starts."""
        digest = self.layer.blob.digest
        # A daemon that runs would begin to repair before it is restarted.
        machine.run("systemctl", "stop", DAEMON)
        machine.run("ctr", "-n", "other", "content", "rm", digest)
        before = len(machine.journal(DAEMON).splitlines())
        machine.run("systemctl", "start", DAEMON)
        self.until_ready(machine)
        self.assertIn(digest, machine.run("ctr", "-n", "other", "content", "ls", "-q"))
        machine.run("prebake", "verify", "--deep")
        return "\n".join(machine.journal(DAEMON).splitlines()[before:])


if __name__ == "__main__":
    harness.main()
