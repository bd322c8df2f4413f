#!/usr/bin/python3
"""A Docker host without a kubelet, from the package to its clones: bakes three images for a dockerd
that does not run, is sealed, and has two clones that start them without a registry.

systemd, containerd and dockerd are real: Engine 20.10 with overlay2, and 28.5 with the containerd
store.
"""

import json
import re

import docker_machine
import harness
import oci_image
import registry as scripted
from booted import enable
from daemons import wait_until
from docker_engine import FORKY, INSTALLED
from docker_machine import NO_NETWORK
from packaged import PackagedTest, install_deb

LIST = "/etc/prebake/images.d/docker.toml"
ECS = "/etc/ecs/ecs.config"
NAMES = ("web", "worker", "tool")
CONFIG = """\
[bake]
runtime = "docker"
[docker]
start = true
[firstboot]
metadata_timeout = "3s"
"""


class Life:
    suite, settings = INSTALLED, {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bare = cls.bare.with_layer(
            docker_machine.layer_with_docker(cls.workspace.path / "docker", cls.suite))

    def docker(self, on, *arguments):
        return on.run("docker", *arguments)

    def run_image(self, on, name):
        return self.docker(on, "run", *NO_NETWORK, "--pull", "never", name)

    def test_story(self):
        builder = self.make_builder()
        self.the_builder_bakes(builder)
        self.ecs_is_configured(builder)
        print(builder.run("prebake", "seal", "--yes"))
        builder.power_off()
        sealed = builder.image()
        ids = [self.a_clone_lives(name, sealed) for name in ("one", "two")]
        self.assertEqual(len({self.id, *ids}), 3, "each has an engine ID of its own")

    def make_builder(self):
        builder = self.make_machine("builder", image=self.bare, disks=docker_machine.DISKS)
        builder.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
        builder.write("/etc/cloud/cloud-init.disabled", "")
        enable(builder, "mask", "nvmf-autoconnect.service")  # a container has no NVMe
        enable(builder, "enable", "containerd.service", "docker.service")
        docker_machine.configure(builder, **self.settings)
        builder.write("/etc/prebake/conf.d/test.toml", CONFIG)
        install_deb(builder)
        builder.boot()
        registry = builder.network.call(scripted.Registry)
        self.addCleanup(registry.stop)
        self.references = [registry.serve(name, oci_image.greeting_image(f"hello from {name}"))
                           for name in NAMES]
        return builder

    def the_builder_bakes(self, builder):
        self.id = self.docker(builder, "info", "--format", "{{.ID}}")
        builder.run("systemctl", "stop", "docker.service", "docker.socket")
        builder.write(LIST, harness.image_tables(*((item, {}) for item in self.references)))
        print(builder.run("prebake", "plan"))
        print(builder.run(*self.BAKE))
        self.assertEqual(builder.run_raw("systemctl", "is-active", "docker.service",
                                         "docker.socket").stdout, "inactive\ninactive\n",
                         "they are stopped, as they were found")
        builder.run("systemctl", "start", "docker.service")
        listed = self.docker(builder, "images", "--digests")
        print(listed)
        for reference in self.references:
            self.assertRegex(listed, re.escape(reference.rpartition(":")[0]) + r"\s+1\.0\s+sha256:")
        print(builder.run("prebake", "verify"))

    def ecs_is_configured(self, builder):
        builder.write(ECS, "ECS_CLUSTER=web\nECS_IMAGE_PULL_BEHAVIOR=always\n")
        found = builder.run_raw("prebake", "ecs-config", "--check")
        print(found.stdout + found.stderr)
        self.assertNotEqual(found.returncode, 0)
        self.assertIn("ECS_IMAGE_PULL_BEHAVIOR", found.stdout + found.stderr)
        builder.run("prebake", "ecs-config", "--write")
        print(builder.run("prebake", "ecs-config", "--check"))
        self.assertIn("ECS_CLUSTER=web\n", builder.read(ECS))

    def a_clone_lives(self, name, sealed):
        clone = self.make_machine(name, image=sealed)
        clone.boot()
        self.assert_claimed(clone)
        # Without dockerd it is not known what it would find.
        wait_until(lambda: self.conditions(clone).get("StoreMatches") == "True", "dockerd answers")
        self.assertEqual(self.conditions(clone)["CriResolves"], "NotApplicable")
        clone.run("prebake", "status", "--wait=60")
        for reference, short in zip(self.references, NAMES):
            self.assertEqual(self.run_image(clone, reference), f"hello from {short}\n")
        digest = re.search(r"sha256:\w+", self.docker(clone, "images", "--digests",
                                                      self.references[0].rpartition(":")[0]))[0]
        self.run_image(clone, f"{self.references[0].rpartition(':')[0]}@{digest}")
        hits = {self.references[0]: 2, self.references[1]: 1, self.references[2]: 1}
        self.until_hits(clone, hits)
        print(clone.run("prebake", "status"))
        clone.reboot()
        self.run_image(clone, self.references[1])
        self.until_hits(clone, {**hits, self.references[1]: 2})
        engine = self.docker(clone, "info", "--format", "{{.ID}}")
        clone.power_off()
        return engine

    def conditions(self, clone):
        status = json.loads(clone.run_raw("prebake", "status", "--json").stdout)
        return {item["type"]: item["status"] for item in status["conditions"]}

    def until_hits(self, clone, wanted):
        def counted():
            found = {item["name"]: (int(item["hits"]), int(item["starts"]))
                     for item in self.ledger(clone).get("images", [])}
            return found == {name: (hits, hits) for name, hits in wanted.items()}
        wait_until(counted, f"{clone.name} has the hits {wanted}")


class Overlay(Life, PackagedTest):
    BAKE = ("systemctl", "start", "prebake-bake.service")  # in its sandbox


class ContainerdStore(Life, PackagedTest):
    BAKE = ("prebake", "bake", "--progress", "plain")
    suite = FORKY
    settings = {"features": {"containerd-snapshotter": True}}


if __name__ == "__main__":
    harness.main()
