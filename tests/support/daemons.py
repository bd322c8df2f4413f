"""The daemons of the tests: a private containerd, and what all of them need.

Environment:
  PREBAKE_TEST_CONTAINERD   directory whose bin/ holds the containerd to test against
                            (default: the one on PATH)

They are stopped by their process IDs, even if a test fails. `setpriv --pdeathsig` stops them if the
test itself is killed.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

DEADLINE = 300  # seconds; a limit for hangs, also on a busy machine
ADMIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def wait_until(condition, what, deadline=DEADLINE):
    """Polls `condition` until it is true and returns its value. Fails after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"within {deadline} s not true: {what}")
        time.sleep(0.02)


CAP_SYS_RESOURCE = 24


def has_capability(number):
    """Whether this process, and so its children, has the capability."""
    status = pathlib.Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*(\w+)", status, re.MULTILINE).group(1)
    return bool(int(effective, 16) >> number & 1)


def mounts_below(directory):
    """Mount points at or below `directory`, deepest first."""
    points = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == str(directory) or point.startswith(f"{directory}/"):
            points.append(point)
    return sorted(points, key=len, reverse=True)


class Workspace:
    """A temporary directory for containerd. It is removed together with the mounts in it."""

    def __init__(self):
        # Socket paths are limited to 107 bytes: a long TMPDIR would break containerd.
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="prebake-", dir="/tmp"))
        kind = subprocess.run(["stat", "-f", "-c", "%T", self.path], stdout=subprocess.PIPE,
                              text=True, check=True).stdout.strip()
        if kind == "overlayfs":  # in a container: an overlay cannot be mounted on an overlay
            self.mount_tmpfs(self.path, "8g")

    def mount_tmpfs(self, directory, size):
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "prebake-test",
                        directory], check=True)
        return directory

    def remove(self):
        for point in mounts_below(self.path):
            subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(self.path, ignore_errors=True)


class Server:
    """A child process with a log file."""

    def __init__(self, arguments, log, environment=None):
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, arguments)], stdout=out,
                stderr=out, stdin=subprocess.DEVNULL, env=environment)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"server ended with {self.process.returncode}:\n"
                                 + self.log.read_text()[-4000:])
        return True


class Containerd:
    """A private containerd: root, state, socket and CNI directories below `directory`."""

    def __init__(self, directory, root=None, snapshotter=None, sandbox_image=None,
                 plain_registry=None, cri="works"):
        """`snapshotter` and `sandbox_image` configure its CRI. It pulls from `plain_registry`
        (host:port) without TLS. `cri` may also be "disabled", as Docker's package of containerd has
        it, or "broken": it fails to load."""
        self.cri = cri
        self.snapshotter = snapshotter
        self.plain_registry = plain_registry
        self.sandbox_image = sandbox_image
        self.verifier_directory = None
        self.overlayfs_root = None  # of the snapshotter, if not below the root
        self.directory = directory
        self.root = root or directory / "root"
        self.state = directory / "state"
        self.address = str(directory / "c.sock")
        home = os.environ.get("PREBAKE_TEST_CONTAINERD")
        self._path = f"{home}/bin:{ADMIN_PATH}" if home else ADMIN_PATH
        self._ctr = shutil.which("ctr", path=self._path)
        self._daemon = shutil.which("containerd", path=self._path)
        if not self._ctr or not self._daemon:
            raise AssertionError(f"no containerd and ctr on {self._path}")
        version = subprocess.run([self._daemon, "--version"], stdout=subprocess.PIPE, text=True,
                                 check=True).stdout
        self.version = tuple(map(int, re.search(r" v?(\d+)\.(\d+)\.(\d+)", version).groups()))
        self.honors_pins = self.version >= (1, 7, 3) or (1, 6, 22) <= self.version < (1, 7)
        self._server = None
        self._config = directory / "containerd.toml"
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("cni.d", "opt"):
            (directory / name).mkdir(exist_ok=True)
        self.configure()

    def configure(self, **changes):
        """Writes the configuration for the next start."""
        for key, value in changes.items():
            setattr(self, key, value)
        self._config.write_text(self._configuration())

    @property
    def config_file(self):
        return self._config

    def _configuration(self):
        modern = self.version >= (2, 0, 0)
        cri = "io.containerd.cri.v1.runtime" if modern else "io.containerd.grpc.v1.cri"
        lines = [
            f"version = {3 if modern else 2}",
            f'root = "{self.root}"',
            f'state = "{self.state}"',
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]' if self.cri == "disabled" else "",
            "[grpc]",
            f'  address = "{self.address}"',
            # On a busy machine a shim may answer later than in the default: containerd takes its
            # task for one that has ended, and CRI deletes the pod.
            "[timeouts]",
            *(f'  "io.containerd.timeout.{what}" = "{DEADLINE}s"'
              for what in ("shim.load", "task.state")),
            '[plugins."io.containerd.internal.v1.opt"]',
            f'  path = "{self.directory}/opt"',
            f'[plugins."{cri}".cni]',
            f'  conf_dir = "{self.directory}/cni.d"',
            f'[plugins."{cri}"]',
            # Without the capability runc cannot lower a score below its own.
            f"  restrict_oom_score_adj = {json.dumps(not has_capability(CAP_SYS_RESOURCE))}",
        ]
        images = "io.containerd.cri.v1.images" if modern else cri
        if self.sandbox_image and modern:
            lines += [f'[plugins."{images}".pinned_images]', f'  sandbox = "{self.sandbox_image}"']
        elif self.sandbox_image:
            lines.append(f'  sandbox_image = "{self.sandbox_image}"')
        if self.plain_registry:
            hosts = self.directory / "certs.d" / self.plain_registry
            hosts.mkdir(parents=True, exist_ok=True)
            (hosts / "hosts.toml").write_text(f'server = "http://{self.plain_registry}"\n'
                                              f'[host."http://{self.plain_registry}"]\n')
            lines += [f'[plugins."{images}".registry]',
                      f'  config_path = "{self.directory}/certs.d"']
        if self.verifier_directory:  # programs that judge images, from 2.0 on
            lines += ['[plugins."io.containerd.image-verifier.v1.bindir"]',
                      f'  bin_dir = "{self.verifier_directory}"']
        if self.overlayfs_root:
            lines += ['[plugins."io.containerd.snapshotter.v1.overlayfs"]',
                      f'  root_path = "{self.overlayfs_root}"']
        if self.cri == "broken":
            lines += [f'[plugins."{cri}".containerd]', '  default_runtime_name = "nvidia"']
        if self.snapshotter:
            table = f'"{images}"' if modern else f'"{images}".containerd'
            lines += [f"[plugins.{table}]", f'  snapshotter = "{self.snapshotter}"']
        if self.version >= (1, 7, 0):  # its socket is the same for the whole machine
            lines += ['[plugins."io.containerd.nri.v1.nri"]', "  disable = true"]
        return "\n".join(lines) + "\n"

    def start(self):
        environment = {**os.environ, "PATH": self._path}
        self._server = Server([self._daemon, "--config", self._config],
                              self.directory / "containerd.log", environment)
        wait_until(lambda: self._server.check_alive() and self._answers(),
                   "containerd answers on its socket")
        return self

    def _answers(self):
        return self.run_ctr("version", namespace="default").returncode == 0

    @property
    def is_running(self):
        return self._server is not None and self._server.process.poll() is None

    def stop(self, how=signal.SIGTERM):
        if self._server:
            self._server.stop(how)

    def kill(self):
        self.stop(signal.SIGKILL)

    def close(self):
        """Stops containerd and removes what it left: shims on our socket, mounts."""
        self.stop()
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    if "containerd-shim" in command[0] and self.address in command:
                        os.kill(int(entry.name), signal.SIGKILL)
        for directory in (self.state, self.root):
            for point in mounts_below(directory):
                if point != str(directory):
                    subprocess.run(["umount", "-l", point], check=False)

    # Contents. The assertions read the store with ctr, because prebake is what they test.

    def ctr_command(self, *arguments, namespace="k8s.io"):
        return [self._ctr, "--address", self.address, "--namespace", namespace,
                *map(str, arguments)]

    def run_ctr(self, *arguments, namespace="k8s.io", timeout=DEADLINE, stdin=None):
        return subprocess.run(
            self.ctr_command(*arguments, namespace=namespace),
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
            env={**os.environ, "PATH": self._path})

    def ctr(self, *arguments, **options):
        done = self.run_ctr(*arguments, **options)
        if done.returncode != 0:
            raise AssertionError(f"ctr {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def images(self, namespace="k8s.io"):
        """name -> (target digest, labels)"""
        found = {}
        for line in self.ctr("images", "ls", namespace=namespace).splitlines()[1:]:
            fields = line.split()
            found[fields[0]] = (fields[2], _labels(fields[-1]))
        return found

    def blobs(self, namespace="k8s.io"):
        """digest -> labels"""
        lines = self.ctr("content", "ls", namespace=namespace).splitlines()[1:]
        return {line.split()[0]: _labels(line.split()[-1]) for line in lines}

    def blob_text(self, digest, namespace="k8s.io"):
        return self.ctr("content", "get", digest, namespace=namespace)

    def snapshots(self, namespace="k8s.io", snapshotter="overlayfs"):
        """key -> kind, such as Committed or Active"""
        lines = self.ctr("snapshots", "--snapshotter", snapshotter, "ls",
                         namespace=namespace).splitlines()[1:]
        return {line.split()[0]: line.split()[-1] for line in lines}

    def leases(self, namespace="k8s.io"):
        return self.ctr("leases", "ls", "--quiet", namespace=namespace).split()

    def check(self, namespace="k8s.io"):
        """name -> the line of `ctr images check`, which fails if it cannot read one of them"""
        lines = self.run_ctr("images", "check", namespace=namespace).stdout.splitlines()[1:]
        return {line.split()[0]: line for line in lines}

    def collect_garbage(self):
        """Makes containerd collect everything that is not referenced."""
        self.ctr("leases", "create", "--id", "garbage")
        self.ctr("leases", "delete", "--sync", "garbage")

    def blob_path(self, digest):
        """Path of the blob on the disk."""
        return (self.root / "io.containerd.content.v1.content/blobs/sha256"
                / digest.partition(":")[2])

    def ingested_bytes(self):
        """Bytes of unfinished blobs on the disk."""
        ingests = self.root / "io.containerd.content.v1.content" / "ingest"
        total = 0
        for data in ingests.glob("*/data"):
            with contextlib.suppress(FileNotFoundError):
                total += data.stat().st_size
        return total

    def run_container(self, name, *command, namespace="k8s.io", snapshotter="overlayfs"):
        """Runs a container of the image until it exits; returns its output."""
        container = f"prebake-test-{os.getpid()}-{time.monotonic_ns()}"
        # A top-level cgroup is removed with the container; ctr's default leaves its parent.
        return self.ctr("run", "--rm", "--snapshotter", snapshotter, "--cgroup", f"/{container}",
                        name, container, *command, namespace=namespace)

    @contextlib.contextmanager
    def mounted(self, chain_id, namespace="k8s.io", snapshotter="overlayfs"):
        """The tree of a committed snapshot, read-only, as a directory."""
        key = f"view-{time.monotonic_ns()}"
        target = self.directory / key
        target.mkdir()
        # Nothing references the view, so containerd may collect it at once. The mount uses the
        # committed layers below it, which stay.
        mount = self.ctr("snapshots", "--snapshotter", snapshotter, "view", "--target", target, key,
                         chain_id, namespace=namespace)
        subprocess.run(mount, shell=True, check=True)
        try:
            yield target
        finally:
            subprocess.run(["umount", target], check=True)
            self.run_ctr("snapshots", "--snapshotter", snapshotter, "rm", key, namespace=namespace)


def _labels(text):
    """ctr joins labels with commas, and a value may contain commas (several repositories in
    distribution.source): a part without "=" belongs to the value before it."""
    labels = {}
    key = None
    for item in text.split(","):
        if "=" in item:
            key, value = item.split("=", 1)
            labels[key] = value
        elif key:
            labels[key] += "," + item
    return labels
