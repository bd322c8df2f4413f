#!/usr/bin/python3
"""verify --deep finds files of snapshots that are not those of their layers, and repairs them.

Files that are empty after an unclean stop are what users meet: containerd knows nothing of it, and
neither does a bake.
"""

import dataclasses
import json
import os
import signal
import stat

import harness
import node
import oci_image

# Where 70 Kb are more than one block of anything.
LARGE = "0123456789" * 7_000


class DamagedTreesTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.fresh_containerd()
        # Two images on one base.
        self.base = oci_image.layer([
            oci_image.directory("etc"), oci_image.file("etc/motd", "welcome"),
            oci_image.file("etc/large", LARGE), oci_image.symlink("etc/link", "motd"),
            oci_image.hardlink("etc/hard", "etc/motd"), oci_image.file("etc/gone", "for now")])
        top = oci_image.layer([oci_image.file("etc/motd", "other"), oci_image.whiteout("etc/gone")])
        self.images = [oci_image.image([self.base, top]),
                       oci_image.image([self.base, oci_image.layer([oci_image.file("own", "x")])])]
        self.references = [self.registry.serve(f"{self.repository}/{i}", image)
                           for i, image in enumerate(self.images)]
        self.bake(*self.references)

    def chains(self, image):
        return [dataclasses.replace(image, layers=image.layers[:i + 1]).chain_id
                for i in range(len(image.layers))]

    def files_of(self, chain_id):
        """The directory of one committed snapshot."""
        key = f"look-{chain_id[-12:]}"
        text = self.containerd.ctr("snapshots", "view", "--target", "/nowhere", key, chain_id)
        # Nothing refers to the view: containerd may have collected it.
        self.containerd.run_ctr("snapshots", "rm", key)
        words = text.split()
        if "bind" in words:
            return words[words.index("bind") + 1]
        lower = next(part for part in text.replace(",", " ").split()
                     if part.startswith("lowerdir="))
        return lower.removeprefix("lowerdir=").split(":")[0]

    @property
    def base_files(self):
        return self.files_of(self.chains(self.images[0])[0])

    def deep(self, *arguments, code=harness.DONE):
        report = self.prebake("verify", "--deep", "--json", *arguments)
        self.assertEqual(report.code, code, report)
        return report.json

    def damage(self):
        path = os.path.join(self.base_files, "etc/large")
        os.truncate(path, 0)
        return path

    def assert_whole(self):
        path = os.path.join(self.base_files, "etc/large")
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), LARGE)
        return path

    def keep(self, snapshot):
        """As a container or an image would."""
        self.containerd.ctr("snapshots", "label", snapshot, "containerd.io/gc.root=1")

    def test_whole_trees(self):
        report = self.deep()
        self.assertEqual(report["findings"], [])
        self.assertEqual((report["snapshotsCompared"], report["notCompared"]), (3, []))
        # etc with its 6 files; etc, a file and a whiteout; a file
        self.assertEqual(report["filesCompared"], 6 + 3 + 1)
        result = self.prebake("verify", "--deep")
        self.assertIn("10 files of 3 snapshots compared", result.stdout.splitlines()[-1])
        self.assertEqual(len(self.containerd.snapshots()), 3, "the views are removed")
        self.assertEqual(self.containerd.leases(), [], "and their leases")

    def test_an_empty_file(self):
        path = self.damage()
        self.assertEqual(self.prebake("verify").code, harness.DONE, "nothing in the metadata")
        finding, = self.deep(code=harness.NOT_READY)["findings"]
        self.assertEqual((finding["path"], finding["layer"], finding["snapshot"]),
                         ("/etc/large", self.base.blob.digest, self.chains(self.images[0])[0]))
        self.assertIn(finding["image"], self.references)
        self.assertIn("70000 bytes", finding["expected"])
        self.assertIn("0 bytes", finding["found"])
        self.assertEqual(finding["nextStep"], "prebake verify --deep --repair")
        told = self.prebake("verify", "--deep").stdout
        for words in ("/etc/large", self.base.blob.digest, "NOT OK: 1 finding"):
            self.assertIn(words, told)
        # A bake reads no trees.
        self.bake(*self.references)
        self.assertEqual(os.path.getsize(path), 0)

    def test_every_kind_of_damage(self):
        kinds = {
            "a flipped byte": lambda path: self.flip(path, 69_999),
            "an added byte": lambda path: os.truncate(path, 70_001),
            "the mode": lambda path: os.chmod(path, 0o600),
            "the owner": lambda path: os.chown(path, 5, -1),
            "the group": lambda path: os.chown(path, -1, 5),
            "the time": lambda path: os.utime(path, (1, 1)),
            "an xattr": lambda path: os.setxattr(path, "user.added", b"1"),
            "gone": os.unlink,
            "a link": lambda path: (os.unlink(path), os.symlink("motd", path)),
            "a directory": lambda path: (os.unlink(path), os.mkdir(path)),
        }
        for name, damage in kinds.items():
            with self.subTest(name):
                damage(os.path.join(self.base_files, "etc/large"))
                paths = {finding["path"]
                         for finding in self.deep(code=harness.NOT_READY)["findings"]}
                # Its directory got a new time.
                self.assertLessEqual({"/etc/large"}, paths)
                self.assertLessEqual(paths, {"/etc/large", "/etc"})
                self.deep("--repair")
                self.assert_whole()

    @staticmethod
    def flip(path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def test_links_and_surplus_files_and_whiteouts(self):
        base = self.base_files
        upper = self.files_of(self.chains(self.images[0])[1])
        self.assertTrue(stat.S_ISCHR(os.lstat(os.path.join(upper, "etc/gone")).st_mode))
        os.unlink(os.path.join(upper, "etc/gone"))
        os.unlink(os.path.join(base, "etc/hard"))
        with open(os.path.join(base, "etc/hard"), "w", encoding="ascii") as copy:
            copy.write("welcome")
        os.unlink(os.path.join(base, "etc/link"))
        os.symlink("elsewhere", os.path.join(base, "etc/link"))
        os.mkfifo(os.path.join(base, "surplus\n"))
        found = {(finding["layer"], finding["path"])
                 for finding in self.deep(code=harness.NOT_READY)["findings"]}
        lower, upper = self.base.blob.digest, self.images[0].layers[1].blob.digest
        self.assertLessEqual({(upper, "/etc/gone"), (lower, "/etc/link"), (lower, "/surplus?")},
                             found)
        self.assertTrue(found & {(lower, "/etc/hard"), (lower, "/etc/motd")})
        repaired = self.deep("--repair")
        self.assertEqual(repaired["findings"], [])

    def test_a_repair_makes_what_stands_on_it_again(self):
        self.damage()
        self.registry.go_down()
        self.addCleanup(self.registry.come_back)
        before = self.containerd.snapshots()
        repaired = self.deep("--repair")
        self.assertTrue(repaired["ok"])
        self.assertEqual(repaired["repaired"], 1)
        self.assert_whole()
        self.assertEqual(set(self.containerd.snapshots()), set(before))
        for reference, image in zip(self.references, self.images):
            self.assert_baked(reference, image)

    def test_a_snapshot_in_use(self):
        path = self.damage()
        chain = self.chains(self.images[1])
        self.containerd.ctr("snapshots", "prepare", "some-container", chain[1])
        self.keep("some-container")
        finding, = self.deep(code=harness.NOT_READY)["findings"]
        self.assertIn("some-container", finding["nextStep"])
        self.assertIn("drain", finding["nextStep"])
        result = self.prebake("verify", "--deep", "--repair")
        self.assertEqual(result.code, harness.NOT_READY, result)
        self.assert_says(result, "some-container", chain[0])
        self.assertEqual(os.path.getsize(path), 0)
        self.assertEqual(set(self.containerd.snapshots()) - {"some-container"},
                         {*self.chains(self.images[0]), *chain}, "nothing is removed")
        self.containerd.ctr("snapshots", "rm", "some-container")
        self.deep("--repair")
        self.assert_whole()

    def test_a_snapshot_that_only_the_collector_removes(self):
        """containerd's collector does not tell a snapshot that its child is gone."""
        self.damage()
        # Two damaged snapshots, one on the other.
        upper = self.files_of(self.chains(self.images[0])[1])
        os.truncate(os.path.join(upper, "etc/motd"), 0)
        for chain_id in (*self.chains(self.images[0]), self.chains(self.images[1])[1]):
            self.containerd.run_ctr("snapshots", "view", f"collected-{chain_id[-8:]}", chain_id)
        self.containerd.collect_garbage()
        self.assertEqual(len(self.containerd.snapshots()), 3)
        refused = self.containerd.run_ctr("snapshots", "rm", self.chains(self.images[1])[1])
        self.assertIn("with child", refused.stderr)
        self.deep("--repair")
        self.assert_whole()
        for reference, image in zip(self.references, self.images):
            self.assert_baked(reference, image)
        self.containerd.collect_garbage()
        self.assertEqual(len(self.containerd.snapshots()), 3)
        self.assertEqual(self.containerd.leases(), [])

    def test_a_snapshot_below_that_of_another_client(self):
        self.damage()
        base = self.chains(self.images[0])[0]
        self.containerd.ctr("snapshots", "prepare", "of-another", base)
        self.containerd.ctr("snapshots", "commit", "another", "of-another")
        self.keep("another")
        finding, = self.deep(code=harness.NOT_READY)["findings"]
        self.assertIn("the snapshot another, which was not baked", finding["nextStep"])
        result = self.prebake("verify", "--deep", "--repair")
        self.assertEqual(result.code, harness.NOT_READY, result)
        self.assert_says(result, "another")

    def test_layers_that_were_not_kept(self):
        self.damage()
        record = self.record()
        for image in record["images"]:
            for placement in image["placements"]:
                placement["layersKept"] = False
        (self.state / "bake.json").write_text(json.dumps(record))
        for image in self.images:
            for layer in image.layers:
                self.containerd.run_ctr("content", "rm", layer.blob.digest)
        report = self.deep()
        self.assertEqual((report["snapshotsCompared"], len(report["notCompared"])), (0, 3))
        self.assertIn("discard_unpacked_layers", report["notCompared"][0]["reason"])
        self.assertIn("discard_unpacked_layers", " ".join(report["warnings"]))
        result = self.prebake("verify", "--deep")
        self.assertTrue(result.stdout.startswith("ok, but not everything could be compared"),
                        result)
        self.assertIn("3 snapshots not compared", result.stdout)
        self.assert_says(result, "discard_unpacked_layers")

    def test_a_damaged_layer_says_nothing_of_files(self):
        path = self.containerd.blob_path(self.base.blob.digest)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        self.damage()
        report = self.deep(code=harness.PARTIAL)
        self.assertEqual([finding["object"] for finding in report["findings"]],
                         [f"blob {self.base.blob.digest}"])
        self.assertIn("damaged", report["notCompared"][0]["reason"])
        # First the layer, then what it says of the files.
        repaired = self.prebake("verify", "--deep", "--repair")
        self.assertEqual(repaired.code, harness.DONE, repaired)
        self.assert_whole()

    def test_another_snapshotter(self):
        self.bake(*self.references, "--snapshotter", "native")
        result = self.prebake("verify", "--deep", "--snapshotter", "native")
        self.assertEqual(result.code, harness.DONE, result)
        self.assert_says(result, "were not compared", "native")

    def test_a_tree_that_containerd_made(self):
        self.fresh_containerd()
        for reference in self.references:
            self.containerd.ctr("images", "pull", "--plain-http", reference)
        self.bake(*self.references)
        self.assertEqual(self.deep()["snapshotsCompared"], 3)

    def test_many_differences(self):
        many = oci_image.layer([oci_image.file(f"f{i:03}", "x") for i in range(120)])
        image = oci_image.image([many])
        reference = self.registry.serve(f"{self.repository}/many", image)
        self.bake(reference)
        directory = self.files_of(image.chain_id)
        for name in os.listdir(directory):
            os.truncate(os.path.join(directory, name), 0)
        findings = self.deep(code=harness.NOT_READY)["findings"]
        self.assertEqual(len(findings), 51)
        self.assertEqual(findings[-1]["found"], "70 more")
        self.deep("--repair")

    def test_a_stop_ends_it(self):
        running = self.start("verify", "--deep")
        running.send(signal.SIGTERM)
        running.wait()
        self.deep()
        self.assertEqual(len(self.containerd.snapshots()), 3)


class OnANodeTest(node.NodeTest):
    """While the daemon runs, and a pod."""

    def test_a_container_keeps_its_files(self):
        image = self.runnable("app", size=5_000)
        reference = self.registry.serve(self.repository, image)
        self.bake_node((reference, {}))
        self.claimed()
        daemon = self.daemon()
        container = self.start_container(pod := self.cri("pod", "one"), "app", reference)
        self.until_counts(daemon, reference, 1, 0, 0)
        self.damage(image)
        found = self.prebake("verify", "--deep", "--repair", "--json")
        self.assertEqual(found.code, harness.NOT_READY, found)
        self.assertIn(container, found.json["findings"][0]["nextStep"])
        self.assertEqual(self.damaged_size(image), 0)

        self.remove_pod(pod)
        repaired = self.prebake("verify", "--deep", "--repair")
        self.assertEqual(repaired.code, harness.DONE, repaired)
        self.assertEqual(self.damaged_size(image), 10_000)
        daemon.until_ready()
        # What was read is not a start, and the next start is a hit.
        self.assertEqual(self.counts(daemon, reference), (1, 0, 0))
        self.start_container(self.pod("two"), "app", reference)
        self.until_counts(daemon, reference, 2, 0, 0)

    def file_of(self, image):
        with self.containerd.mounted(image.chain_id) as tree:
            inode = os.lstat(tree / "etc/app-0").st_ino
        root = self.containerd.root / "io.containerd.snapshotter.v1.overlayfs/snapshots"
        found, = (path for path in root.glob("*/fs/etc/app-0") if path.lstat().st_ino == inode)
        return found

    def damage(self, image):
        os.truncate(self.file_of(image), 0)

    def damaged_size(self, image):
        return self.file_of(image).stat().st_size


if __name__ == "__main__":
    harness.main()
