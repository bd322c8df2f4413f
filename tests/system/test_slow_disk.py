"""The disk that loads lazily is what the tests and the benchmark of hydration take it for.

No upper limit of a time is checked: they hold on a busy machine, too.
"""

import concurrent.futures
import contextlib
import errno
import mmap
import os
import subprocess
import time
import unittest

import harness
from slow_disk import CHUNK_BYTES, SlowDisk

BLOCK = 4096
CHUNKS = 128
AN_HOUR = 3600


class Device:
    """Reads past the page cache."""

    def __init__(self, path):
        self._handle = os.open(path, os.O_RDWR | os.O_DIRECT)

    def close(self):
        os.close(self._handle)

    def read(self, offset, size=BLOCK):
        with mmap.mmap(-1, size) as buffer:
            count = os.preadv(self._handle, [buffer], offset)
            return buffer[:count]

    def write(self, offset, data):
        with mmap.mmap(-1, len(data)) as buffer:
            buffer.write(data)
            os.pwritev(self._handle, [buffer], offset)


class SlowDiskTest(unittest.TestCase):
    def disk(self, size=CHUNKS * CHUNK_BYTES, kind=None, **settings):
        disk = SlowDisk(size, kind, **settings)
        self.addCleanup(disk.close)
        return disk

    def cold(self, **settings):
        disk = self.disk(**settings)
        disk.cool()
        device = Device(disk.device)
        self.addCleanup(device.close)
        return disk, device

    def assert_statistics(self, disk, **expected):
        found = disk.statistics()
        self.assertEqual({key: found[key] for key in expected}, expected, found)

    def assert_fails(self, read):
        with self.assertRaises(OSError) as caught:
            read()
        self.assertEqual(caught.exception.errno, errno.EIO)

    def test_a_small_read_loads_its_chunk(self):
        disk, device = self.cold()
        device.read(3 * CHUNK_BYTES + 5 * BLOCK)
        self.assert_statistics(disk, loads=1, bytes_loaded=CHUNK_BYTES, reads=1, bytes_read=BLOCK)
        device.read(3 * CHUNK_BYTES, CHUNK_BYTES)
        self.assert_statistics(disk, loads=1, reads=2, cold_bytes=(CHUNKS - 1) * CHUNK_BYTES)
        device.read(4 * CHUNK_BYTES - BLOCK, 2 * BLOCK)
        self.assert_statistics(disk, loads=2, chunks_touched=2)
        self.assertEqual([touch[1:] for touch in disk.touched()],
                         [[3, 3 * CHUNK_BYTES + 5 * BLOCK, BLOCK],
                          [4, 4 * CHUNK_BYTES - BLOCK, 2 * BLOCK]])

    def test_a_small_read_loads_only_its_bytes(self):
        disk, device = self.cold(whole_chunks=False)
        device.read(0)
        device.read(0)
        self.assert_statistics(disk, loads=1, bytes_loaded=BLOCK, reads=2)
        device.read(BLOCK)
        self.assert_statistics(disk, loads=2, bytes_loaded=2 * BLOCK, chunks_touched=1)
        device.read(0, CHUNK_BYTES)
        self.assert_statistics(disk, loads=3, bytes_loaded=CHUNK_BYTES, chunks_touched=1)

    def test_written_chunks_are_warm(self):
        disk, device = self.cold()
        device.write(CHUNK_BYTES, b"w" * BLOCK)
        self.assertEqual(device.read(CHUNK_BYTES), b"w" * BLOCK)
        self.assert_statistics(disk, loads=0, writes=1, bytes_written=BLOCK)

    def test_warm_and_cold_again(self):
        disk, device = self.cold()
        disk.warm()
        device.read(0)
        self.assert_statistics(disk, loads=0, cold_bytes=0)
        disk.reset()
        device.read(0)
        self.assert_statistics(disk, loads=1, reads=1)

    def test_loads_take_their_latency_and_share_the_bandwidth(self):
        disk, device = self.cold(latency_ms=200)
        begun = time.monotonic()
        device.read(0)
        self.assertGreaterEqual(time.monotonic() - begun, 0.2)
        disk.set(latency_ms=0, bandwidth=8 * CHUNK_BYTES)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as readers:
            list(readers.map(device.read, range(CHUNK_BYTES, 9 * CHUNK_BYTES, CHUNK_BYTES)))
        self.assertGreaterEqual(time.monotonic() - begun, 1)

    def test_all_reads_share_the_devices_limits(self):
        disk, device = self.cold(device_bandwidth=10 * CHUNK_BYTES)
        disk.warm()
        begun = time.monotonic()
        device.read(0, 5 * CHUNK_BYTES)
        self.assertGreaterEqual(time.monotonic() - begun, 0.5)
        disk.set(device_bandwidth=0, device_iops=10)
        begun = time.monotonic()
        for _ in range(5):
            device.read(0)
        self.assertGreaterEqual(time.monotonic() - begun, 0.4)

    def test_readers_of_a_chunk_wait_for_one_load(self):
        disk, device = self.cold(latency_ms=1000 * AN_HOUR)
        with self.readers_left_alone(device, [7 * CHUNK_BYTES + i * BLOCK for i in range(16)]):
            harness.wait_until(lambda: disk.statistics()["queue"] == 16, "all of them wait")
            self.assert_statistics(disk, loads=1)
            disk.close()

    def test_many_reads_are_in_flight(self):
        disk, device = self.cold(latency_ms=1000 * AN_HOUR)
        with self.readers_left_alone(device, range(0, 100 * CHUNK_BYTES, CHUNK_BYTES)):
            harness.wait_until(lambda: disk.statistics()["queue"] == 100, "all of them wait")
            self.assert_statistics(disk, loads=100, max_queue=100)
            disk.close()

    @contextlib.contextmanager
    def readers_left_alone(self, device, offsets):
        """They end when the disk does."""
        with concurrent.futures.ThreadPoolExecutor(len(offsets)) as readers:
            reads = [readers.submit(device.read, offset) for offset in offsets]
            yield reads
        for read in reads:
            self.assertIsInstance(read.exception(), OSError)

    def test_one_slow_load_holds_up_nobody_else(self):
        disk, device = self.cold(slow_chunk=5, slow_seconds=AN_HOUR)
        with self.readers_left_alone(device, [5 * CHUNK_BYTES]):
            harness.wait_until(lambda: disk.statistics()["queue"] == 1, "it waits")
            device.read(6 * CHUNK_BYTES)
            self.assert_statistics(disk, queue=1, loads=2)
            disk.close()

    def test_every_nth_chunk_fails(self):
        disk, device = self.cold(error_every=4, error_tries=2)
        device.read(2 * CHUNK_BYTES)
        for chunk in (3, 7):
            for _ in range(2):
                self.assert_fails(lambda chunk=chunk: device.read(chunk * CHUNK_BYTES))
            device.read(chunk * CHUNK_BYTES)
        self.assert_statistics(disk, errors=4, loads=3)
        disk.set(error_tries=0)
        for _ in range(5):
            self.assert_fails(lambda: device.read(11 * CHUNK_BYTES))
        device.read(3 * CHUNK_BYTES)  # warm

    def test_the_disk_shrinks_and_vanishes(self):
        disk, device = self.cold()
        disk.set(end=10 * CHUNK_BYTES)
        device.read(10 * CHUNK_BYTES - BLOCK)
        self.assert_fails(lambda: device.read(10 * CHUNK_BYTES))
        self.assert_fails(lambda: device.write(10 * CHUNK_BYTES, b"w" * BLOCK))
        disk.set(gone=True)
        self.assert_fails(lambda: device.read(0))
        disk.set(gone=False, end=0)
        device.read(10 * CHUNK_BYTES)

    def test_ranges_that_were_never_written(self):
        disk = self.disk(free_holes=True)
        device = Device(disk.device)
        self.addCleanup(device.close)
        device.write(9 * CHUNK_BYTES, b"w" * CHUNK_BYTES)
        disk.take_snapshot()
        disk.cool()
        self.assert_statistics(disk, cold_bytes=CHUNK_BYTES)
        device.read(0, 16 * CHUNK_BYTES)
        self.assert_statistics(disk, loads=1)

    def test_what_is_unknown_is_refused(self):
        disk = self.disk()
        for wrong in ("set latency=3", "set latency_ms=fast", "set latency_ms", "sleep"):
            with self.assertRaisesRegex(AssertionError, "the slow disk"):
                disk.control(wrong)

    def check_file_system(self, kind):
        disk = self.disk(size=1 << 30, kind=kind)
        data = os.urandom(8 * CHUNK_BYTES)
        (disk.path / "file").write_bytes(data)
        (disk.path / "changed").write_bytes(b"as it was")
        disk.take_snapshot()
        for _ in range(2):
            disk.cool(restore=True)
            self.assertEqual((disk.path / "changed").read_text(), "as it was")
            before = disk.statistics()["loads"]
            self.assertEqual((disk.path / "file").read_bytes(), data)
            loaded = disk.statistics()["loads"]
            self.assertGreaterEqual(loaded - before, 8)
            (disk.path / "changed").write_text("something else")
            (disk.path / "new").write_bytes(os.urandom(CHUNK_BYTES))
            subprocess.run(["sync", "-f", disk.path], check=True)
        disk.cool(restore=True)
        self.assertFalse((disk.path / "new").exists())
        # Without it, what was written stays.
        (disk.path / "changed").write_text("something else")
        disk.cool()
        self.assertEqual((disk.path / "changed").read_text(), "something else")

    def test_ext4(self):
        self.check_file_system("ext4")

    def test_xfs(self):
        self.check_file_system("xfs")


if __name__ == "__main__":
    harness.main()
