#!/usr/bin/python3
"""A running Docker host is sealed, and its clones boot with engine IDs of their own.

systemd, containerd and dockerd are real: Engine 20.10 with overlay2, and 28.5 with the containerd
store. test_docker_seal.py looks at the files, with more of them.
"""

import json
import secrets

import docker_machine
import harness
import oci_image
import registry as scripted
from booted import BootTest, enable
from daemons import wait_until
from docker_engine import FORKY, INSTALLED
from docker_machine import NO_NETWORK

CACHE = "docker-build-cache"
# containerd's database, in the space that it has freed.
METADATA = "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"


class Story:
    suite = INSTALLED
    settings = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        layer = docker_machine.layer_with_docker(cls.workspace.path / "docker", cls.suite)
        cls.image = cls.image.with_layer(layer)

    def setUp(self):
        self.secret = "builders-" + secrets.token_hex(8)

    def docker(self, on, *arguments):
        return on.run("docker", *arguments)

    def engine_id(self, on):
        return json.loads(self.docker(on, "info", "--format", "{{json .}}"))["ID"]

    def names(self, on):
        return set(self.docker(on, "images", "--digests", "--format",
                               "{{.Repository}}:{{.Tag}} {{.Digest}}").splitlines())

    def make_builder(self):
        builder = self.make_first_machine("builder", disks=docker_machine.DISKS)
        docker_machine.configure(builder, **self.settings)
        enable(builder, "enable", "containerd.service", "docker.service")
        # A dockerd that has just left a swarm may write its file of networks again.
        builder.write("/etc/prebake/conf.d/docker.toml", "[seal]\nstop_docker = true\n")
        builder.boot()
        self.assert_claimed(builder)
        # Of the machine's own network.
        registry = builder.network.call(scripted.Registry)
        self.addCleanup(registry.stop)
        self.app = registry.serve("app", oci_image.greeting_image("hello"))
        self.docker(builder, "pull", self.app)
        return builder

    def use(self, builder):
        """As builds do, and as a swarm of one node, which starts its containers again."""
        for arguments in (
                ("run", *NO_NETWORK, "--env", f"TOKEN={self.secret}", self.app,
                 "/bin/sh", "-c", f"echo {self.secret} >/written; echo {self.secret}"),
                ("run", *NO_NETWORK, "--detach", "--restart", "always", "--hostname",
                 self.secret, self.app, "/bin/busybox", "sleep", "100000"),
                ("swarm", "init", "--advertise-addr", "127.0.0.1"),
                ("service", "create", "--detach", "--no-resolve-image", "--name", "again",
                 "--network", "host", "--replicas", "2", self.app, "/bin/busybox", "sleep",
                 "100000")):
            self.docker(builder, *arguments)
        wait_until(lambda: len(self.docker(builder, "ps", "--quiet").split()) == 3,
                   "the swarm has started its containers")

    def test_story(self):
        builder = self.make_builder()
        self.use(builder)
        self.ids = [self.engine_id(builder)]
        self.images = self.names(builder)
        planned = builder.run("prebake", "seal", "--dry-run", "--also", CACHE)
        self.assertRegex(planned, r"(?m)^docker-containers: would change")
        self.seal_and_power_off(builder)
        self.assertEqual(self.check_sealed(builder), [], "dockerd wrote nothing when it stopped")
        self.assertLessEqual(set(builder.files_with([self.secret])), {METADATA})
        sealed = builder.image()
        for name in ("one", "two"):
            clone = self.make_machine(name, image=sealed)
            self.boot_clone(clone)
            clone.reboot()
            self.assertEqual(self.engine_id(clone), self.ids[-1], "it gets an ID once")
            clone.power_off()
        # Nobody seals this one: its first boot is before dockerd, and finds the other's ID.
        self.boot_clone(self.make_machine("of-two", image=clone.image()))
        print(f"{type(self).__name__}: engine IDs {', '.join(self.ids)}")
        self.assertEqual(len(set(self.ids)), len(self.ids))

    def seal_and_power_off(self, builder):
        # An environment that leads docker elsewhere must not lead the seal there.
        said = builder.run("env", "DOCKER_HOST=tcp://192.0.2.1:2375", "prebake", "seal", "--yes",
                           "--also", CACHE)
        self.assertRegex(said, r"(?m)^docker: sealed")
        builder.power_off()

    def boot_clone(self, clone):
        clone.boot()
        self.assert_claimed(clone)
        self.ids.append(self.engine_id(clone))
        self.assertEqual(self.names(clone), self.images)
        for name in (self.app, self.digest_form(self.images)):
            self.assertEqual(self.docker(clone, "run", "--rm", *NO_NETWORK, "--pull", "never",
                                         name), "hello\n")
        self.assertEqual(self.docker(clone, "ps", "--all", "--quiet"), "")
        self.assertEqual(self.docker(clone, "info", "--format", "{{.Swarm.LocalNodeState}}"),
                         "inactive\n")

    @staticmethod
    def digest_form(names):
        name, digest = next(line.split() for line in names if "/app:" in line)
        return f"{name.rpartition(':')[0]}@{digest}"


class Engine20(Story, BootTest):
    pass


class Engine28WithContainerdStore(Story, BootTest):
    """Sealed at its shutdown, when Docker has stopped and could remove nothing."""
    suite = FORKY
    settings = {"features": {"containerd-snapshotter": True}}

    def seal_and_power_off(self, builder):
        builder.run("prebake", "seal", "--at-shutdown", "--also", CACHE)
        self.assertEqual(self.docker(builder, "ps", "--all", "--quiet"), "")
        builder.power_off()
        self.assertIn("sealed", builder.console_text())


if __name__ == "__main__":
    harness.main()
