#!/usr/bin/python3
"""A bake takes the fast paths on every file system that nodes have, and makes the tree that
containerd makes there."""

import json
import pathlib
import shutil
import subprocess
import time

import file_trees
import harness
import oci_image
from daemons import ADMIN_PATH
from oci_image import directory, file, hardlink, opaque, symlink, whiteout
from random_layers import CAPABILITY, CHAR, FIFO, piece

MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"],
        "btrfs": ["mkfs.btrfs", "-q", "-f"]}
SIZE = 600 << 20
MEBI = 1 << 20


def special_layer():
    """What the entries of oci_image cannot say."""
    pieces = [piece(b"bin/ping", mode=0o755, data=b"x",
                    records=[(b"SCHILY.xattr.security.capability", CAPABILITY)]),
              piece(b"dev/null", CHAR, major=1, minor=3, mode=0o666), piece(b"run/pipe", FIFO),
              piece(b"\xff\xfe\n", data=b"not UTF-8")]
    return oci_image.layer([], tar=b"".join(pieces) + bytes(1024))


class FileSystemTest(harness.SystemTest):
    def image(self, name):
        noise = oci_image.small_image(name, size=6 * MEBI).layers[0]  # large enough to be in place
        bottom = oci_image.layer([
            directory("etc", 0o750, uid=7, gid=8), file("etc/gone", "x"), directory("var"),
            file("var/old", "x"), file("bin/su", "#!", 0o4755), symlink("link", "etc"),
            file("bin/one", "1", xattrs=(("user.colour", "red"),)), hardlink("bin/two", "bin/one"),
            file("replaced", "x")])
        top = oci_image.layer([
            whiteout("etc/gone"), opaque("var"), file("var/new", "y"), directory("replaced"),
            file("replaced/inside", "y"), file("etc/implied", "y")], compression="zstd")
        return oci_image.image([bottom, special_layer(), noise, top])

    def mounted_file_system(self, kind):
        """The path of a new one. None: the kernel cannot mount it."""
        disk, target = self.directory / f"{kind}.disk", self.directory / kind
        with open(disk, "wb") as out:
            out.truncate(SIZE)
        subprocess.run([*MAKE[kind], disk], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        target.mkdir()
        mount = subprocess.run(["mount", "-o", "loop", disk, target])
        known = pathlib.Path("/proc/filesystems").read_text().split()
        if mount.returncode != 0 and kind not in known:
            return None
        mount.check_returncode()
        self.addCleanup(subprocess.run, ["umount", "-l", target], check=True)
        return target

    def test_every_file_system(self):
        for kind in MAKE:
            with self.subTest(kind):
                self.assertTrue(shutil.which(MAKE[kind][0], path=ADMIN_PATH), MAKE[kind][0])
                place = self.mounted_file_system(kind)
                if not place:
                    print(f"not run with {kind}: this kernel does not have it")
                    continue
                name = f"{self.repository}/{kind}"
                image = self.image(name.replace("/", "-"))
                reference = self.registry.serve(name, image)
                started = time.time_ns()
                trees = {}
                self.fresh_containerd(place / "pulled")
                self.containerd.ctr("images", "pull", "--plain-http", reference)
                trees["containerd"] = self.tree(image, started)
                self.containerd.stop()
                self.fresh_containerd(place / "baked")
                report = json.loads(self.bake("--json", reference).stdout)
                trees["prebake"] = self.tree(image, started)
                self.assertEqual(file_trees.differences(trees, "containerd", "prebake"), [])
                self.assertEqual((report["layersInPlace"], report["layersUnpacked"],
                                  report["layersUnpackedByContainerd"]), (1, 4, 0), report)
                self.assert_baked(reference, image)
                self.containerd.stop()

    def tree(self, image, started):
        with self.containerd.mounted(image.chain_id) as root:
            return file_trees.without_access_times(file_trees.tree_of(root, started))


if __name__ == "__main__":
    harness.main()
