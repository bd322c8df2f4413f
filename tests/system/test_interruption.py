#!/usr/bin/python3
"""A bake that is interrupted within a layer leaves no name, and the next bake resumes it."""

import json
import signal

import harness
import oci_image
import registry as scripted

MEBI = 1 << 20


class InterruptionTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.serve_image()

    def serve_image(self):
        noise = oci_image.small_image(self.repository, size=12 * MEBI).layers[0]
        finished = oci_image.layer([oci_image.file("finished", self.repository)])
        self.image = oci_image.image([finished, noise])
        self.finished, self.big = finished.blob, noise.blob
        self.reference = self.registry.serve(self.repository, self.image)

    def blind(self):
        """The prefix of a command that does not see containerd's directories."""
        return ("unshare", "--mount", "sh", "-ec", 'mount -t tmpfs blind "$0"; exec "$@"',
                self.containerd.root)

    def pause_in_mid_layer(self, **options):
        """A bake that has stored one layer and some MiB of the other layer."""
        gate = self.registry.gate()
        self.registry.on(self.big.digest, scripted.pause(gate, 8 * MEBI), times=1)
        before = self.containerd.ingested_bytes()
        running = self.start("bake", self.reference, **options)
        running.at(gate)
        running.until(lambda: self.containerd.ingested_bytes() >= before + 2 * MEBI,
                      "bytes of the big layer reach the store")
        running.until(lambda: self.finished.digest in self.containerd.blobs(),
                      "the small layer is stored")
        return running, gate

    def bake_again_and_expect_the_rest_only(self, stored="1 layer written in place", **options):
        self.registry.behave()
        result = self.bake(self.reference, **options)
        self.assertIn(stored, result.stdout)
        self.assert_baked(self.reference, self.image)
        asked = {item.path.rpartition("/")[2]: item.range
                 for item in self.registry.blob_requests()}
        self.assertNotIn(self.finished.digest, asked)
        self.assertRegex(asked[self.big.digest], r"^bytes=\d{7,}-$")

    def test_signals(self):
        for how, code in ((signal.SIGINT, harness.INTERRUPTED),
                          (signal.SIGTERM, harness.TERMINATED),
                          (signal.SIGKILL, 128 + signal.SIGKILL)):
            with self.subTest(how.name):
                self.repository = f"by-{how.name.lower()}"
                self.registry.behave()
                self.serve_image()
                running, _ = self.pause_in_mid_layer()
                running.send(how)
                result = running.wait(15)
                self.assertEqual(result.code, code, result)
                self.assert_not_baked(self.repository, self.image)
                self.assertFalse((self.state / "bake.json").exists())
                self.bake_again_and_expect_the_rest_only()
                (self.state / "bake.json").unlink()

    def test_layers_that_are_streamed_are_resumed_too(self):
        """Where the content store is not visible."""
        self.fresh_containerd()
        running, _ = self.pause_in_mid_layer(prefix=self.blind())
        running.send(signal.SIGKILL)
        running.wait(15)
        self.assert_not_baked(self.repository, self.image)
        self.bake_again_and_expect_the_rest_only("1 layer streamed through containerd: cannot open",
                                                 prefix=self.blind())

    def test_what_was_baked_before_the_interruption_is_recorded(self):
        good = oci_image.small_image("done-before")
        good_reference = self.registry.serve("done/before", good)
        gate = self.registry.gate()
        self.registry.on(self.big.digest, scripted.pause(gate, 8 * MEBI), times=1)
        running = self.start("bake", good_reference, self.reference)
        running.at(gate)
        running.until(lambda: good_reference in self.containerd.images(),
                      "the small image is baked")
        running.send(signal.SIGTERM)
        self.assertEqual(running.wait(15).code, harness.TERMINATED)
        self.assert_baked(good_reference, good)
        self.assertEqual([item["name"] for item in self.record()["images"]], [good_reference])

    def test_containerd_is_killed_and_restarted_during_the_bake(self):
        self.fresh_containerd()
        running, gate = self.pause_in_mid_layer()
        self.containerd.kill()
        gate.open()
        self.containerd.start()
        result = running.wait()
        self.assertEqual(result.code, harness.DONE, result)
        self.assert_baked(self.reference, self.image)
        self.assertEqual(self.containerd.leases(), [])

    def test_a_directory_that_a_killed_containerd_left_is_no_obstacle(self):
        """containerd was killed while it prepared a snapshot. It created the directory but did not
        record it, so the next snapshot gets the same number."""
        self.fresh_containerd()
        self.containerd.stop()
        snapshots = self.containerd.root / "io.containerd.snapshotter.v1.overlayfs/snapshots"
        for number in range(1, 20):
            (snapshots / str(number) / "fs").mkdir(parents=True)
        self.containerd.start()
        self.bake(self.reference)
        self.assert_baked(self.reference, self.image)

    def test_containerd_is_stopped_and_prebake_terminated_during_the_bake(self):
        self.fresh_containerd()
        running, gate = self.pause_in_mid_layer()
        self.containerd.stop()
        running.send(signal.SIGTERM)
        self.assertEqual(running.wait(20).code, harness.TERMINATED)
        # Not before: a layer that is written in place needs no containerd to be completed.
        gate.open()
        self.containerd.start()
        self.assert_not_baked(self.repository, self.image)
        self.bake_again_and_expect_the_rest_only()

    def test_containerd_is_killed_near_the_end_of_the_bake(self):
        """The images that were baked before are recorded; the lease expires."""
        self.fresh_containerd()
        good = oci_image.small_image(f"good-{self.id()}")
        good_reference = self.registry.serve("good/before-the-end", good)
        gate = self.registry.gate()
        self.registry.on(f"/blobs/{self.finished.digest}", scripted.error(404))
        self.registry.on(f"/blobs/{self.finished.digest}", scripted.stall(gate))
        self.registry.on(f"/blobs/{self.big.digest}", scripted.error(404))
        self.registry.on(f"/blobs/{self.big.digest}", scripted.stall(gate))
        running = self.start("bake", "--progress=json", good_reference, self.reference)
        running.at(gate)
        running.until(lambda: any(event["event"] == "image_done" for event in self.events(running)),
                      "the good image is done")
        self.containerd.kill()
        gate.open()
        result = running.wait()
        self.assertEqual(result.code, harness.PARTIAL, result)
        self.assert_says(result, self.reference, "404", "lease")
        self.assertEqual([item["name"] for item in self.record()["images"]], [good_reference])
        self.containerd.start()
        self.assert_baked(good_reference, good)
        self.assertEqual(self.prebake("verify", "--deep").code, harness.DONE)

    def events(self, running):
        """The output of --progress=json so far, without an incomplete last line."""
        lines = running.stderr().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def test_the_first_layer_that_fails_ends_the_image(self):
        """After one layer failed, the bake does not wait for other layers of the image."""
        for name, bad_first in {"bad layer below": True, "bad layer on top": False}.items():
            with self.subTest(name):
                self.repository = f"first-failure-{bad_first}".lower()
                self.registry.behave()
                self.serve_image()
                bad, slow = self.finished, self.big
                if not bad_first:
                    self.image = oci_image.image(list(reversed(self.image.layers)))
                    self.reference = self.registry.serve(self.repository, self.image)
                paused, failing = self.registry.gate(), self.registry.gate()
                self.registry.on(slow.digest, scripted.pause(paused, 8 * MEBI))
                self.registry.on(bad.digest, scripted.error(404))
                self.registry.on(bad.digest, scripted.stall(failing))
                running = self.start("bake", self.reference)
                running.at(paused)
                running.at(failing)
                failing.open()
                result = running.wait(20)
                self.assertEqual(result.code, harness.FAILED, result)
                self.assert_says(result, self.reference, bad.digest, "404")
                self.assertNotIn(slow.digest, result.stderr)
                self.assertNotIn("interrupt", result.stderr)
                self.assert_not_baked(self.repository, self.image)

    def test_a_second_bake_with_the_same_state_waits(self):
        running, gate = self.pause_in_mid_layer()
        result = self.bake(self.reference, "--lock-timeout", "0", code=harness.TRY_AGAIN)
        self.assert_says(result, "another bake", str(self.state), "--lock-timeout")
        second = self.start("bake", self.reference)
        second.until(lambda: "waiting for another bake" in second.stderr(), "it says so")
        gate.open()
        for bake in (running, second):
            result = bake.wait()
            self.assertEqual(result.code, harness.DONE, result)
        whole = [item for item in self.registry.blob_requests()
                 if item.path.endswith(self.big.digest)]
        self.assertEqual(len(whole), 1, "the layer travels once")

    def test_two_bakes_at_once_share_the_work(self):
        running, gate = self.pause_in_mid_layer()
        self.state = self.directory / "other-state"
        second = self.start("bake", self.reference)
        second.until(lambda: [item.method for item in self.registry.requests].count("HEAD") >= 2,
                     "the second bake has begun")
        gate.open()
        for bake in (running, second):
            result = bake.wait()
            self.assertEqual(result.code, harness.DONE, result)
        self.assert_baked(self.reference, self.image)
        whole = [item for item in self.registry.blob_requests()
                 if item.path.endswith(self.big.digest)]
        self.assertEqual(len(whole), 1, "the layer travels once")


if __name__ == "__main__":
    harness.main()
