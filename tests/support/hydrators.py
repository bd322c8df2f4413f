"""What reads a disk ahead while containers start on it: nothing, what people use today, prebake."""

import ctypes
import os
import pathlib
import signal
import struct
import subprocess
import threading
import time

POLL_SECONDS = 0.02
PR_SET_PDEATHSIG, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 22, 2
IO_URING_SETUP = 425  # the number of the system call, on all architectures


def prctl(*arguments):
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"prctl: {arguments}")


def end_with_us():
    """For preexec_fn: the process is killed when ours is."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def refuse_io_uring():
    """The same, and io_uring_setup(2) fails with EPERM, as where it is disabled."""
    load, jump_equal, answer = 0x20, 0x15, 0x06
    allow, fail = 0x7FFF0000, 0x00050000 | 1
    code = b"".join(struct.pack("HBBI", *one) for one in (
        (load, 0, 0, 0), (jump_equal, 0, 1, IO_URING_SETUP), (answer, 0, 0, fail),
        (answer, 0, 0, allow)))
    buffer = ctypes.create_string_buffer(code)

    class Program(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    program = Program(4, ctypes.cast(buffer, ctypes.c_void_p))
    end_with_us()
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


class Running:
    """A process that reads ahead, and its peak of memory. It may be none."""

    def __init__(self, command, log, environment=None, prepare=end_with_us):
        self.command, self.log = command, log
        self.peak_rss, self.seconds, self._process = 0, None, None
        self._started = time.monotonic()
        if not command:
            return
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                [str(word) for word in command], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                env=environment, preexec_fn=prepare, start_new_session=True)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self):
        """rusage is of no use: it has the memory that our own process had at the fork."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status")
        while os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_rss = max(self.peak_rss, int(line.split()[1]) * 1024)
            time.sleep(POLL_SECONDS)
        self.seconds = time.monotonic() - self._started

    @property
    def has_ended(self):
        return self._process is None or not self._watcher.is_alive()

    def wait(self, timeout):
        """Until it has done its work, which must have been a success."""
        if self._process is None:
            return self
        self._watcher.join(timeout)
        if self._watcher.is_alive():
            self.stop()
            raise AssertionError(f"did not end within {timeout} s: {self._told()}")
        if self._process.wait() != 0:
            raise AssertionError(self._told())
        return self

    def stop(self):
        """Ends it, and whatever it started. A process that has failed by itself is an error."""
        if self._process is None:
            return
        ended = self.has_ended
        if not ended:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._watcher.join(20)
        if self._watcher.is_alive():
            os.killpg(self._process.pid, signal.SIGKILL)
            self._watcher.join()
        code = self._process.wait()
        if ended and code != 0:
            raise AssertionError(self._told())

    def _told(self):
        return (f"{' '.join(map(str, self.command))}: {self._process.returncode}\n"
                + self.log.read_text(errors="replace")[-3000:])


# What people do today ---------------------------------------------------------------------------


def dd(device):
    return ["dd", f"if={device}", "of=/dev/null", "bs=1M", "status=none"]


def fio(device):
    """As the user guide of EBS has it."""
    return ["fio", "--name=volume-initialize", f"--filename={device}", "--rw=read", "--bs=1M",
            "--iodepth=32", "--ioengine=libaio", "--direct=1", "--readonly"]


def cat(directories):
    return ["sh", "-c", 'find "$@" -type f -exec cat {} + >/dev/null', "sh", *directories]


# prebake. Its command line is known here only. --------------------------------------------------


class Prebake:
    """The program with one state directory and one containerd."""

    def __init__(self, program, home, state, address, containerd_config):
        self.program, self.home, self.state = program, home, state
        self.address, self.containerd_config = address, containerd_config
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}

    def command(self, *arguments, settings='[bake]\nsandbox = "never"\n'):
        config = self.home / "prebake.toml"
        config.write_text(f'[containerd]\nconfig = "{self.containerd_config}"\n{settings}')
        return [self.program, "--config", config, "--state-dir", self.state, "--address",
                self.address, *arguments]

    def run(self, *arguments):
        done = subprocess.run(
            [str(word) for word in self.command(*arguments)], env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            check=False)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, done.args))}: {done.returncode}\n"
                                 f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def bake(self, list_file, hosts):
        return self.run("bake", "--hosts-dir", hosts, "-f", list_file)

    def record(self, reference, trace):
        """Runs the image until it ends, and writes what it read to the file."""
        return self.run("record", reference, "--for", "600s", "--output", trace)

    @property
    def plan(self):
        return self.state / "hydration-plan.json"

    def hydrate(self, log, threads=False):
        """Starts reading the plan ahead."""
        command = self.command("hydrate", "--runtime-dir", self.home / "run",
                               settings='[hydrate]\nmode = "on"\n')
        return Running(command, log, self.environment, refuse_io_uring if threads else end_with_us)


def half_of_trace(trace):
    """Of each layer every second file; of a single file every second range."""
    for layer in trace.get("layers", []):
        files = layer.get("files", [])
        if len(files) > 1:
            layer["files"] = files[::2]
        for file in files if len(files) == 1 else []:
            numbers = [int(number) for number in file.get("ranges", [])]
            kept, at, end = [], 0, 0
            for i in range(0, len(numbers), 2):
                begin = at + numbers[i]
                at = begin + numbers[i + 1]
                if i % 4 == 0:
                    kept += [str(begin - end), str(numbers[i + 1])]
                    end = at
            file["ranges"] = kept
    return trace
