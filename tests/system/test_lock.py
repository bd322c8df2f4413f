#!/usr/bin/python3
"""A lock is an image list that bakes the same bytes later. It keeps unset keys unset."""

import harness
import oci_image


class LockTest(harness.SystemTest):
    def lock_of(self, *arguments):
        lock = self.directory / "lock.toml"
        planned = self.prebake("plan", *arguments, "--lock", lock)
        self.assertEqual(planned.code, harness.DONE, planned)
        return lock

    def serve_small(self, content=None):
        image = oci_image.small_image(content or self.repository)
        return self.registry.serve(self.repository, image), image

    def test_it_bakes_the_digest_that_was_planned(self):
        reference, planned = self.serve_small("planned")
        lock = self.lock_of(reference)
        self.assertIn(planned.top.digest, lock.read_text())
        self.serve_small("moved tag")
        self.bake("-f", lock)
        self.assert_baked(reference, planned)
        # The lock of a lock is the same.
        first = lock.read_text()
        self.assertEqual(self.lock_of("-f", lock).read_text(), first)

    def test_it_refuses_a_digest_that_is_gone(self):
        reference, image = self.serve_small("gone")
        lock = self.lock_of(reference)
        self.registry.forget(self.repository)
        self.serve_small("another")
        result = self.bake("-f", lock, code=harness.FAILED)
        self.assert_says(result, reference, image.top.digest)
        self.assert_not_baked(self.repository, image)

    def test_default_namespaces_stay_open(self):
        reference, image = self.serve_small()
        self.bake("-f", self.lock_of(reference), "-n", "default")
        self.assert_baked(reference, image, "default")
        self.assert_not_baked(self.repository, image)
        _, placements = self.recorded(reference)
        self.assertEqual(set(placements), {"default"})

    def test_explicit_namespaces_are_kept(self):
        reference, image = self.serve_small()
        images = self.image_list((reference, {"namespaces": ["explicit"]}))
        self.bake("-f", self.lock_of("-f", images), "-n", "default")
        self.assert_baked(reference, image, "explicit")
        self.assertNotIn(reference, self.containerd.images("default"))
        self.assert_not_baked(self.repository, image)

    def test_all_other_keys_are_kept(self):
        reference, image = self.serve_small()
        alias = f"mirror.example/{self.repository}:stable"
        images = self.image_list((reference, {"aliases": [alias], "pin": False,
                                              "unpack": False}))
        self.bake("-f", self.lock_of("-f", images))
        _, placements = self.recorded(reference)
        self.assertIn(alias, placements["k8s.io"]["names"])
        self.assertEqual((placements["k8s.io"]["pinned"], placements["k8s.io"]["unpacked"]),
                         (False, False))
        self.assertNotIn(image.chain_id, self.containerd.snapshots())

    def test_none_is_written_when_an_image_has_a_problem(self):
        reference, _ = self.serve_small()
        lock = self.directory / "lock.toml"
        missing = f"{self.registry.host}/no/such:1"
        result = self.prebake("plan", reference, missing, "--lock", lock)
        self.assertEqual(result.code, harness.PARTIAL, result)
        self.assert_says(result, missing, "no lock")
        self.assertFalse(lock.exists())


if __name__ == "__main__":
    harness.main()
