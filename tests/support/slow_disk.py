"""A disk that loads lazily, as an EBS volume that was made from a snapshot does: each chunk of
512 KiB is slow until it was read once.

    with SlowDisk(4 << 30, "ext4", directory, latency_ms=35, bandwidth=125_000_000) as disk:
        fill(disk.path)
        disk.cool()
        use(disk.path, disk.device)
        disk.statistics()

The file system is on a loop device over a file of a FUSE program, slow_disk/. Nothing of it is left
when this process ends, also if it is killed, except for mounts outside of its own mount namespace:
see scratch_disk.private_mounts().

Environment:
  PREBAKE_SLOW_DISK   the program (default: build/release/tests/support/slow_disk/slow_disk)
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from daemons import Server, mounts_below, wait_until
from scratch_disk import MAKE

TOP = pathlib.Path(__file__).resolve().parents[2]
CHUNK_BYTES = 512 << 10
BLKFLSBUF = 0x1261


def program():
    return os.environ.get("PREBAKE_SLOW_DISK",
                          TOP / "build/release/tests/support/slow_disk/slow_disk")


class SlowDisk:
    """`size` bytes. Without `directory`, they are in memory, and only those that were written.

    `path` is the mounted file system, `device` the block device below it. It is fast until the
    first cool(). With `kind` None there is no file system; with `make` False it is the one of
    `backing`, a file that exists.

    `settings` are those of slow_disk/cold_model.h: latency_ms, bandwidth, device_bandwidth,
    device_iops, whole_chunks, free_holes, error_every, error_tries, slow_chunk, slow_seconds, end,
    gone. `read_ahead_kb` is that of the loop device."""

    def __init__(self, size, kind="ext4", directory=None, backing=None, make=True,
                 read_ahead_kb=128, mount_options=(), **settings):
        self.kind, self.size, self.read_ahead_kb = kind, size, read_ahead_kb
        self._mount_options = list(mount_options)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._home = pathlib.Path(tempfile.mkdtemp(prefix="prebake-slow-", dir="/tmp"))
            stack.callback(shutil.rmtree, self._home, ignore_errors=True)
            self.path = self._home / "disk"
            self.path.mkdir()
            self._serve(stack, self._backing_file(stack, directory, backing), settings)
            self._attach(stack)
            if kind and make:
                subprocess.run([*MAKE[kind], self.device], check=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
            self.mount()
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Unmounts it and ends its program, whatever state they are in."""
        self._stack.close()

    # Setting it up

    def _backing_file(self, stack, directory, backing):
        """A path for the program."""
        if backing is not None:
            with open(backing, "ab") as file:
                file.truncate(self.size)
            return backing
        if directory is None:
            handle = os.memfd_create("slow-disk")
        else:
            pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
            handle = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
        stack.callback(os.close, handle)
        os.truncate(handle, self.size)
        return f"/proc/{os.getpid()}/fd/{handle}"

    def _serve(self, stack, backing, settings):
        served = self._home / "served"
        served.mkdir()
        self._control = self._home / "control"
        self._server = Server([program(), backing, served, self._control,
                               *(f"{key}={_text(value)}" for key, value in settings.items())],
                              self._home / "slow_disk.log")
        stack.callback(self._server.stop)
        self.pid = self._server.process.pid
        self._file = pathlib.Path(f"/proc/{self.pid}/root{served}/disk")
        wait_until(lambda: self._server.check_alive() and self._is_served(), "the slow disk serves")

    def _is_served(self):
        # The directory is the program's own only after its mount namespace is.
        with contextlib.suppress(OSError):
            return self._file.exists()
        return False

    def _attach(self, stack):
        handle = os.open(self._file, os.O_RDWR)
        try:
            done = subprocess.run(
                ["losetup", "--find", "--show", "--direct-io=on", f"/proc/self/fd/{handle}"],
                pass_fds=[handle], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                check=False)
        finally:
            os.close(handle)
        if done.returncode != 0:
            raise OSError(f"no loop device: {done.stderr.strip()}")
        self.device = done.stdout.strip()
        # From here on it exists as long as we have it open, or it is mounted.
        self._block = os.open(self.device, os.O_RDWR)
        stack.callback(os.close, self._block)
        stack.callback(self.unmount)
        subprocess.run(["losetup", "--detach", self.device], check=True)
        if (self._sys / "loop/dio").read_text().strip() != "1":
            raise OSError(f"{self.device} has no direct I/O: it would handle one read at a time")
        self.set_read_ahead(self.read_ahead_kb)

    @property
    def _sys(self):
        return pathlib.Path("/sys/block") / pathlib.Path(self.device).name

    def set_read_ahead(self, kib):
        (self._sys / "queue/read_ahead_kb").write_text(str(kib))

    # Mounting

    def mount(self):
        if self.kind:
            subprocess.run(["mount", "-t", self.kind, *self._mount_options, self.device, self.path],
                           check=True)

    def unmount(self):
        """Also what is mounted below it, and if it is in use. Nothing of it stays in memory."""
        for point in mounts_below(self.path):
            if not _unmounted(point):
                subprocess.run(["umount", "-l", point], check=False)
        with contextlib.suppress(OSError):  # of a disk that is gone
            fcntl.ioctl(self._block, BLKFLSBUF)

    @contextlib.contextmanager
    def unmounted(self, mount=True):
        """For what must not happen to a mounted disk. It must not be in use. It is mounted again,
        if `mount` is set."""
        for point in mounts_below(self.path):
            # A process that was killed may still hold a file.
            wait_until(lambda point=point: _unmounted(point), f"{point} is unmounted")
        fcntl.ioctl(self._block, BLKFLSBUF)
        yield
        if mount:
            self.mount()

    # The disk's state

    def take_snapshot(self):
        """What is on it now is what cool(restore=True) returns to."""
        with self.unmounted():
            self.control("snapshot")

    def cool(self, mount=True, restore=False, **settings):
        """Makes everything cold and empties the page cache, as on a machine that has just booted.
        Statistics begin at zero. With `restore`, it is another volume of the last snapshot: what
        was written since is gone."""
        with self.unmounted(mount):
            if restore:
                self.control("discard")
            self.set(**settings)
            self.control("reset")

    def reset(self):
        """Everything is cold for reads that reach the disk; what is in the page cache stays."""
        self.control("reset")

    def warm(self):
        self.control("warm")

    def set(self, **settings):
        if settings:
            self.control(" ".join(["set", *(f"{k}={_text(v)}" for k, v in settings.items())]))

    def statistics(self):
        """chunks, chunks_touched, loads, bytes_loaded, cold_bytes, reads, bytes_read, waits,
        errors, writes, bytes_written, queue, max_queue; since the last cool() or reset()."""
        return self.control("statistics")

    def touched(self):
        """[[seconds, chunk, offset, size], ...]: the read that began to load each chunk."""
        return self.control("touched")

    def control(self, line):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._control))
            connection.sendall(line.encode() + b"\n")
            answer = json.loads(b"".join(iter(lambda: connection.recv(1 << 16), b"")))
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"the slow disk: {line}: {answer['error']}")
        return answer


def _unmounted(point):
    return subprocess.run(["umount", point], stderr=subprocess.DEVNULL, check=False).returncode == 0


def _text(value):
    return str(int(value)) if isinstance(value, bool) else str(value)
