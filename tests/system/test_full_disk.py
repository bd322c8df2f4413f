#!/usr/bin/python3
"""containerd's disk, a small ext4, is full: in the middle of a tree, of a blob, or at a sync. And
layers that are small, and unpack to more than any disk has."""

import contextlib
import os
import random
import shutil
import time
import zlib

import harness
import oci_image
from oci_image import Layer, file, layer
from scratch_disk import ScratchDisk

MEBI = 1 << 20


def gzip_member(data):
    """One of the members that a gzip stream is made of. Any number of them is a stream, too."""
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packed.compress(data) + packed.flush()


def bomb(names, size, step=16 * MEBI):
    """A layer with files of `size` zeros. Its diffID is wrong: computing it would take long, and
    nobody comes that far."""
    zeros = gzip_member(bytes(step))
    members = []
    for name in names:
        info = oci_image.tarfile.TarInfo(name)
        info.size, info.mtime = size, oci_image.EPOCH
        members += [gzip_member(info.tobuf(oci_image.tarfile.PAX_FORMAT)), zeros * (size // step)]
    stored = oci_image.blob(oci_image.OCI_LAYER + "+gzip",
                            b"".join([*members, gzip_member(bytes(1024))]))
    return Layer(stored, "sha256:" + "0" * 64)


class FullDiskTest(harness.SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.disk = ScratchDisk(cls.workspace.path / "disk", 192 * MEBI)
        cls.addClassCleanup(cls.disk.close)

    def setUp(self):
        super().setUp()
        self.mount = self.enterContext(self.disk.fresh())
        self.fresh_containerd(self.mount / "root")
        self.noise = random.Random(self.repository).randbytes
        small = oci_image.small_image(self.repository + "-small")
        self.small, self.small_reference = small, self.registry.serve(self.repository + "-small",
                                                                      small)

    def free(self):
        found = os.statvfs(self.mount)
        return found.f_bfree * found.f_frsize  # root may use what is reserved

    def leave_free(self, size):
        """Fills the disk except for `size` bytes. The file system keeps some to itself."""
        room = self.mount / "room"
        with open(room, "wb") as file_of_room, open(self.mount / "filler", "wb") as filler:
            os.posix_fallocate(file_of_room.fileno(), 0, size)
            end = 0
            for step in (16 * MEBI, MEBI, MEBI // 16):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(filler.fileno(), end, step)
                        end += step
        room.unlink()

    def serve(self, *layers):
        image = oci_image.image(list(layers))
        return image, self.registry.serve(self.repository, image)

    def fails_then_works(self, image, reference, *words, prefix=()):
        """The bake fails and says `words`, and leaves nothing. With more room the next one works.
        """
        before = self.free()
        result = self.bake(reference, "--no-space-check", code=harness.FAILED, prefix=prefix)
        self.assert_says(result, reference, *words)
        self.assertFalse((self.state / "bake.json").exists())
        self.assert_not_baked(self.repository, image)
        self.assert_nothing_is_left(before)
        if (self.mount / "filler").exists():
            (self.mount / "filler").unlink()
        self.bake(reference)
        self.assert_baked(reference, image)
        verified = self.prebake("verify", "--deep")
        self.assertEqual(verified.code, harness.DONE, verified)
        return result

    def assert_nothing_is_left(self, before):
        self.assertEqual(self.containerd.leases(), [])
        self.assertEqual(self.containerd.snapshots(), {})
        self.assertGreater(self.free(), before - 2 * MEBI)

    def test_in_the_middle_of_a_tree(self):
        """Of the first layer, which is written into its own snapshot, or of a second one, which
        waits for it."""
        wide = [file(f"{i}/{j}", bytes(400_000)) for i in range(20) for j in range(10)]
        for name, layers in {
                "first": [layer(wide)],
                "second": [layer([file("below", self.noise(100))]), layer(wide)]}.items():
            with self.subTest(name):
                self.repository = f"tree-{name}"
                self.leave_free(40 * MEBI)
                image, reference = self.serve(*layers)
                self.fails_then_works(image, reference, layers[-1].blob.digest, "space",
                                      "free disk space")
                self.delete_images()

    def delete_images(self):
        for name in self.containerd.images():
            self.containerd.ctr("images", "rm", "--sync", name)
        shutil.rmtree(self.state)

    def test_the_next_image_has_the_room_again(self):
        (self.directory / "prebake.toml").write_text(harness.ONE_BY_ONE)
        self.leave_free(40 * MEBI)
        wide = [file(f"{i}", self.noise(10) + bytes(400_000)) for i in range(200)]
        image, reference = self.serve(layer(wide))
        result = self.bake(reference, self.small_reference, "--no-space-check",
                           code=harness.PARTIAL)
        self.assert_says(result, reference, image.layers[0].blob.digest, "space")
        self.assert_baked(self.small_reference, self.small)
        self.assert_not_baked(self.repository, image)

    def test_in_the_middle_of_a_blob(self):
        big = layer([file("noise", self.noise(20 * MEBI))])
        small = layer([file("noise", self.noise(3 * MEBI))])
        for name, one, free, prefix in (
                ("reserved", big, 10 * MEBI, ()),
                # Where the file system cannot reserve space.
                ("written", big, 10 * MEBI, self.injecting("fallocate:error=EOPNOTSUPP")),
                ("streamed", small, 2 * MEBI, ())):
            with self.subTest(name):
                self.repository = f"blob-{name}"
                self.leave_free(free)
                image, reference = self.serve(one)
                self.fails_then_works(image, reference, one.blob.digest, "space",
                                      "free disk space", prefix=prefix)
                self.delete_images()

    @staticmethod
    def injecting(*faults):
        """The prefix of a command whose system calls fail as strace(1) describes it."""
        options = [option for fault in faults for option in ("-e", "inject=" + fault)]
        names = ",".join(fault.partition(":")[0] for fault in faults)
        return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + names, *options)

    def test_at_a_sync(self):
        """The disk accepts the files, and fails to write them."""
        layers = [layer([file(f"{i}", self.noise(5 * MEBI))]) for i in range(2)]
        for name, fault in {"of trees": "syncfs:error=ENOSPC",
                            "of a broken disk": "syncfs:error=EIO",
                            "of their directories": "fsync:error=ENOSPC"}.items():
            with self.subTest(name):
                self.repository = "sync-" + name.replace(" ", "-")
                image, reference = self.serve(*layers)
                self.fails_then_works(image, reference, "cannot sync",
                                      prefix=self.injecting(fault))
                self.delete_images()

    def test_a_bomb(self):
        """A layer of a few MB that unpacks to 8 GiB, in one file or in many."""
        many = bomb(map(str, range(1024)), 8 * MEBI, step=8 * MEBI)
        for name, one in {"one file": bomb(["zeros"], 8192 * MEBI), "many files": many}.items():
            with self.subTest(name):
                self.assertLess(one.blob.size, 16 * MEBI)
                self.repository = "bomb-" + name.replace(" ", "-")
                image, reference = self.serve(one)
                before = self.free()
                began = time.monotonic()
                result = self.bake(reference, code=harness.FAILED)
                print(f"refused after {time.monotonic() - began:.1f} s")
                self.assert_says(result, reference, one.blob.digest, "space")
                self.assert_not_baked(self.repository, image)
                self.assert_nothing_is_left(before)
        self.bake(self.small_reference)
        self.assert_baked(self.small_reference, self.small)


if __name__ == "__main__":
    harness.main()
