#!/usr/bin/python3
"""What prebake's own code makes of the compressed bytes of a layer: containerd decides the same,
and comes to the same diffID.

Environment:
  PREBAKE_LAYER_READER   the executable of tests/system/layer_reader (required)
  PREBAKE_TEST_SEED      the first seed of the random streams (default 1)
  PREBAKE_TEST_STREAMS   how many random streams (default: a number that takes half a minute)
"""

import concurrent.futures
import functools
import os
import random
import re
import struct
import subprocess
import zlib

import harness
import oci_image
from oci_image import file, tar_of

SEED = int(os.environ.get("PREBAKE_TEST_SEED", "1"))
STREAMS = int(os.environ.get("PREBAKE_TEST_STREAMS", "150"))
CLIENTS = 4  # processes of ctr at a time
OTHER_DIFF_ID = "sha256:" + 64 * "0"

HEADER_CRC, EXTRA, NAME, COMMENT = 2, 4, 8, 16
FOLLOWS = b"what is behind the last part"
TAR = tar_of([file("first", "1" * 3000), file("last", bytes(range(256)) * 20)])


# gzip -------------------------------------------------------------------------------------------


def header(flags=0, fields=b"", wrong=0):
    """The header of a member. `wrong` changes its checksum, if it has one."""
    data = struct.pack("<3sBLBB", b"\x1f\x8b\x08", flags, 0, 0, 255) + fields
    if flags & HEADER_CRC:
        data += struct.pack("<H", zlib.crc32(data) & 0xffff ^ wrong)
    return data


def member(body=TAR, head=None, crc=0, length=0, level=6, strategy=zlib.Z_DEFAULT_STRATEGY):
    """A member. `crc` and `length` change the trailer."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
    data = deflate.compress(body) + deflate.flush()
    return ((head or header()) + data
            + struct.pack("<LL", zlib.crc32(body) ^ crc, len(body) + length))


# zstd -------------------------------------------------------------------------------------------

MAGIC = struct.pack("<L", 0xfd2fb528)


def frame(body=TAR, *options):
    """A frame, as zstd(1) makes it from a pipe: with a checksum and without the size."""
    return subprocess.run(["zstd", "-q", "-c", *options], input=body, stdout=subprocess.PIPE,
                          check=True).stdout


def skippable(body=b"skipped", kind=0):
    return struct.pack("<LL", 0x184d2a50 + kind, len(body)) + body


def raw_frame(descriptor, fields, *blocks):
    """A frame of raw blocks."""
    out = MAGIC + bytes([descriptor]) + fields
    for i, block in enumerate(blocks):
        out += struct.pack("<L", len(block) << 3 | (i == len(blocks) - 1))[:3] + block
    return out


def windowed(log, eighths=0):
    return raw_frame(0, bytes([(log - 10) << 3 | eighths]), TAR)


def sized(size, body=TAR):
    """One segment that declares its size in 8 bytes."""
    return raw_frame(0xe0, struct.pack("<Q", size), body)


def changed(data, position, bit=0):
    data = bytearray(data)
    data[position] ^= 1 << bit
    return bytes(data)


@functools.lru_cache(None)
def table():
    """name -> (stream, whether it is a layer)"""
    half = len(TAR) // 2
    one, zst = member(), frame()
    two = member(TAR[:half]) + member(TAR[half:])
    frames = frame(TAR[:half]) + frame(TAR[half:])
    text = b"layer.tar\0"
    rows = {
        "a tar": (TAR, True),
        "a tar with something behind it": (TAR + FOLLOWS, True),
        "nothing": (b"", True),
        "gzip": (one, True),
        "gzip of nothing": (member(b""), True),
        "gzip of several members": (two, True),
        "gzip with empty members": (member(b"") + two + member(b""), True),
        "gzip with a member behind the tar": (one + member(FOLLOWS), True),
        "gzip, stored": (member(level=0), True),
        "gzip, fixed codes": (member(strategy=zlib.Z_FIXED), True),
        "gzip, codes alone": (member(strategy=zlib.Z_HUFFMAN_ONLY), True),
        "gzip with a name": (member(head=header(NAME, text)), True),
        "gzip with a comment": (member(head=header(COMMENT, text)), True),
        "gzip with an extra field": (member(head=header(EXTRA, b"\2\0ab")), True),
        "gzip with a large extra field": (
            member(head=header(EXTRA, b"\xff\xff" + 65535 * b"x")), True),
        "gzip with all fields": (member(head=header(
            HEADER_CRC | EXTRA | NAME | COMMENT | 1, b"\2\0ab" + text + text)), True),
        "gzip with reserved flags": (member(head=header(0xe0)), True),
        "gzip with a name of 511 bytes": (member(head=header(NAME, 511 * b"n" + b"\0")), True),
        "gzip with a name of 512 bytes": (member(head=header(NAME, 512 * b"n" + b"\0")), False),
        "gzip with a comment of 512 bytes": (
            member(head=header(COMMENT, 512 * b"n" + b"\0")), False),
        "gzip with a header checksum": (member(head=header(HEADER_CRC | NAME, text)), True),
        "gzip with a wrong header checksum": (
            member(head=header(HEADER_CRC | NAME, text, wrong=1)), False),
        "gzip with a wrong checksum": (member(crc=1), False),
        "gzip with a wrong length": (member(length=1), False),
        "gzip, wrong checksum of the second member": (one + member(FOLLOWS, crc=1), False),
        "gzip without its trailer": (one[:-8], False),
        "gzip with half a trailer": (one[:-4], False),
        "gzip without its last byte": (one[:-1], False),
        "gzip, cut in the middle": (one[:len(one) // 2], False),
        "gzip, cut in the second header": (one + header(NAME, b"layer"), False),
        "gzip and one zero": (one + b"\0", False),
        "gzip and zeros": (one + bytes(512), False),
        "gzip and a block of zeros": (one + bytes(10240), False),
        "gzip and garbage": (one + FOLLOWS, False),
        "gzip and another method": (one + b"\x1f\x8b\x07" + bytes(30), False),
        "gzip and zstd": (one + zst, False),
        "only a header of gzip": (header(), False),
        "only the magic of gzip": (b"\x1f\x8b\x08", False),
        "gzip, reserved block type": (header() + b"\x07" + bytes(20), False),
        "gzip, distance before the start": (header() + b"\x03\x02" + bytes(20), False),
        "gzip, invalid code": (header() + b"\x1b\x03" + bytes(20), False),
        "zstd": (zst, True),
        "zstd of nothing": (frame(b""), True),
        "zstd of several frames": (frames, True),
        "zstd without checksum": (frame(TAR, "--no-check"), True),
        "zstd, best": (frame(TAR, "-19"), True),
        "zstd, ultra": (frame(TAR, "--ultra", "-22", "--long=27"), True),
        "zstd, fast": (frame(TAR, "--fast=5"), True),
        "zstd with a frame behind the tar": (zst + frame(FOLLOWS), True),
        "zstd behind a skippable frame": (skippable() + zst, True),
        "zstd among skippable frames": (
            skippable(b"", 15) + frame(TAR[:half]) + skippable(kind=7) + frame(TAR[half:])
            + skippable(), True),
        "zstd:chunked": (frames + skippable(b"a manifest") + skippable(64 * b"o", 14), True),
        "only a skippable frame": (skippable(), True),
        "zstd with a window of 512 MiB": (windowed(29), True),
        "zstd with a larger window": (windowed(29, 1), False),
        "zstd with the largest window": (windowed(41, 7), False),
        "zstd with its size": (sized(len(TAR)), True),
        "zstd with too small a size": (sized(len(TAR) - 1), False),
        "zstd with too large a size": (sized(len(TAR) + 1), False),
        "zstd with a size of 1 GiB": (sized(1 << 30), False),
        "zstd with a dictionary": (raw_frame(1, b"\0\5", TAR), False),
        "zstd with a reserved bit": (raw_frame(8, b"\x38", TAR), False),
        "zstd with an unused bit": (raw_frame(16, b"\x38", TAR), True),
        "zstd with a wrong checksum": (changed(zst, -1), False),
        "zstd without its last byte": (zst[:-1], False),
        "zstd, cut in the middle": (zst[:len(zst) // 2], False),
        "zstd and one zero": (zst + b"\0", False),
        "zstd and zeros": (zst + bytes(512), False),
        "zstd and garbage": (zst + FOLLOWS, False),
        "zstd and gzip": (zst + one, False),
        "zstd and a frame of version 0.7": (
            zst + struct.pack("<L", 0xfd2fb527) + bytes(20), False),
        "zstd and half a skippable frame": (zst + skippable()[:10], False),
        "zstd and half the size of a skippable frame": (zst + skippable()[:6], False),
        "only the magic of zstd": (MAGIC, False),
    }
    return rows


def random_stream(seed):
    """Parts of streams, with a few faults."""
    rand = random.Random(seed)
    parts = [member, frame][rand.randrange(2)]
    bounds = sorted(rand.randrange(len(TAR)) for _ in range(rand.randrange(4)))
    pieces = [TAR[a:b] for a, b in zip([0, *bounds], [*bounds, len(TAR)])]
    data = b"".join(parts(piece) for piece in pieces)
    for _ in range(rand.choice((0, 1, 1, 1, 2))):
        match rand.randrange(5):
            case 0:
                data = data[:rand.randrange(4, len(data) + 1)]
            case 1:
                data = changed(data, rand.randrange(4, len(data)), rand.randrange(8))
            case 2:
                data += rand.choice((bytes(rand.randrange(600)), rand.randbytes(20), FOLLOWS,
                                     member(FOLLOWS), frame(FOLLOWS), skippable()))
            case 3:
                position = rand.randrange(4, len(data))
                data = data[:position] + data[position + rand.randrange(1, 20):]
            case _:
                position = rand.randrange(4, len(data))
                data = data[:position] + rand.randbytes(rand.randrange(1, 9)) + data[position:]
    return data


class DecompressionTest(harness.SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.reader = os.path.abspath(os.environ["PREBAKE_LAYER_READER"])

    def read_by_us(self, streams):
        """For each stream its diffID, or None; and what was printed."""
        paths = []
        for i, data in enumerate(streams):
            paths.append(self.directory / f"layer-{i}")
            paths[-1].write_bytes(data)
        done = subprocess.run([self.reader, *paths], stdout=subprocess.PIPE, text=True, check=True)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), len(streams))
        return [(line.split()[1] if line.startswith("ok ") else None, line) for line in lines]

    @functools.cached_property
    def as_client(self):
        """The option to pull by the client, where ctr has it: its errors have the diffID."""
        text = self.containerd.ctr("images", "pull", "--help")
        return ["--local"] if "--local" in text else []

    def pull(self, number, data, diff_id):
        stored = oci_image.blob(oci_image.DOCKER_LAYER + ".gzip", data)  # any type: it is sniffed
        image = oci_image.image([oci_image.Layer(stored, diff_id)], flavour="docker")
        reference = self.registry.serve(f"{self.repository}/{number}", image)
        return self.containerd.run_ctr("images", "pull", "--plain-http", *self.as_client, reference)

    def compare(self, streams):
        """`streams` are pairs (name, bytes). Returns the names of those that both accept."""
        ours = self.read_by_us([data for _, data in streams])
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
            pulled = list(clients.map(
                lambda item: self.pull(item[0], item[1][0][1], item[1][1][0] or OTHER_DIFF_ID),
                enumerate(zip(streams, ours))))
        wrong, accepted = [], []
        for (name, data), (diff_id, line), theirs in zip(streams, ours, pulled):
            found = re.search(r"wrong diff id.*?(sha256:[0-9a-f]{64})", theirs.stderr)
            accepts = theirs.returncode == 0 or found
            if diff_id and theirs.returncode == 0:
                accepted.append(name)
            elif diff_id or accepts:
                wrong.append(f"{name} ({len(data)} bytes): prebake: {line}\n"
                             f"containerd: {theirs.stderr.strip().splitlines()[-1:]}")
        self.assertEqual(wrong, [], "\n".join(wrong))
        return accepted

    def test_odd_streams(self):
        rows = table()
        accepted = self.compare([(name, data) for name, (data, _) in rows.items()
                                 if data])  # a blob of no bytes is refused before it is read
        self.assertEqual(accepted, [name for name, (data, good) in rows.items() if good and data])

    def test_an_empty_layer_is_an_empty_stream(self):
        (diff_id, _), = self.read_by_us([b""])
        self.assertEqual(diff_id, oci_image.sha256(b""))

    def test_random_streams(self):
        streams = [(f"seed {seed}", random_stream(seed)) for seed in range(SEED, SEED + STREAMS)]
        accepted = self.compare(streams)
        print(f"\n{len(streams)} random streams, {len(accepted)} of them accepted, no difference")
        self.assertGreater(len(accepted), len(streams) // 10)
        self.assertLess(len(accepted), len(streams) * 9 // 10)


if __name__ == "__main__":
    harness.main()
