#!/usr/bin/python3
"""The whole life of an image, from the package to the second boot of its clones: installed, baked,
sealed, cloned, claimed, ready, used.

Debian, systemd, dpkg, containerd, CRI, docker-registry and runc are real. The CRI client replaces
the kubelet.
"""

import os
import time
from datetime import datetime

import harness
import oci_image
from booted import CLAIM
from packaged import SANDBOX, PackagedTest

RECORD = "/var/lib/prebake/bake.json"
LAYERS = 4
LAYER_BYTES = 2_000_000


class WholeLife(PackagedTest):
    def test_story(self):
        self.nothing_happens_when_it_is_installed()
        self.the_builder_bakes()
        self.the_builder_is_sealed()
        clones = [self.a_clone_is_ready_and_serves(f"clone {number}") for number in (1, 2)]
        self.assertNotEqual(*(clone.machine_id for clone in clones))
        for clone in clones:
            self.after_a_reboot_it_still_knows(clone)
        self.print_figures(clones)

    def nothing_happens_when_it_is_installed(self):
        self.builder = builder = self.make_packaged("builder")
        for path in (CLAIM, RECORD, "/run/prebake"):
            self.assertFalse(builder.path(path).exists(), path)

    def the_builder_bakes(self):
        builder = self.builder
        registry = self.registry_in(builder)
        noise = [oci_image.layer([oci_image.file(f"opt/{i}", os.urandom(LAYER_BYTES))])
                 for i in range(LAYERS)]
        self.reference = self.push(builder, registry, "shop/web", *noise)
        pause = self.push(builder, registry, "pause", tag="3.6")
        self.write_list(builder, (self.reference, {}), (pause, {"aliases": [SANDBOX]}))
        builder.boot()
        self.assertEqual(self.claim_of(builder)["state"], "CLAIMED",
                         "the builder is an instance, too")
        begun = time.monotonic()
        builder.run("systemctl", "start", "prebake-bake")
        self.bake_seconds = time.monotonic() - begun
        print(builder.journal("prebake-bake.service"))
        builder.run("prebake", "verify", "--deep")
        # From a pull to a start, these are the only requests to a registry.
        registry.stop()

    def the_builder_is_sealed(self):
        builder = self.builder
        print(builder.run("prebake", "seal", "--yes"))
        print(builder.run("prebake", "verify", "--sealed"))
        builder.power_off()
        self.assertEqual(self.claim_of(builder)["state"], "SEALED")
        self.assertTrue(builder.path(RECORD).exists())
        self.assertEqual(self.check_sealed(builder), [])
        self.sealed = builder.image()

    def a_clone_is_ready_and_serves(self, name):
        clone = self.make_clone(name, self.sealed)
        clone.power_on()
        self.until_ready(clone)
        ready_at = self.status(clone)["times"]["readyAt"]
        clone.ready_seconds = datetime.fromisoformat(ready_at).timestamp() - clone.powered_on_at
        clone.pod = self.start_pod(clone, "web", self.reference)
        clone.first_container_seconds = time.time() - clone.powered_on_at
        clone.await_boot()
        clone.claim = self.assert_claimed(clone)
        self.assertNotIn("clonedFrom", clone.claim)
        clone.machine_id = clone.read("/etc/machine-id")
        clone.counts = self.until_counted(clone, self.reference, starts=1, hits=1)
        self.assertEqual(int(clone.counts["bytesPulled"]), 0)
        self.assertGreater(int(clone.counts["bytesServed"]), LAYERS * LAYER_BYTES)
        print(clone.run("prebake", "status", check=False))
        return clone

    def after_a_reboot_it_still_knows(self, clone):
        self.end_pod(clone, clone.pod)
        clone.reboot()
        self.assertEqual(self.assert_claimed(clone), clone.claim)
        self.assertEqual(clone.read("/etc/machine-id"), clone.machine_id)
        self.until_ready(clone)
        self.assertEqual(self.until_counted(clone, self.reference, starts=1), clone.counts)
        pod = self.start_pod(clone, "again", self.reference)
        counts = self.until_counted(clone, self.reference, starts=2, hits=2)
        self.assertEqual(int(counts["bytesPulled"]), 0)
        self.end_pod(clone, pod)
        clone.power_off()

    def print_figures(self, clones):
        print(f"\nbaked on the builder in {self.bake_seconds:.1f} s")
        for clone in clones:
            print(f"{clone.name}: ready {clone.ready_seconds:.1f} s after power-on, first "
                  f"container after {clone.first_container_seconds:.1f} s, "
                  f"{clone.counts['bytesServed']} bytes served by the bake, "
                  f"{clone.counts['bytesPulled']} pulled", flush=True)


if __name__ == "__main__":
    harness.main()
