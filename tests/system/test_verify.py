#!/usr/bin/python3
"""verify finds everything that others removed or changed after a bake."""

import json

import harness
import oci_image
from harness import PINNED


# Without its label, a blob lives until the next garbage collection.
COLLECTED = (harness.PARTIAL, harness.NOT_READY)


class VerifyTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.fresh_containerd()
        own = oci_image.layer([oci_image.file("own", self.id())])
        self.image = oci_image.greeting_image(self.id(), [own])
        self.layer = own.blob
        self.reference = self.registry.serve(self.repository, self.image)
        self.bake(self.reference)

    def verify(self, *arguments):
        return self.prebake("verify", *arguments)

    def expect_finding(self, *words, arguments=(), code=harness.NOT_READY):
        """verify reports it to people and to programs, and a new bake repairs it. `code` is PARTIAL
        if containers start nevertheless; of COLLECTED containerd may have been faster."""
        result = self.verify(*arguments)
        self.assertIn(result.code, code if code == COLLECTED else (code,), result)
        said = (result.stdout + result.stderr).lower()
        for word in (self.reference, *words):
            self.assertIn(word.lower(), said)
        findings = self.verify(*arguments, "--json").json["findings"]
        self.assertTrue(findings)
        for finding in findings:
            self.assertTrue(finding["object"] and finding["expected"] and finding["nextStep"],
                            finding)

    def repair_by_bake(self):
        self.bake(self.reference)
        result = self.verify("--deep")
        self.assertEqual(result.code, harness.DONE, result)

    def test_a_healthy_store_has_no_findings(self):
        report = self.verify("--deep", "--json")
        self.assertEqual(report.code, harness.DONE, report)
        self.assertEqual(report.json.get("findings", []), [])
        whole = sum(blob.size for blob in [self.image.manifest, *self.image.blobs])
        self.assertEqual(int(report.json["bytesRead"]), whole)

    def test_a_name_is_gone(self):
        self.containerd.ctr("images", "rm", self.reference)
        self.expect_finding("name")

    def test_a_name_points_elsewhere(self):
        other = self.registry.serve("other/image", oci_image.small_image("elsewhere"))
        self.containerd.ctr("images", "pull", "--plain-http", other)
        self.containerd.ctr("images", "rm", self.reference)
        self.containerd.ctr("images", "tag", other, self.reference)
        self.expect_finding(self.image.top.digest, code=harness.PARTIAL)

    def test_the_pin_is_gone(self):
        self.containerd.ctr("images", "label", self.reference, f"{PINNED[0]}=")
        self.expect_finding(PINNED[0], code=harness.PARTIAL)

    def test_a_snapshot_is_gone(self):
        self.containerd.ctr("snapshots", "rm", self.image.chain_id)
        self.expect_finding(self.image.chain_id)
        self.repair_by_bake()

    def test_a_blob_is_gone(self):
        self.containerd.ctr("content", "rm", self.layer.digest)
        self.expect_finding(self.layer.digest, code=harness.PARTIAL)
        self.repair_by_bake()

    def test_a_gc_label_is_gone(self):
        self.containerd.ctr("content", "label", self.image.manifest.digest,
                            "containerd.io/gc.ref.content.config=")
        self.expect_finding("gc.ref.content", self.image.config.digest, code=COLLECTED)

    def test_a_gc_label_of_an_index_is_gone(self):
        child = oci_image.small_image(self.repository + "-child")
        index = oci_image.index([(f"linux/{oci_image.host_architecture()}", child)])
        self.reference = self.registry.serve(self.repository + "/index", index)
        self.bake(self.reference)
        label = "containerd.io/gc.ref.content.m.0"
        self.assertEqual(self.containerd.blobs()[index.top.digest][label], child.top.digest)
        self.containerd.ctr("content", "label", index.top.digest, f"{label}=")
        self.expect_finding("gc.ref.content", index.top.digest, child.top.digest, code=COLLECTED)
        self.repair_by_bake()
        self.assertEqual(self.containerd.blobs()[index.top.digest][label], child.top.digest)

    def test_the_file_of_a_blob_is_gone(self):
        """containerd still assumes that it has the blob."""
        for kind, blob in {"layer": self.layer, "config": self.image.config,
                           "manifest": self.image.manifest}.items():
            code = harness.PARTIAL if kind == "layer" else harness.NOT_READY
            with self.subTest(kind):
                path = self.containerd.blob_path(blob.digest)
                path.unlink()
                self.assertIn(blob.digest, self.containerd.blobs())
                self.expect_finding(blob.digest, code=code)
                self.expect_finding(blob.digest, arguments=("--deep",), code=code)
                self.registry.behave()
                self.repair_by_bake()
                self.assertEqual(path.read_bytes(), blob.content)
                self.assertEqual([item.path.rpartition("/")[2] for item in self.registry.gets()],
                                 [blob.digest], "nothing else is fetched")

    def test_the_file_of_a_blob_is_cut_short(self):
        path = self.containerd.blob_path(self.layer.digest)
        path.chmod(0o644)
        path.write_bytes(self.layer.content[:-1])
        self.expect_finding(self.layer.digest, code=harness.PARTIAL)
        self.repair_by_bake()
        self.assertEqual(path.read_bytes(), self.layer.content)

    def test_not_unpacked_into_the_snapshotter_that_the_node_uses(self):
        """A finding, not an error: only the node knows what it uses."""
        self.expect_finding(self.image.chain_id, "native", arguments=("--snapshotter", "native"))
        # Also for a snapshotter that this containerd does not have.
        self.expect_finding("no-such", arguments=("--snapshotter", "no-such"))
        self.bake(self.reference, "--snapshotter", "native")
        self.assertEqual(self.verify("--snapshotter", "native").code, harness.DONE)

    def test_only_the_named_namespaces_are_looked_at(self):
        self.containerd.ctr("images", "rm", self.reference)
        result = self.verify("-n", "nosuch", "--json")
        self.assertEqual(result.code, harness.DONE, result)
        self.assertEqual((result.json["images"], result.json["findings"]), (0, []))
        self.assertIn("0 images", self.verify("-n", "nosuch").stdout)
        self.expect_finding("name", arguments=("-n", "nosuch", "-n", "k8s.io"))

    def test_a_flipped_byte_needs_a_deep_look(self):
        path = self.containerd.blob_path(self.layer.digest)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        self.assertEqual(self.verify().code, harness.DONE)
        self.expect_finding(self.layer.digest, arguments=("--deep",),
                            code=harness.PARTIAL)

    def damage(self, blob):
        path = self.containerd.blob_path(blob.digest)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        return path

    def test_a_bake_replaces_damaged_documents(self):
        for kind, blob in {"config": self.image.config, "manifest": self.image.manifest}.items():
            with self.subTest(kind):
                path = self.damage(blob)
                self.repair_by_bake()
                self.assertEqual(path.read_bytes(), blob.content)

    def test_a_bake_replaces_a_damaged_layer_that_it_has_to_unpack(self):
        path = self.damage(self.layer)
        self.containerd.ctr("snapshots", "rm", self.image.chain_id)
        self.registry.behave()
        self.repair_by_bake()
        self.assertEqual(path.read_bytes(), self.layer.content)
        self.assertEqual([item.path.rpartition("/")[2] for item in self.registry.gets()],
                         [self.layer.digest], "nothing else is fetched")

    def test_repair_does_what_the_findings_advise(self):
        other = self.registry.serve("other/image", oci_image.small_image("elsewhere"))
        self.bake(other)
        damaged = self.damage(self.layer)
        self.damage(self.image.config)
        self.containerd.ctr("images", "rm", other)
        self.containerd.ctr("images", "label", self.reference, f"{PINNED[0]}=")
        self.expect_finding("--repair", arguments=("--deep",))
        repaired = self.verify("--deep", "--repair")
        self.assertEqual(repaired.code, harness.DONE, repaired)
        self.assertRegex(repaired.stdout.splitlines()[-1],
                         r"^ok: [0-9]+ findings repaired; 2 images")
        self.assertEqual(damaged.read_bytes(), self.layer.content)
        self.assertEqual(self.verify("--deep").code, harness.DONE)

    def test_repair_needs_no_registry_for_what_the_disk_has(self):
        self.containerd.ctr("images", "rm", self.reference)
        self.containerd.ctr("snapshots", "rm", self.image.chain_id)
        self.registry.go_down()
        self.addCleanup(self.registry.come_back)
        repaired = self.verify("--repair", "--json")
        self.assertEqual(repaired.code, harness.DONE, repaired)
        self.assertTrue(repaired.json["ok"])
        self.assertGreaterEqual(repaired.json["repaired"], 2)

    def test_repair_leaves_what_it_cannot_repair(self):
        self.containerd.ctr("content", "rm", self.layer.digest)
        self.registry.go_down()
        self.addCleanup(self.registry.come_back)
        result = self.verify("--repair")
        self.assertEqual(result.code, harness.PARTIAL, result)
        self.assertTrue(result.stdout.splitlines()[-1].startswith("DEGRADED: "), result)
        self.assertIn(self.layer.digest, result.stdout)

    def test_repair_leaves_a_name_that_a_client_moved(self):
        other = self.registry.serve("other/image", oci_image.small_image("elsewhere"))
        self.containerd.ctr("images", "pull", "--plain-http", other)
        self.containerd.ctr("images", "rm", self.reference)
        self.containerd.ctr("images", "tag", other, self.reference)
        result = self.verify("--repair")
        self.assertEqual(result.code, harness.PARTIAL, result)
        self.assert_says(result, f"{self.reference} is not repaired")

    def test_an_emptied_store_is_summarised(self):
        for i in range(6):
            self.bake(self.registry.serve(f"{self.repository}/{i}", oci_image.small_image(str(i))))
        for name in self.containerd.images():
            self.containerd.ctr("images", "rm", name)
        self.containerd.collect_garbage()
        result = self.verify()
        self.assertEqual(result.code, harness.NOT_READY, result)
        # A line for each image, what to do, and the verdict.
        self.assertEqual(len(result.stdout.splitlines()), 7 + 2, result)
        self.assertRegex(result.stdout.splitlines()[-1], "^NOT OK: [0-9]+ findings about 7 images")

    def test_a_bake_sets_a_damaged_record_aside(self):
        (self.state / "bake.json").write_text("{")
        result = self.bake(self.reference)
        self.assert_says(result, "bake.json.corrupt")
        self.assertEqual((self.state / "bake.json.corrupt").read_text(), "{")
        self.assertEqual([item["name"] for item in self.record()["images"]], [self.reference])

    def test_nothing_was_baked_here(self):
        (self.state / "bake.json").unlink()
        result = self.verify()
        self.assertNotEqual(result.code, harness.DONE, result)
        self.assert_says(result, "bake.json")

    def test_a_damaged_record(self):
        for name, text in {"no json": "{", "another schema": '{"schema": "prebake.v9.Other"}',
                           "array": "[]"}.items():
            with self.subTest(name):
                (self.state / "bake.json").write_text(text)
                result = self.verify()
                self.assertEqual(result.code, harness.NOT_READY, result)
                self.assert_says(result, "bake.json")
                report = self.verify("--json").json
                self.assertFalse(report["ok"])
                self.assertEqual(report["verdict"], "not_ready")
                self.assertIn("bake.json", report["findings"][0]["object"])

    def test_a_malformed_digest_in_the_record(self):
        """One bad entry does not hide findings about the others."""
        other = self.registry.serve(self.repository + "/other", oci_image.small_image("other"))
        self.bake(other)
        self.containerd.ctr("images", "rm", other)
        good = self.record()
        for name, change in {
                "target": lambda image: image["target"].update(digest="sha256:short"),
                "manifest": lambda image: image["manifest"].update(digest="sha256:short"),
                "config": lambda image: image["config"].update(digest="nonsense"),
                "layer": lambda image: image["layers"][0].update(digest=""),
                "chain ID": lambda image: image["layers"][0].update(chainId="sha256:../..")
                }.items():
            record = json.loads(json.dumps(good))
            change(next(item for item in record["images"] if item["name"] == self.reference))
            (self.state / "bake.json").write_text(json.dumps(record))
            for arguments in ((), ("--deep",)):
                with self.subTest(" ".join((name, *arguments))):
                    self.expect_finding(arguments=arguments)
                    self.assertIn(other, self.verify(*arguments).stdout)

    def test_containerd_is_not_running(self):
        self.containerd.stop()
        result = self.verify()
        self.assertNotEqual(result.code, harness.DONE, result)
        self.assert_says(result, self.containerd.address)


if __name__ == "__main__":
    harness.main()
