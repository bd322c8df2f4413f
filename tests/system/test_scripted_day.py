"""A day of pod starts in two minutes: the ledger is compared with a count of what the script
requested, which does not depend on snapshots.

PREBAKE_DAY_SEED replays the day of an earlier run.
"""

import collections
import os
import random
import signal
import time

import harness
import node
import oci_image

STARTS = 60


class Day(node.NodeTest):
    def test_the_ledger_agrees_with_an_independent_count(self):
        seed = os.environ.get("PREBAKE_DAY_SEED") or str(time.time_ns())
        print(f"\nPREBAKE_DAY_SEED={seed}")
        chance = random.Random(seed)
        baked, late, alien = self.make_images()
        self.bake_node(*((reference, {}) for reference in baked))
        self.claimed()
        self.node = self.daemon()
        self.node_pod = self.pod("day")

        expected = collections.defaultdict(collections.Counter)
        containers = []
        pulled = set()
        everything = [*baked * 3, *late, *alien]
        for number in range(STARTS):
            reference = chance.choice(everything)
            # Like a kubelet: IfNotPresent, and Always for the first baked image.
            if reference not in baked and reference not in pulled or reference == baked[0]:
                self.cri("pull", reference)
                pulled.add(reference)
            kind = "hits" if reference in baked else "partials" if reference in late else "misses"
            containers.append(self.cri("container", self.node_pod, f"c{number}", reference,
                                       "/bin/busybox", "sleep", "1000000"))
            expected[reference][kind] += 1
            self.happen(chance.random(), chance, containers)
        self.node.until_ready()

        total = sum(sum(counts.values()) for counts in expected.values())
        self.node.until(lambda: int(self.node.ledger()["sinceClaim"]["starts"]) >= total + 1,
                        f"all {total} starts and the sandbox are counted: {self.node.ledger()}")
        ledger = self.node.ledger()
        found = {entry["name"]: {kind: int(entry[kind]) for kind in ("hits", "partials", "misses")
                                 if int(entry[kind])}
                 for entry in ledger["images"] if "pause" not in entry["name"]}
        print(f"{'image':45} {'counted':>24} {'ledger':>24}")
        for reference in sorted(expected):
            print(f"{reference:45} {dict(expected[reference])!s:>24} {found.get(reference)!s:>24}")
        self.assertEqual(found, {name: dict(counts) for name, counts in expected.items()})
        self.assertEqual(ledger["sinceClaim"]["starts"], total + 1, "and one sandbox")
        own = {reference: sum(layer.blob.size for layer in self.images[reference].layers[1:])
               for reference in late}
        own |= {reference: sum(layer.blob.size for layer in self.images[reference].layers)
                for reference in alien}
        for entry in ledger["images"]:
            self.assertEqual(int(entry["bytesPulled"]), own.get(entry["name"], 0), entry)

    def make_images(self):
        """References of images to bake, of images that share their lowest layer, and of others."""
        self.images = {}

        def serve(name, image):
            reference = self.registry.serve(f"day/{name}", image)
            self.images[reference] = image
            return reference

        def busybox(other):
            return oci_image.layer([
                oci_image.directory("bin"),
                oci_image.file("bin/busybox", oci_image.BUSYBOX.read_bytes(), mode=0o755),
                oci_image.file("other", other)])

        alien = [serve(f"alien{i}", oci_image.image([
            oci_image.layer([oci_image.file(f"alien{i}", os.urandom(5000).hex())]),
            busybox(str(i))])) for i in range(2)]
        late = [serve(f"late{i}", self.runnable(f"late{i}", layers=i)) for i in range(1, 3)]
        return ([serve(f"baked{i}", self.runnable(f"baked{i}", layers=i)) for i in range(1, 5)],
                late, alien)

    def happen(self, draw, chance, containers):
        """Between two starts: containers exit, daemons die."""
        if draw < 0.35:
            self.cri("remove-container", containers.pop(chance.randrange(len(containers))))
        elif draw < 0.40:
            gaps = self.node.ledger()["gapsTotal"]
            self.containerd.stop(chance.choice([signal.SIGTERM, signal.SIGKILL]))
            self.start_containerd()
            # A container that starts and ends without an event cannot be counted.
            self.node.until(lambda: self.node.ledger()["gapsTotal"] > gaps, "it follows again")
        elif draw < 0.45:
            # A crash may lose the last seconds, and containers that ended in them cannot be found
            # again: wait until they are written.
            self.node.until(lambda: self.node.stored_is_current(self.state), "it is written")
            self.node.stop(signal.SIGKILL)
            self.node = self.daemon()


if __name__ == "__main__":
    harness.main()
