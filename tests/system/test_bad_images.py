#!/usr/bin/python3
"""Images with wrong content. Each fails alone; a good image in the same bake is baked."""

import json

import harness
import oci_image
import registry as scripted
from oci_image import Layer, file, hardlink, image, layer


class BadContentTest(harness.SystemTest):
    """The registry serves something that does not match the manifest."""

    def setUp(self):
        super().setUp()
        self.image = oci_image.small_image(self.repository, size=50_000)
        self.layer = self.image.layers[0].blob
        self.reference = self.registry.serve(self.repository, self.image)

    def expect_refused(self, *words, reference=None):
        result = self.bake_beside_a_good_one(reference or self.reference, *words, image=self.image)
        self.assertNotIn(self.layer.digest, self.containerd.blobs())
        # No bad content stays: the next bake, with correct answers, succeeds.
        self.registry.behave()
        self.bake(self.reference)
        self.assert_baked(self.reference, self.image)
        return result

    def test_wrong_bytes(self):
        self.registry.on("/blobs/" + self.layer.digest, scripted.wrong_bytes)
        self.expect_refused(self.layer.digest, "digest")

    def test_truncated(self):
        self.registry.on("/blobs/" + self.layer.digest, scripted.shorten(1000))
        self.expect_refused(self.layer.digest)

    def test_disconnected_at_the_same_byte_every_time(self):
        self.registry.on("/blobs/" + self.layer.digest, scripted.no_range)
        self.registry.on("/blobs/" + self.layer.digest, scripted.truncate(1000))
        self.expect_refused(self.layer.digest)

    def test_longer_than_declared(self):
        self.registry.on("/blobs/" + self.layer.digest, scripted.lengthen(1000))
        self.expect_refused(self.layer.digest)

    def test_wrong_config(self):
        self.registry.on("/blobs/" + self.image.config.digest, scripted.wrong_bytes)
        self.expect_refused(self.image.config.digest)

    def test_wrong_manifest(self):
        self.registry.on(f"/manifests/{self.image.top.digest}", scripted.wrong_bytes)
        # By the tag alone, GET would decide.
        self.expect_refused(self.image.top.digest,
                            reference=f"{self.reference}@{self.image.top.digest}")

    def test_an_empty_layer_body(self):
        self.registry.on("/blobs/" + self.layer.digest,
                         scripted.replace(b"", "application/octet-stream"))
        self.expect_refused(self.layer.digest)


class BadDocumentTest(harness.SystemTest):
    """Documents with the right digest and invalid content."""

    def refuse(self, bad, *words):
        reference = self.registry.serve(self.repository, bad)
        return self.bake_beside_a_good_one(reference, *words,
                                           image=bad if isinstance(bad, oci_image.Image) else None)

    def a_layer(self):
        return layer([file("file", self.id())])

    def manifest(self, data, media_type=oci_image.OCI_MANIFEST):
        """An image whose manifest is `data`."""
        good = oci_image.small_image(self.repository)
        return oci_image.Image(oci_image.blob(media_type, data), good.config, good.layers)

    def test_manifest_that_is_not_json(self):
        self.refuse(self.manifest(b'{"schemaVersion": 2, "layers": ['), "manifest", "json")

    def test_manifest_of_json_that_is_no_manifest(self):
        cases = {"array": b"[]", "null": b"null", "string": b'"x"', "empty": b"{}",
                 "layers-object": b'{"schemaVersion":2,"config":{},"layers":{}}'}
        for name, data in cases.items():
            with self.subTest(name):
                reference = self.registry.serve(f"{self.repository}/{name}", self.manifest(data))
                self.bake_beside_a_good_one(reference, "manifest")

    def test_manifest_of_deep_json(self):
        self.refuse(self.manifest(b"[" * 100_000), "manifest")

    def test_config_that_is_not_json(self):
        bad = oci_image.small_image(self.repository)
        bad.config = oci_image.blob(oci_image.OCI_CONFIG, b"not json")
        document = json.loads(bad.manifest.content)
        document["config"] = bad.config.descriptor()
        bad.manifest = oci_image.json_blob(oci_image.OCI_MANIFEST, document)
        self.refuse(bad, bad.config.digest, "json")

    def test_manifest_over_the_limit(self):
        self.refuse(image([self.a_layer()],
                          manifest_changes={"annotations": {"padding": "x" * (5 << 20)}}),
                    "manifest", "large")

    def test_index_over_the_limit(self):
        child = oci_image.small_image(self.repository)
        index = oci_image.index([(f"linux/{oci_image.host_architecture()}", child)])
        document = {**json.loads(index.document.content),
                    "annotations": {"padding": "x" * (5 << 20)}}
        index.document = oci_image.json_blob(oci_image.OCI_INDEX, document)
        self.refuse(index, "large")

    def test_schema_1(self):
        document = {"schemaVersion": 1, "name": self.repository, "tag": "1.0",
                    "fsLayers": [{"blobSum": "sha256:" + "0" * 64}], "history": []}
        self.refuse(self.manifest(json.dumps(document).encode(), oci_image.DOCKER_SCHEMA1),
                    "schema 1")

    def test_manifest_that_is_also_an_index(self):
        self.refuse(image([self.a_layer()], manifest_changes={"manifests": []}), "manifest")

    def test_media_type_that_contradicts_the_descriptor(self):
        self.refuse(image([self.a_layer()],
                          manifest_changes={"mediaType": oci_image.OCI_INDEX}), "manifest")

    def test_unknown_layer_type(self):
        unknown = layer([file("file", self.id())], media_type="application/vnd.example.floppy")
        self.refuse(image([unknown]), "application/vnd.example.floppy")

    def test_artifact_that_is_no_image(self):
        self.refuse(image([self.a_layer()], config_media_type="application/vnd.example.thing"),
                    "application/vnd.example.thing")

    def test_layer_that_is_not_what_its_type_says(self):
        for name, data in {"gzip": b"no gzip at all" * 100,
                           "tar": oci_image.compressed(b"no tar at all" * 100, "gzip")}.items():
            with self.subTest(name):
                stored = oci_image.blob(oci_image.OCI_LAYER + "+gzip", data)
                bad = image([Layer(stored, oci_image.sha256(data))])
                reference = self.registry.serve(f"{self.repository}/{name}", bad)
                self.bake_beside_a_good_one(reference, stored.digest, image=bad)

    def test_names_in_a_layer_do_not_steer_the_terminal(self):
        """containerd's message about a layer quotes the paths in it as they are."""
        for name, control in {"colour": "\x1b[31m", "title": "\x1b]0;owned\x07",
                              "backspace": "\b\b\b", "carriage return": "\rimage done",
                              "line feed": "\nprebake: info: all is well", "delete": "\x7f",
                              "8-bit CSI": "\x9b31m"}.items():
            with self.subTest(name):
                bad_layer = layer([hardlink(f"link-{control}-", f"no-{control}-such-target")])
                bad = image([bad_layer])
                repository = f"{self.repository}/{name.replace(' ', '-').lower()}"
                reference = self.registry.serve(repository, bad)
                result = self.bake_beside_a_good_one(reference, bad_layer.blob.digest,
                                                     image=bad)
                self.assertIn("-such-target", result.stderr, "the message quotes the path")
                for text in (result.stdout, result.stderr):
                    self.assertNotIn(control, text)
                    self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]")

    def test_diff_id_mismatch(self):
        promised = "sha256:" + "1" * 64
        lying = layer([file("file", self.id())], diff_id=promised)
        self.refuse(image([lying]), lying.blob.digest, "diffid", promised)
        self.assertNotIn(promised, self.containerd.snapshots())

    def test_more_diff_ids_than_layers(self):
        one = self.a_layer()
        self.refuse(image([one], config_changes={
            "rootfs": {"type": "layers", "diff_ids": [one.diff_id, one.diff_id]}}), "diffid")

    def test_invalid_digest(self):
        for name, digest in {"short": "sha256:abc", "path": "sha256:../../etc/passwd",
                             "upper": "sha256:" + "A" * 64, "md5": "md5:" + "0" * 32}.items():
            with self.subTest(name):
                bad = image([self.a_layer()], manifest_changes={"layers": [
                    {"mediaType": oci_image.OCI_LAYER, "digest": digest, "size": 10}]})
                reference = self.registry.serve(f"{self.repository}/{name}", bad)
                self.bake_beside_a_good_one(reference, "digest", image=bad)

    def test_invalid_sizes(self):
        one = self.a_layer()
        for name, size in {"negative": -1, "zero": 0, "text": "10", "fraction": 1.5,
                           "huge": 1 << 63}.items():
            with self.subTest(name):
                bad = image([one], manifest_changes={"layers": [
                    {"mediaType": one.blob.media_type, "digest": one.blob.digest, "size": size}]})
                reference = self.registry.serve(f"{self.repository}/{name}", bad)
                self.bake_beside_a_good_one(reference, image=bad)

    def test_index_that_contains_itself_too_often(self):
        inner = oci_image.small_image(self.repository)
        index = oci_image.index([(None, inner)], with_attestation=False)
        for _ in range(10):
            index = oci_image.Index(oci_image.json_blob(oci_image.OCI_INDEX, {
                "schemaVersion": 2, "mediaType": oci_image.OCI_INDEX,
                "manifests": [index.document.descriptor()]}), [index])
            index.children[0].manifest = index.children[0].document
        self.serve_nested(index)
        self.bake_beside_a_good_one(f"{self.registry.host}/{self.repository}:1.0", "index")

    def serve_nested(self, index):
        current, tag = index, "1.0"
        while isinstance(current, oci_image.Index):
            self.registry.serve(self.repository, current, tag)
            current, tag = current.children[0], None


if __name__ == "__main__":
    harness.main()
