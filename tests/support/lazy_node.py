"""A machine whose disk loads lazily, with baked images on it: what the benchmark measures."""

import contextlib
import dataclasses
import json
import os
import random
import shutil
import subprocess
import time

import file_registry
import harness
import hydrators
import oci_image
import scratch_disk
from daemons import DEADLINE, Containerd, wait_until
from slow_disk import CHUNK_BYTES, SlowDisk

HYDRATION_SECONDS = 3600  # a limit for hangs
FOREGROUND_READ = 16 << 10
# Which traces a plan was made with; each has a state directory of its own on the disk.
PLANS = ("none", "all", "half", *(f"not {name}" for name in ("python", "service", "model")))


@dataclasses.dataclass
class Start:
    """Of the first container: from the start of containerd, or of what ran before it."""
    seconds: float
    first_seconds: float  # of these, what ran before containerd
    containerd_seconds: float  # until containerd answered
    bytes_loaded: int
    chunks: int
    peak_rss: int  # of what read ahead


@dataclasses.dataclass
class Foreground:
    """Reads of cold chunks that no plan knows, one after the other."""
    seconds: list
    peak_rss: int


class LazyNode:
    """Use it in a `with` statement of its stack."""

    def __init__(self, workspace, stack, kind, options, prebake):
        self.workspace, self.options, self.prebake = workspace, options, prebake
        self.kind, self.count, self.references, self.traces = kind, 0, {}, {}
        self.sizes = {}  # of the documents, in bytes
        size = (3 << 30) // options.scale + (1 << 30)
        self.disk = stack.enter_context(SlowDisk(
            size, kind, directory=options.disk, read_ahead_kb=options.read_ahead,
            whole_chunks=options.small_reads == "whole", free_holes=options.free_holes))
        self.foreground_file = self.disk.path / "foreground"
        self.root = self.disk.path / "containerd"

    def _directory(self):
        self.count += 1
        directory = self.workspace / f"{self.kind}-{self.count}"
        directory.mkdir()
        return directory

    @contextlib.contextmanager
    def containerd(self):
        """Not started yet."""
        directory = self._directory()
        containerd = Containerd(directory / "c", self.root)
        try:
            yield containerd, directory
        finally:
            containerd.close()
            shutil.rmtree(directory, ignore_errors=True)

    # Making the machine image

    def bake(self, images, figures, tell):
        """Fills the disk. With `record`, each image is recorded, and a plan made for each of
        PLANS."""
        with contextlib.ExitStack() as stack:
            registry = file_registry.FileRegistry(images, self.workspace / "registry.log")
            stack.callback(registry.stop)
            containerd, directory = stack.enter_context(self.containerd())
            containerd.start()
            hosts = directory / "certs.d"
            (hosts / registry.host).mkdir(parents=True)
            (hosts / registry.host / "hosts.toml").write_text(
                f'server = "http://{registry.host}"\n[host."http://{registry.host}"]\n')
            self.references = {name: f"{registry.host}/bench/{name}:1.0" for name in figures}
            tell(f"{self.kind}: baking {len(figures)} images")
            self._bake(containerd, directory, hosts, "none", {})
            self.directories = {name: self._snapshots(containerd, figures[name]["diff_ids"])
                                for name in figures}
            if self.options.record:
                self._record(containerd, directory, tell)
                for plan in PLANS[1:]:
                    tell(f"{self.kind}: a plan with traces: {plan}")
                    self._bake(containerd, directory, hosts, plan, self._traces_for(plan))
        block = os.urandom(CHUNK_BYTES)
        with open(self.foreground_file, "wb") as file:
            for _ in range(self.options.foreground_reads):
                file.write(block)
        scratch_disk.sync(self.disk.path)
        self.disk.take_snapshot()

    def _program(self, plan, containerd, home):
        return hydrators.Prebake(self.prebake, home, self.disk.path / "state" / plan,
                                 containerd.address, containerd.config_file)

    def _bake(self, containerd, home, hosts, plan, traces):
        tables = [(reference, {"trace": str(traces[name])} if name in traces else {})
                  for name, reference in self.references.items()]
        listed = home / "images.toml"
        listed.write_text(harness.image_tables(*tables))
        program = self._program(plan, containerd, home)
        program.bake(listed, hosts)
        if program.plan.exists():
            self.sizes[f"plan, traces: {plan}"] = program.plan.stat().st_size

    def _record(self, containerd, home, tell):
        keep = self.workspace / "traces"
        keep.mkdir(exist_ok=True)
        for name, reference in self.references.items():
            tell(f"{self.kind}: recording {name}")
            path = keep / f"{self.kind}-{name}.json"
            self._program("none", containerd, home).record(reference, path)
            self.sizes[f"trace of {name}"] = path.stat().st_size
            half = keep / f"{self.kind}-{name}-half.json"
            half.write_text(json.dumps(hydrators.half_of_trace(json.loads(path.read_text()))))
            self.traces[name] = {"whole": path, "half": half}

    def _traces_for(self, plan):
        which = "half" if plan == "half" else "whole"
        return {name: paths[which] for name, paths in self.traces.items()
                if plan != f"not {name}"}

    def _snapshots(self, containerd, diff_ids):
        """The directories of the layers of an image."""
        chain = diff_ids[0]
        for diff_id in diff_ids[1:]:
            chain = oci_image.sha256(f"{chain} {diff_id}".encode())
        with containerd.mounted(chain) as place:
            source, _, options = subprocess.run(
                ["findmnt", "--noheadings", "--raw", "--output", "SOURCE,FSTYPE,OPTIONS", place],
                stdout=subprocess.PIPE, text=True, check=True).stdout.strip().split(" ", 2)
        lower = [option.partition("=")[2] for option in options.split(",")
                 if option.startswith("lowerdir=")]
        if lower:
            return lower[0].split(":")
        # A single layer is bound: DEVICE[/directory on it].
        return [str(self.disk.path / source.partition("[")[2].rstrip("]").lstrip("/"))]

    # Measuring

    def cool(self, latency, bandwidth, warm=False):
        """A new machine of the image."""
        self.disk.cool(restore=True, latency_ms=latency, bandwidth=bandwidth)
        if warm:
            self.disk.warm()

    def reading_ahead(self, variant, image, directory):
        """Starts what reads the disk ahead."""
        log = directory / "reading_ahead.log"
        if variant.plan:
            plan = f"not {image}" if variant.plan == "other" else variant.plan
            program = hydrators.Prebake(self.prebake, directory, self.disk.path / "state" / plan,
                                        directory / "c" / "c.sock",
                                        directory / "c" / "containerd.toml")
            return program.hydrate(log, variant.threads)
        command = {"dd": lambda: hydrators.dd(self.disk.device),
                   "fio": lambda: hydrators.fio(self.disk.device),
                   "cat": lambda: hydrators.cat(self.directories[image])}.get(variant.tool)
        return hydrators.Running(command() if command else None, log)

    def start(self, variant, image):
        """The first container on a machine that has just booted -> Start"""
        with contextlib.ExitStack() as stack:
            containerd, directory = stack.enter_context(self.containerd())
            begun = time.monotonic()
            ahead = self.reading_ahead(variant, image, directory)
            stack.callback(ahead.stop)
            if variant.first:
                ahead.wait(HYDRATION_SECONDS)
            first = time.monotonic() - begun
            containerd.start()
            answered = time.monotonic()
            self._run(containerd, image, stack)
            ready = time.monotonic()
            statistics = self.disk.statistics()
        return Start(ready - begun, first, answered - begun - first, statistics["bytes_loaded"],
                     statistics["chunks_touched"], ahead.peak_rss)

    def _run(self, containerd, image, stack):
        """Returns when the container says that it is ready."""
        name = f"first-{self.count}"
        errors = stack.enter_context(open(containerd.directory / "ctr.log", "w+b"))
        # ctr may lose what a container has written that ends at once: it stays until it is killed,
        # or for a while, if we are.
        # A cgroup at the top level is removed with it.
        process = subprocess.Popen(
            containerd.ctr_command("run", "--rm", "--env", f"LINGER={DEADLINE}", "--cgroup",
                                   f"/prebake-bench-{os.getpid()}-{name}", self.references[image],
                                   name),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        stack.callback(self._end, process, containerd, name)
        line = process.stdout.readline()
        if not line.startswith("ready"):
            code = process.wait(DEADLINE)
            errors.seek(0)
            raise AssertionError(f"{image} said {line!r} and ended with {code}: "
                                 + errors.read().decode()[-2000:])

    @staticmethod
    def _end(process, containerd, name):
        def kill():
            containerd.run_ctr("tasks", "kill", "--signal", "KILL", name)

        def has_ended():  # the container may not be there yet
            kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(1) is not None
            return False
        try:
            wait_until(has_ended, f"the container {name} has ended")
        finally:
            if process.poll() is None:  # we are interrupted
                kill()
                process.kill()
                process.wait()
            process.stdout.close()

    def foreground(self, variant, image):
        """Latencies of another reader of the disk, while it is read ahead -> Foreground"""
        directory = self._directory()
        ahead = self.reading_ahead(variant, image, directory)
        try:
            seconds = self._read_cold(ahead if variant.reads_ahead else None)
        finally:
            ahead.stop()
            shutil.rmtree(directory)
        return Foreground(seconds, ahead.peak_rss)

    def _read_cold(self, ahead):
        """One small read of each chunk, until all are read, or until the reading ahead ends."""
        order = list(range(self.options.foreground_reads))
        random.Random("foreground").shuffle(order)
        found = []
        handle = os.open(self.foreground_file, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
            for number in order:
                begun = time.monotonic()
                os.pread(handle, FOREGROUND_READ, number * CHUNK_BYTES)
                found.append(time.monotonic() - begun)
                if ahead and ahead.has_ended:
                    break
        finally:
            os.close(handle)
        return found[1:]  # the first one loads metadata

    def whole(self, variant):
        """Reads ahead until all is read -> seconds, bytes loaded"""
        directory = self._directory()
        try:
            before = self.disk.statistics()["bytes_loaded"]
            ahead = self.reading_ahead(variant, None, directory).wait(HYDRATION_SECONDS)
            return ahead.seconds, self.disk.statistics()["bytes_loaded"] - before
        finally:
            shutil.rmtree(directory)
