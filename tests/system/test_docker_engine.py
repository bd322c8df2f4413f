#!/usr/bin/python3
"""prebake's client of the Engine API against real engines of three versions, with both stores.

Environment:
  PREBAKE_DOCKER_CLIENT   the program that makes its calls, see docker_client/main.cc (required)
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

import docker_engine
import harness
import oci_image
import registry as scripted

MEBI = 1 << 20
PASSWORD = 'not "base64"-safe: ~~~???>>> ÿþ'
PLATFORM = f"linux/{oci_image.host_architecture()}"


class Client:
    """Calls of prebake's client to one engine."""

    def __init__(self, socket):
        self._command = [os.environ["PREBAKE_DOCKER_CLIENT"], str(socket)]

    def run(self, *arguments, code=0, **environment):
        """The lines that it prints."""
        done = subprocess.run([*self._command, *map(str, arguments)], text=True, check=False,
                              env={**os.environ, **environment}, timeout=harness.DEADLINE,
                              stdout=subprocess.PIPE)
        if done.returncode != code:
            raise AssertionError(f"{arguments}: exit status {done.returncode}: {done.stdout}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def one(self, *arguments):
        line, = self.run(*arguments)
        return line

    def error(self, *arguments, **environment):
        """The code and the text of the error that it ends with."""
        last = self.run(*arguments, code=1, **environment)[-1]
        return last["error"], last["message"]

    @contextlib.contextmanager
    def start(self, *arguments):
        """The running process, whose output is in a pipe."""
        with subprocess.Popen([*self._command, *map(str, arguments)], text=True,
                              stdout=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()


class EngineCases:
    """What is true for every engine; each class below runs it with another one."""
    suite = docker_engine.INSTALLED
    store = "overlay2"
    api = None  # the version to be spoken
    settings = {"max-download-attempts": 1}  # otherwise repeated for more than a minute

    @classmethod
    def setUpClass(cls):
        cls.workspace = harness.Workspace()
        cls.addClassCleanup(cls.workspace.remove)
        cls.docker = docker_engine.DockerEngine(docker_engine.engine(cls.suite), store=cls.store,
                                                directory=cls.workspace.path / "d",
                                                settings=cls.settings)
        cls.addClassCleanup(cls.docker.close)
        cls.docker.start()
        cls.client = Client(cls.docker.socket)
        cls.registry = harness.DockerRegistry(cls.workspace.path / "registry")
        cls.addClassCleanup(cls.registry.stop)
        cls.scripted = scripted.Registry()
        cls.addClassCleanup(cls.scripted.stop)

    def setUp(self):
        self.scripted.behave()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=self.workspace.path))
        self.repository = re.sub(r"[^a-z0-9]+", "-", self.id().rpartition(".")[2].lower())

    def pull(self, image, place=None, **environment):
        """Pulls it by digest, and gives it its tag; returns both names, and the progress."""
        reference = (place or self.registry).push(self.repository, image)
        by_digest = reference.rpartition(":")[0] + "@" + image.top.digest
        progress = self.client.run("pull", by_digest, PLATFORM, **environment)
        self.client.run("tag", by_digest, reference)
        return reference, by_digest, progress

    def test_what_it_is(self):
        info = self.client.one("info")
        api = self.docker.api("/info")
        self.assertEqual(info["version"], api["ServerVersion"])
        self.assertEqual(info["id"], api["ID"])
        self.assertEqual(info["driver"], api["Driver"])
        self.assertEqual(info["platform"], PLATFORM)
        self.assertEqual(info["data_root"], str(self.docker.data_root))
        self.assertEqual(info["containerd_store"], self.docker.uses_containerd_store)
        self.assertEqual(info["namespace"], docker_engine.NAMESPACE)
        if self.docker.version >= (27,):
            self.assertEqual(info["containerd"], self.docker.containerd.address)
        self.assertFalse(info["rootless"] or info["userns"])
        if self.api:
            self.assertEqual(info["api"], self.api)

    def test_a_pull_by_digest_and_a_tag(self):
        image = oci_image.greeting_image("from the index")
        other = oci_image.greeting_image("wrong", architecture=oci_image.other_architecture())
        index = oci_image.index([(f"linux/{oci_image.other_architecture()}", other),
                                 (PLATFORM, image)])
        reference, by_digest, progress = self.pull(index)
        # containerd's engines do not mention layers that are there.
        layers = {layer.blob.digest.partition(":")[2][:12] for layer in image.layers}
        self.assertTrue({line["layer"] for line in progress} <= layers and progress, progress)
        for name in (reference, by_digest):
            found = self.client.one("inspect", name)
            self.assertIn(reference, found["tags"])
            self.assertIn(by_digest, found["digests"])
            self.assertEqual(found["platform"], PLATFORM)
            self.assertEqual(found["layers"], [layer.diff_id for layer in image.layers])
            self.assertEqual(self.docker.run_container(name), "from the index\n")
        # Again: nothing is fetched.
        self.client.run("pull", by_digest, PLATFORM)

    def test_names_that_it_does_not_have(self):
        self.assertIsNone(self.client.one("inspect", "docker.io/library/nothing:1"))
        self.assertIsNone(self.client.one("inspect", f"nothing@{oci_image.sha256(b'')}"))
        self.assertEqual(self.client.error("tag", "nothing:1", "something:1")[0], "not_found")

    def test_progress_of_a_download(self):
        layer = oci_image.big_layer(self.directory / "layer", 17 * MEBI)  # no test has this
        image = oci_image.image([oci_image.busybox_layer(), layer])
        reference = self.scripted.serve(self.repository, image)
        gate = self.scripted.gate()
        self.scripted.on(layer.blob.digest, scripted.pause(gate, 8 * MEBI), times=1)
        with self.client.start("pull", reference, PLATFORM) as process:
            for line in process.stdout:
                progress = json.loads(line)
                # dockerd reports at most every 100 ms, so this may be all until the gate opens.
                if progress.get("total") == layer.blob.size and progress["current"] > 0:
                    break
            else:
                self.fail(f"it ended with {line}")
            gate.open()
            rest = [json.loads(line) for line in process.stdout]
            self.assertEqual(process.wait(harness.DEADLINE), 0, rest)
        self.assertIsNotNone(self.client.one("inspect", reference))

    def test_pulls_that_fail(self):
        pushed = self.registry.push(self.repository, oci_image.small_image(self.repository))
        for absent in (pushed + "-other", pushed.replace(self.repository, "other")):
            code, message = self.client.error("pull", absent, PLATFORM)
            self.assertEqual(code, "not_found", message)
            self.assertIn(absent, message)
        code, message = self.client.error("pull", "127.0.0.1:1/a/b:1", PLATFORM)
        self.assertEqual(code, "unavailable", message)
        for behaviour, expected in ((scripted.wrong_bytes, "corrupt"),
                                    # 28.5 repeats only the text.
                                    (scripted.error(429, "toomanyrequests: wait"), "rate_limited")):
            # containerd would resume what it has of the same layer.
            image = oci_image.small_image(f"{self.repository}-{expected}")
            reference = self.scripted.serve(self.repository, image)
            self.scripted.on(image.layers[0].blob.digest, behaviour)
            code, message = self.client.error("pull", reference, PLATFORM)
            self.assertEqual(code, expected, message)

    def test_an_image_of_another_platform(self):
        other = oci_image.small_image(self.repository, architecture=oci_image.other_architecture())
        index = oci_image.index([(f"linux/{oci_image.other_architecture()}", other)])
        reference = self.registry.push(self.repository, index)
        code, message = self.client.error("pull", reference, PLATFORM)
        self.assertEqual(code, "not_found", message)

    def test_credentials(self):
        private = scripted.Registry()
        self.addCleanup(private.stop)
        private.require_basic(lambda user, password: (user, password) == ("me", PASSWORD))
        image = oci_image.greeting_image("private")
        reference = private.serve(self.repository, image)
        wrong = {"PULL_USER": "me", "PULL_PASSWORD": "a wrong one"}
        for environment in ({}, wrong):
            code, message = self.client.error("pull", reference, PLATFORM, **environment)
            self.assertEqual(code, "unauthenticated", message)
            self.assertNotIn("a wrong one", message)
        self.client.run("pull", reference, PLATFORM, PULL_USER="me", PULL_PASSWORD=PASSWORD)
        self.assertEqual(self.docker.run_container(reference), "private\n")

    def test_a_load(self):
        image = oci_image.greeting_image("loaded")
        reference, _, _ = self.pull(image)
        archive = self.directory / "archive.tar"
        self.docker.docker("save", "--output", archive, reference)
        self.docker.docker("rmi", "--force", self.client.one("inspect", reference)["id"])
        self.assertIsNone(self.client.one("inspect", reference))
        self.client.run("load", archive)
        self.assertEqual(self.docker.run_container(reference), "loaded\n")
        archive.write_bytes(b"no archive" * MEBI)
        code, message = self.client.error("load", archive)
        self.assertEqual(code, "failed_precondition", message)
        self.assertIn("tar", message)

    def test_containers_and_events(self):
        reference, by_digest, _ = self.pull(oci_image.greeting_image("counted"))
        since = int(time.time())
        before = {line["id"] for line in self.client.run("containers")}
        with self.client.start("events", since) as process:
            self.assertEqual(json.loads(process.stdout.readline()), {"subscribed": True})
            waiting = self.docker.docker("create", "--network", "none", reference).strip()
            self.docker.run_container(by_digest)
            seen = []
            while not seen or (seen[-1]["action"], seen[-1]["image"]) != ("destroy", by_digest):
                seen.append(json.loads(process.stdout.readline()))
        containers = [(event["action"], event["image"]) for event in seen
                      if event["type"] == "container"]
        for expected in (("create", reference), ("create", by_digest), ("start", by_digest)):
            self.assertIn(expected, containers)
        for event in seen:
            self.assertLess(abs(event["at"] - since), harness.DEADLINE)
        image = self.client.one("inspect", reference)
        found, = (line for line in self.client.run("containers") if line["id"] not in before)
        self.assertEqual(found["id"], waiting)
        self.assertEqual(found["image"], reference)
        self.assertEqual(found["image_id"], image["id"])
        self.assertFalse(found["started"])
        # Past events are there, too.
        with self.client.start("events", since) as process:
            process.stdout.readline()
            actions = [json.loads(process.stdout.readline())["action"] for _ in seen]
        self.assertIn("create", actions)

    def test_a_daemon_that_is_killed_in_mid_pull(self):
        layer = oci_image.big_layer(self.directory / "layer", 16 * MEBI)
        image = oci_image.image([oci_image.busybox_layer(), layer])
        reference = self.scripted.serve(self.repository, image)
        gate = self.scripted.gate()
        self.scripted.on(layer.blob.digest, scripted.pause(gate, 8 * MEBI), times=1)
        self.addCleanup(self.docker.restart)
        with self.client.start("pull", reference, PLATFORM) as process, \
                self.client.start("events", 0) as events:
            events.stdout.readline()
            gate.wait_reached()
            self.docker.kill()
            for follower in (process, events):
                *_, last = follower.stdout
                self.assertEqual(json.loads(last)["error"], "unavailable", last)
                self.assertIn("systemctl", last)
        gate.open()
        code, message = self.client.error("info")
        self.assertEqual(code, "unavailable")
        self.assertIn("systemctl start docker", message)
        self.docker.start()
        self.client.run("pull", reference, PLATFORM)
        self.assertIsNotNone(self.client.one("inspect", reference))

    def test_a_full_disk(self):
        layer = oci_image.big_layer(self.directory / "layer", 64 * MEBI)
        reference = self.scripted.serve(self.repository, oci_image.image([layer]))
        place = self.workspace.mount_tmpfs(self.directory / "small", "48m")
        with docker_engine.DockerEngine(docker_engine.engine(self.suite), store=self.store,
                                        directory=place, settings=self.settings) as full:
            code, message = Client(full.socket).error("pull", reference, PLATFORM)
        self.assertEqual(code, "no_space", message)
        self.assertIn("docker system df", message)


class InstalledOverlay2(EngineCases, unittest.TestCase):
    pass


class TrixieOverlay2(EngineCases, unittest.TestCase):
    suite = docker_engine.TRIXIE
    api = "1.45"


class TrixieContainerd(TrixieOverlay2):
    store = docker_engine.CONTAINERD_STORE


class ForkyOverlay2(EngineCases, unittest.TestCase):
    suite = docker_engine.FORKY
    api = "1.47"  # of 1.51


class ForkyContainerd(ForkyOverlay2):
    store = docker_engine.CONTAINERD_STORE


if __name__ == "__main__":
    harness.main(allowed_skips=tuple(f"{each.__name__})" for each in (
        TrixieOverlay2, TrixieContainerd, ForkyOverlay2, ForkyContainerd)))
