#!/usr/bin/python3
"""What other programs do to a bake that is running, and what broken layers do to it."""

import gzip
import os
import random
import shutil
import subprocess
import time

import harness
import oci_image
import registry as scripted
from file_trees import differences, tree_of, without_access_times
from oci_image import Layer, directory, file, hardlink, layer, opaque, symlink, whiteout

MEBI = 1 << 20


class BakeFaultsTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.noise = random.Random(self.repository).randbytes

    def serve(self, *layers):
        self.image = oci_image.image(list(layers))
        self.reference = self.registry.serve(self.repository, self.image)
        return self.image

    def three_layers(self):
        """Large ones at the ends, written in place."""
        return self.serve(
            layer([directory("d", 0o750), file("d/hidden", "x"), symlink("to", "d/x"),
                   file("large", self.noise(5 * MEBI)), hardlink("also", "large")]),
            layer([whiteout("d/hidden"), file("d/middle", self.noise(1000), uid=7)]),
            layer([opaque("d"), file("d/top", "y"), file("marker", self.noise(5 * MEBI))], "zstd"))

    def tree(self, image, namespace="k8s.io"):
        with self.containerd.mounted(image.chain_id, namespace) as root:
            return without_access_times(tree_of(root, self.started_at))

    def assert_nothing_is_left(self):
        self.assertEqual(self.containerd.leases(), [])
        self.assertNotIn("Active", self.containerd.snapshots().values())


class ChangedMeanwhileTest(BakeFaultsTest):
    """The file of an ingest, while prebake fills it."""

    def setUp(self):
        super().setUp()
        self.contents = self.noise(12 * MEBI)
        self.big = layer([file("noise", self.contents)])
        self.serve(self.big, layer([file("above", "x")]))
        self.gate = self.registry.gate()
        self.registry.on(self.big.blob.digest, scripted.pause(self.gate, 8 * MEBI), times=1)

    def data_file(self):
        """Of the ingest that holds at least 4 MiB."""
        ingests = self.containerd.root / "io.containerd.content.v1.content/ingest"
        found = [path for path in ingests.glob("*/data") if path.stat().st_size >= 4 * MEBI]
        return found[0] if found else None

    def disturb(self, how):
        running = self.start("bake", self.reference)
        running.at(self.gate)
        running.until(self.data_file, "bytes of the layer are in the ingest")
        how(self.data_file())
        self.gate.open()
        return running.wait()

    def check(self, how, *words):
        """The bake fails and says `words`. Nothing is named, and the next one succeeds."""
        result = self.disturb(how)
        self.assertEqual(result.code, harness.FAILED, result)
        self.assert_says(result, self.reference, self.big.blob.digest, *words)
        self.assert_not_baked(self.repository, self.image)
        self.assertNotIn(self.image.chain_id, self.containerd.snapshots())
        self.bake(self.reference)
        self.assert_baked(self.reference, self.image)
        with self.containerd.mounted(self.image.chain_id) as tree:
            self.assertEqual((tree / "noise").read_bytes(), self.contents)
        verified = self.prebake("verify", "--deep")
        self.assertEqual(verified.code, harness.DONE, verified)
        self.assert_nothing_is_left()

    def test_removed(self):
        self.check(lambda data: shutil.rmtree(data.parent), "another program")

    def test_removed_without_its_directory(self):
        self.check(lambda data: data.unlink(), "was removed or replaced", "another program")

    def test_replaced_by_other_bytes(self):
        def replace(data):
            other = data.parent / "other"
            other.write_bytes(os.urandom(data.stat().st_size))
            other.rename(data)
        self.check(replace, "was removed or replaced", "another program")

    def test_truncated(self):
        self.check(lambda data: os.truncate(data, MEBI), "digest")

    def test_overwritten(self):
        def overwrite(data):
            with open(data, "r+b") as opened:
                opened.seek(MEBI)
                opened.write(bytes(4096))
        self.check(overwrite, "digest")

    def test_longer(self):
        def append(data):
            with open(data, "ab") as opened:
                opened.truncate(20 * MEBI)
        self.check(append, "was removed or written", "another program")

    def test_filled_by_another_client(self):
        """With the same reference, and the right bytes. Its blob counts."""
        def ingest(_):
            blob = self.directory / "blob"
            blob.write_bytes(self.big.blob.content)
            with open(blob, "rb") as opened:
                self.containerd.ctr("content", "ingest", "--expected-digest", self.big.blob.digest,
                                    "--expected-size", self.big.blob.size,
                                    "prebake-" + self.big.blob.digest, stdin=opened)
        self.check(ingest, "was removed or replaced", "another program")


class RestartedTest(BakeFaultsTest):
    """containerd is restarted."""

    def test_between_the_move_of_a_tree_and_its_commit(self):
        for name, is_awaited in {"comes back before": False, "is gone at the commit": True}.items():
            for how in ("kill", "stop"):
                with self.subTest(f"{how}, {name}"):
                    self.restart(how, is_awaited)

    def restart(self, how, is_awaited):
        self.fresh_containerd()
        self.state = self.directory / f"{how}-{is_awaited}"
        image = self.three_layers()
        # The thread that has moved the tree waits before it goes on.
        running = self.start("bake", self.reference, prefix=(
            "strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=renameat2",
            "-e", "inject=renameat2:delay_exit=1500000"))
        snapshots = self.containerd.root / "io.containerd.snapshotter.v1.overlayfs/snapshots"
        running.until(lambda: list(snapshots.glob("*/fs/marker")), "the top tree is in its place")
        getattr(self.containerd, how)()
        if is_awaited:
            running.until(lambda: "containerd stopped answering" in running.stderr(), "it notices")
        self.containerd.start()
        result = running.wait()
        self.assertEqual(result.code, harness.DONE, result)
        self.assert_baked(self.reference, image)
        with self.containerd.mounted(image.chain_id) as tree:
            self.assertEqual(sorted(os.listdir(tree)), ["also", "d", "large", "marker", "to"])
            self.assertEqual(os.listdir(tree / "d"), ["top"])
        self.assertEqual(self.prebake("verify", "--deep").code, harness.DONE)
        self.assert_nothing_is_left()
        self.containerd.close()


class BrokenLayersTest(BakeFaultsTest):
    """Layers that are broken where they were built: their digests are right."""

    def broken(self, size):
        """name -> the layer, and what the error says"""
        tar = oci_image.tar_of([file("first", "x"), file("noise", self.noise(size)),
                                directory("last")])
        diff_id = oci_image.sha256(tar)
        packed, zstd = gzip.compress(tar, 1, mtime=0), oci_image.compressed(tar, "zstd")

        def stored(data, kind="gzip", promised=diff_id):
            return Layer(oci_image.blob(f"{oci_image.OCI_LAYER}+{kind}", data), promised)

        def with_byte(data, at):
            return data[:at] + bytes([data[at] ^ 1]) + data[at:][1:]

        return {
            "wrong diffID": (stored(packed, promised="sha256:" + "1" * 64), "diffid"),
            "truncated gzip": (stored(packed[:-1000]), "unexpected eof"),
            "truncated in its trailer": (stored(packed[:-3]), "unexpected eof"),
            "bad CRC": (stored(with_byte(packed, len(packed) - 6)), "checksum"),
            "bad length": (stored(with_byte(packed, len(packed) - 2)), "checksum"),
            "bytes after gzip": (stored(packed + b"not gzip"), "gzip"),
            "truncated zstd": (stored(zstd[:-1000], "zstd"), ""),
            "wrong bytes in zstd": (stored(with_byte(zstd, len(zstd) // 2), "zstd"), ""),
            "truncated tar": (stored(gzip.compress(tar[:size // 2], 1, mtime=0)), ""),
        }

    def test_broken_layers(self):
        for size in (50_000, 5 * MEBI):
            # Streamed into its own snapshot, or in place and into a tree that waits for its parent.
            below = [layer([file("below", "x")])] if size > MEBI else []
            for name, (bad, words) in self.broken(size).items():
                with self.subTest(f"{name}, {size} bytes"):
                    self.repository = f"{name}-{size}".replace(" ", "-").lower()
                    image = self.serve(*below, bad)
                    self.bake_beside_a_good_one(self.reference, bad.blob.digest, words, image=image)
                    self.assertNotIn(image.chain_id, self.containerd.snapshots())
                    self.assert_nothing_is_left()

    def test_a_large_blob_with_wrong_bytes(self):
        """Its tree is written while it arrives, and must not count."""
        image = self.serve(layer([file("noise", self.noise(6 * MEBI))]), layer([file("x", "y")]))
        digest = image.layers[0].blob.digest
        self.registry.on("/blobs/" + digest, scripted.wrong_bytes)
        self.bake_beside_a_good_one(self.reference, digest, "digest", image=image)
        self.assertNotIn(digest, self.containerd.blobs())
        self.assertNotIn(image.layers[0].diff_id, self.containerd.snapshots())
        self.assert_nothing_is_left()
        self.registry.behave()
        self.bake(self.reference)
        self.assert_baked(self.reference, image)


class TogetherTest(BakeFaultsTest):
    """Others work on the same image at the same moment."""

    def setUp(self):
        super().setUp()
        self.started_at = time.time_ns() - 1_000_000_000
        self.fresh_containerd()

    def wanted_tree(self):
        """Of a bake that nobody disturbs."""
        self.state = self.directory / f"undisturbed{time.monotonic_ns()}"
        self.bake(self.reference, "-n", self.state.name)
        return self.tree(self.image, self.state.name)

    def assert_equal_trees(self, *namespaces):
        wanted = self.wanted_tree()
        for namespace in namespaces:
            both = {"the undisturbed bake": wanted, namespace: self.tree(self.image, namespace)}
            self.assertEqual(differences(both, *both), [])

    def paused(self):
        """Requests for the first layer wait in the middle of it."""
        gate = self.registry.gate()
        self.registry.on(self.image.layers[0].blob.digest, scripted.pause(gate, 2 * MEBI))
        return gate

    def requests_of_layers(self, *indexes):
        digests = [self.image.layers[i].blob.digest for i in indexes]
        return [item for item in self.registry.blob_requests()
                if item.path.rpartition("/")[2] in digests]

    def test_two_bakes_of_one_image_into_two_namespaces(self):
        self.three_layers()
        gate = self.paused()
        bakes = []
        for namespace in ("one", "two"):
            self.state = self.directory / namespace
            bakes.append(self.start("bake", self.reference, "-n", namespace))
        bakes[1].until(lambda: len(self.requests_of_layers(0)) == 2, "both fetch the layer")
        gate.open()
        for bake in bakes:
            result = bake.wait()
            self.assertEqual(result.code, harness.DONE, result)
        for namespace in ("one", "two"):
            self.assert_baked(self.reference, self.image, namespace)
            self.assertEqual(self.containerd.leases(namespace), [])
            self.assertNotIn("Active", self.containerd.snapshots(namespace).values())
        self.assert_equal_trees("one", "two")

    def test_another_client_pulls_the_same_image(self):
        for first in ("bake", "pull"):
            with self.subTest(f"{first} begins"):
                self.repository = f"{first}-first"
                self.state = self.directory / first
                self.noise = random.Random(first).randbytes
                self.three_layers()
                gate = self.paused()
                begun = {}
                for who in (first, "pull" if first == "bake" else "bake"):
                    if who == "bake":
                        begun[who] = self.start("bake", self.reference)
                    else:
                        begun[who] = self.start_pull()
                    harness.wait_until(lambda: len(self.requests_of_layers(0)) >= len(begun),
                                       f"{who} fetches the layer")
                gate.open()
                result = begun["bake"].wait()
                self.assertEqual(result.code, harness.DONE, result)
                out, _ = begun["pull"].communicate(timeout=harness.DEADLINE)
                self.assertEqual(begun["pull"].returncode, 0, out)
                self.assert_baked(self.reference, self.image)
                verified = self.prebake("verify", "--deep")
                self.assertEqual(verified.code, harness.DONE, verified)
                self.assert_nothing_is_left()
                self.assert_equal_trees("k8s.io")

    def start_pull(self):
        return subprocess.Popen(
            self.containerd.ctr_command("images", "pull", "--plain-http", self.reference),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class OtherDiskTest(BakeFaultsTest):
    """The snapshots are not on the disk of the content store."""

    def bake_with_snapshots_on(self, size):
        self.started_at = time.time_ns() - 1_000_000_000
        other = self.workspace.mount_tmpfs(self.directory / "other", f"{size}")
        self.fresh_containerd(start=False)
        self.containerd.configure(overlayfs_root=other)
        self.containerd.start()
        return other

    def test_trees_are_written_side_by_side_there_too(self):
        other = self.bake_with_snapshots_on(200 * MEBI)
        self.three_layers()
        result = self.bake(self.reference, "--json")
        self.assertEqual(result.json["layersInPlace"], 2)
        self.assertEqual(result.json.get("layersUnpackedByContainerd", 0), 0)
        self.assertEqual(len(list((other / "snapshots").iterdir())), 3)
        self.assert_baked(self.reference, self.image)
        self.assertEqual(self.prebake("verify", "--deep").code, harness.DONE)
        with self.containerd.mounted(self.image.chain_id) as tree:
            self.assertEqual(os.listdir(tree / "d"), ["top"])
        self.assert_nothing_is_left()

    def test_a_full_one_is_told_from_that_of_the_content(self):
        self.bake_with_snapshots_on(4 * MEBI)
        image = self.three_layers()
        result = self.bake(self.reference, code=harness.FAILED)
        self.assert_says(result, "of disk for snapshots")
        result = self.bake(self.reference, "--no-space-check", code=harness.FAILED)
        self.assert_says(result, self.reference, "does not fit on the disk when it is unpacked")
        self.assert_not_baked(self.repository, image)
        self.assert_nothing_is_left()


if __name__ == "__main__":
    harness.main()
