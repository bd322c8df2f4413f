"""Base of every system test: a private containerd, a registry, and prebake.

Environment:
  PREBAKE                   the executable under test (required)
  PREBAKE_TEST_CONTAINERD   see daemons.py

All files are in one temporary directory, which is removed after the tests of a class.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import oci_image
import registry as scripted
# Re-exported, so that a test imports only one module.
from daemons import ADMIN_PATH, DEADLINE, Containerd, Workspace, wait_until
from docker_registry import DockerRegistry, push

MANAGED = ("io.cri-containerd.image", "managed")
PINNED = ("io.cri-containerd.pinned", "pinned")

# Exit statuses of prebake, see prebake(1).
DONE, FAILED, USAGE, PARTIAL, NOT_READY, TRY_AGAIN = 0, 1, 2, 3, 4, 5
INTERRUPTED, TERMINATED = 130, 143

# Tests bake CRI's sandbox image only if they are about it: it is in a registry out of reach.
NO_SANDBOX = '[bake]\nsandbox = "never"\n'
# Images that are baked at once share a disk's last bytes: any of them may find it full.
ONE_BY_ONE = NO_SANDBOX + "parallel_images = 1\n"


# prebake ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Result:
    code: int
    stdout: str
    stderr: str
    max_rss_kib: int = 0

    @property
    def json(self):
        return json.loads(self.stdout)

    def __str__(self):
        return f"exit code {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Running:
    """A prebake in the background, with its output in files (a pipe could fill up)."""

    def __init__(self, arguments, environment, directory, stdin):
        self._out = open(directory / f"out-{time.monotonic_ns()}", "w+b")
        self._err = open(directory / f"err-{time.monotonic_ns()}", "w+b")
        with tempfile.TemporaryFile() as given:
            given.write(stdin.encode())
            given.seek(0)
            self._process = subprocess.Popen(arguments, env=environment, cwd=directory, stdin=given,
                                             stdout=self._out, stderr=self._err)
        self._result = None

    @property
    def pid(self):
        return self._process.pid

    def send(self, how):
        # Unlike send_signal(), this leaves the exit status to wait().
        os.kill(self._process.pid, how)

    def stderr(self):
        return pathlib.Path(self._err.name).read_text()

    def until(self, condition, what):
        """Waits until `condition` is true. Fails at once if prebake has exited."""
        def holds():
            if condition():
                return True
            if self.has_ended():
                raise AssertionError(f"prebake ended before: {what}\n{self.wait()}")
            return False
        wait_until(holds, what)

    def at(self, gate):
        """Waits until prebake's request has reached the gate."""
        self.until(lambda: gate.is_reached, "a request comes to the gate")

    def has_ended(self):
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended is not None

    def wait(self, timeout=DEADLINE):
        """The result. A killed process has the exit status that a shell would show."""
        if self._result is None:
            end = time.monotonic() + timeout
            while True:
                pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() > end:
                    self._process.kill()
                    os.wait4(self._process.pid, 0)
                    self._process.returncode = -signal.SIGKILL
                    raise AssertionError(f"prebake did not end within {timeout} s:\n"
                                         + self.stderr())
                time.sleep(0.01)
            code = os.waitstatus_to_exitcode(status)
            self._process.returncode = code
            texts = []
            for out in (self._out, self._err):
                out.seek(0)
                texts.append(out.read().decode(errors="replace"))
                out.close()
            self._result = Result(128 - code if code < 0 else code, *texts, usage.ru_maxrss)
        return self._result

    def end(self):
        """For clean-up: kills the process in any state."""
        if self._result is None and self._process.returncode is None:
            self._process.kill()
            with contextlib.suppress(ChildProcessError):
                self.wait()


def image_tables(*tables):
    """The text of an image list: `[[image]]` tables, each given as (reference, keys)."""
    lines = []
    for reference, keys in tables:
        lines += ["[[image]]", f'ref = "{reference}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


# The test case ---------------------------------------------------------------------------------


class SystemTest(unittest.TestCase):
    """One containerd and one scripted registry for all tests of the class.

    Each test uses its own repository names. A test that needs a containerd of its own calls
    `fresh_containerd`.
    """
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.program = os.path.abspath(os.environ["PREBAKE"])
        cls.workspace = Workspace()
        cls.addClassCleanup(cls.workspace.remove)
        cls.containerd = Containerd(cls.workspace.path / "c")
        cls.addClassCleanup(cls.containerd.close)
        cls.containerd.start()
        cls.registry = scripted.Registry()
        cls.addClassCleanup(cls.registry.stop)

    def setUp(self):
        self.registry.behave()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=self.workspace.path))
        self.state = self.directory / "state"
        self.repository = re.sub(r"[^a-z0-9]+", "-", self.id().rpartition(".")[2].lower())

    def fresh_containerd(self, root=None, start=True):
        """A containerd only for this test, instead of the shared one."""
        self.containerd = Containerd(pathlib.Path(tempfile.mkdtemp(dir=self.workspace.path)), root)
        self.addCleanup(self.containerd.close)
        if start:
            self.containerd.start()
        return self.containerd

    def fresh_registry(self, **options):
        created = scripted.Registry(**options)
        self.addCleanup(created.stop)
        return created

    # Running prebake

    def configuration(self, _arguments):
        """The configuration file that prebake reads with these arguments."""
        return self.directory / "prebake.toml"

    def command(self, *arguments, environment=None, prefix=()):
        """A command line that runs prebake, and its environment."""
        config = self.configuration(arguments)
        if not config.exists():
            config.write_text(NO_SANDBOX)
        clean = {"PATH": ADMIN_PATH, "HOME": str(self.directory), "LANG": "C.UTF-8"}
        passed = {key: value for key, value in os.environ.items()
                  if key.endswith("SAN_OPTIONS")}
        given = {**clean, **passed, **(environment or {})}
        options = ["--config", config, "--state-dir", self.state]
        if not {"--address", "-a"} & set(arguments) and "CONTAINERD_ADDRESS" not in given:
            options += ["--address", self.containerd.address]
        return [*map(str, prefix), self.program, *map(str, options), *map(str, arguments)], given

    def start(self, *arguments, environment=None, prefix=(), stdin=""):
        command, given = self.command(*arguments, environment=environment, prefix=prefix)
        running = Running(command, given, self.directory, stdin)
        self.addCleanup(running.end)
        return running

    def prebake(self, *arguments, timeout=2 * DEADLINE, **options):
        return self.start(*arguments, **options).wait(timeout)

    def bake(self, *arguments, code=DONE, **options):
        result = self.prebake("bake", *arguments, **options)
        self.assertEqual(result.code, code, result)
        return result

    def list_file(self, text, name="images.toml"):
        path = self.directory / name
        path.write_text(text)
        return path

    def image_list(self, *tables):
        """A list of `[[image]]` tables, each given as (reference, keys)."""
        return self.list_file(image_tables(*tables))

    def record(self):
        return json.loads((self.state / "bake.json").read_text())

    def recorded(self, name):
        """The image's entry in the record, and its placements by namespace."""
        entry, = (item for item in self.record()["images"] if item["name"] == name)
        placements = {item["namespace"]: item for item in entry["placements"]}
        self.assertEqual(len(placements), len(entry["placements"]), "one placement a namespace")
        return entry, placements

    # Asserting

    def assert_says(self, result, *words):
        """Every word occurs in prebake's stderr, ignoring case."""
        for word in words:
            self.assertIn(word.lower(), result.stderr.lower(), result)

    def names(self, reference, image):
        """The three names that CRI keeps for an image with a tag."""
        repository = reference.rpartition(":")[0]
        return {reference, f"{repository}@{image.top.digest}", image_config(image).digest}

    def assert_baked(self, reference, image, namespace="k8s.io"):
        images = self.containerd.images(namespace)
        expected = self.names(reference, image) if namespace == "k8s.io" else {reference}
        self.assertLessEqual(expected, set(images))
        for name in expected:
            self.assertEqual(images[name][0], image.top.digest, name)
        line = self.containerd.check(namespace)[reference]
        self.assertIn("complete (", line)
        self.assertTrue(line.rstrip().endswith("true"), f"not unpacked: {line}")

    def assert_not_baked(self, repository, image=None):
        """The repository has no name of any form, and no name by the config's digest."""
        unwanted = [image.config.digest] if image else []
        names = [name for name in self.containerd.images()
                 if f"/{repository}:" in name or f"/{repository}@" in name or name in unwanted]
        self.assertEqual(names, [])

    def bake_beside_a_good_one(self, bad, *words, code=PARTIAL, image=None, **options):
        """Bakes `bad` together with a good image. `bad` fails with a message that names it and
        contains `words`, and leaves no name. The good image is baked."""
        repository = f"good/{self.repository}-{time.monotonic_ns()}"
        good = oci_image.small_image(repository.replace("/", "-"))
        good_reference = self.registry.serve(repository, good)
        result = self.bake(bad, good_reference, code=code, **options)
        self.assert_says(result, bad.partition("@")[0], *words)
        self.assert_baked(good_reference, good)
        self.assert_not_baked(re.sub(r"^[^/]+/|[:@].*$", "", bad), image)
        recorded = [item["name"] for item in self.record()["images"]]
        self.assertIn(good_reference, recorded)
        self.assertNotIn(bad, recorded)
        return result


def image_config(image, architecture=None):
    """The config blob of the image for this host."""
    if isinstance(image, oci_image.Image):
        return image.config
    wanted = architecture or oci_image.host_architecture()
    for child in image.children:
        if json.loads(child.config.content).get("architecture") == wanted:
            return child.config
    raise AssertionError(f"the index has no child for {wanted}")


def print_rows(title, rows):
    """A table; each row is a list of texts, and the first one has the headings."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(flush=True)


class TimedResult(unittest.TextTestResult):
    """Shows how long each test took."""

    def startTest(self, test):
        super().startTest(test)
        self._started_at = time.monotonic()

    def addSuccess(self, test):
        self.stream.write(f"{time.monotonic() - self._started_at:.1f} s ")
        super().addSuccess(test)


def main(allowed_skips=()):
    """Runs the file's tests. Fails if no test ran, or if a test was skipped unexpectedly."""
    # The clean-ups run only on an exception.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    runner = unittest.TextTestRunner(verbosity=2, resultclass=TimedResult)
    program = unittest.main(module="__main__", exit=False, testRunner=runner)
    result = program.result
    skipped = [test.id() for test, _ in result.skipped
               if test.id().rpartition(".")[2] not in allowed_skips]
    if skipped:
        print("skipped, which counts as failed:", ", ".join(skipped), file=sys.stderr)
    if result.testsRun == 0:
        print("no test was run", file=sys.stderr)
    sys.exit(0 if result.wasSuccessful() and result.testsRun and not skipped else 1)
