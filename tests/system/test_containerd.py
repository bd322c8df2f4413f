#!/usr/bin/python3
"""A missing containerd, and a full disk."""

import signal

import harness
import oci_image
import registry as scripted

MEBI = 1 << 20


class ContainerdTest(harness.SystemTest):
    def test_containerd_is_not_running(self):
        self.fresh_containerd(start=False)
        reference = self.registry.serve(self.repository, oci_image.small_image(self.repository))
        for command in (("plan", reference), ("bake", reference)):
            with self.subTest(command[0]):
                result = self.prebake(*command)
                self.assertEqual(result.code, harness.TRY_AGAIN, result)
                self.assert_says(result, "containerd", self.containerd.address)
        self.assertEqual(self.registry.gets(), [], "nothing is fetched without need")
        self.assertFalse((self.state / "bake.json").exists())

    def test_the_socket_is_something_else(self):
        reference = self.registry.serve(self.repository, oci_image.small_image(self.repository))
        path = self.list_file("not a socket", "socket")
        result = self.bake(reference, "--address", path, code=harness.TRY_AGAIN)
        self.assert_says(result, str(path))

    def test_containerd_that_died_leaves_its_socket_behind(self):
        self.fresh_containerd()
        self.containerd.stop(signal.SIGKILL)
        reference = self.registry.serve(self.repository, oci_image.small_image(self.repository))
        result = self.bake(reference, code=harness.TRY_AGAIN)
        self.assert_says(result, self.containerd.address)


class FullDiskTest(harness.SystemTest):
    """containerd on a file system of 64 MiB."""

    def setUp(self):
        super().setUp()
        self.fresh_containerd(
            self.workspace.mount_tmpfs(self.directory / "small-disk", f"{64 * MEBI}"))
        self.small = oci_image.small_image(self.repository + "-small")
        self.small_reference = self.registry.serve(self.repository + "/small", self.small)

    def test_a_bake_that_cannot_fit_does_not_start(self):
        big = oci_image.small_image(self.repository, size=80 * MEBI)
        reference = self.registry.serve(self.repository + "/big", big)
        result = self.bake(reference, code=harness.FAILED)
        self.assert_says(result, "disk", "MiB left", "--no-space-check")
        self.assertEqual(self.registry.blob_requests()[1:], [], "at most the config was fetched")
        self.assert_not_baked(self.repository + "/big", big)

    def test_a_layer_that_cannot_fit_is_not_fetched(self):
        big = oci_image.small_image(self.repository, size=80 * MEBI)
        reference = self.registry.serve(self.repository + "/big", big)
        result = self.bake(reference, "--no-space-check", code=harness.FAILED)
        self.assert_says(result, "cannot reserve", str(self.containerd.root), "free disk space")
        self.assertNotIn(big.layers[0].blob.digest,
                         [item.path.rpartition("/")[2] for item in self.registry.blob_requests()])
        self.bake(self.small_reference)
        self.assert_baked(self.small_reference, self.small)

    def test_what_a_killed_bake_reserved_counts_as_free(self):
        image = oci_image.small_image(self.repository, size=26 * MEBI)
        reference = self.registry.serve(self.repository + "/half", image)
        gate = self.registry.gate()
        self.registry.on(image.layers[0].blob.digest, scripted.pause(gate, 8 * MEBI), times=1)
        before = self.containerd.ingested_bytes()
        running = self.start("bake", reference)
        running.at(gate)
        running.until(lambda: self.containerd.ingested_bytes() >= before + MEBI, "some bytes")
        running.send(signal.SIGKILL)
        running.wait(15)
        self.bake(reference)
        self.assert_baked(reference, image)

    def test_a_disk_that_fills_up_fails_the_image_and_leaves_the_others_whole(self):
        self.bake(self.small_reference)
        zeros = b"\0" * (100 * MEBI)  # which the size of its blob does not show
        bomb = oci_image.image([oci_image.layer([oci_image.file("zeros", zeros)])])
        reference = self.registry.serve(self.repository + "/zeros", bomb)
        result = self.bake(reference, self.small_reference, code=harness.PARTIAL)
        self.assert_says(result, reference, "space")
        self.assert_baked(self.small_reference, self.small)
        self.assert_not_baked(self.repository + "/zeros", bomb)
        verified = self.prebake("verify", "--deep")
        self.assertEqual(verified.code, harness.DONE, verified)


if __name__ == "__main__":
    harness.main()
