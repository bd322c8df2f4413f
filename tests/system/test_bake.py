#!/usr/bin/python3
"""plan, bake and verify: the results in containerd, on the disk and on the terminal."""

import json

import harness
import oci_image
from harness import MANAGED, PINNED


class RealRegistryTest(harness.SystemTest):
    """The complete sequence, with Debian's docker-registry."""

    def test_baked_images_run_with_the_registry_stopped(self):
        registry = harness.DockerRegistry(self.directory / "registry")
        self.addCleanup(registry.stop)
        images = {flavour: oci_image.greeting_image(f"hello from {flavour}", flavour=flavour)
                  for flavour in ("oci", "docker")}
        platform = f"linux/{oci_image.host_architecture()}"
        child = oci_image.greeting_image("hello from index")
        images["index"] = oci_image.index([(platform, child)])
        references = {name: registry.push(f"story/{name}", image) for name, image in images.items()}

        plan = self.prebake("plan", *references.values())
        self.assertEqual(plan.code, harness.DONE, plan)
        for name, reference in references.items():
            self.assertIn(reference, plan.stdout)
            self.assertIn(images[name].top.digest[:19], plan.stdout)
        self.bake(*references.values())
        verified = self.prebake("verify", "--deep")
        self.assertEqual(verified.code, harness.DONE, verified)
        registry.stop()

        for name, reference in references.items():
            with self.subTest(name):
                self.assert_baked(reference, images[name])
                self.assertEqual(self.containerd.run_container(reference), f"hello from {name}\n")


class StoreTest(harness.SystemTest):
    """The content of containerd after a bake, read with containerd's own client."""

    def serve_greeting(self, **options):
        image = oci_image.greeting_image(f"greeting of {self.id()}", **options)
        return self.registry.serve(self.repository, image), image

    def test_an_image_has_exactly_the_three_names_of_cri_managed_and_pinned(self):
        reference, image = self.serve_greeting()
        before = set(self.containerd.images())
        self.bake(reference)
        images = self.containerd.images()
        self.assertEqual(set(images) - before, self.names(reference, image))
        for name in self.names(reference, image):
            target, labels = images[name]
            self.assertEqual(target, image.top.digest)
            self.assertLessEqual({MANAGED, PINNED}, set(labels.items()), name)

    def test_a_digest_reference_gets_no_tag_name(self):
        reference, image = self.serve_greeting()
        by_digest = f"{reference.rpartition(':')[0]}@{image.top.digest}"
        self.bake(by_digest)
        images = self.containerd.images()
        self.assertLessEqual({by_digest, image.config.digest}, set(images))
        self.assertNotIn(reference, images)

    def test_labels_hold_the_blobs_and_say_where_they_came_from(self):
        reference, image = self.serve_greeting()
        self.bake(reference)
        blobs = self.containerd.blobs()
        manifest = blobs[image.manifest.digest]
        self.assertEqual(manifest["containerd.io/gc.ref.content.config"], image.config.digest)
        for i, layer in enumerate(image.layers):
            self.assertEqual(manifest[f"containerd.io/gc.ref.content.l.{i}"], layer.blob.digest)
            labels = blobs[layer.blob.digest]
            self.assertEqual(labels["containerd.io/uncompressed"], layer.diff_id)
        config = blobs[image.config.digest]
        self.assertEqual(config["containerd.io/gc.ref.snapshot.overlayfs"], image.chain_id)
        for blob in [image.manifest, *image.blobs]:
            source = blobs[blob.digest]["containerd.io/distribution.source.127.0.0.1"]
            self.assertIn(self.repository, source.split(","))

    def test_nothing_depends_on_the_lease(self):
        reference, image = self.serve_greeting()
        self.bake(reference)
        self.assertEqual(self.containerd.leases(), [])
        self.containerd.collect_garbage()
        self.assert_baked(reference, image)
        for blob in [image.manifest, *image.blobs]:
            self.assertIn(blob.digest, self.containerd.blobs())
        self.assertEqual(self.containerd.snapshots()[image.chain_id], "Committed")

    def test_the_report_says_how_layers_were_stored_and_unpacked(self):
        noise = oci_image.small_image(self.repository, size=6 << 20).layers[0]
        small = oci_image.layer([oci_image.file("small", self.repository)])
        reference = self.registry.serve(self.repository, oci_image.image([small, noise]))
        report = self.bake(reference, "--json", "--log-level", "debug").json
        self.assertEqual((report["layersInPlace"], report["layersStreamed"]), (1, 1))
        self.assertEqual(report["streamedBecause"], "")
        self.assertEqual((report["layersUnpacked"], report["layersUnpackedByContainerd"]), (2, 0))
        self.assertEqual(report["unpackedByContainerdBecause"], "")

    def test_a_second_bake_fetches_nothing_and_reports_it(self):
        reference, image = self.serve_greeting()
        self.bake(reference)
        self.registry.behave()
        again = self.bake(reference, "--json").json
        self.assertEqual([item.method for item in self.registry.requests
                          if item.path != "/v2/"], ["HEAD"])
        self.assertEqual(again["images"][0]["outcome"], "ALREADY_THERE")
        self.assertEqual(int(again.get("bytesFetched", 0)), 0)
        self.assert_baked(reference, image)

    def test_two_images_share_a_layer_that_travels_once(self):
        shared = oci_image.layer([oci_image.file("shared", "the same in both " * 1000)])
        references = []
        for name in ("one", "two"):
            own = oci_image.layer([oci_image.file(name, f"{self.id()} {name}")])
            image = oci_image.image([shared, own])
            references.append(self.registry.serve(f"{self.repository}/{name}", image))
        self.bake(*references)
        fetched = [item for item in self.registry.blob_requests()
                   if item.path.endswith(shared.blob.digest)]
        self.assertEqual(len(fetched), 1)

    def test_the_registry_is_asked_with_head_before_get(self):
        reference, image = self.serve_greeting()
        self.bake(reference)
        manifests = [item for item in self.registry.requests if "/manifests/" in item.path]
        self.assertEqual(manifests[0].method, "HEAD")
        self.assertEqual([item.path.rpartition("/")[2] for item in manifests
                          if item.method == "GET"], [image.top.digest])

    def test_aliases_are_names_of_the_same_image(self):
        reference, image = self.serve_greeting()
        alias = f"mirror.example/{self.repository}:stable"
        self.bake("-f", self.list_file(
            f'[[image]]\nref = "{reference}"\naliases = ["{alias}"]\n'))
        self.assert_baked(reference, image)
        self.assert_baked(alias, image)

    def test_pin_false_leaves_the_pin_away(self):
        reference, image = self.serve_greeting()
        self.bake("-f", self.list_file(f'[[image]]\nref = "{reference}"\npin = false\n'))
        images = self.containerd.images()
        for name in self.names(reference, image):
            self.assertIn(MANAGED, images[name][1].items())
            self.assertNotIn(PINNED[0], images[name][1])

    def test_unpack_false_stores_the_blobs_only(self):
        reference, image = self.serve_greeting()
        self.bake("-f", self.list_file(f'[[image]]\nref = "{reference}"\nunpack = false\n'))
        self.assertIn("complete (", self.containerd.check()[reference])
        self.assertNotIn(image.chain_id, self.containerd.snapshots())

    def test_artifacts_are_stored_and_named(self):
        # Many artifacts have the same empty config; one has the config of an image for another
        # machine.
        empty = {"config_media_type": "application/vnd.oci.empty.v1+json"}
        images = [oci_image.small_image(f"{self.repository}-1", **empty),
                  oci_image.small_image(f"{self.repository}-2", **empty),
                  oci_image.small_image(f"{self.repository}-3", architecture="s390x")]
        references = [self.registry.serve(f"{self.repository}-{number}", item)
                      for number, item in enumerate(images)]
        tables = [(reference, {"kind": "artifact"}) for reference in references]
        artifacts = self.image_list(*tables)
        plan = self.prebake("plan", "-f", artifacts, "--json").json
        self.assertEqual({item["kind"] for item in plan["images"]}, {"ARTIFACT"})
        self.bake("-f", artifacts)
        for reference, item in zip(references, images):
            self.assertEqual(self.containerd.images()[reference][0], item.top.digest)
            self.assertIn(item.layers[0].blob.digest, self.containerd.blobs())
            self.assertNotIn(item.chain_id, self.containerd.snapshots())
            self.assertNotIn(item.config.digest, self.containerd.images())
        self.assertEqual(self.prebake("verify", "--deep").code, harness.DONE)
        again = self.bake("-f", artifacts, "--json").json
        self.assertEqual({item["outcome"] for item in again["images"]}, {"ALREADY_THERE"})

    def test_a_volume_is_baked_like_an_image(self):
        reference, image = self.serve_greeting()
        self.bake("-f", self.image_list((reference, {"kind": "volume"})))
        self.assert_baked(reference, image)
        self.assertEqual(self.recorded(reference)[0]["kind"], "VOLUME")

    def test_keep_layers_false_keeps_the_snapshots_only(self):
        reference, image = self.serve_greeting()
        self.bake("-f", self.list_file(f'[[image]]\nref = "{reference}"\nkeep_layers = false\n'))
        self.containerd.collect_garbage()
        # The layer of busybox is shared with other tests; the image's own layer is not.
        self.assertNotIn(image.layers[-1].blob.digest, self.containerd.blobs())
        self.assertEqual(self.containerd.run_container(reference), f"greeting of {self.id()}\n")
        self.assertEqual(self.prebake("verify").code, harness.DONE)


class NamespaceTest(harness.SystemTest):
    def test_the_second_namespace_adopts_the_blobs_without_a_byte(self):
        image = oci_image.small_image(self.repository)
        reference = self.registry.serve(self.repository, image)
        self.bake(reference, "-n", "k8s.io", "-n", "default")
        self.assert_baked(reference, image, "k8s.io")
        self.assert_baked(reference, image, "default")
        self.assertEqual(set(self.containerd.images("default")), {reference})
        for layer in image.layers:
            fetched = [item for item in self.registry.blob_requests()
                       if item.path.endswith(layer.blob.digest)]
            self.assertEqual(len(fetched), 1, "each layer travels once for both namespaces")
        manifest = self.containerd.blobs("default")[image.manifest.digest]
        self.assertEqual(manifest["containerd.io/gc.ref.content.config"], image.config.digest)

    def test_a_later_bake_into_another_namespace_adopts_too(self):
        image = oci_image.greeting_image("later namespace")
        reference = self.registry.serve(self.repository, image)
        self.bake(reference)
        self.registry.behave()
        self.bake(reference, "-n", "later")
        self.assertEqual([item.path for item in self.registry.blob_requests()
                          if not item.path.endswith(image.config.digest)], [])
        self.assert_baked(reference, image, "later")
        self.assertEqual(self.containerd.run_container(reference, namespace="later"),
                         "later namespace\n")

    def test_the_list_and_the_environment_choose_the_namespace(self):
        image = oci_image.small_image(self.repository)
        reference = self.registry.serve(self.repository, image)
        self.bake("-f", self.list_file(
            f'[[image]]\nref = "{reference}"\nnamespaces = ["from-list"]\n'))
        self.assert_baked(reference, image, "from-list")
        self.bake(reference, environment={"CONTAINERD_NAMESPACE": "from-environment",
                                          "CONTAINERD_ADDRESS": self.containerd.address})
        self.assert_baked(reference, image, "from-environment")
        self.assertNotIn(reference, self.containerd.images("k8s.io"))

    def test_the_snapshotter_can_be_chosen(self):
        image = oci_image.greeting_image("native snapshots")
        reference = self.registry.serve(self.repository, image)
        self.bake(reference, "--snapshotter", "native", "-n", "native-test")
        self.assertEqual(
            self.containerd.run_container(reference, namespace="native-test", snapshotter="native"),
            "native snapshots\n")

    def test_an_unknown_snapshotter_is_refused_with_the_known_ones(self):
        reference = self.registry.serve(self.repository, oci_image.small_image(self.repository))
        result = self.bake(reference, "--snapshotter", "no-such", code=harness.USAGE)
        self.assert_says(result, "no-such", "overlayfs")

    def test_an_invalid_namespace_is_rejected(self):
        reference = self.registry.serve(self.repository, oci_image.small_image(self.repository))
        for odd in ("a b", "-a", "a/b", "a..b", "x" * 77, "k8s.io\n"):
            with self.subTest(odd):
                result = self.bake(reference, "-n", odd, code=harness.USAGE)
                self.assert_says(result, "namespace")
        self.assertEqual(self.registry.requests, [])


class OutputTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.image = oci_image.small_image(self.repository)
        self.reference = self.registry.serve(self.repository, self.image)

    def test_plan_adds_up_and_changes_nothing(self):
        before = self.containerd.images(), self.containerd.blobs()
        plan = self.prebake("plan", self.reference, "--json").json
        self.assertEqual(plan["schema"], "prebake.v1.Plan")
        whole = sum(blob.size for blob in [self.image.manifest, *self.image.blobs])
        planned, = plan["images"]
        self.assertEqual(planned["digest"], self.image.top.digest)
        self.assertEqual(planned["layers"], 1)
        self.assertEqual(int(planned["compressedBytes"]), whole)
        self.assertEqual(int(plan["bytesToFetch"]), whole)
        self.assertEqual((self.containerd.images(), self.containerd.blobs()), before)
        self.assertFalse((self.state / "bake.json").exists())
        self.bake(self.reference)
        plan = self.prebake("plan", self.reference, "--json").json
        self.assertEqual(int(plan.get("bytesToFetch", 0)), 0)
        self.assertEqual(int(plan["bytesPresent"]), whole)
        self.assertIs(plan["images"][0]["unpacked"], True)

    def test_without_a_terminal_there_is_a_line_per_image_and_no_control_character(self):
        result = self.bake(self.reference)
        self.assertIn(self.reference, result.stdout + result.stderr)
        self.assertNotRegex(result.stdout + result.stderr, r"[\x1b\r]")

    def test_progress_as_json_lines(self):
        result = self.bake(self.reference, "--json", "--progress=json")
        lines = [line for line in (result.stdout + result.stderr).splitlines()
                 if '"event"' in line]
        events = [json.loads(line) for line in lines]
        kinds = [event["event"] for event in events]
        self.assertEqual(kinds[:2], ["bake_begun", "image_begun"])
        self.assertEqual(events[0]["images"], 1)
        whole = sum(blob.size for blob in [self.image.manifest, *self.image.blobs])
        self.assertEqual(int(events[0]["total"]), whole)
        self.assertEqual(kinds[-1], "image_done")
        self.assertIn("fetched", kinds)
        self.assertIn("unpacked", kinds)

    def test_quiet_says_nothing(self):
        result = self.bake(self.reference, "--quiet")
        self.assertEqual((result.stdout, result.stderr), ("", ""))

    def test_global_options_may_precede_the_command(self):
        result = self.prebake("--quiet", "-n", "before", "bake", self.reference)
        self.assertEqual(result.code, harness.DONE, result)
        self.assert_baked(self.reference, self.image, "before")

    def test_unknown_options_and_commands_are_usage_errors(self):
        for arguments in (("bake", "--no-such-option"), ("no-such-command",), ("bake",)):
            with self.subTest(arguments):
                result = self.prebake(*arguments)
                self.assertEqual(result.code, harness.USAGE, result)
                self.assertTrue(result.stderr)


if __name__ == "__main__":
    harness.main()
