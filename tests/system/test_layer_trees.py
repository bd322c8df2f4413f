#!/usr/bin/python3
"""The trees that prebake writes from layers, against those that containerd writes from them.

Layers, single ones and chains of several, are applied by containerd (Diff.Apply) and by prebake
(the program layer_tree) into directories of their own. Both must succeed or both must fail, and the
directories must then be equal: type, mode, owner, size, contents, times, xattrs, device numbers,
groups of hard links.

  test_layer_trees.py --count 5000 --seed 70000     only random layers, of these seeds

Then both trees are compared with their layers, as `verify --deep` does it: nothing may be found.
And one file of prebake's tree is damaged in a random way, which must be found, and nothing else.

A seed that fails is reduced to the entries that matter and printed.

Where the two differ on purpose:
  - A directory that no entry describes gets attributes of a lower layer when its layer is finished.
    If it has a default ACL there, containerd's entries in it inherit from it; prebake's error is
    `unsupported`, and containerd unpacks the layer.
  - The limit of 4,096 bytes for a path is that of the path in the layer. For containerd its own
    directory counts, too.
  - While containerd resolves a link, an absolute link before it leads to the host's directories.
    In prebake it counts as missing until it is replaced. The links here lead to nothing on the
    host, and then both are equal.
  - A file that is larger than the free space is refused; containerd fills the disk first, of a
    sparse one with its zeros.
  - Maps of sparse files longer than 1 MiB are refused, as Go does since 1.24.8.
"""

import argparse
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import time
import unittest

import random_layers
from daemons import Containerd, Workspace
from file_trees import differences, tree_of
from random_layers import (BLOCKS, CAPABILITY, CHAR, DIRECTORY, FIFO, HARD_LINK, SYMLINK, extension,
                           piece)

LAYER_TREE = os.environ["PREBAKE_LAYER_TREE"]
DEFAULT_COUNT = 300
OPTIONS = argparse.Namespace(count=DEFAULT_COUNT, seed=None)

# user::rwx, user:1:rwx, group::r-x, mask::rwx, other::r-x
ACL = bytes.fromhex("02000000" "01000700ffffffff" "0200070001000000" "04000500ffffffff"
                    "10000700ffffffff" "20000500ffffffff")

# prebake's error -> why containerd's success is no difference
ARGUED = {"error unsupported:": "containerd unpacks such a layer itself"}


WORKS, FAILS = "works", "fails"
LOWER = ("apply", [
    piece(b"d", DIRECTORY, mode=0o2770, uid=5, gid=6, mtime=50), piece(b"d/f", data=b"1"),
    piece(b"d/e", DIRECTORY, mode=0o711, uid=7, mtime=60), piece(b"d/e/g", data=b"2"),
    piece(b"usr/lib", DIRECTORY, mode=0o700), piece(b"lib", SYMLINK, link=b"usr/lib"),
    piece(b"file", data=b"3")])
LONG = b"/".join([b"n" * 99] * 38)

# Rows: what it is about, whether containerd accepts it, the layers.
NAMED = (
    ("an empty layer", WORKS, ("apply", [])),
    ("the root is not changed", WORKS,
     ("apply", [piece(b"./", DIRECTORY, mode=0o700, uid=9), piece(b"/", DIRECTORY),
                piece(b"..", FIFO)])),
    ("a setuid file with a capability", WORKS,
     ("apply", [piece(b"su", mode=0o6755, uid=1000, data=b"x",
                      records=[(b"SCHILY.xattr.security.capability", CAPABILITY)])])),
    ("a whiteout and its directory's replacement", WORKS, LOWER,
     ("overlay", [piece(b".wh.d"), piece(b"d", DIRECTORY), piece(b"d/new")])),
    ("a whiteout of what the layer has", FAILS, LOWER, ("overlay", [piece(b"x"), piece(b".wh.x")])),
    ("an opaque directory that only its marker names", WORKS, LOWER,
     ("overlay", [piece(b"d/e/.wh..wh..opq")])),
    ("an opaque marker after the files", WORKS, LOWER,
     ("overlay", [piece(b"d", DIRECTORY), piece(b"d/new"), piece(b"d/.wh..wh..opq")])),
    ("an opaque marker in a plain directory", WORKS, LOWER,
     ("apply", [piece(b"d", DIRECTORY), piece(b"d/new"), piece(b"d/h/new"),
                piece(b"d/.wh..wh..opq")])),
    ("whiteouts in the first layer", WORKS,
     ("apply", [piece(b"a"), piece(b".wh.a"), piece(b".wh.b"), piece(b"c/.wh..wh..opq")])),
    ("whiteouts of nothing", FAILS, ("apply", [piece(b"a/.wh..")])),
    ("implied directories", WORKS, LOWER, ("overlay", [piece(b"d/e/new/x"), piece(b"d/n/y")])),
    ("an implied directory that is a link below", WORKS, LOWER, ("overlay", [piece(b"lib/x")])),
    ("an implied directory that is described later", WORKS, LOWER,
     ("overlay", [piece(b"d/x"), piece(b"d", DIRECTORY, mode=0o700, mtime=70)])),
    ("an implied directory below a file of the lower layer", FAILS, LOWER,
     ("overlay", [piece(b"file/a/b")])),
    ("a file becomes a directory", WORKS, LOWER, ("overlay", [piece(b"file/a")])),
    ("a directory becomes a link in one layer", WORKS,
     ("apply", [piece(b"a", DIRECTORY, mtime=5), piece(b"b", DIRECTORY, mtime=6),
                piece(b"a", SYMLINK, link=b"b"), piece(b"a/x")])),
    ("a directory is gone at the end", FAILS, ("apply", [piece(b"a", DIRECTORY), piece(b".wh.a")])),
    ("a hard link to a file of the lower layer", FAILS, LOWER,
     ("overlay", [piece(b"h", HARD_LINK, link=b"d/f")])),
    ("a hard link to a link", WORKS,
     ("apply", [piece(b"l", SYMLINK, link=b"nowhere"), piece(b"h", HARD_LINK, link=b"l", uid=3)])),
    ("a hard link changes the file", WORKS,
     ("apply", [piece(b"f", data=b"x"), piece(b"h", HARD_LINK, link=b"f", mode=0o4711, mtime=9)])),
    ("a hard link to itself", FAILS, ("apply", [piece(b"f"), piece(b"f", HARD_LINK, link=b"f")])),
    ("links lead only inside", WORKS,
     ("apply", [piece(b"up", SYMLINK, link=b"../../.."), piece(b"up/x"),
                piece(b"abs", SYMLINK, link=b"/no/such"), piece(b"abs/y"), piece(b"../z")])),
    ("a header for the archive removes a file", WORKS,
     ("apply", [piece(b"a"), extension(b"g", b"", b"a"), piece(b"b")])),
    ("a type that nobody knows", FAILS, ("apply", [piece(b"a", b"V")])),
    ("long names and bytes that are not UTF-8", WORKS,
     ("apply", [piece(LONG + b"/x"), piece(b"\xff\xfe\n"), piece(b"w" * 255)])),
    ("a name of 256 bytes", FAILS, ("apply", [piece(b"w" * 256)])),
    ("ACLs are ignored", WORKS,
     ("apply", [piece(b"a", records=[(b"SCHILY.acl.access", b"user::rwx,user:1:r--")])])),
    ("an ACL as an xattr is set", WORKS,
     ("apply", [piece(b"d", DIRECTORY, records=[(b"SCHILY.xattr.system.posix_acl_default", ACL)]),
                piece(b"d/f", mode=0o640), piece(b"d/e/g", mode=0o777)])),
    ("an xattr with a value that the kernel refuses", FAILS,
     ("apply", [piece(b"a", records=[(b"SCHILY.xattr.security.capability", b"x")])])),
    ("devices", WORKS,
     ("apply", [piece(b"c", CHAR, major=1, minor=3, mode=0o666),
                piece(b"b", BLOCKS, major=259, minor=70000), piece(b"p", FIFO, mode=0o622),
                piece(b"w", CHAR, mode=0)])),
    ("the times of a directory whose name leads elsewhere later", WORKS,
     ("apply", [piece(b"l", SYMLINK, link=b"a"), piece(b"l/d", DIRECTORY, mtime=7),
                piece(b"l", DIRECTORY), piece(b"l/d/x")])),
)


class Applier:
    """The program layer_tree, which does one job at a time."""

    def __init__(self, *socket):
        self._process = subprocess.Popen([LAYER_TREE, "--serve", *socket], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def apply(self, who, whiteouts, tar, upper, lowers):
        """"done" or the error."""
        line = "\t".join(map(str, (who, whiteouts, tar, upper, *lowers)))
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().rstrip("\n")
        if not answer:
            raise AssertionError(f"layer_tree ended with {self._process.wait()} at: {line}")
        return answer

    def peak_kib(self):
        with open(f"/proc/{self._process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmHWM:\s*(\d+)", status.read()).group(1))

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Chain:
    """Layers, the lowest first: how each is applied, and its pieces. `apply` is into a directory
    that is empty or has the layers below; `overlay` is into a new one, for an overlay mount."""

    def __init__(self, layers, who="prebake"):
        self.layers = layers
        self.who = who

    @staticmethod
    def random(seed):
        maker = random_layers.Maker(seed)
        layers = []
        for i in range(maker.random.choice((1, 1, 2, 2, 3))):
            whiteouts = "apply" if i == 0 and maker.chance(75) or maker.chance(15) else "overlay"
            layers.append((whiteouts, maker.layer(maker.random.choice((1, 2, 4, 8, 16, 25)))))
        return Chain(layers, maker.random.choice(("prebake", "walk")))

    def without(self, layer, pieces):
        """The same chain without some pieces of a layer, or without the layer."""
        layers = [(how, list(parts)) for how, parts in self.layers]
        if pieces is None:
            del layers[layer]
        else:
            del layers[layer][1][pieces]
        return Chain(layers, self.who)

    def __str__(self):
        lines = []
        for i, (how, pieces) in enumerate(self.layers):
            lines.append(f"layer {i + 1} ({how}, {self.who}):")
            for piece in pieces:
                # Runs of zeros say only where a field ends.
                lines.append("    " + re.sub(r"(\\x00){2,}", " .. ", repr(piece))[:800])
        return "\n".join(lines)


def printable(path):
    """As prebake shows a path: bytes that are no text become question marks."""
    return "/" + "".join(c if c.isprintable() and c != "\ufffd" else "?"
                         for c in path.decode("utf-8", "replace"))


class Damage:
    """One change to one file of a tree that a comparison with the layer must find."""

    def __init__(self, what, path, shown, do, undo):
        self.what, self.path, self.shown = what, path, shown
        self.do, self.undo = do, undo

    def __str__(self):
        return f"{self.what} {self.path}"

    def explains(self, found):
        """Whether these paths were found because of it. Bytes that are no text are shown as one
        question mark or several."""
        def pattern(path):
            return re.compile(re.sub(r"(\\\?)+", r"\\?+", re.escape(path)) + r"$")
        wanted = [pattern(printable(path)) for path in self.shown]
        return found and all(any(one.match(line) for one in wanted) for line in found)

    @staticmethod
    def random(root, seed):
        chooser = random.Random(seed)
        root = os.fsencode(root)
        paths = []
        for directory, names, files in os.walk(root):
            paths += [os.path.join(directory, name) for name in names + files]
        if not paths:
            return Damage.added(root, root)
        path = chooser.choice(sorted(paths))
        status = os.lstat(path)
        kinds = [Damage.removed, Damage.replaced, Damage.owned, Damage.added, Damage.attributed]
        if stat.S_ISREG(status.st_mode) and status.st_size:
            kinds += [Damage.emptied, Damage.flipped] * 3
        if not stat.S_ISLNK(status.st_mode):
            kinds.append(Damage.moded)
        # Nothing is known of the time of other files.
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            kinds.append(Damage.timed)
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            kinds.append(Damage.unlinked)
        return chooser.choice(kinds)(root, path, chooser)

    @staticmethod
    def group_of(root, path):
        """Names of the same file, from below the root."""
        wanted = os.lstat(path)
        group = [path[len(root) + 1:]]
        for directory, names, files in os.walk(root):
            for name in names + files:
                other = os.path.join(directory, name)
                if os.lstat(other).st_ino == wanted.st_ino and other != path:
                    group.append(other[len(root) + 1:])
        return group

    @staticmethod
    def of_place(what, root, path, change):
        """Something takes the place of the file, or nothing does."""
        aside = root + b".aside"

        def put_aside():
            os.rename(path, aside)
            change()

        def put_back():
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
            os.rename(aside, path)
        keep = Damage.keeping_times_of(os.path.dirname(path))
        return Damage(what, path, [path[len(root) + 1:]], keep(put_aside), keep(put_back))

    @staticmethod
    def keeping_times_of(directory):
        """Wraps a change in the directory, so that the directory's times are as before."""
        before = os.lstat(directory)

        def keep(change):
            def run():
                change()
                os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
            return run
        return keep

    @staticmethod
    def removed(root, path, _chooser=None):
        return Damage.of_place("removed", root, path, lambda: None)

    @staticmethod
    def replaced(root, path, chooser):
        kinds = {"a link": lambda: os.symlink(b"elsewhere", path),
                 "a fifo": lambda: os.mkfifo(path),
                 "a device": lambda: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 7))}
        word = chooser.choice(sorted(kinds))
        return Damage.of_place(f"replaced by {word}:", root, path, kinds[word])

    @staticmethod
    def unlinked(root, path, _chooser):
        def copy():
            shutil.copy2(root + b".aside", path)
            status = os.lstat(root + b".aside")
            os.chown(path, status.st_uid, status.st_gid)
            os.chmod(path, stat.S_IMODE(status.st_mode))
        damage = Damage.of_place("no more linked:", root, path, copy)
        # Nobody knows which of the names is the copy.
        damage.shown = Damage.group_of(root, path)
        return damage

    @staticmethod
    def added(root, path, _chooser=None):
        directory = path if os.path.isdir(path) and not os.path.islink(path) \
            else os.path.dirname(path)
        new = os.path.join(directory, b"surplus")

        def remove():
            os.unlink(new)
        keep = Damage.keeping_times_of(directory)
        return Damage("added to", new, [new[len(root) + 1:]],
                      keep(lambda: os.close(os.open(new, os.O_CREAT | os.O_EXCL))), keep(remove))

    @staticmethod
    def of_file(what, root, path, change):
        """A change of the file itself; `change` returns how it is undone."""
        damage = Damage(what, path, Damage.group_of(root, path), None, None)
        status = os.lstat(path)

        def do():
            undo = change(status)
            damage.undo = undo
        damage.do = do
        return damage

    @staticmethod
    def emptied(root, path, _chooser):
        return Damage.written("emptied", root, path, lambda data: b"")

    @staticmethod
    def flipped(root, path, chooser):
        def flip(data):
            at = chooser.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        return Damage.written("flipped a byte of", root, path, flip)

    @staticmethod
    def written(what, root, path, other):
        """The time stays, as after a crash; xattrs too, which writing removes."""
        def change(status):
            with open(path, "rb") as file:
                data = file.read()
            xattrs = {name: os.getxattr(path, name) for name in os.listxattr(path)}

            def write(contents):
                with open(path, "r+b") as file:
                    file.truncate(len(contents))
                    file.write(contents)
                for name, value in xattrs.items():
                    os.setxattr(path, name, value)
                os.chmod(path, stat.S_IMODE(status.st_mode))
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            write(other(data))
            return lambda: write(data)
        return Damage.of_file(what, root, path, change)

    @staticmethod
    def owned(root, path, _chooser):
        def change(status):
            xattrs = {name: os.getxattr(path, name, follow_symlinks=False)
                      for name in os.listxattr(path, follow_symlinks=False)}

            def own(uid):
                os.lchown(path, uid, status.st_gid)
                for name, value in xattrs.items():
                    os.setxattr(path, name, value, follow_symlinks=False)
                if not stat.S_ISLNK(status.st_mode):
                    os.chmod(path, stat.S_IMODE(status.st_mode))
            own(status.st_uid ^ 2)  # never -1, which changes nothing
            return lambda: own(status.st_uid)
        return Damage.of_file("gave away", root, path, change)

    @staticmethod
    def moded(root, path, _chooser):
        def change(status):
            os.chmod(path, stat.S_IMODE(status.st_mode) ^ 0o002)
            return lambda: os.chmod(path, stat.S_IMODE(status.st_mode))
        return Damage.of_file("changed the mode of", root, path, change)

    @staticmethod
    def timed(root, path, _chooser):
        def change(status):
            def set_time(nanoseconds):
                os.utime(path, ns=(status.st_atime_ns, nanoseconds), follow_symlinks=False)
            set_time(status.st_mtime_ns + 2_000_000_000)
            return lambda: set_time(status.st_mtime_ns)
        return Damage.of_file("changed the time of", root, path, change)

    @staticmethod
    def attributed(root, path, _chooser):
        def change(_status):
            os.setxattr(path, b"security.added", b"x", follow_symlinks=False)
            return lambda: os.removexattr(path, b"security.added", follow_symlinks=False)
        return Damage.of_file("added an xattr to", root, path, change)


class LayerTreesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.workspace = Workspace()
        # In memory: containerd syncs each blob. Limited: a wrong layer may fill what there is.
        cls.memory = cls.workspace.mount_tmpfs(cls.workspace.path / "m", "1g")
        cls.containerd = Containerd(cls.memory / "c").start()
        cls.appliers = {"containerd": Applier(cls.containerd.address), "prebake": Applier()}
        cls.verdicts = {"done": 0, "error": 0}
        cls.counts = {"clean": 0, "damaged": 0}

    @classmethod
    def tearDownClass(cls):
        for applier in cls.appliers.values():
            applier.close()
        cls.containerd.close()
        cls.workspace.remove()

    def compare(self, chain):
        """The differences, as lines."""
        work = self.memory / "t"
        work.mkdir()
        try:
            return self.compare_in(work, chain)
        finally:
            shutil.rmtree(os.fsencode(work))

    def compare_in(self, work, chain):
        # The clock of the file system may be a little behind.
        started = time.time_ns() - 1_000_000_000
        lowers = {"containerd": [], "prebake": []}
        for i, (how, pieces) in enumerate(chain.layers):
            tar = work / f"{i}.tar"
            tar.write_bytes(b"".join(pieces) or bytes(512))
            answers, trees = {}, {}
            for side, who in (("containerd", "containerd"), ("prebake", chain.who)):
                if how == "apply" and lowers[side]:
                    upper, below = lowers[side].pop(0), []
                else:
                    upper, below = work / side / str(i), lowers[side]
                    upper.mkdir(parents=True)
                answers[side] = self.appliers[side].apply(who, how, tar, upper, below)
                lowers[side] = [upper, *lowers[side]]
            theirs, ours = (answers[side].split()[0] for side in ("containerd", "prebake"))
            self.verdicts[theirs] += 1
            if any(answers["prebake"].startswith(start) for start in ARGUED):
                return []
            if theirs != ours:
                return [f"layer {i + 1}: containerd: {answers['containerd']}",
                        f"layer {i + 1}: prebake: {answers['prebake']}"]
            if theirs == "error":
                return []
            for side in lowers:
                trees[side] = tree_of(lowers[side][0], started)
            different = differences(trees, "containerd", "prebake")
            if different:
                return [f"layer {i + 1}:", *different]
            if how == "overlay" or i == 0:  # otherwise the directory has other layers, too
                found = self.compare_with_layer(tar, how, lowers, chain)
                if found:
                    return [f"layer {i + 1}:", *found]
        return []

    def compare_with_layer(self, tar, how, lowers, chain):
        who = "compare" if chain.who == "prebake" else "compare-walk"

        def compared(side):
            upper, *below = lowers[side]
            return self.appliers["prebake"].apply(who, how, tar, upper, below)

        for side in lowers:
            answer = compared(side)
            if answer != "done":
                return [f"{side}'s tree is compared with its layer:", *answer.split("\t")]
        self.counts["clean"] += 2
        damage = Damage.random(lowers["prebake"][0], tar.stat().st_size)
        if damage is None:
            return []
        damage.do()
        answer = compared("prebake")
        damage.undo()
        self.counts["damaged"] += 1
        found = [line.partition(": expected ")[0] for line in answer.split("\t")[1:]]
        if not answer.startswith("differ ") or not damage.explains(found):
            return [f"{damage}: compared with its layer: {answer}"]
        return []

    def reduced(self, chain):
        """The chain without everything that it fails without."""
        layer = 0
        while layer < len(chain.layers):
            for pieces in (None, *self.halves(len(chain.layers[layer][1]))):
                smaller = chain.without(layer, pieces)
                if smaller.layers and self.compare(smaller):
                    chain = smaller
                    break
            else:
                layer += 1
        return chain

    @staticmethod
    def halves(length):
        size = length // 2
        while size:
            for at in range(0, length, size):
                yield slice(at, at + size)
            size //= 2

    def test_named_layers(self):
        for name, verdict, *layers in NAMED:
            with self.subTest(name):
                ended = dict(self.verdicts)
                for who in ("prebake", "walk"):
                    self.assertEqual(self.compare(Chain(layers, who)), [])
                # What the row is about happened, and no other error before.
                self.assertEqual(self.verdicts["error"] - ended["error"],
                                 2 if verdict == FAILS else 0)

    def test_many_hard_links(self):
        # Half of ext4's limit for each file. The memory for them is bounded.
        links = [piece(b"l%d" % i, HARD_LINK, link=b"f%d" % (i % 4)) for i in range(100_000)]
        files = [piece(b"f%d" % i, data=b"x") for i in range(4)]
        self.assertEqual(self.compare(Chain([("apply", [*files, *links])])), [])
        self.assertLess(self.appliers["prebake"].peak_kib(), 32 * 1024)

    def test_random_layers(self):
        seed = OPTIONS.seed
        if seed is None:
            # Another part of the world each day, and the same for all that day.
            seed = int(time.strftime("%Y%m%d")) * 10_000
        for now in range(seed, seed + OPTIONS.count):
            chain = Chain.random(now)
            if self.compare(chain):
                smaller = self.reduced(chain)
                self.fail("\n".join((f"seed {now}: run with --seed {now} --count 1", str(smaller),
                                     *self.compare(smaller))))
        print(f"{OPTIONS.count} seeds from {seed}: {self.verdicts}; compared with their layers: "
              f"{self.counts}", file=sys.stderr)
        # A generator that makes nothing but errors compares no trees.
        if OPTIONS.count >= DEFAULT_COUNT:
            self.assertGreater(self.verdicts["done"], OPTIONS.count / 2)
            self.assertGreater(self.verdicts["error"], OPTIONS.count / 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int)
    parsed, rest = parser.parse_known_args()
    if parsed.count is not None or parsed.seed is not None:
        OPTIONS.count = parsed.count or DEFAULT_COUNT
        OPTIONS.seed = parsed.seed
        rest = ["LayerTreesTest.test_random_layers", *rest]
    unittest.main(argv=[sys.argv[0], *rest])
