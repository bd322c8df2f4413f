"""A new file system for each measurement, on a loop device.

Files that are deleted and made again within minutes make ext4 slower from run to run: it skips the
freed inodes one by one. And a virtual disk is several times slower where nothing was ever written:
the blocks below the file systems are written once before, and are the same for all of them.
"""

import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from daemons import ADMIN_PATH, mounts_below

CLONE_NEWNS = 0x00020000
MAKE = {
    # Background work of ext4 on a new file system would be measured, and a discarded block is one
    # that was never written.
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
}
STEP = 4 << 20


def private_mounts():
    """What this process mounts from now on is seen by it and its children only, and is unmounted
    when they have ended, also if they are killed. Needs root."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "cannot make a mount namespace")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def missing_program(kind):
    """The program that makes such file systems, if it is not installed."""
    return None if shutil.which(MAKE[kind][0], path=ADMIN_PATH) else MAKE[kind][0]


class ScratchDisk:
    """`size` bytes in a file in `directory`. The file has no name: it goes when nothing uses it."""

    def __init__(self, directory, size, kind="ext4"):
        self._kind = kind
        directory.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=directory)
        block = os.urandom(STEP)
        started = time.monotonic()
        for _ in range(-(-size // STEP)):
            self._file.write(block)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.first_rate = size / (time.monotonic() - started)

    @contextlib.contextmanager
    def fresh(self):
        """Path of a new file system."""
        path = pathlib.Path(tempfile.mkdtemp(prefix="prebake-disk-", dir="/tmp"))
        try:
            self._mount(path)
            yield path
        finally:
            for lazy in ([], ["-l"]):  # in use only if something is still being killed
                for point in mounts_below(path):
                    subprocess.run(["umount", *lazy, point], check=False)
            path.rmdir()

    def _mount(self, path):
        handle = self._file.fileno()
        name = f"/proc/self/fd/{handle}"
        subprocess.run([*MAKE[self._kind], name], check=True, pass_fds=[handle],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        # Without direct I/O the page cache has everything twice, but tmpfs cannot have it.
        for direct in (["--direct-io=on"], []):
            done = subprocess.run(["losetup", "--find", "--show", *direct, name], pass_fds=[handle],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  check=False)
            if done.returncode == 0:
                break
        else:
            raise OSError(f"no loop device: {done.stderr.strip()}")
        device = done.stdout.strip()
        try:
            subprocess.run(["mount", "-t", self._kind, device, path], check=True)
        finally:  # while it is mounted, this only marks it
            subprocess.run(["losetup", "--detach", device], check=False)
        sync(path)

    def write_rate(self, size):
        """Bytes a second of one stream to a new file system, until they are on the disk."""
        block = os.urandom(STEP)
        with self.fresh() as path:
            started = time.monotonic()
            with open(path / "rate", "wb") as file:
                for _ in range(size // STEP):
                    file.write(block)
            sync(path)
            return size / (time.monotonic() - started)

    def close(self):
        self._file.close()


def sync(path):
    """Returns when the whole file system is on its disk."""
    subprocess.run(["sync", "-f", path], check=True)
