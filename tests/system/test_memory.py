#!/usr/bin/python3
"""Memory is a budget, not a function of image size.

Environment:
  PREBAKE_TEST_ENTRIES   how many entries the tar with the most of them has (default: 1,000,000)
"""

import hashlib
import os
import tarfile
import time
import zlib

import harness
import oci_image

LIMIT_BYTES = 80_000_000
ENTRIES = int(os.environ.get("PREBAKE_TEST_ENTRIES", "1000000"))
LINKS = 100_000
EACH = 1000  # files of a directory


class Headers:
    """Headers of a tar. tarfile takes a minute for a million of them."""

    def __init__(self):
        info = tarfile.TarInfo("name")
        info.mtime = oci_image.EPOCH
        self._blank = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
        self._blank[0:100], self._blank[148:156] = bytes(100), b" " * 8
        self._sum = sum(self._blank)

    def make(self, name, kind=tarfile.REGTYPE, link=b""):
        block = self._blank.copy()
        block[:len(name)], block[157:157 + len(link)] = name, link
        total = self._sum - block[156] + kind[0] + sum(name) + sum(link)
        block[156:157], block[148:156] = kind, b"%06o\0 " % total
        return block


def many_entries(path):
    """A layer of empty files whose names have newlines, in directories, with hard links to ten of
    the files. It is made piece by piece: the memory of this process counts as that of the programs
    that it starts."""
    headers = Headers()

    def pieces():
        for first in range(0, ENTRIES - LINKS, EACH):
            place = b"d%d" % (first // EACH)
            names = (b"%s/line\n%d" % (place, i) for i in range(first, first + EACH - 1))
            yield b"".join([headers.make(place, tarfile.DIRTYPE), *map(headers.make, names)])
        for first in range(0, LINKS, EACH):
            yield b"".join(headers.make(b"link%d" % i, tarfile.LNKTYPE, b"d0/line\n%d" % (i % 10))
                           for i in range(first, first + EACH))
        yield bytes(1024)

    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    tar_hash, blob_hash = hashlib.sha256(), hashlib.sha256()
    with open(path, "wb") as out:

        def put(packed):
            blob_hash.update(packed)
            out.write(packed)

        for piece in pieces():
            tar_hash.update(piece)
            put(packer.compress(piece))
        put(packer.flush())
    stored = oci_image.Blob(oci_image.OCI_LAYER + "+gzip", path, "sha256:" + blob_hash.hexdigest(),
                            path.stat().st_size)
    return oci_image.Layer(stored, "sha256:" + tar_hash.hexdigest())


class MemoryTest(harness.SystemTest):
    def bake_within_the_limit(self, layer, what):
        image = oci_image.image([layer])
        reference = self.registry.serve(self.repository, image)
        began = time.monotonic()
        result = self.prebake("bake", "--json", reference, timeout=1200)
        self.assertEqual(result.code, harness.DONE, result)
        self.assertEqual(result.json.get("layersUnpackedByContainerd", 0), 0)
        self.assert_baked(reference, image)
        peak = result.max_rss_kib * 1024
        print(f"peak memory of a bake of {what}: {peak / 1e6:.1f} MB, "
              f"{time.monotonic() - began:.1f} s")
        self.assertLess(peak, LIMIT_BYTES)
        return image

    def test_an_image_of_a_gigabyte_is_baked_in_80_megabytes(self):
        self.bake_within_the_limit(oci_image.big_layer(self.directory / "layer", 1 << 30), "1 GiB")

    def test_a_layer_of_a_million_entries_is_too(self):
        # In memory: ext4 is slow where many files were deleted shortly before.
        self.fresh_containerd(self.workspace.mount_tmpfs(self.directory / "memory", "4g"))
        image = self.bake_within_the_limit(many_entries(self.directory / "layer"),
                                           f"{ENTRIES} entries")
        with self.containerd.mounted(image.chain_id) as tree:
            self.assertEqual(len(os.listdir(tree)), LINKS + (ENTRIES - LINKS) // EACH)
            self.assertEqual(len(os.listdir(tree / "d0")), EACH - 1)
            self.assertEqual((tree / "d0/line\n7").stat().st_nlink, LINKS // 10 + 1)


if __name__ == "__main__":
    harness.main()
