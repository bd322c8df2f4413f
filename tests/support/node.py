"""A node: containerd with CRI, the daemon of prebake, and a minimal kubelet.

Environment, besides what harness.py reads:
  PREBAKE_CRI_CLIENT   the executable of tests/system/cri_client (required)
"""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile

import harness
import oci_image
from daemons import DEADLINE, Containerd, wait_until

SANDBOX = "registry.k8s.io/pause:3.9"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(self._path)


class Daemon:
    """A running `prebake daemon` of one test."""

    def __init__(self, running, path):
        self.running = running
        self.socket = path

    @property
    def pid(self):
        return self.running._process.pid

    def get(self, target):
        """(status, body)"""
        with contextlib.closing(UnixConnection(self.socket)) as connection:
            connection.request("GET", target)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def document(self, target):
        status, body = self.get(target)
        if status != 200:
            raise AssertionError(f"{target}: {status} {body}")
        return json.loads(body)

    def status(self):
        return self.document("/v1/status")

    def ledger(self):
        return self.document("/v1/ledger")

    def stored_is_current(self, state):
        """Whether the ledger is written to the disk."""
        with contextlib.suppress(FileNotFoundError):
            stored = json.loads((state / "ledger.json").read_text())
            return stored["sinceClaim"]["starts"] == self.ledger()["sinceClaim"]["starts"]
        return False

    def connections(self):
        """Of its socket, with the one that listens."""
        return sum(line.endswith(str(self.socket))
                   for line in pathlib.Path("/proc/net/unix").read_text().splitlines())

    def answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/livez")[0] == 200
        return False

    def condition(self, name):
        found, = (item for item in self.status()["conditions"] if item["type"] == name)
        return found

    def until(self, condition, what):
        try:
            self.running.until(condition, what)
        except AssertionError as error:
            log = self.running.stderr()[-3000:]
            said = self.get("/v1/status")[1] if self.answers() else "nothing"
            raise AssertionError(f"{error}\n--- its log\n{log}\n--- it says\n{said}") from error

    def until_ready(self):
        self.until(lambda: self.answers() and self.get("/readyz")[0] == 200, "the node is ready")

    def until_verdict(self, *words):
        self.until(lambda: self.answers() and self.status()["verdict"] in words,
                   f"the verdict is {' or '.join(words)}")

    def stop(self, how=signal.SIGTERM):
        self.running.send(how)
        return self.running.wait()


class NodeTest(harness.SystemTest):
    """One containerd with CRI for all tests of the class, with a sandbox image baked into it."""

    containerd_options = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cri_program = os.path.abspath(os.environ["PREBAKE_CRI_CLIENT"])

    def setUp(self):
        super().setUp()
        self.fresh_node(**self.containerd_options)

    def fresh_node(self, **options):
        """A containerd only for this test, with the sandbox image SANDBOX."""
        options = {"sandbox_image": SANDBOX, "plain_registry": self.registry.host, **options}
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.workspace.path))
        self.containerd = Containerd(directory, **options)
        self.addCleanup(self.containerd.close)
        self.containerd.start()
        return self.containerd

    # The builder

    def configuration(self, arguments):
        """The builder's, who does not know the node's."""
        is_builder = {"plan", "bake"} & set(arguments)
        return self.directory / ("builder.toml" if is_builder else "prebake.toml")

    def pause_image(self):
        return oci_image.image([oci_image.busybox_layer()],
                               command=["/bin/busybox", "sleep", "1000000"])

    def sandbox_table(self):
        """The entry of an image list for the sandbox image."""
        reference = self.registry.serve("pause/pause", self.pause_image(), "3.9")
        return reference, {"aliases": [SANDBOX]}

    def runnable(self, name, layers=1, size=20_000):
        """An image that runs busybox, with its own `layers` on top of the shared one."""
        own = [oci_image.layer([oci_image.file(f"etc/{name}-{i}", os.urandom(size).hex())])
               for i in range(layers)]
        return oci_image.image([oci_image.busybox_layer(), *own],
                               command=["/bin/busybox", "sleep", "1000000"])

    def bake_node(self, *tables):
        """Bakes the images of `tables` ((reference, keys), ...) and the sandbox image."""
        return self.bake("-f", self.image_list(self.sandbox_table(), *tables))

    def claimed(self):
        """Records that this machine has claimed its identity, as first boot would."""
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / "claim.json").write_text(json.dumps({
            "schema": "prebake.v1.Claim", "state": "CLAIMED", "instanceUnknown": True,
            "claimedAt": "2016-01-01T00:00:00Z"}))

    # The node

    def configure(self, text=""):
        # Atomically: a running prebake may read it at any time.
        unfinished = self.directory / "prebake.toml.unfinished"
        unfinished.write_text(
            f'[containerd]\nconfig = "{self.containerd.config_file}"\n'
            f'[report]\nsocket = "{self.directory}/run/prebake.sock"\nlisten = []\n{text}')
        unfinished.rename(self.directory / "prebake.toml")

    def daemon(self, *arguments, config="[guard]\nmin_free = \"0\"\n", ready=True, **options):
        """Starts the daemon and, by default, waits until the node is ready."""
        self.configure(config)
        path = self.directory / "run/prebake.sock"
        daemon = Daemon(self.start("daemon", "--log-level", "debug", *arguments, **options), path)
        if ready:
            daemon.until_ready()
        return daemon

    def cri(self, verb, *arguments, code=0):
        command = [self.cri_program, self.containerd.address, verb, *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=2 * DEADLINE)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.split()[0] if done.stdout else ""

    def start_containerd(self):
        """Starts a stopped containerd. Its CRI starts to serve a moment later than the rest."""
        self.containerd.start()
        ready = [self.cri_program, self.containerd.address, "ready"]
        wait_until(lambda: subprocess.run(ready, stderr=subprocess.DEVNULL).returncode == 0,
                   "CRI serves")

    def pod(self, name):
        pod = self.cri("pod", name)
        self.addCleanup(self.remove_pod, pod)
        return pod

    def remove_pod(self, pod):
        if self.containerd.run_ctr("version").returncode == 0:
            self.cri("remove-pod", pod)

    def start_container(self, pod, name, image):
        return self.cri("container", pod, name, image, "/bin/busybox", "sleep", "1000000")

    # Asserting

    def in_ledger(self, daemon, name):
        """The image's entry; None if there is none."""
        return next((item for item in daemon.ledger()["images"] if item["name"] == name), None)

    def counts(self, daemon, name):
        """(hits, partials, misses)"""
        entry = self.in_ledger(daemon, name)
        if entry is None:
            return 0, 0, 0
        return tuple(int(entry[key]) for key in ("hits", "partials", "misses"))

    def until_counts(self, daemon, name, *expected):
        daemon.until(lambda: self.counts(daemon, name) == expected,
                     f"{name} has {expected} (hits, partials, misses); the ledger: "
                     f"{self.in_ledger(daemon, name)}")
