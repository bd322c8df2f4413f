#!/usr/bin/python3
"""The bake record: what it contains after one bake, and how it merges several bakes."""

import datetime

import harness
import oci_image
import registry as scripted


class RecordBase(harness.SystemTest):
    def serve_greeting(self, extra=()):
        image = oci_image.greeting_image(f"greeting of {self.id()}", extra)
        return self.registry.serve(self.repository, image), image


class RecordTest(RecordBase):
    def test_the_record_says_what_was_baked(self):
        reference, image = self.serve_greeting()
        self.bake(reference)
        record = self.record()
        self.assertEqual(record["schema"], "prebake.v1.BakeRecord")
        self.assertTrue(record["prebakeVersion"])
        self.assertIn(".".join(map(str, self.containerd.version)), record["containerdVersion"])
        baked = record["images"][0]
        self.assertEqual(baked["name"], reference)
        self.assertEqual(baked["platform"], f"linux/{oci_image.host_architecture()}")
        self.assertEqual(baked["target"]["digest"], image.top.digest)
        self.assertEqual(baked["manifest"]["digest"], image.manifest.digest)
        self.assertEqual(baked["config"]["digest"], image.config.digest)
        self.assertEqual(baked["chainId"], image.chain_id)
        self.assertEqual(
            [(layer["digest"], int(layer["size"]), layer["diffId"]) for layer in baked["layers"]],
            [(layer.blob.digest, layer.blob.size, layer.diff_id) for layer in image.layers])
        placement, = baked["placements"]
        self.assertEqual(placement["namespace"], "k8s.io")
        self.assertEqual(placement["snapshotter"], "overlayfs")
        self.assertEqual(set(placement["names"]), self.names(reference, image))
        whole = sum(blob.size for blob in [image.manifest, *image.blobs])
        counted = int(baked.get("bytesFetched", 0)) + int(baked.get("bytesReused", 0))
        self.assertEqual(counted, whole)

    def test_baking_more_merges_into_the_record(self):
        references = [self.registry.serve(f"{self.repository}/{name}", oci_image.small_image(name))
                      for name in ("first", "second")]
        for again in ([references[0]], [references[1]], references, [references[0]],
                      [references[1]]):
            self.bake(*again)
            self.assertLessEqual(set(again), {item["name"] for item in self.record()["images"]})
        self.assertEqual(sorted(item["name"] for item in self.record()["images"]),
                         sorted(references))

    def test_each_image_has_the_time_when_it_was_done(self):
        first = self.registry.serve(f"{self.repository}/first", oci_image.small_image("done first"))
        image = oci_image.small_image("done second")
        second = self.registry.serve(f"{self.repository}/second", image)
        gate = self.registry.gate()
        self.registry.on(f"second/blobs/{image.layers[0].blob.digest}", scripted.stall(gate))
        baking = self.start("bake", "--progress=plain", first, second)
        baking.at(gate)
        baking.until(lambda: f"{first}: done" in baking.stderr(), "the first image is done")
        before = datetime.datetime.now(datetime.timezone.utc)
        gate.open()
        self.assertEqual(baking.wait().code, 0)
        done = {item["name"]: datetime.datetime.fromisoformat(item["bakedAt"])
                for item in self.record()["images"]}
        self.assertLess(done[first], before)
        self.assertGreater(done[second], before)

    def test_a_namespace_named_twice_is_one_placement(self):
        reference, image = self.serve_greeting()
        report = self.bake(reference, "-n", "k8s.io", "-n", "k8s.io", "--json").json
        self.assertEqual([item["namespace"] for item in report["images"][0]["placements"]],
                         ["k8s.io"])
        _, placements = self.recorded(reference)
        self.assertEqual(set(placements), {"k8s.io"})
        self.assert_baked(reference, image)

    def test_a_bake_with_nothing_to_do_keeps_the_recorded_cost(self):
        reference, _ = self.serve_greeting()
        self.bake(reference)
        first, _ = self.recorded(reference)
        self.assertGreater(int(first["bytesFetched"]), 0)
        again = self.bake(reference, "--json").json["images"][0]
        self.assertEqual((again["outcome"], int(again["bytesFetched"])), ("ALREADY_THERE", 0))
        second, _ = self.recorded(reference)
        for key in ("bytesFetched", "bytesReused", "seconds", "bakedAt"):
            self.assertEqual(second[key], first[key], key)

    def test_a_bake_that_fetches_again_records_the_cost(self):
        reference, _ = self.serve_greeting()
        self.bake(reference)
        first, _ = self.recorded(reference)
        moved = oci_image.small_image(f"moved {self.id()}")
        self.registry.serve(self.repository, moved)
        self.bake(reference)
        second, _ = self.recorded(reference)
        self.assertNotEqual(second["bytesFetched"], first["bytesFetched"])
        self.assertEqual(int(second["bytesFetched"]),
                         sum(blob.size for blob in [moved.manifest, *moved.blobs]))


class SeveralBakesTest(RecordBase):
    """One image, baked in different ways one after another: the record must stay correct."""

    def setUp(self):
        super().setUp()
        self.fresh_containerd()
        self.reference, self.image = self.serve_greeting(
            [oci_image.layer([oci_image.file("own", self.id())])])

    def bake_as(self, namespace, **keys):
        self.bake("-f", self.image_list((self.reference, {"namespaces": [namespace], **keys})))

    def assert_verified(self):
        """verify agrees with the record, even after containerd collected its garbage."""
        for when in ("at once", "after garbage collection"):
            result = self.prebake("verify", "--deep", "--json")
            self.assertEqual(result.code, harness.DONE, f"{when}: {result}")
            self.assertEqual(result.json["findings"], [])
            self.containerd.collect_garbage()

    def test_unpacked_in_one_namespace_and_not_in_another(self):
        for blobs_only, normal in (("k8s.io", "other"), ("other", "k8s.io")):
            with self.subTest(f"{blobs_only}, then {normal}"):
                self.state = self.directory / f"state-{blobs_only}"
                self.fresh_containerd()
                self.bake_as(blobs_only, unpack=False)
                self.bake_as(normal)
                entry, placements = self.recorded(self.reference)
                self.assertEqual({name: item["unpacked"] for name, item in placements.items()},
                                 {blobs_only: False, normal: True})
                self.assertEqual(entry["chainId"], self.image.chain_id)
                self.assertIn(self.image.chain_id, self.containerd.snapshots(normal))
                self.assertEqual(self.containerd.snapshots(blobs_only), {})
                self.assert_verified()

    def test_a_later_bake_of_the_blobs_only_does_not_forget_the_snapshots(self):
        self.bake_as("k8s.io")
        self.bake_as("other", unpack=False)
        entry, placements = self.recorded(self.reference)
        self.assertEqual(entry["chainId"], self.image.chain_id)
        self.assertTrue(all(layer["chainId"] for layer in entry["layers"]))
        self.assertEqual((placements["k8s.io"]["unpacked"], placements["other"]["unpacked"]),
                         (True, False))
        self.assert_verified()
        # Still checked, not just skipped.
        self.containerd.ctr("snapshots", "rm", self.image.chain_id)
        result = self.prebake("verify")
        self.assertEqual(result.code, harness.NOT_READY, result)
        self.assertIn(self.image.chain_id, result.stdout)

    def test_layers_kept_in_one_namespace_and_not_in_another(self):
        for dropped, normal in (("k8s.io", "other"), ("other", "k8s.io")):
            with self.subTest(f"{dropped}, then {normal}"):
                self.state = self.directory / f"state-{dropped}"
                self.fresh_containerd()
                self.bake_as(dropped, keep_layers=False)
                self.bake_as(normal)
                _, placements = self.recorded(self.reference)
                self.assertEqual({name: item["layersKept"] for name, item in placements.items()},
                                 {dropped: False, normal: True})
                self.assert_verified()
                own = self.image.layers[-1].blob.digest
                self.assertNotIn(own, self.containerd.blobs(dropped))
                self.assertIn(own, self.containerd.blobs(normal))

    def test_a_bake_without_the_aliases_keeps_the_recorded_one(self):
        alias = f"mirror.example/{self.repository}:stable"
        self.bake_as("k8s.io", aliases=[alias])
        self.bake(self.reference)
        _, placements = self.recorded(self.reference)
        self.assertIn(alias, placements["k8s.io"]["names"])
        self.assert_verified()
        self.containerd.ctr("images", "rm", alias)
        result = self.prebake("verify")
        self.assertEqual(result.code, harness.NOT_READY, result)
        self.assertIn(alias, result.stdout)

    def test_a_bake_into_another_namespace_keeps_the_first_placement(self):
        self.bake_as("k8s.io")
        _, before = self.recorded(self.reference)
        self.bake_as("other")
        _, after = self.recorded(self.reference)
        self.assertEqual(set(after), {"k8s.io", "other"})
        self.assertEqual(after["k8s.io"], before["k8s.io"])
        self.assert_verified()


if __name__ == "__main__":
    harness.main()
