#!/usr/bin/python3
"""A bake of two images is killed: prebake, containerd, or both. Each seed is another moment.

  test_kills.py --count 200 --seed 1000     these seeds only

Half of the moments are points in time, the others are calls to containerd: the n-th one, which
containerd does not get, or which is answered, but prebake does not get the answer.

After each kill, containerd is started again, and then:
  - every name is that of a whole image, and every snapshot that is committed has its tree;
  - the next bake succeeds, and what it leaves equals what a bake has left that nobody disturbed:
    blobs, snapshots, names, their labels, and every file of the trees;
  - nothing else is left, and when the images are deleted, nothing at all.

Environment:
  PREBAKE_TEST_KILLS   the number of seeds (default: 8)
"""

import argparse
import collections
import dataclasses
import hashlib
import os
import random
import re
import shutil
import signal
import sys
import threading
import time

import harness
import oci_image
import registry as scripted
from call_proxy import ANSWER, CALL, CallProxy
from file_trees import differences, tree_of, without_access_times
from oci_image import directory, file, hardlink, layer, opaque, symlink, whiteout

DEFAULT_COUNT = 8
OPTIONS = argparse.Namespace(count=int(os.environ.get("PREBAKE_TEST_KILLS", DEFAULT_COUNT)),
                             seed=None)
MEBI = 1 << 20
RATE = 50_000_000  # bytes a second of the second layer; half as many of the next one, ...
TARGETS = ("prebake", "containerd", "both")
PHASES = ("nothing", "first bytes of layers", "a layer is stored", "a tree is committed",
          "all trees are committed", "documents", "names", "all but the lease", "done")


def tree_entries(name, count, noise):
    """Directories with `count` small files, links, and one large file that does not compress."""
    made = [directory(name, 0o750, uid=3), file(f"{name}/noise", noise)]
    for i in range(count):
        if i % 20 == 0:
            made.append(directory(f"{name}/{i // 20}", 0o711, gid=i))
        made.append(file(f"{name}/{i // 20}/{i}", f"{name} {i}\n" * (i % 50), uid=i % 3))
    return [*made, hardlink(f"{name}/also", f"{name}/noise"), symlink(f"{name}/to", "0/1")]


def images():
    """Two images that share their lowest layers. Layers of 4 MiB and more are written in place,
    smaller ones are streamed. Layers hide files of those below, and have directories of these."""
    noise = random.Random("kills").randbytes
    base = [
        layer(tree_entries("base", 300, noise(5 * MEBI))),
        layer([whiteout("base/3"), opaque("base/4"), file("base/4/new", "x"),
               file("base/5/100", "y", 0o4755)]),
    ]
    first = [
        *base,
        layer(tree_entries("zstd", 300, noise(6 * MEBI)), compression="zstd"),
        layer([file("base/6/deep/er/file", noise(90_000)), whiteout("zstd/noise")], "zstd"),
        layer([whiteout("zstd/1"), *tree_entries("top", 200, noise(4 * MEBI))]),
    ]
    second = [
        *base,
        layer(tree_entries("other", 200, noise(5 * MEBI)), compression="none"),
        layer([whiteout("base"), file("other/0/0", "z")]),
    ]
    return [oci_image.image(first), oci_image.image(second)]


def chain_ids(image):
    chain, found = "", []
    for item in image.layers:
        chain = oci_image.sha256(f"{chain} {item.diff_id}".encode()) if chain else item.diff_id
        found.append(chain)
    return found


@dataclasses.dataclass
class Kill:
    target: str
    point: str = ""      # CALL or ANSWER; empty: after a time
    number: int = 0
    seconds: float = 0

    def __str__(self):
        when = f"after {self.seconds:.3f} s" if not self.point else f"{self.point} {self.number}"
        return f"{self.target}, {when}"


class KillsTest(harness.SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxy = CallProxy(cls.workspace.path / "p.sock", cls.containerd.address)
        cls.addClassCleanup(cls.proxy.close)
        cls.images = images()
        cls.references = [cls.registry.serve(f"kills/{i}", image)
                          for i, image in enumerate(cls.images)]
        cls.chains = [chain_ids(image) for image in cls.images]

    # The store as data

    def contents(self):
        """Blobs, names and snapshots, with labels."""
        return {"blobs": self.containerd.blobs(), "names": self.containerd.images(),
                "snapshots": self.containerd.snapshots()}

    def trees(self):
        """chain ID -> the tree of this layer, of all snapshots that are committed"""
        committed = {key for key, kind in self.containerd.snapshots().items()
                     if kind == "Committed"}
        found = {}
        for chain in self.chains:
            there = [chain_id for chain_id in chain if chain_id in committed]
            self.assertEqual(there, chain[:len(there)], "a snapshot without its parent")
            if there:
                paths = self.layer_directories(there[-1])
                self.assertEqual(len(paths), len(there))
                for chain_id, path in zip(there, paths):
                    if chain_id not in found:
                        found[chain_id] = without_access_times(tree_of(path, self.started))
        self.assertEqual(set(found), committed)
        return found

    def layer_directories(self, chain_id):
        """Of a snapshot and those below it, the lowest first."""
        key = f"view-{time.monotonic_ns()}"
        view = ("snapshots", "view", "--target", "/nowhere", key, chain_id)
        # A containerd that was killed while it made a snapshot fails once to make the next one.
        mount = self.containerd.run_ctr(*view).stdout or self.containerd.ctr(*view)
        self.containerd.run_ctr("snapshots", "rm", key)  # it may have been collected
        lowers = re.search(r"lowerdir=([^,\s]+)", mount)
        if lowers:
            return lowers.group(1).split(":")[::-1]
        return [re.search(r"(\S+) /nowhere", mount).group(1)]

    def on_disk(self):
        """Directories of snapshots, blobs and ingests."""
        root = self.containerd.root
        content = root / "io.containerd.content.v1.content"
        places = {"snapshots": root / "io.containerd.snapshotter.v1.overlayfs/snapshots",
                  "blobs": content / "blobs/sha256", "ingests": content / "ingest"}
        found = {name: len(os.listdir(path)) if path.exists() else 0
                 for name, path in places.items()}
        # A containerd that is killed while it makes or removes an ingest leaves a directory without
        # bytes, and never looks at it again.
        for path in places["ingests"].iterdir() if places["ingests"].exists() else ():
            if not (path / "data").exists():
                found["ingests"] -= 1
        return found

    # Baking

    def begin(self):
        self.registry.behave()
        for image in self.images:
            for i, item in enumerate(image.layers[1:], 1):
                self.registry.on(item.blob.digest, scripted.pace(RATE // i))
        self.started = time.time_ns() - 1_000_000_000
        self.began = time.monotonic()
        return self.start("bake", "--address", self.proxy.path, *self.references)

    def learn(self):
        """What a bake leaves that nobody disturbs, how long it takes, and how many calls."""
        for _ in range(2):  # the first one reads the program from the disk
            self.proxy.watch()
            result = self.begin().wait()
            self.assertEqual(result.code, harness.DONE, result)
            self.assertIn("in place", result.stdout)
            self.duration = time.monotonic() - self.began
            self.calls = dict(self.proxy.counts)
            self.wanted = self.contents()
            self.wanted_trees = self.trees()
            self.delete_everything()
        self.assertEqual(len(self.wanted_trees), 7)

    def delete_everything(self):
        """Then nothing is left, also not on the disk."""
        for name in self.containerd.images():
            self.containerd.ctr("images", "rm", "--sync", name)
        self.containerd.collect_garbage()
        self.assertEqual(self.contents(), {"blobs": {}, "names": {}, "snapshots": {}})
        self.assertEqual(self.on_disk(), {"snapshots": 0, "blobs": 0, "ingests": 0})
        shutil.rmtree(self.state)

    # A seed

    def choose(self, seed):
        choice = random.Random(seed)
        kill = Kill(choice.choice(TARGETS))
        if choice.random() < 0.5:
            kill.seconds = choice.uniform(0, self.duration)
        else:
            kill.point = choice.choice((CALL, ANSWER))
            kill.number = choice.randint(1, self.calls[kill.point])
        return kill

    def carry_out(self, kill):
        """Kills during a bake. Returns how far it was then, and the exit status of the bake."""
        done = threading.Event()
        if kill.point:
            self.proxy.watch(kill.point, kill.number, lambda: self.kill(kill, done))
        else:
            self.proxy.watch()
        running = self.begin()
        self.victim = running
        if not kill.point:
            time.sleep(max(0, kill.seconds - (time.monotonic() - self.began)))
            self.kill(kill, done)
        harness.wait_until(lambda: done.is_set() or running.has_ended(),
                           "it is killed, or the bake ends")
        self.proxy.watch()
        if not done.is_set():
            return PHASES[-1], running.wait().code
        if kill.target == "prebake":
            return self.phase(), running.wait().code
        running.send(signal.SIGSTOP)
        self.containerd.start()
        phase = self.phase()
        self.proxy.open()
        running.send(signal.SIGCONT)
        return phase, running.wait().code

    def kill(self, kill, done):
        if kill.target != "containerd":
            self.victim.send(signal.SIGKILL)
        if kill.target != "prebake":
            self.containerd.kill()
            self.proxy.close()
        done.set()

    def phase(self):
        """How far the bake has come, by what it has left."""
        contents = self.contents()
        blobs, snapshots = set(contents["blobs"]), set(contents["snapshots"])
        wanted = set(self.wanted["snapshots"])
        is_recorded = (self.state / "bake.json").exists()
        reached = (True, self.on_disk()["ingests"],
                   blobs & {item.blob.digest for image in self.images for item in image.layers},
                   snapshots & wanted, wanted <= snapshots,
                   blobs & {image.config.digest for image in self.images},
                   contents["names"], is_recorded,
                   is_recorded and not self.containerd.leases())
        return PHASES[max(i for i, is_true in enumerate(reached) if is_true)]

    def check_what_is_left(self, contents):
        """Of a killed bake: what is named or committed is right."""
        whole = self.containerd.check()
        for name, (digest, _) in contents["names"].items():
            self.assertEqual(digest, self.wanted["names"][name][0], name)
            self.assertIn("complete (", whole[name])
            self.assertTrue(whole[name].rstrip().endswith("true"), f"not unpacked: {whole[name]}")
        for digest in contents["blobs"]:
            stored = self.containerd.blob_path(digest).read_bytes()
            self.assertEqual("sha256:" + hashlib.sha256(stored).hexdigest(), digest)
        for chain_id, tree in self.trees().items():
            self.compare(chain_id, tree)
        if (self.state / "bake.json").exists():
            result = self.prebake("verify", "--deep")
            self.assertEqual(result.code, harness.DONE, result)

    def compare(self, chain_id, tree):
        both = {"the undisturbed bake": self.wanted_trees[chain_id], "this bake": tree}
        self.assertEqual(differences(both, *both), [], f"snapshot {chain_id}")

    def check_next_bake(self):
        self.registry.behave()
        result = self.bake(*self.references)
        self.assertEqual(self.contents(), self.wanted)
        trees = self.trees()
        self.assertEqual(set(trees), set(self.wanted_trees))
        for chain_id, tree in trees.items():
            self.compare(chain_id, tree)
        self.assertEqual(self.containerd.leases(), [])
        self.containerd.collect_garbage()
        self.assertEqual(self.on_disk(), {"snapshots": len(trees), "ingests": 0,
                                          "blobs": len(self.wanted["blobs"])})
        return result

    def try_seed(self, kill):
        phase, code = self.carry_out(kill)
        self.check_what_is_left(self.contents())
        if kill.target == "containerd":
            # It resumes when containerd is back, except in its first moments: then images that it
            # could not look up have failed.
            self.assertIn(code, (harness.DONE, harness.PARTIAL, harness.TRY_AGAIN))
        self.check_next_bake()
        self.delete_everything()
        return phase, code

    def test_killed_at_any_moment(self):
        self.learn()
        seed = OPTIONS.seed
        if seed is None:
            seed = int(time.strftime("%Y%m%d")) * 1000
        phases = collections.Counter()
        codes = collections.Counter()
        for now in range(seed, seed + OPTIONS.count):
            kill = self.choose(now)
            try:
                phase, code = self.try_seed(kill)
            except BaseException as error:
                log = (self.containerd.directory / "containerd.log").read_text()[-3000:]
                raise AssertionError(f"seed {now} ({kill}): run with --seed {now} --count 1\n"
                                     f"{error}\ncontainerd's log: {log}") from error
            phases[phase, kill.target] += 1
            if kill.target == "containerd":
                codes[code] += 1
            if OPTIONS.count > DEFAULT_COUNT:
                print(f"{now}: {kill}: {phase}, exit status {code}", file=sys.stderr, flush=True)
        version = ".".join(map(str, self.containerd.version))
        rows = [["", *TARGETS]]
        for phase in PHASES:
            rows.append([phase, *(str(phases[phase, target]) for target in TARGETS)])
        harness.print_rows(f"containerd {version}: {OPTIONS.count} seeds from {seed}; a bake takes "
                           f"{self.duration:.1f} s and {self.calls[CALL]} calls; the bakes whose "
                           f"containerd was killed ended with {dict(codes)}", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int)
    parsed, sys.argv[1:] = parser.parse_known_args()
    OPTIONS.count = parsed.count or OPTIONS.count
    OPTIONS.seed = parsed.seed
    harness.main()
