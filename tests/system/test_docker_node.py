"""The node with Docker: images in dockerd's store, of either kind, are judged, repaired once, and
counted. The counts are compared with those of `docker events`.
"""

import collections
import json
import subprocess

import docker_engine
import harness
import node
import oci_image
from daemons import ADMIN_PATH

NAMESPACE = docker_engine.NAMESPACE


class EventLog:
    """What `docker events` shows: the independent count."""

    def __init__(self, engine, path):
        self._path = path
        with open(path, "wb") as out:
            self._process = subprocess.Popen(
                engine.docker_command("events", "--since", "1", "--format", "{{json .}}"),
                stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                env={"PATH": ADMIN_PATH, "HOME": "/"})

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()

    def starts(self):
        """Image, as its clients wrote it -> the containers of it that were started."""
        found = collections.defaultdict(set)
        # The last line may be unfinished.
        for line in self._path.read_text().split("\n")[:-1]:
            event = json.loads(line)
            if (event["Type"], event["Action"]) == ("container", "start"):
                found[event["Actor"]["Attributes"]["image"]].add(event["Actor"]["ID"])
        return found


class DockerNode:
    """The tests, for one engine and store."""

    suite = docker_engine.INSTALLED
    store = "overlay2"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = docker_engine.engine(cls.suite)

    def setUp(self):
        super().setUp()
        self.engine = self.make_engine(self.store)
        self.containerd = self.engine.containerd

    def make_engine(self, store, **options):
        engine = docker_engine.DockerEngine(self.home, directory=self.directory / f"d-{store[:3]}",
                                            store=store, **options)
        self.addCleanup(engine.close)
        return engine.start()

    # Images

    def runnable(self, name, is_foreign=False):
        """An image that runs busybox. `is_foreign`: it has no layer of another image."""
        own = [oci_image.file(f"etc/{name}", name)]
        if is_foreign:
            program = oci_image.file("bin/busybox", oci_image.BUSYBOX.read_bytes(), mode=0o755)
            layers = [oci_image.layer([oci_image.directory("bin"), program, *own])]
        else:
            layers = [oci_image.busybox_layer(), oci_image.layer(own)]
        return oci_image.image(layers, command=["/bin/busybox", "true"])

    def serve(self, name, **options):
        image = self.runnable(name, **options)
        return self.registry.serve(f"{self.repository}/{name}", image), image

    def bake_for_docker(self, name):
        """Bakes an image into this engine's store; returns its reference."""
        reference, _ = self.serve(name)
        self.bake("--runtime", "docker", reference,
                  environment={"DOCKER_HOST": self.engine.host})
        return reference

    def run_on(self, reference):
        """Starts a container that stays; returns its ID. dockerd need not wait for it to stop."""
        return self.engine.docker("run", "-d", "--stop-signal", "KILL", "--network", "none",
                                  "--pull", "never", reference, "/bin/busybox", "sleep",
                                  "1000000").strip()

    # The daemon

    def claimed(self):
        (self.state / "claim.json").write_text(json.dumps({
            "schema": "prebake.v1.Claim", "state": "CLAIMED", "instanceUnknown": True,
            "claimedAt": "2016-01-01T00:00:00Z"}))

    def daemon(self, ready=True):
        (self.directory / "prebake.toml").write_text(
            harness.NO_SANDBOX + '[guard]\nmin_free = "0"\n[report]\n'
            f'socket = "{self.directory}/run/prebake.sock"\nlisten = []\n')
        running = self.start("daemon", "--log-level", "debug",
                             environment={"DOCKER_HOST": self.engine.host})
        daemon = node.Daemon(running, self.directory / "run/prebake.sock")
        if ready:
            daemon.until_ready()
        return daemon

    def store_of(self, daemon):
        """The condition; a daemon that has just started has none."""
        found = [item for item in daemon.status()["conditions"] if item["type"] == "StoreMatches"]
        return found[0] if found else {"status": "", "reason": "", "message": ""}

    def until_store_matches(self, daemon):
        daemon.until(lambda: self.store_of(daemon)["reason"] == "SameStore",
                     "dockerd answers, with the same store")

    def counts(self, daemon):
        """Image -> (hits, partials, misses)"""
        return {item["name"]: (item["hits"], item["partials"], item["misses"])
                for item in daemon.ledger()["images"] if item["starts"]}

    def until_counts(self, daemon, expected):
        daemon.until(lambda: self.counts(daemon) == expected,
                     f"the ledger has {expected}, not {self.counts(daemon)}")

    def state_of(self, daemon, reference):
        return next(image["state"] for image in daemon.document("/v1/images")["images"]
                    if image["name"] == reference)

    def until_state(self, daemon, reference, state):
        daemon.until(lambda: self.state_of(daemon, reference) == state, f"{reference} is {state}")

    # The tests

    def test_starts_are_counted_as_docker_counts_them(self):
        baked = self.bake_for_docker("baked")
        shared, _ = self.serve("shared")
        foreign, _ = self.serve("foreign", is_foreign=True)
        self.claimed()
        daemon = self.daemon()
        self.until_store_matches(daemon)
        self.assertEqual(daemon.condition("CriResolves")["status"], "NotApplicable")
        events = EventLog(self.engine, self.directory / "events")
        self.addCleanup(events.stop)

        for _ in range(3):
            self.engine.run_container(baked, "/bin/busybox", "true")
        digest = self.recorded(baked)[0]["target"]["digest"]
        self.engine.run_container(f"{baked.rpartition(':')[0]}@{digest}", "/bin/busybox", "true")
        # It is created, not started: that is none.
        self.engine.docker("create", "--network", "none", baked)
        kept = self.run_on(baked)
        for image in (shared, foreign):
            self.engine.docker("pull", image)
        for _ in range(2):
            self.engine.run_container(shared, "/bin/busybox", "true")
        self.engine.run_container(foreign, "/bin/busybox", "true")
        # One container that starts again is one start.
        self.engine.docker("restart", "-t", "0", kept)
        expected = {baked: (5, 0, 0), shared: (0, 2, 0), foreign: (0, 0, 1)}
        self.until_counts(daemon, expected)

        # The daemon is away: what runs then is found, and what was counted is not counted again.
        daemon.until(lambda: daemon.stored_is_current(self.state), "the ledger is stored")
        daemon.stop()
        self.run_on(baked)
        daemon = self.daemon()
        expected[baked] = (6, 0, 0)
        self.until_counts(daemon, expected)

        events.stop()
        counted = collections.Counter()
        for name, containers in events.starts().items():
            counted[name.partition("@")[0].removesuffix(":1.0")] += len(containers)
        self.assertEqual({name.removesuffix(":1.0"): sum(own) for name, own in expected.items()},
                         dict(counted))

        # So it is when dockerd comes back.
        self.engine.restart()
        self.until_store_matches(daemon)
        self.engine.run_container(baked, "/bin/busybox", "true")
        expected[baked] = (7, 0, 0)
        self.until_counts(daemon, expected)
        total = daemon.ledger()["sinceClaim"]
        self.assertEqual((total["starts"], total["hits"], total["partials"], total["misses"]),
                         (10, 7, 2, 1))
        harness.print_rows(f"Docker {self.engine.version}, {self.store}", [
            ["image", "hits", "partials", "misses"],
            *([name, *map(str, own)] for name, own in self.counts(daemon).items())])

    def test_a_removed_image_comes_back_once(self):
        reference = self.bake_for_docker("baked")
        self.claimed()
        daemon = self.daemon()
        self.registry.forget(f"{self.repository}/baked")
        # dockerd keeps an image while a container runs.
        self.run_on(reference)
        self.engine.docker("rmi", "-f", reference)
        self.until_state(daemon, reference, "repaired")
        self.engine.run_container(reference, "/bin/busybox", "true")
        self.assertIn("recreated the name", daemon.status()["repairs"][0]["what"])

        self.engine.docker("rmi", "-f", reference)
        self.until_state(daemon, reference, "removed")
        status = daemon.status()
        self.assertTrue(status["ready"])
        self.assertEqual(status["verdict"], "degraded")
        self.assertEqual(daemon.condition("BakeIntact")["reason"], "Removed")
        daemon.until(lambda: daemon.stored_is_current(self.state), "the ledger is stored")
        daemon.stop()
        daemon = self.daemon()
        self.until_state(daemon, reference, "removed")
        self.assertIsNone(self.engine.inspect(reference))
        self.assertEqual(daemon.status()["repairsTotal"], 0)

    def test_dockerd_that_is_not_there(self):
        self.bake_for_docker("baked")
        self.claimed()
        self.engine.stop()
        daemon = self.daemon(ready=False)
        daemon.until(lambda: daemon.answers() and "dockerd" in self.store_of(daemon)["message"],
                     "dockerd is missed")
        condition = daemon.condition("StoreMatches")
        self.assertEqual((condition["status"], condition["reason"]), ("Unknown", "NotAnswering"))
        self.assertIn("systemctl", condition["nextStep"])
        if not self.engine.uses_containerd_store:
            self.assertEqual(daemon.status()["verdict"], "starting")
        self.engine.start()
        self.until_store_matches(daemon)
        daemon.until_ready()


class OldGraphDriver(DockerNode, harness.SystemTest):
    def test_an_image_that_is_removed_with_its_layers_is_left(self):
        reference = self.bake_for_docker("baked")
        self.claimed()
        daemon = self.daemon()
        self.engine.docker("rmi", reference)
        self.until_state(daemon, reference, "removed")
        self.assertTrue(daemon.status()["ready"])
        self.assertEqual(daemon.status()["repairsTotal"], 0)


class NewGraphDriver(DockerNode, harness.SystemTest):
    suite = docker_engine.FORKY


class ContainerdStore(DockerNode, harness.SystemTest):
    suite = docker_engine.FORKY
    store = docker_engine.CONTAINERD_STORE

    def test_another_store_is_named(self):
        reference = self.bake_for_docker("baked")
        self.claimed()
        self.engine.stop()
        self.engine.store = "overlay2"
        self.engine.start()
        daemon = self.daemon()
        daemon.until(lambda: self.store_of(daemon)["status"] == "False", "the mismatch is found")
        condition = daemon.condition("StoreMatches")
        self.assertEqual(condition["reason"], "StoreMismatch")
        self.assertIn("the graph driver overlay2", condition["message"])
        self.assertIn("features.containerd-snapshotter", condition["nextStep"])
        self.assertTrue(daemon.status()["ready"], "it is no gate")

        # What runs there is counted, and was not baked into that store.
        self.engine.docker("pull", reference)
        self.engine.run_container(reference, "/bin/busybox", "true")
        self.until_counts(daemon, {reference: (0, 0, 1)})


if __name__ == "__main__":
    harness.main()
