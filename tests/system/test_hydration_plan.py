#!/usr/bin/python3
"""The plan of what nodes read ahead, compared with where other programs say that files are."""

import json
import os
import re
import shutil
import subprocess

import harness
import oci_image
from oci_image import file, layer
from scratch_disk import ScratchDisk

MEBI = 1 << 20
CHUNK = 512 << 10


def output_of(*command):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True).stdout


def chunks_of(part):
    """The set of chunks, from pairs of gap and length."""
    chunks, at = set(), 0
    for gap, count in zip(part["runs"][::2], part["runs"][1::2], strict=True):
        at += gap
        chunks.update(range(at, at + count))
        at += count
    assert len(chunks) == part["chunks"]
    return chunks


def touched(offset, length):
    return set(range(offset // CHUNK, (offset + length - 1) // CHUNK + 1))


def extents(path):
    """Chunks of the file's or directory's data, as filefrag sees them, or, of an XFS' directory,
    xfs_io."""
    chunks = set()
    if path.is_dir() and output_of("stat", "--file-system", "--format=%T", path).strip() == "xfs":
        listed = output_of("xfs_io", "-r", "-c", "bmap", path)
        for line in re.finditer(r": (\d+)\.\.(\d+)$", listed, re.M):
            chunks |= touched(int(line[1]) * 512, (int(line[2]) - int(line[1]) + 1) * 512)
        return chunks
    listed = output_of("filefrag", "-b1", "-v", path)
    for line in re.finditer(r"^ *\d+: *\d+\.\. *\d+: *(\d+)\.\. *\d+: *(\d+):(.*)$", listed, re.M):
        if not re.search(r"inline|unwritten|unknown|delalloc", line[3]):
            chunks |= touched(int(line[1]), int(line[2]))
    return chunks


class PlanTest(harness.SystemTest):
    kind = "ext4"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.disk = ScratchDisk(cls.workspace.path / "disk", 512 * MEBI, cls.kind)
        cls.addClassCleanup(cls.disk.close)

    def setUp(self):
        super().setUp()
        self.mount = self.enterContext(self.disk.fresh())
        self.device = output_of("findmnt", "--noheadings", "--output", "SOURCE", self.mount).strip()
        self.fresh_containerd(self.mount / "root")

    def plan(self):
        return json.loads((self.state / "hydration-plan.json").read_text())

    def volume(self):
        uuid = output_of("blkid", "--probe", "--output", "value", "--match-tag", "UUID",
                         self.device).strip()
        [volume] = [item for item in self.plan()["volumes"] if item["uuid"] == uuid]
        return volume

    def chunks(self, rank, image=None):
        return set().union(*(chunks_of(part) for part in self.volume()["parts"]
                             if part["rank"] == rank and image in (None, part["image"])))

    def inode_chunks(self, numbers):
        chunks = set()
        asked = "".join(f"imap <{number}>\n" for number in numbers)
        listed = subprocess.run(["debugfs", "-f", "-", self.device], input=asked, check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout
        found = re.findall(r"located at block (\d+), offset 0x([0-9a-f]+)", listed)
        self.assertEqual(len(found), len(numbers))
        block_size = os.statvfs(self.mount).f_frsize
        for block, offset in found:
            chunks |= touched(int(block) * block_size + int(offset, 16), 1)
        return chunks

    def tree(self, *roots):
        """(chunks of what files and directories hold, numbers of all inodes) of the trees."""
        held, inodes = set(), set()
        for root in roots:
            for path in [root, *root.rglob("*")]:
                inodes.add(path.lstat().st_ino)
                if not path.is_symlink() and (path.is_file() or path.is_dir()):
                    held |= extents(path)
        return held, inodes

    def serve(self, name, *layers):
        return self.registry.serve(f"{self.repository}-{name}", oci_image.image(list(layers)))

    def snapshots(self):
        return sorted((self.mount / "root/io.containerd.snapshotter.v1.overlayfs/snapshots")
                      .glob("*/fs"))

    def test_what_is_baked_is_in_the_plan(self):
        many = layer([file(f"many/{i // 50}/{i}", b"x" * (1 + 37 * i)) for i in range(400)])
        large = layer([file("large", os.urandom(5 * MEBI)),
                       oci_image.symlink("link", "large"), file("empty", b"")])
        reference = self.serve("one", many, large)
        report = self.bake(reference, "--json").json
        cold = report["cold"]
        os.sync()
        self.containerd.stop()  # it removes what it has not yet removed of a view
        self.assertEqual(cold["chunks"], sum(part["chunks"] for volume in self.plan()["volumes"]
                                             for part in volume["parts"]))
        self.assertEqual(cold["bytes"], cold["chunks"] * CHUNK)
        held, inodes = self.tree(*self.snapshots())
        planned = self.chunks("METADATA") | self.chunks("IMAGES")
        self.assertEqual(held - planned, set())
        self.assertEqual(self.inode_chunks(inodes) - planned, set())
        databases = [self.mount / "root/io.containerd.metadata.v1.bolt/meta.db",
                     self.mount / "root/io.containerd.snapshotter.v1.overlayfs/metadata.db"]
        for path in databases:
            self.assertEqual(extents(path) - self.chunks("METADATA"), set())
        # Nothing but what the file system holds for containerd, and what it needs to find it.
        everything, inodes = self.tree(self.mount)
        explained = everything | self.inode_chunks(inodes) | self.basics()
        self.assertEqual(planned - explained, set())
        self.assertLess((self.state / "hydration-plan.json").stat().st_size, 20_000)

    def basics(self):
        """Superblock and descriptors of groups."""
        return {0}

    def test_images_are_read_by_priority(self):
        contents = {name: os.urandom(8 * MEBI) for name in "abc"}  # some chunks in a row
        data = {name: layer([file("data", contents[name])]) for name in "abc"}
        names = {name: self.serve(name, data[name]) for name in "abc"}
        self.bake("-f", self.image_list((names["a"], {}), (names["b"], {"priority": 10}),
                                        (names["c"], {"priority": -1})))
        order = list(dict.fromkeys(part["image"] for part in self.volume()["parts"]
                                   if part["rank"] == "IMAGES"))
        self.assertEqual(order, [names["b"], names["a"], names["c"]])
        parts = self.volume()["parts"]
        seen = [chunks_of(part) for part in parts]
        self.assertEqual(len(set().union(*seen)), sum(map(len, seen)), "a chunk is read once")
        ranks = [part["rank"] for part in parts]
        self.assertEqual(ranks, sorted(ranks, key=["METADATA", "TRACED", "IMAGES", "BOOT"].index))
        # The blobs of layers, which no container reads, come after all snapshots.
        [blob] = [path for path in (self.mount / "root").rglob(data["b"].blob.digest[7:])]
        held = extents(blob)
        inner = {chunk for chunk in held if {chunk - 1, chunk + 1} <= held}  # nothing else's
        [of_blob] = [i for i, part in enumerate(parts) if inner & chunks_of(part)]
        snapshot = extents(next(path for path in self.snapshots()
                                if (path / "data").read_bytes() == contents["c"]) / "data")
        of_snapshot = [i for i, part in enumerate(parts) if snapshot & chunks_of(part)]
        self.assertGreater(of_blob, max(of_snapshot))

    def test_a_plan_of_the_same_images_stays(self):
        reference = self.serve("one", layer([file("data", os.urandom(MEBI))]))
        self.bake(reference)
        before = self.plan()
        self.assertNotIn("cold", self.bake(reference, "--json").json)
        self.assertEqual(self.plan(), before)
        other = self.serve("two", layer([file("data", os.urandom(MEBI))]))
        self.bake(other)
        self.assertNotEqual(self.plan()["madeFrom"], before["madeFrom"])
        self.assertEqual(len(self.plan()["layers"]), 2)

    def test_counting_what_is_left_changes_no_access_times(self):
        left = self.directory / "left" / "below"  # in /tmp
        left.mkdir(parents=True)
        (left / "file").write_bytes(bytes(2 * MEBI))
        os.utime(left, (50, 50))
        reference = self.serve("one", layer([file("data", "x")]))
        cold = self.bake(reference, "--json").json["cold"]
        self.assertGreaterEqual(sum(item["bytes"] for item in cold["leftByBuild"]), 2 * MEBI)
        self.assertEqual(left.stat().st_atime, 50)

    def test_a_damaged_plan_is_replaced(self):
        reference = self.serve("one", layer([file("data", os.urandom(MEBI))]))
        self.bake(reference)
        for text in ("", "{", '{"schema": "prebake.v2.HydrationPlan"}'):
            (self.state / "hydration-plan.json").write_text(text)
            self.bake(reference)
            self.assertGreater(self.volume()["parts"][0]["chunks"], 0)

    def test_a_boot_of_a_larger_disk_is_cut(self):
        uuid = output_of("blkid", "--probe", "--output", "value", "--match-tag", "UUID",
                         self.device).strip()
        chunks = 512 * MEBI // CHUNK
        boot = {"schema": "prebake.v1.ReadTrace",
                "volumes": [{"uuid": uuid, "chunkBytes": str(CHUNK),
                             "runs": [str(chunks - 2), "100"]}]}
        trace = self.workspace.path / "boot.json"
        trace.write_text(json.dumps(boot))
        reference = self.serve("one", layer([file("data", os.urandom(MEBI))]))
        self.bake("-f", self.image_list((reference, {"trace": str(trace)})))
        self.assertEqual(self.chunks("BOOT"), {chunks - 2, chunks - 1})

    def test_files_have_places_where_no_device_can_be_opened(self):
        reference = self.serve("one", layer([file("data", os.urandom(2 * MEBI))]))
        uuid = output_of("blkid", "--probe", "--output", "value", "--match-tag", "UUID",
                         self.device).strip()
        # As in a sandbox: udev's links are there, and the device's node is not.
        private = ("mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mkdir -p /dev/disk/by-uuid"
                   f" && ln -s ../..{self.device[4:]} /dev/disk/by-uuid/{uuid} && exec \"$@\"")
        report = self.bake(reference, "--json",
                           prefix=("unshare", "--mount", "sh", "-c", private, "sh")).json
        os.sync()
        [data] = (path / "data" for path in self.snapshots() if (path / "data").exists())
        self.assertEqual(extents(data) - self.chunks("IMAGES") - self.chunks("METADATA"), set())
        self.assertEqual(int(self.volume()["bytes"]), 512 * MEBI)
        self.assertEqual(self.volume()["type"], self.kind)
        self.assertIn(f"no inodes of {self.mount}: cannot read", "".join(report["cold"]["notes"]))
        # With the device, the plan of before holds.
        self.assertNotIn("cold", self.bake(reference, "--json").json)

    def test_a_plan_of_a_copied_disk_is_made_again(self):
        reference = self.serve("one", layer([file("data", os.urandom(MEBI))]))
        self.bake(reference)
        plan = self.plan()
        for volume in plan["volumes"]:
            for sentinel in volume["sentinels"]:
                sentinel["offset"] = str(int(sentinel["offset"]) + 4096)
        (self.state / "hydration-plan.json").write_text(json.dumps(plan))
        self.assertIn("cold", self.bake(reference, "--json").json)

    def test_directories_of_a_store_that_began_again_are_not_mixed_up(self):
        layers = {name: layer([file(name, os.urandom(MEBI))]) for name in ("one", "two")}
        first, second = (self.serve(name, layers[name]) for name in layers)
        self.bake(first, second)
        self.containerd.stop()
        shutil.rmtree(self.mount / "root")
        self.fresh_containerd(self.mount / "root")
        for reference in (second, first):  # the other order, so the other directories
            self.bake(reference)
            for planned in self.plan()["layers"]:
                [name] = os.listdir(planned["directory"])
                self.assertEqual(planned["diffId"], layers[name].diff_id)

    def test_without_room_for_the_plan_the_bake_is_good(self):
        reference = self.serve("one", layer([file("data", os.urandom(MEBI))]))
        self.bake(reference)
        (self.state / "hydration-plan.json").unlink()
        (self.state / "hydration-plan.json").mkdir()  # where no file can be
        (self.state / "hydration-plan.json" / "in-the-way").write_text("")
        result = self.bake(reference)
        self.assert_says(result, "hydration plan", str(self.state))


class PlanOnXfsTest(PlanTest):
    kind = "xfs"

    def inode_chunks(self, numbers):
        chunks = set()
        for number in numbers:
            said = output_of("xfs_db", "-r", "-c", f"convert ino {number} daddr", self.device)
            chunks |= touched(int(re.search(r"\((\d+)\)", said)[1]) * 512, 1)
        return chunks

    def basics(self):
        """The headers of all allocation groups."""
        said = output_of("xfs_info", self.mount)
        count, size = (int(re.search(rf"{word}=(\d+)", said)[1]) for word in ("agcount", "agsize"))
        block = int(re.search(r"data += +bsize=(\d+)", said)[1])
        return {group * size * block // CHUNK for group in range(count)}


if __name__ == "__main__":
    harness.main()
