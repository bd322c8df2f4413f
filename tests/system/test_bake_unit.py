#!/usr/bin/python3
"""prebake-bake.service and repairs of the daemon store and unpack layers in containerd's own
directories, from within their sandboxes, and say so if they cannot."""

import os
import re
import time

import harness
import oci_image
from daemons import wait_until
from packaged import STORE, PackagedTest
from random_layers import BLOCKS, CAPABILITY, CHAR, DIRECTORY, FIFO, HARD_LINK, SYMLINK, piece
from file_trees import differences, tree_of

MEBI = 1 << 20
BAKE, DAEMON = "prebake-bake.service", "prebaked.service"
ELSEWHERE = "/srv/containerd"
IN_PLACE = "1 layer written in place"
STREAMED = "streamed through containerd"
BY_CONTAINERD = "unpacked by containerd"
DEBUG = "ExecStart=\nExecStart=/usr/bin/prebake --log-level debug "
DROP_INS = {BAKE: DEBUG + "bake --progress=plain", DAEMON: DEBUG + "daemon"}
# What a blob of one namespace needs in another one is copied.
ISOLATED = '[plugins."io.containerd.metadata.v1.bolt"]\n  content_sharing_policy = "isolated"\n'
CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 2, 21

# What takes a capability. The directories are other users', so writing into them does, too.
LOWER = [
    piece(b"d", DIRECTORY, mode=0o2770, uid=5, gid=6), piece(b"d/f", data=b"1", uid=5, gid=6),
    piece(b"private", DIRECTORY, mode=0o700, uid=1000, gid=1000,
          records=[(b"SCHILY.xattr.trusted.colour", b"red")]),
    piece(b"private/key", data=b"2", mode=0o600, uid=1000), piece(b"gone"), piece(b"hidden/old"),
    piece(b"capable", mode=0o755, uid=1000, data=b"x",
          records=[(b"SCHILY.xattr.security.capability", CAPABILITY)]),
    piece(b"su", mode=0o6755, uid=1000, gid=7, data=b"x"),
    piece(b"su2", HARD_LINK, link=b"su", mode=0o6755, uid=1000, gid=7),
    piece(b"pipe", FIFO, uid=3), piece(b"link", SYMLINK, link=b"su", uid=4),
]
DEVICES = [piece(b"dev/console", CHAR, mode=0o600, gid=5, major=5, minor=1),
           piece(b"dev/disk", BLOCKS, mode=0o660, gid=6, major=8, minor=1)]
# The attributes of directories that it does not describe come from LOWER.
UPPER = [piece(b".wh.gone", uid=3, gid=4), piece(b"hidden/.wh..wh..opq"),
         piece(b"hidden/new", data=b"3"), piece(b"d/more", data=b"4", uid=5),
         piece(b"private/more", data=b"5", mode=0o600, uid=1000)]


def layer_of(pieces):
    return oci_image.layer(None, tar=b"".join(pieces) + bytes(1024))


class BakeUnit(PackagedTest):
    def builder(self, name, **options):
        made = self.make_packaged(name, **options)
        made.write("/etc/prebake/conf.d/sandbox.toml", harness.NO_SANDBOX)
        for unit, setting in DROP_INS.items():
            made.write(f"/etc/systemd/system/{unit}.d/debug.conf", f"[Service]\n{setting}\n")
        self.registry = self.registry_in(made)
        self.list_image(made, "shop/web")
        return made

    def list_image(self, machine, repository, namespaces=("k8s.io", "other")):
        """Only this image: five layers, of which one is large."""
        self.layer = oci_image.layer([oci_image.file("noise", os.urandom(8 * MEBI))])
        # Another chain each time, which no earlier bake has unpacked.
        layers = [oci_image.layer([oci_image.file("of", repository)]), self.layer,
                  layer_of(LOWER), layer_of(DEVICES), layer_of(UPPER)]
        self.image = oci_image.image(layers)
        self.reference = machine.network.call(self.registry.push, repository, self.image, "1.0")
        self.write_list(machine, (self.reference, {"namespaces": list(namespaces)}))

    def log_of_start(self, machine, unit):
        """What the unit says when it is started, or started again."""
        before = len(machine.journal(unit).splitlines())
        machine.run("systemctl", "restart", unit)
        return self.journal_after(machine, unit, before)

    @staticmethod
    def journal_after(machine, unit, lines):
        return "\n".join(machine.journal(unit).splitlines()[lines:])

    def write_drop_in(self, machine, unit, *settings):
        machine.write(f"/etc/systemd/system/{unit}.d/test.conf",
                      "\n".join(["[Service]", *settings, ""]))
        machine.run("systemctl", "daemon-reload")

    def configure(self, machine, text):
        path = "/etc/containerd/config.toml"
        machine.write(path, machine.read(path).replace("version = 2\n", f"version = 2\n{text}", 1))

    # Trees

    def directories_of(self, machine, namespace):
        """Those of the image's snapshots, the topmost first."""
        ctr = ("ctr", "-n", namespace)
        # What is below a view that containerd 1.6 has collected cannot be removed: it collects now.
        machine.run(*ctr, "leases", "create", "--id", "test")
        machine.run(*ctr, "leases", "delete", "--sync", "test")
        mount = machine.run(*ctr, "snapshots", "view", "--target", "/mnt", "view",
                            self.image.chain_id)
        machine.run(*ctr, "snapshots", "rm", "view")
        found = re.findall(r"/[^:=, ]*/snapshots/\d+/fs", mount)
        self.assertEqual(len(found), len(self.image.layers), mount)
        return found

    def assert_trees_as_containerds(self, machine, *namespaces):
        """In these namespaces, in which prebake or containerd has unpacked them."""
        # Files that were read before have other times.
        new = f"theirs-{time.monotonic_ns()}"
        machine.run("ctr", "-n", new, "images", "pull", "--plain-http", self.reference)
        root = machine.seen_from_outside
        theirs, *others = ([tree_of(root / path[1:], self.started)
                            for path in self.directories_of(machine, namespace)]
                           for namespace in (new, *namespaces))
        for namespace, trees in zip(namespaces, others):
            for number, (their, our) in enumerate(zip(theirs, trees)):
                both = {"containerd": their, "prebake": our}
                self.assertEqual(differences(both, "containerd", "prebake"), [],
                                 f"{namespace}, layer -{number}")
        # The comparison saw what it is about.
        upper, devices, lower = theirs[:3]
        self.assertEqual(upper[b"/gone"]["device"], (0, 0))
        self.assertEqual(upper[b"/hidden"]["xattrs"], {"trusted.overlay.opaque": b"y"})
        self.assertEqual(upper[b"/private"]["owner"], (1000, 1000))
        self.assertEqual(devices[b"/dev/disk"]["device"], (8, 1))
        self.assertEqual(lower[b"/capable"]["xattrs"], {"security.capability": CAPABILITY})
        self.assertEqual(lower[b"/su"]["mode"], "0o106755")

    def setUp(self):
        self.started = time.time_ns() - 1_000_000_000

    # The builder

    def test_where_containerd_has_its_default_root(self):
        machine = self.builder("default")
        machine.boot()
        said = self.log_of_start(machine, BAKE)
        self.assertIn(IN_PLACE, said)
        self.assertNotIn(f"{STREAMED}:", said)
        self.assertIn("10 unpacked by prebake, 0 by containerd", said)
        self.assertNotIn(BY_CONTAINERD, said)
        machine.run("prebake", "verify", "--deep")
        self.assert_trees_as_containerds(machine, "k8s.io", "other")

        for number, (settings, by_prebake, reason) in enumerate((
                (["CapabilityBoundingSet=~CAP_CHOWN"], 0, "it lacks CAP_CHOWN"),
                (["CapabilityBoundingSet=~CAP_MKNOD"], 4, r"layer \S+: cannot write dev/\S+: .*"),
                (["DeviceAllow="], 4, r"layer \S+: cannot write dev/\S+: .*"),
                # Most files belong to root, who writes them.
                (["SystemCallFilter=~@chown"], 2, r"layer \S+: cannot set the owner of .*"))):
            with self.subTest(settings):
                self.list_image(machine, f"shop/{number}", ["k8s.io"])
                self.write_drop_in(machine, BAKE, *settings)
                said = self.log_of_start(machine, BAKE)
                self.assertRegex(said, fr"\b{by_prebake} unpacked by prebake, "
                                 f"{5 - by_prebake} by containerd")
                self.assertRegex(said, f"(?m)^{5 - by_prebake} layers? {BY_CONTAINERD}: {reason}$")
                machine.run("prebake", "verify", "--deep")
                self.assert_trees_as_containerds(machine, "k8s.io")
        self.registry.stop()

    def test_where_containerd_has_another_root(self):
        """The report says which setting is missing; with it, layers are written in place."""
        machine = self.builder("elsewhere", containerd=False)
        self.configure(machine, f'root = "{ELSEWHERE}"\n')
        machine.boot()
        # The daemon runs before containerd's disk is mounted, as on instances with local disks.
        machine.run("mkdir", ELSEWHERE)
        self.write_drop_in(machine, DAEMON, f"ReadWritePaths={ELSEWHERE}")
        machine.run("systemctl", "restart", DAEMON)
        machine.run("mount", "-t", "tmpfs", "elsewhere", ELSEWHERE)
        machine.run("systemctl", "start", "containerd")
        said = self.log_of_start(machine, BAKE)
        self.assertRegex(said, f"{STREAMED}: .*{ELSEWHERE}.*Read-only file system")
        self.assertRegex(said, f"10 layers {BY_CONTAINERD}: .*{ELSEWHERE}.*Read-only file system")
        self.assertNotRegex(said, "(?m)^[0-9]+ layers? written in place")
        machine.run("prebake", "verify", "--deep")

        self.list_image(machine, "shop/next")
        self.write_drop_in(machine, BAKE, f"ReadWritePaths={ELSEWHERE}")
        said = self.log_of_start(machine, BAKE)
        self.assertIn(IN_PLACE, said)
        self.assertIn("10 unpacked by prebake, 0 by containerd", said)
        machine.run("prebake", "verify", "--deep")
        self.assert_trees_as_containerds(machine, "k8s.io", "other")

        def repair():
            before = len(machine.journal(DAEMON).splitlines())
            self.lose_snapshots(machine)
            machine.run("systemctl", "start", DAEMON)
            said = wait_until(lambda: re.search("(?s).* in other .*: unpacked into overlayfs",
                                                self.journal_after(machine, DAEMON, before)),
                              "the daemon has unpacked the image")
            machine.run("prebake", "verify", "--deep")
            self.assert_trees_as_containerds(machine, "other")
            return said[0]
        self.assertIn("4 layers unpacked by prebake", repair())
        # Something else at the path that containerd names: snapshots with the same numbers.
        machine.run("systemctl", "stop", DAEMON)
        snapshots = "/srv/copy/io.containerd.snapshotter.v1.overlayfs/snapshots"
        machine.run("sh", "-ec", f"for i in $(seq 200); do mkdir -p {snapshots}/$i/fs; done")
        self.write_drop_in(machine, DAEMON, f"BindPaths=/srv/copy:{ELSEWHERE}")
        self.assertIn(f"5 layers {BY_CONTAINERD}: containerd has another directory at {ELSEWHERE}/",
                      repair())
        self.registry.stop()

    # The daemon

    def test_the_repairs_of_the_daemon(self):
        machine = self.builder("repaired")
        self.configure(machine, ISOLATED)
        machine.boot()
        # The other namespace gets a copy.
        self.assertIn("2 layers written in place", self.log_of_start(machine, BAKE))
        said = self.log_of_repair(machine)
        self.assertNotIn(STREAMED, said)
        self.assertIn("4 layers unpacked by prebake", said)
        self.assertRegex(said, fr"1 layer {BY_CONTAINERD}: layer \S+: cannot write dev/")
        self.assert_trees_as_containerds(machine, "other")
        self.assert_no_thread_has_the_capabilities(machine)

        self.write_drop_in(machine, DAEMON, "CapabilityBoundingSet=~CAP_SYS_ADMIN",
                           f"ReadOnlyPaths={STORE}")
        said = self.log_of_repair(machine)
        self.assertRegex(said, f"{STREAMED}: .*Read-only file system")
        self.assertIn(f"5 layers {BY_CONTAINERD}: it lacks CAP_SYS_ADMIN", said)
        self.assert_trees_as_containerds(machine, "other")
        self.registry.stop()

    def lose_snapshots(self, machine):
        """Those of the other namespace."""
        chains = [self.image.layers[0].diff_id]
        for item in self.image.layers[1:]:
            chains.append(oci_image.sha256(f"{chains[-1]} {item.diff_id}".encode()))
        # Without the topmost one, containerd may collect the others first.
        remove = [f"ctr -n other snapshots rm {chain} 2>/dev/null" for chain in reversed(chains)]
        # A daemon that runs waits for the lock.
        left = machine.run("flock", "/var/lib/prebake/bake.lock", "sh", "-c",
                           "\n".join([*remove, "ctr -n other snapshots ls"]))
        self.assertEqual([chain for chain in chains if chain in left], [])

    def log_of_repair(self, machine):
        """Deletes a blob and snapshots in one namespace. The daemon restores them when it
        starts."""
        digest = self.layer.blob.digest
        # A daemon that runs would begin to repair before it is restarted.
        machine.run("systemctl", "stop", DAEMON)
        machine.run("ctr", "-n", "other", "content", "rm", digest)
        self.lose_snapshots(machine)
        before = len(machine.journal(DAEMON).splitlines())
        machine.run("systemctl", "start", DAEMON)
        self.until_ready(machine)
        self.assertIn(digest, machine.run("ctr", "-n", "other", "content", "ls", "-q"))
        machine.run("prebake", "verify", "--deep")
        return self.journal_after(machine, DAEMON, before)

    def assert_no_thread_has_the_capabilities(self, machine):
        """Those for trees: they are permitted, and effective while a tree is written."""
        pid = machine.properties(DAEMON, "MainPID")["MainPID"]
        states = machine.run("sh", "-c", f"cat /proc/{pid}/task/*/status")
        effective = re.findall(r"(?m)^CapEff:\s+(\w+)$", states)
        permitted = re.findall(r"(?m)^CapPrm:\s+(\w+)$", states)
        self.assertGreater(len(effective), 3, "it has threads")
        self.assertEqual({int(mask, 16) for mask in effective}, {1 << CAP_DAC_READ_SEARCH})
        for mask in permitted:
            self.assertTrue(int(mask, 16) & 1 << CAP_SYS_ADMIN)


if __name__ == "__main__":
    harness.main()
