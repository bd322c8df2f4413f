#!/usr/bin/python3
"""Names: a name has one target, and shared names stay correct for two bakes or two entries."""

import dataclasses
import types

import harness
import oci_image
from harness import MANAGED, PINNED


class AliasTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.images, self.references = [], []
        for name in ("a", "b", "c"):
            image = oci_image.small_image(f"{self.repository}-{name}")
            self.images.append(image)
            self.references.append(self.registry.serve(f"{self.repository}/{name}", image))

    def outcomes(self, result):
        return {item["name"]: item["outcome"] for item in result.json["images"]}

    def expect_both_refused(self, one, other, images):
        """Two images with the same name are rejected; a third image is baked."""
        third = self.references[2]
        result = self.bake("-f", images, "--json", code=harness.PARTIAL)
        outcomes = self.outcomes(result)
        self.assertIn(outcomes.pop(third), ("BAKED", "ALREADY_THERE"))
        self.assertEqual(outcomes, {one: "FAILED", other: "FAILED"})
        problems = {item["name"]: item.get("problem") for item in result.json["images"]}
        for name, rival in ((one, other), (other, one)):
            self.assertEqual(problems[name]["code"], "usage")
            self.assertIn(rival, problems[name]["message"])
            self.assertIn("images.toml:", problems[name]["message"])
            self.assertIn(f"image {name}: {problems[name]['message']}", result.stderr)
        for i, name in enumerate("ab"):
            self.assert_not_baked(f"{self.repository}/{name}", self.images[i])
        self.assert_baked(third, self.images[2])
        self.assertEqual([item["name"] for item in self.record()["images"]], [third])

    def test_an_alias_that_is_another_listed_image(self):
        a, b, c = self.references
        for name, order in {"alias first": (a, b, c), "alias last": (c, b, a)}.items():
            with self.subTest(name):
                keys = {a: {"aliases": [b]}}
                self.expect_both_refused(
                    a, b, self.image_list(*((item, keys.get(item, {})) for item in order)))

    def test_one_alias_for_two_images(self):
        a, b, c = self.references
        alias = f"mirror.example/{self.repository}:1"
        self.expect_both_refused(a, b, self.image_list(
            (a, {"aliases": [alias]}), (b, {"aliases": [alias]}), (c, {})))
        self.assertNotIn(alias, self.containerd.images())

    def test_plan_finds_the_contradiction_too(self):
        a, b, _ = self.references
        result = self.prebake("plan", "--json", "-f",
                              self.image_list((a, {"aliases": [b]}), (b, {})))
        self.assertEqual(result.code, harness.USAGE, result)
        self.assertEqual([item["problem"]["code"] for item in result.json["images"]],
                         ["usage", "usage"])

    def test_an_alias_that_is_another_listed_image_in_another_namespace(self):
        a, b, _ = self.references
        self.bake("-f", self.image_list((a, {"aliases": [b], "namespaces": ["one"]}),
                                        (b, {"namespaces": ["two"]})))
        self.assertEqual(self.containerd.images("one")[b][0], self.images[0].top.digest)
        self.assertEqual(self.containerd.images("two")[b][0], self.images[1].top.digest)
        self.assertEqual(self.prebake("verify").code, harness.DONE)

    def test_an_alias_that_is_another_listed_image_of_the_same_content(self):
        a = self.references[0]
        same = self.registry.serve(f"{self.repository}/same", self.images[0])
        self.bake("-f", self.image_list((a, {"aliases": [same]}), (same, {})))
        for reference in (a, same):
            self.assert_baked(reference, self.images[0])
        self.assertEqual(self.prebake("verify").code, harness.DONE)

    def test_an_alias_with_a_digest_is_refused(self):
        a, b, _ = self.references
        alias = f"{b}@{self.images[1].top.digest}"
        result = self.bake("-f", self.image_list((a, {"aliases": [alias]})), code=harness.USAGE)
        self.assert_says(result, "images.toml:3", "alias", "digest")
        self.assertEqual(self.registry.requests, [], "refused before anybody is asked")


class SharedIdTest(harness.SystemTest):
    """Images with one config, so one image ID in CRI, and different manifests."""

    def setUp(self):
        super().setUp()
        host = f"linux/{oci_image.host_architecture()}"
        files = [oci_image.file("name", self.id())]
        gzip, zstd = (oci_image.image([oci_image.layer(files, compression=how)])
                      for how in ("gzip", "zstd"))
        self.assertEqual(gzip.config.digest, zstd.config.digest)
        both = oci_image.index([(host, gzip), (host, zstd)], with_attestation=False)
        self.id_name = gzip.config.digest
        # The index' own child has its ID, too, with the same manifest.
        self.images = {self.registry.serve(f"{self.repository}/app", image, tag): image
                       for tag, image in (("both", both), ("gzip", gzip), ("zstd", zstd))}
        self.targets = {image.top.digest for image in self.images.values()}

    def outcomes(self, *references):
        result = self.bake(*references, "--json")
        return [item["outcome"] for item in result.json["images"]]

    def assert_settled(self, *references):
        """All are usable, and nothing is left to do."""
        held = self.containerd.images()
        self.assertIn(held[self.id_name][0], {self.images[item].top.digest for item in references})
        for reference in references:
            digest = self.images[reference].top.digest
            repository = reference.rpartition(":")[0]
            for name in (reference, f"{repository}@{digest}"):
                self.assertEqual(held[name][0], digest, name)
        result = self.prebake("verify", "--deep")
        self.assertEqual(result.code, harness.DONE, result)
        self.assertEqual(self.outcomes(*references), ["ALREADY_THERE"] * len(references))
        self.assertEqual(self.containerd.images()[self.id_name], held[self.id_name])

    def test_in_one_list(self):
        self.assertEqual(self.outcomes(*self.images), ["BAKED"] * 3)
        self.assert_settled(*self.images)

    def test_one_after_the_other(self):
        references = list(self.images)
        for i, reference in enumerate(references):
            self.outcomes(reference)
            self.assert_settled(*references[:i + 1])

    def test_one_manifest_announced_with_two_types(self):
        reference, image = next(item for item in self.images.items() if "gzip" in item[0])
        top = dataclasses.replace(image.top, media_type=oci_image.DOCKER_MANIFEST)
        docker = types.SimpleNamespace(manifests=[top], blobs=image.blobs, top=top)
        other = self.registry.serve(f"{self.repository}/docker", docker)
        self.images[other] = docker
        self.assertEqual(self.outcomes(reference, other), ["BAKED"] * 2)
        self.assert_settled(reference, other)

    def test_an_id_that_another_client_moved(self):
        """As a pull by CRI does it, for an image that the list does not have."""
        both, gzip, zstd = self.images
        self.outcomes(both, gzip)
        self.containerd.ctr("content", "fetch", "--plain-http", zstd)
        self.containerd.ctr("images", "tag", "--force", zstd, self.id_name)
        target = self.images[zstd].top.digest
        self.assertEqual(self.containerd.images()[self.id_name][0], target)
        result = self.prebake("verify")
        self.assertNotIn("target", result.stdout + result.stderr)
        self.outcomes(both, gzip)  # sets the labels
        self.assertEqual(self.containerd.images()[self.id_name][0], target)
        self.assertEqual(self.prebake("verify").code, harness.DONE)

    def test_an_id_that_leads_to_another_config(self):
        both, gzip, _ = self.images
        other = oci_image.small_image(f"{self.repository}-other")
        reference = self.registry.serve(f"{self.repository}/other", other)
        self.outcomes(both, gzip, reference)
        self.containerd.ctr("images", "tag", "--force", reference, self.id_name)
        result = self.prebake("verify")
        self.assertEqual(result.code, harness.PARTIAL, result)
        self.assertIn(self.id_name, result.stdout + result.stderr)
        self.outcomes(both, gzip, reference)
        self.assert_settled(both, gzip)


class PinTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.image = oci_image.small_image(self.repository)
        self.pinned = self.registry.serve(self.repository, self.image, "pinned")
        self.loose = self.registry.serve(self.repository, self.image, "loose")

    def pins(self):
        """name -> whether it is pinned, for the names of this image."""
        found = {}
        for name, (digest, labels) in self.containerd.images().items():
            if digest == self.image.top.digest:
                self.assertIn(MANAGED, labels.items())
                found[name] = PINNED in labels.items()
        return found

    def expected_pins(self):
        names = self.names(self.pinned, self.image) | {self.loose}
        return {name: name != self.loose for name in names}

    def bake_loose(self, *more):
        self.bake("-f", self.image_list((self.loose, {"pin": False}), *more))

    def verify(self):
        result = self.prebake("verify")
        self.assertEqual(result.code, harness.DONE, result)

    def test_shared_names_stay_pinned_in_one_bake(self):
        for name, tables in {"pinned first": ((self.pinned, {}), (self.loose, {"pin": False})),
                             "pinned last": ((self.loose, {"pin": False}), (self.pinned, {}))
                             }.items():
            with self.subTest(name):
                self.bake("-f", self.image_list(*tables))
                self.assertEqual(self.pins(), self.expected_pins())
                self.verify()

    def test_a_later_bake_without_a_pin_does_not_undo_those_of_another_image(self):
        self.bake(self.pinned)
        self.bake_loose()
        self.assertEqual(self.pins(), self.expected_pins())
        self.verify()

    def test_a_later_bake_with_a_pin_pins_what_is_shared(self):
        self.bake_loose()
        self.assertEqual(set(self.pins().values()), {False})
        self.bake(self.pinned)
        self.assertEqual(self.pins(), self.expected_pins())
        self.verify()

    def test_pin_false_undoes_the_images_own_pins(self):
        self.bake(self.loose)
        self.assertEqual(set(self.pins().values()), {True})
        self.bake_loose()
        self.assertEqual(set(self.pins().values()), {False})
        self.verify()


class MovedTagTest(harness.SystemTest):
    def test_the_old_image_stays_under_its_digest_and_is_mentioned(self):
        old, new = (oci_image.small_image(f"{self.repository}-{age}") for age in ("old", "new"))
        reference = self.registry.serve(self.repository, old)
        first = self.bake(reference)
        self.assertNotIn("moved", first.stderr)
        self.registry.serve(self.repository, new)
        result = self.bake(reference)
        self.assert_says(result, reference, "moved", old.top.digest, new.top.digest,
                         "ctr images rm")
        self.assertNotRegex(result.stderr, r"error|FAILED")

        self.assert_baked(reference, new)
        images = self.containerd.images()
        for name in self.names(reference, old) - {reference}:
            self.assertEqual(images[name][0], old.top.digest, name)
            self.assertIn(PINNED, images[name][1].items())
        entry, placements = self.recorded(reference)
        self.assertEqual(entry["target"]["digest"], new.top.digest)
        self.assertEqual(set(placements["k8s.io"]["names"]), self.names(reference, new))
        self.assertEqual(self.prebake("verify", "--deep").code, harness.DONE)
        self.assertNotIn("moved", self.bake(reference).stderr)


class NamespaceTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.image = oci_image.small_image(self.repository)
        self.reference = self.registry.serve(self.repository, self.image)

    def test_an_argument_and_a_list_that_name_the_same_image_add_up(self):
        images = self.image_list((self.reference, {"namespaces": ["default"]}))
        self.bake(self.reference, "-f", images)
        for namespace in ("k8s.io", "default"):
            self.assert_baked(self.reference, self.image, namespace)
        _, placements = self.recorded(self.reference)
        self.assertEqual(set(placements), {"k8s.io", "default"})

    def test_two_digests_for_one_name_are_refused_on_any_platform(self):
        """A name has one target for all platforms."""
        host = f"linux/{oci_image.host_architecture()}"
        one, two = (f"{self.reference}@sha256:{digit * 64}" for digit in "12")
        listed = self.image_list((one, {}), (two, {"platform": host}))
        added = self.list_file(f'[[image]]\nref = "{two}"\nplatform = "linux/s390x"\n', "more.toml")
        for name, (arguments, places) in {
                "in one list": (("-f", listed), ("images.toml:2", "images.toml:4")),
                "argument and list": ((one, "-f", added), ("command line", "more.toml:2"))}.items():
            with self.subTest(name):
                result = self.bake(*arguments, code=harness.USAGE)
                self.assert_says(result, self.reference, "1" * 64, "2" * 64, *places)
        self.assertEqual(self.registry.requests, [], "refused before anybody is asked")
        self.assert_not_baked(self.repository, self.image)


if __name__ == "__main__":
    harness.main()
