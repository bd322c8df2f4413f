#!/usr/bin/python3
"""A builder with real Docker state is sealed, and clones of it are hosts of their own.

The state is that of a real dockerd, in a root that looks like a mounted machine image. Engines
20.10 and 28.5; the latter with both stores. The tests have a network of their own, for Docker's
bridges.
"""

import json
import os
import secrets
import shutil
import subprocess
import unittest

import docker_engine
import harness
import oci_image
import private_network
import registry as scripted
from daemons import ADMIN_PATH, Containerd, Workspace
from docker_engine import CONTAINERD_STORE, FORKY, INSTALLED, DockerEngine

PROGRAM = os.path.abspath(os.environ["PREBAKE"])
DONE, PARTIAL, NOT_READY = harness.DONE, harness.PARTIAL, harness.NOT_READY
CONTAINERD = "var/lib/containerd"
# Not even a seal can clean the pages that containerd's database has freed: they still hold the
# specifications of containers that were removed.
METADATA = f"/{CONTAINERD}/io.containerd.metadata.v1.bolt/meta.db"
CACHE = "docker-build-cache"


def private_key():
    return subprocess.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout"],
                          stdout=subprocess.PIPE, check=True, text=True).stdout


class Host:
    """The root of a machine that is off, and the dockerd that runs on its files."""

    def __init__(self, story, name):
        self.story = story
        self.root = story.workspace.path / name
        self.engine = None

    def path(self, inside):
        return self.root / inside.lstrip("/")

    def put(self, inside, text, mode=0o644):
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def start(self):
        story = self.story
        running = story.workspace.path / f"run-{self.root.name}"
        containerd = Containerd(running / "c", root=self.path(CONTAINERD))
        containerd.start()
        story.addCleanup(containerd.close)
        self.engine = DockerEngine(
            docker_engine.engine(story.suite), directory=running, store=story.store,
            containerd=containerd, data_root=self.path(story.data_root),
            settings={"deprecated-key-path": str(self.path("/etc/docker/key.json"))})
        story.addCleanup(self.engine.close)
        return self.engine.start()

    def stop(self):
        self.engine.stop()
        self.engine.containerd.stop()
        self.engine.close()

    def clone(self, name):
        copy = Host(self.story, name)
        subprocess.run(["cp", "-a", self.root, copy.root], check=True)
        return copy

    def files_with(self, needle):
        found = subprocess.run(["grep", "-rlaF", "--devices=skip", "-e", needle, "."],
                               cwd=self.root, stdout=subprocess.PIPE, text=True, check=False,
                               env={"PATH": ADMIN_PATH})
        if found.returncode > 1:
            raise AssertionError("grep failed")
        return {line[1:] for line in found.stdout.splitlines()}

    def tree(self):
        """Everything that a change would change."""
        return {str(path.relative_to(self.root)): (status.st_mode, status.st_size,
                                                   status.st_mtime_ns, status.st_ino)
                for path in self.root.rglob("*") for status in [path.lstat()]}

    def seal(self, *arguments, expect=DONE):
        ran = subprocess.run([PROGRAM, "seal", "--root", str(self.root), *arguments],
                             stdin=subprocess.DEVNULL, text=True, capture_output=True, check=False)
        self.story.assertEqual(ran.returncode, expect, ran.stdout + ran.stderr)
        return ran

    def residue(self, *arguments, expect=NOT_READY):
        return json.loads(self.seal("--check", "--json", *arguments, expect=expect).stdout)


class Story:
    suite = INSTALLED
    store = "overlay2"
    data_root = "/var/lib/docker"

    def setUp(self):
        self.workspace = Workspace()
        self.addCleanup(self.workspace.remove)
        self.secret = "builders-" + secrets.token_hex(8)
        self.built_with = "context-" + secrets.token_hex(8)
        self.registry = scripted.Registry()
        self.addCleanup(self.registry.stop)
        # What images hold is not the builder's, even if it looks like a secret.
        self.app = self.registry.serve("app", oci_image.greeting_image(
            "hello", extra=[oci_image.layer([oci_image.file("app.key", private_key(), 0o600)])]))

    @property
    def in_containerd(self):
        return self.store == CONTAINERD_STORE

    # What a builder does

    def build(self, engine):
        """By BuildKit, which newer clients have only as a plugin."""
        context = self.workspace.path / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(f"# {self.built_with}\nFROM {self.app}\n"
                                            "RUN echo made >/made\n")
        build = ["/usr/bin/docker", "--host", engine.host, "build", "--quiet", "--network", "none",
                 "--tag", "made:1", context]
        client = subprocess.run(build, text=True, capture_output=True, check=False,
                                env={"PATH": ADMIN_PATH, "DOCKER_BUILDKIT": "1",
                                     "HOME": str(self.workspace.path)})
        self.assertEqual(client.returncode, 0, client.stderr)

    def populate(self, engine):
        docker = engine.docker
        docker("pull", self.app)
        self.build(engine)
        docker("network", "create", "app-net")
        docker("volume", "create", "app-data")
        docker("run", "--name", "ended", "--network", "none", "--volume", "app-data:/data",
               "--env", f"TOKEN={self.secret}", self.app,
               "/bin/sh", "-c", f"echo {self.secret} >/written; echo kept >/data/f; "
               f"echo {self.secret}")
        docker("run", "--detach", "--name", "runs", "--network", "app-net", "--restart", "always",
               "--stop-timeout", "1", "--hostname", self.secret, "--label", f"of={self.secret}",
               self.app, "/bin/busybox", "sleep", "100000")
        docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377")
        note = self.workspace.path / "secret"
        note.write_text(self.secret)
        docker("secret", "create", "note", note)

    def make_builder(self):
        builder = Host(self, "builder")
        builder.put("/etc/os-release", 'NAME="Debian"\n')
        builder.put("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        if self.data_root != "/var/lib/docker":
            builder.put("/etc/docker/daemon.json", json.dumps({"data-root": self.data_root}))
        engine = builder.start()
        self.populate(engine)
        self.ids = [engine.api("/info")["ID"]]
        self.names = engine.images()
        self.networks = {network["Name"] for network in engine.api("/networks")}
        self.assertGreater(self.networks, {"app-net", "none", "host"})
        builder.stop()
        found = builder.files_with(self.secret)
        for place in ("containers/", "overlay2/" if not self.in_containerd else "config.v2.json"):
            self.assertTrue(any(place in path for path in found), f"the search finds {place}")
        return builder

    # The story

    def test_story(self):
        self.builder = self.make_builder()
        if self.in_containerd:
            self.only_docker_can_remove_containers()
        self.check_dry_run_and_seal_agree()
        self.sealed_twice_is_sealed_once()
        self.nothing_of_the_builder_is_left()
        self.the_build_cache_is_removed_on_request()
        self.clones_are_hosts_of_their_own()

    def only_docker_can_remove_containers(self):
        """The seal of a running machine has Docker do this, see test_docker_clones.py."""
        before = self.builder.files_with(self.secret)
        for _ in range(2):  # and it does not get away with it by sealing again
            said = self.builder.seal("--only", "docker-containers", expect=PARTIAL)
            self.assertIn("2 containers in", said.stderr)
            self.assertIn("docker rm --force", said.stderr)
        self.assertEqual(self.builder.files_with(self.secret), before)
        said = self.builder.seal("--only", CACHE, expect=PARTIAL).stderr
        self.assertIn("docker builder prune --all", said)
        self.builder.start()
        docker = self.builder.engine.docker
        docker("swarm", "leave", "--force")
        docker("rm", "--force", *docker("ps", "--all", "--quiet").split())
        self.builder.stop()

    def check_dry_run_and_seal_agree(self):
        report = self.builder.residue()
        found = {(item["item"], item["path"]) for item in report["residue"]
                 if item["kind"].startswith("to ")}
        self.assertEqual([item for item in report["residue"] if item["item"] == "secrets"], [])
        noted = {item["path"] for item in report["noted"]
                 if item["kind"] == "not searched: container images"}
        layers = {f"/{CONTAINERD}"} if self.in_containerd else {f"{self.data_root}/overlay2",
                                                                  f"{self.data_root}/image"}
        self.assertLessEqual(layers, noted)
        self.assertLess(report["filesScanned"], 100, "no image was searched")

        before = self.builder.tree()
        planned = self.changes_in(self.builder.seal("--dry-run", "--json"))
        self.assertEqual(self.builder.tree(), before, "neither changed anything")
        sealed = self.changes_in(self.builder.seal("--json"))
        self.assertEqual(planned, sealed)
        self.assertEqual(sealed, found)
        items = {item for item, _ in sealed}
        expected = {"docker", "docker-swarm", "docker-networks"}
        if not self.in_containerd:  # there Docker has removed them
            expected.add("docker-containers")
        self.assertLessEqual(expected, items)
        print(f"{type(self).__name__}: {len(sealed)} changes of {sorted(items)}")

    @staticmethod
    def changes_in(ran):
        return {(item["name"], change["path"]) for item in json.loads(ran.stdout)["items"]
                for change in item.get("changes", [])}

    def sealed_twice_is_sealed_once(self):
        self.assertEqual(self.builder.residue(expect=DONE).get("residue", []), [])
        before = self.builder.tree()
        self.assertEqual(self.changes_in(self.builder.seal("--json")), set())
        self.assertEqual(self.builder.tree(), before)

    def nothing_of_the_builder_is_left(self):
        self.assertLessEqual(self.builder.files_with(self.secret), {METADATA})
        self.assertEqual(self.builder.files_with(self.ids[0]), set())
        self.assertEqual(self.builder.path(f"{self.data_root}/volumes/app-data/_data/f")
                         .read_text(), "kept\n")

    def the_build_cache_is_removed_on_request(self):
        noted = [item for item in self.builder.residue(expect=DONE)["noted"]
                 if item["item"] == CACHE]
        if self.in_containerd:
            self.assertIn("in containerd's store", noted[0]["kind"])
            # As before: only Docker can.
            self.builder.start()
            self.builder.engine.docker("builder", "prune", "--all", "--force")
            self.ids.append(self.builder.engine.api("/info")["ID"])
            self.builder.stop()
            self.builder.seal()
        else:
            size, = [item["kind"] for item in noted
                     if item["path"] == f"{self.data_root}/buildkit"]
            self.assertRegex(size, r"^to remove \([0-9.]+ [KM]iB\)$")
            self.assertTrue(any("/overlay2/" in item["path"] for item in noted))
            self.assertNotEqual(self.builder.files_with(self.built_with), set())
        self.builder.seal("--also", CACHE)
        self.assertLessEqual(self.builder.files_with(self.built_with), {METADATA})
        self.assertEqual(self.builder.residue("--also", CACHE, expect=DONE).get("residue", []), [])

    def clones_are_hosts_of_their_own(self):
        digest, = (name for name in self.names if "/app@" in name)
        for name in ("clone-1", "clone-2"):
            clone = self.builder.clone(name)
            engine = clone.start()
            info = engine.api("/info")
            self.ids.append(info["ID"])
            self.assertEqual(engine.images(), self.names)
            for name_of_app in (self.app, digest):
                self.assertEqual(engine.run_container(name_of_app), "hello\n")
            self.assertEqual(engine.run_container("made:1", "/bin/cat", "/made"), "made\n")
            self.assertEqual(engine.api("/containers/json?all=1"), [])
            self.assertEqual({network["Name"] for network in engine.api("/networks")},
                             {"none", "host"})
            self.assertEqual(info["Swarm"]["LocalNodeState"], "inactive")
            self.assertEqual(engine.docker("volume", "ls", "--quiet").split(), ["app-data"])
            self.assertEqual(engine.api("/system/df")["BuildCache"] or [], [])
            # Nothing holds the images but their names.
            engine.docker("image", "prune", "--all", "--force")
            self.assertEqual(engine.images(), set())
            if self.in_containerd:
                snapshots = engine.containerd.snapshots(namespace=docker_engine.NAMESPACE)
                self.assertEqual(snapshots, {}, "no image was left with a snapshot")
            clone.stop()
            if not self.in_containerd:
                layers = {path.name for path in clone.path(f"{self.data_root}/overlay2").iterdir()}
                self.assertEqual(layers, {"l"}, "no image was left with a layer")
            id_file = clone.path(f"{self.data_root}/engine-id")
            if id_file.exists():
                self.assertEqual(id_file.read_text(), info["ID"])
            shutil.rmtree(clone.root)
        print(f"{type(self).__name__}: engine IDs {', '.join(self.ids)}")
        self.assertEqual(len(set(self.ids)), len(self.ids))


class Engine20(Story, unittest.TestCase):
    """The engine's ID is in /etc/docker/key.json."""


class Engine28WithGraphDriver(Story, unittest.TestCase):
    suite = FORKY
    data_root = "/data/docker"


class Engine28WithContainerdStore(Story, unittest.TestCase):
    suite = FORKY
    store = CONTAINERD_STORE


class ConfigurationTest(unittest.TestCase):
    """What people write into daemon.json stays; what of it is the builder's own is reported."""
    SETTINGS = {
        "hosts": ["fd://", "tcp://10.0.0.5:2376"],
        "swarm-default-advertise-addr": "10.0.0.5",
        "node-generic-resources": ["NVIDIA-GPU=GPU-fef8089b-4820-abfc-e83e-94318197576e"],
        "labels": ["host=ip-10-0-0-5"],
        "registry-mirrors": ["https://builder:Wc8xK2mPq7Lz@mirror.example"],
    }

    def test_daemon_json(self):
        self.workspace = Workspace()
        self.addCleanup(self.workspace.remove)
        host = Host(self, "host")
        host.put("/etc/os-release", 'NAME="Debian"\n')
        host.put("/etc/docker/daemon.json", json.dumps(self.SETTINGS))
        before = host.path("/etc/docker/daemon.json").read_bytes()
        host.seal()
        self.assertEqual(host.path("/etc/docker/daemon.json").read_bytes(), before)
        report = host.residue()
        self.assertEqual({(item["item"], item["path"]) for item in report["residue"]},
                         {("builder-values", "/etc/docker/daemon.json"),
                          ("secrets", "/etc/docker/daemon.json")})
        self.assertIn("to write (hosts, node-generic-resources, swarm-default-advertise-addr)",
                      [item["kind"] for item in report["noted"]
                       if item["item"] == "docker-host-settings"])


if __name__ == "__main__":
    private_network.enter()
    harness.main()
