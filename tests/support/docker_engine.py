"""Private Docker Engines: a real dockerd of a chosen version, with its own containerd.

    with docker_engine.DockerEngine(docker_engine.engine("forky"), store="containerd") as docker:
        docker.docker("images", "--digests")

Environment:
  PREBAKE_TEST_DOCKER   directory whose bin/ and sbin/ hold the docker and dockerd to test against,
                        such as build/engines/forky/usr (default: /usr)
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import unittest

from daemons import ADMIN_PATH, DEADLINE, Containerd, Server, Workspace, mounts_below, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]

CONTAINERD_STORE = "containerd"  # other stores have the names of graph drivers: "overlay2", "vfs"
NAMESPACE = "moby"

# Debian's suites: 20.10 is installed (on Ubuntu 24.04 a newer one), 26.1 and 28.5 are downloaded.
INSTALLED, TRIXIE, FORKY = "installed", "trixie", "forky"


def engine(suite):
    """The directory of an engine's programs. Those of newer suites are downloaded once.

    Fails if it cannot be downloaded; with PREBAKE_MATRIX_OPTIONAL=1 the test, or the class in whose
    setUpClass this is called, is skipped instead. The file's main() has to allow that.
    """
    if suite == INSTALLED:
        return pathlib.Path("/usr")
    directory = TOP / "build/engines" / suite
    fetched = subprocess.run([TOP / "tests/support/fetch_package", "docker.io", suite, directory,
                              "usr/sbin/dockerd", "docker-cli"], check=False)
    if fetched.returncode != 0 and os.environ.get("PREBAKE_MATRIX_OPTIONAL") == "1":
        raise unittest.SkipTest(f"docker.io of Debian {suite} (PREBAKE_MATRIX_OPTIONAL=1)")
    fetched.check_returncode()
    return directory / "usr"


class _Connection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path):
        super().__init__("docker", timeout=DEADLINE)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class DockerEngine:
    """One dockerd, with all of its files below `directory` (default: a temporary one of its own).

    `home` is what engine() returns. `store` is CONTAINERD_STORE (from 24 on) or a graph driver.
    `containerd` is one that runs already and is not stopped with this engine; by default the engine
    has its own. `data_root` may be that of an earlier engine. `settings` are further keys of
    daemon.json; registries on loopback need none to be used without TLS. `environment` are
    variables of dockerd, which has no proxy otherwise.
    """

    def __init__(self, home=None, *, directory=None, store="overlay2", containerd=None,
                 data_root=None, settings=None, environment=None):
        home = home or os.environ.get("PREBAKE_TEST_DOCKER", "/usr")
        self._path = f"{home}/bin:{home}/sbin:{ADMIN_PATH}"
        self._program = pathlib.Path(home) / "sbin/dockerd"
        self._cli = pathlib.Path(home) / "bin/docker"
        for program in (self._program, self._cli):
            if not program.exists():
                raise AssertionError(f"{program} is not there")
        version = subprocess.run([self._program, "--version"], stdout=subprocess.PIPE, text=True,
                                 check=True).stdout
        self.version = tuple(map(int, re.search(r" v?(\d+)\.(\d+)\.(\d+)", version).groups()))
        if store == CONTAINERD_STORE and self.version < (24,):
            raise AssertionError(f"dockerd {self.version} has no containerd store")
        self._clean_up = contextlib.ExitStack()
        if directory is None:
            workspace = Workspace()
            self._clean_up.callback(workspace.remove)
            directory = workspace.path
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.store = store
        self.data_root = data_root or directory / "data"
        self.exec_root = directory / "exec"
        self.socket = directory / "d.sock"
        self.settings = dict(settings or {})
        self.environment = dict(environment or {})
        self._own_containerd = containerd is None
        self.containerd = containerd or Containerd(directory / "c")
        self._server = None

    @property
    def host(self):
        """As in DOCKER_HOST."""
        return f"unix://{self.socket}"

    @property
    def uses_containerd_store(self):
        return self.store == CONTAINERD_STORE

    @property
    def pid(self):
        return self._server.process.pid

    @property
    def log(self):
        return self._server.log.read_text()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    # Its life

    def _configuration(self):
        settings = {
            "data-root": str(self.data_root),
            "exec-root": str(self.exec_root),
            "pidfile": str(self.directory / "docker.pid"),
            "hosts": [self.host],
            "containerd": self.containerd.address,
            # Nothing of the machine's network is touched.
            "bridge": "none",
            "iptables": False,
            "ip6tables": False,
            # A top-level cgroup is removed with its container; "/docker" would stay.
            "cgroup-parent": "/",
            # Up to 23 the engine's ID is in this file. /etc/docker is the machine's.
            "deprecated-key-path": str(self.directory / "key.json"),
            "features": {"containerd-snapshotter": self.uses_containerd_store},
        }
        if not self.uses_containerd_store:
            settings["storage-driver"] = self.store
        return {**settings, **self.settings}

    def start(self):
        """Starts dockerd, and its containerd if that does not run."""
        if self._own_containerd and not self.containerd.is_running:
            self.containerd.start()
        config = self.directory / "daemon.json"
        config.write_text(json.dumps(self._configuration(), indent=1))
        self._server = Server([self._program, "--config-file", config],
                              self.directory / "dockerd.log",
                              {"PATH": self._path, **self.environment})
        wait_until(lambda: self._server.check_alive() and self._answers(),
                   "dockerd answers on its socket")
        return self

    def _answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/_ping")[0] == 200
        return False

    def stop(self, how=signal.SIGTERM):
        """Stops dockerd. containerd goes on."""
        if self._server:
            self._server.stop(how)

    def kill(self):
        self.stop(signal.SIGKILL)

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """Stops everything and removes what is left: containers, mounts, a directory of its own."""
        with self._clean_up:
            self.stop()
            self._kill_containers()
            if self._own_containerd:
                self.containerd.close()
            for directory in (self.exec_root, self.data_root):
                for point in mounts_below(directory):
                    if point != str(directory):
                        subprocess.run(["umount", "-l", point], check=False)

    def _kill_containers(self):
        """Those that a killed dockerd has left."""
        if not self.containerd.is_running:
            return
        for task in self.containerd.run_ctr("tasks", "ls", "--quiet",
                                            namespace=NAMESPACE).stdout.split():
            # This kills its processes and removes its cgroup, too.
            self.containerd.run_ctr("tasks", "rm", "--force", task, namespace=NAMESPACE)

    # Talking to it

    def request(self, method, path, body=None, headers=None):
        """Status, headers and the whole body of an answer of its API."""
        connection = _Connection(str(self.socket))
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def api(self, path, method="GET", document=None):
        """The document that it answers with; None if it answers with nothing."""
        body = None if document is None else json.dumps(document)
        status, _, answer = self.request(method, path, body, {"Content-Type": "application/json"})
        if status >= 300:
            raise AssertionError(f"{method} {path}: {status} {answer.decode(errors='replace')}")
        return json.loads(answer) if answer.strip() else None

    def docker_command(self, *arguments):
        return [str(self._cli), "--config", str(self.directory / "cli"), "--host", self.host,
                *map(str, arguments)]

    def run_docker(self, *arguments, timeout=DEADLINE, stdin=None):
        return subprocess.run(self.docker_command(*arguments), stdin=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout, check=False,
                              env={"PATH": self._path, "HOME": str(self.directory)})

    def docker(self, *arguments, **options):
        """The output of a docker command, which must succeed."""
        done = self.run_docker(*arguments, **options)
        if done.returncode != 0:
            raise AssertionError(f"docker {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def run_container(self, image, *command):
        """Runs a container of an image that is there, until it exits; returns its output."""
        return self.docker("run", "--rm", "--network", "none", "--pull", "never", image, *command)

    def inspect(self, image):
        """What it says of an image; None if it has none of that name."""
        done = self.run_docker("image", "inspect", image)
        return json.loads(done.stdout)[0] if done.returncode == 0 else None

    def images(self):
        """All names with a tag, and with a digest, as it shows them."""
        names = set()
        for image in self.api("/images/json"):
            names.update(image.get("RepoTags") or [])
            names.update(image.get("RepoDigests") or [])
        return names
