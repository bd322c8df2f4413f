#!/usr/bin/python3
"""Documents as people's tools write them: prebake and containerd's own client agree about them.

Environment:
  PREBAKE_TEST_SEED    the first seed of the random images (default 1)
  PREBAKE_TEST_IMAGES  how many random images (default: a number that takes half a minute)
"""

import concurrent.futures
import functools
import os

import harness
import odd_images

SEED = int(os.environ.get("PREBAKE_TEST_SEED", "1"))
IMAGES = int(os.environ.get("PREBAKE_TEST_IMAGES", "60"))
BATCH = 100  # images in one bake
CLIENTS = 4  # processes of ctr at a time
# CRI ignores these namespaces.
OURS, REFERENCE = "ours", "reference"


class DocumentTest(harness.SystemTest):
    """Each image is baked, and then pulled by ctr. A difference needs a reason, which the oddity
    itself has (odd_images.py)."""

    def compare(self, images):
        """Returns the images that differ, as (kind, image)."""
        differing = []
        for begin in range(0, len(images), BATCH):
            differing += self.compare_batch(images[begin:begin + BATCH], begin)
        return differing

    def compare_batch(self, images, begin):
        self.registry.behave()
        served = {self.registry.serve(f"{self.repository}/{begin + i}", image): image
                  for i, image in enumerate(images)}
        baked = self.baked(list(served))
        pulled = self.pulled(list(served))
        held = {namespace: self.targets(namespace) for namespace in (OURS, REFERENCE)}
        parts = {*self.containerd.blobs(REFERENCE), *self.containerd.snapshots(REFERENCE)}
        recorded = {item["name"]: item for item in self.record()["images"]}
        differing, wrong = [], []
        for reference, image in served.items():
            ours, theirs = baked[reference] is None, pulled[reference] is None
            if ours and theirs:
                targets = [held[namespace][reference] for namespace in (OURS, REFERENCE)]
                # ctr fetches the documents of the manifest that it selects, and no others.
                entry = recorded[reference]
                selected = {entry["config"]["digest"], entry["manifest"]["digest"],
                            entry["chainId"]} - {""}
                if targets[0] != targets[1] or not selected <= parts:
                    wrong.append(f"prebake has {selected} of {targets[0]}, ctr has something else "
                                 f"of {targets[1]}\n{image}")
            elif ours != theirs:
                kind = "laxer" if ours else "stricter"
                differing.append((kind, image))
                if not image.reason(kind):
                    wrong.append(f"prebake is {kind}: {baked[reference] or pulled[reference]}\n"
                                 f"{image}")
        if wrong:
            self.fail(f"{len(wrong)} of {len(images)} images:\n" + "\n".join(wrong[:10]))
        return differing

    def baked(self, references):
        """reference -> None, or the problem"""
        listed = self.list_file("\n".join(references) + "\n", "images.txt")
        result = self.prebake("bake", "-n", OURS, "-f", listed, "--json")
        self.assertIn(result.code, (harness.DONE, harness.PARTIAL, harness.FAILED), result)
        outcomes = {item["name"]: None if item["outcome"] == "BAKED" else item["problem"]["message"]
                    for item in result.json["images"]}
        self.assertEqual(set(outcomes), set(references))
        return outcomes

    def pulled(self, references):
        """The same, by ctr: fetched and unpacked for this machine."""
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
            done = dict(zip(references, clients.map(self.pull, references)))
        checked = self.containerd.check(REFERENCE)
        problems = {}
        for reference, result in done.items():
            line = checked.get(reference, "no such name")
            # ctr 2 succeeds although it finds nothing for this machine. An image that is only a
            # config has nothing to unpack.
            is_there = "complete (1/1)" in line or (
                "complete (" in line and line.rstrip().endswith("true"))
            problems[reference] = None if result.returncode == 0 and is_there else (
                result.stderr.strip() or line)
        return problems

    def pull(self, reference):
        return self.containerd.run_ctr("images", "pull", "--plain-http", *self.as_cri, reference,
                                       namespace=REFERENCE)

    @functools.cached_property
    def as_cri(self):
        """The options to pull as CRI does, where ctr has them: by the client, not by the transfer
        service, and without the children for other platforms."""
        text = self.containerd.ctr("images", "pull", "--help")
        return [option for option in ("--local", "--skip-metadata") if option in text]

    def targets(self, namespace):
        """name -> media type and digest"""
        lines = self.containerd.ctr("images", "ls", namespace=namespace).splitlines()[1:]
        return {fields[0]: fields[1:3] for fields in map(str.split, lines)}

    def test_each_oddity(self):
        differing = self.compare(odd_images.table())
        # A reason that is not needed any more hides a fault.
        needed = {image.reason(kind) for kind, image in differing}
        given = {reason for oddity in odd_images.ODDITIES
                 for reason in (oddity.stricter, oddity.laxer) if reason}
        self.assertEqual(given, needed)

    def test_random_images(self):
        self.compare([odd_images.random_image(SEED + i) for i in range(IMAGES)])


if __name__ == "__main__":
    harness.main()
