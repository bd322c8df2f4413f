#!/usr/bin/python3
"""Docker hosts: images that are baked into the store that dockerd really uses.

Engines of Debian's suites: 20.10 with overlay2, 28.5 with overlay2 and with its containerd store.
"""

import base64
import json

import docker_engine
import harness
import oci_image
import registry as scripted
import signatures

GREETING = "hello from a baked image"


class DockerTest(harness.SystemTest):
    """The engine takes the place of the class's containerd: prebake uses both sockets."""
    suite, store = docker_engine.INSTALLED, "overlay2"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine = docker_engine.DockerEngine(docker_engine.engine(cls.suite), store=cls.store,
                                                containerd=cls.containerd,
                                                directory=cls.workspace.path / "docker")
        cls.addClassCleanup(cls.engine.close)
        cls.engine.start()

    def setUp(self):
        super().setUp()
        self.image = oci_image.greeting_image(f"{GREETING} {self.repository}")
        self.reference = self.registry.serve(self.repository, self.image)
        self.by_digest = f"{self.reference.rpartition(':')[0]}@{self.image.top.digest}"

    def prebake(self, *arguments, environment=None, **options):
        given = {"DOCKER_HOST": self.engine.host, **(environment or {})}
        return super().prebake(*arguments, environment=given, **options)

    def driver(self):
        return self.engine.api("/info")["Driver"]

    def assert_runs(self, *references):
        for reference in references:
            with self.subTest(reference):
                self.assertEqual(self.engine.run_container(reference).strip(),
                                 f"{GREETING} {self.repository}")


class BothStores:
    """What holds for every store."""

    def test_bake_then_run_by_tag_and_digest(self):
        result = self.bake("--runtime", "docker", "--json", self.reference)
        self.assertEqual(result.json["images"][0]["outcome"], "BAKED")
        self.registry.go_down()
        self.addCleanup(self.registry.come_back)
        self.assert_runs(self.reference, self.by_digest)
        held = self.engine.inspect(self.reference)
        self.assertIn(self.reference, held["RepoTags"])
        self.assertIn(self.by_digest, held["RepoDigests"])
        self.assertEqual(self.prebake("verify").code, harness.DONE)

    def test_a_second_bake_has_nothing_to_do(self):
        self.bake("-n", "moby", self.reference)
        before = self.record()["images"]
        again = self.bake("-n", "moby", "--json", self.reference).json
        self.assertEqual(again["images"][0]["outcome"], "ALREADY_THERE")
        self.assertEqual(again["bytesFetched"], 0)
        self.assertEqual(self.record()["images"], before)

    def test_plan_says_where_and_why(self):
        images = self.image_list((self.reference, {"runtime": "docker"}))
        planned, = self.prebake("plan", "--json", "-f", images).json["images"]
        destination, = planned["destinations"]
        self.assertEqual((destination["store"], destination["namespace"], destination["driver"]),
                         ("docker", "moby", self.driver()))
        version = self.engine.api("/version")["Version"]
        self.assertIn(f"dockerd {version} keeps its images in", destination["reason"])
        self.assertFalse(planned.get("unpacked"))
        text = self.prebake("plan", "-f", images).stdout
        self.assertIn(f"docker ({self.driver()})", text)
        self.assertIn(destination["reason"], text)
        self.bake("-f", images)
        planned, = self.prebake("plan", "--json", "-f", images).json["images"]
        self.assertTrue(planned["unpacked"])
        self.assertEqual(planned["bytesPresent"], planned["compressedBytes"])

    def test_an_index_is_the_target(self):
        index = oci_image.index([(f"linux/{oci_image.host_architecture()}", self.image)])
        reference = self.registry.serve(self.repository, index)
        self.bake("--runtime", "docker", reference)
        held = self.engine.inspect(reference)
        self.assertIn(f"{reference.rpartition(':')[0]}@{index.top.digest}", held["RepoDigests"])
        self.assert_runs(reference)

    def test_aliases_have_their_digests(self):
        alias = self.registry.serve(f"{self.repository}-alias", self.image)
        self.bake("-f", self.image_list((self.reference,
                                         {"runtime": "docker", "aliases": [alias]})))
        alias_by_digest = f"{alias.rpartition(':')[0]}@{self.image.top.digest}"
        self.assertLessEqual({self.by_digest, alias_by_digest},
                             set(self.engine.inspect(self.reference)["RepoDigests"]))
        self.assert_runs(alias, alias_by_digest)

    def test_pods_and_docker_from_one_list(self):
        self.bake("-f", self.image_list((self.reference, {"namespaces": ["k8s.io", "moby"]})))
        self.assert_baked(self.reference, self.image)
        self.assert_runs(self.reference)
        _, placements = self.recorded(self.reference)
        self.assertEqual(set(placements), {"k8s.io", "moby"})
        self.assertEqual(self.prebake("verify").code, harness.DONE)

    def test_what_a_prune_removed_is_found_and_baked_again(self):
        self.bake("--runtime", "docker", self.reference)
        self.engine.docker("rmi", self.reference)
        found = self.prebake("verify", "--json")
        self.assertEqual(found.code, harness.NOT_READY, found)
        self.assertEqual({item["namespace"] for item in found.json["findings"]}, {"moby"})
        repaired = self.prebake("verify", "--repair")
        self.assertEqual(repaired.code, harness.DONE, repaired)
        self.assert_runs(self.reference, self.by_digest)

    def test_namespaces_that_contradict_the_runtime(self):
        result = self.prebake("bake", "-f", self.image_list(
            (self.reference, {"runtime": "docker", "namespaces": ["k8s.io"]})))
        self.assertEqual(result.code, harness.USAGE)
        self.assert_says(result, "moby", self.reference)

    def test_a_lock_names_docker(self):
        images = self.image_list((self.reference, {"runtime": "docker"}))
        lock = self.directory / "lock.toml"
        self.assertEqual(self.prebake("plan", "--lock", lock, "-f", images).code, harness.DONE)
        self.assertIn('runtime = "docker"', lock.read_text())
        self.bake("-f", lock)
        self.assert_runs(self.by_digest)

    def test_an_image_that_is_not_there(self):
        missing = f"{self.reference.rpartition('/')[0]}/none:1"
        result = self.bake("--runtime", "docker", missing, self.reference, code=harness.PARTIAL)
        self.assert_says(result, missing)
        self.assert_runs(self.reference)

    def test_credentials_are_those_of_every_bake(self):
        registry = self.fresh_registry()
        registry.require_token("builder", "very-secret")
        reference = registry.serve(self.repository, self.image)
        given = base64.b64encode(b"builder:very-secret").decode()
        auth_file = self.directory / "auth.json"
        auth_file.write_text(json.dumps({"auths": {registry.host: {"auth": given}}}))
        self.bake("--runtime", "docker", reference, code=harness.FAILED)
        result = self.bake("--runtime", "docker", "--authfile", auth_file, "--log-level", "debug",
                           reference)
        self.assert_runs(reference)
        for text in (result.stdout, result.stderr, self.engine.log):
            self.assertNotIn("very-secret", text)
            self.assertNotIn(given, text)

    def test_a_tag_that_moves_while_it_is_baked(self):
        other = oci_image.greeting_image("another image")

        def move(_request, response):
            self.registry.serve(self.repository, other)
            return response

        # prebake has asked for the tag when somebody asks for its digest.
        self.registry.on(f"/manifests/{self.image.top.digest}", move)
        self.bake("--runtime", "docker", self.reference)
        self.assertEqual(self.record()["images"][0]["target"]["digest"], self.image.top.digest)
        self.assert_runs(self.reference, self.by_digest)

    def test_an_unsigned_image_is_neither_pulled_nor_named(self):
        key = signatures.Key(self.directory)
        self.bake("--runtime", "docker", "--verify-key", key.public, self.reference,
                  code=harness.FAILED)
        self.assertIsNone(self.engine.inspect(self.reference))
        signatures.attach_classic(self.registry, self.repository, self.image.top.digest,
                                  signatures.classic(self.image.top.digest, key))
        self.bake("--runtime", "docker", "--verify-key", key.public, self.reference)
        self.assert_runs(self.reference)
        self.assertEqual(self.prebake("verify", "--verify-key", key.public).code, harness.DONE)

    def test_a_platform_that_this_machine_is_not(self):
        other = oci_image.greeting_image(GREETING, architecture=oci_image.other_architecture())
        reference = self.registry.serve(self.repository, other)
        self.bake("--runtime", "docker", "--platform",
                  f"linux/{oci_image.other_architecture()}", reference)
        self.assertEqual(self.engine.inspect(reference)["Architecture"],
                         oci_image.other_architecture())


class GraphDriver:
    """Images go through the Engine's API."""

    def test_the_record_names_the_graph_driver(self):
        self.bake("--runtime", "docker", self.reference)
        _, placements = self.recorded(self.reference)
        self.assertEqual(placements["moby"]["graphDriver"], "overlay2")
        self.assertEqual(set(placements["moby"]["names"]), {self.reference, self.by_digest})
        self.assertNotIn(self.reference, self.containerd.images("moby"))

    def test_a_tag_that_is_another_image_is_moved(self):
        self.bake("--runtime", "docker", self.reference)
        other = oci_image.greeting_image("another one")
        self.registry.serve(self.repository, other)
        self.bake("--runtime", "docker", self.reference)
        self.assertEqual(self.engine.inspect(self.reference)["Id"], other.config.digest)

    def test_progress_is_that_of_dockerd(self):
        big = oci_image.big_layer(self.directory / "big", 20 << 20)
        image = oci_image.greeting_image(f"{GREETING} {self.repository}", extra=[big])
        reference = self.registry.serve(self.repository, image)
        result = self.bake("--runtime", "docker", "--progress", "json", reference)
        events = [json.loads(line) for line in result.stderr.splitlines() if line[:1] == "{"]
        layers = {event["layer"] for event in events if event["event"] == "fetched"}
        self.assertEqual(layers, {layer.blob.digest for layer in image.layers})
        # dockerd may have the layer with busybox from another test.
        sizes = [layer.blob.size for layer in image.layers]
        fetched = self.record()["images"][0]["bytesFetched"]
        self.assertIn(fetched, (sum(sizes), sum(sizes[1:])))

    def test_dockerd_that_cannot_reach_the_registry_loads_instead(self):
        # Nothing listens on this address. Only prebake has a hosts.toml that leads to the registry.
        host = self.registry.host.replace("127.0.0.1", "127.0.0.2")
        reference = self.reference.replace(self.registry.host, host)
        hosts = self.directory / "certs.d" / host
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(
            f'server = "{self.registry.url}"\n')
        result = self.bake("--runtime", "docker", "--hosts-dir", hosts.parent, reference)
        self.assert_says(result, "dockerd cannot pull", "digest")
        self.assert_runs(reference)
        _, placements = self.recorded(reference)
        self.assertEqual(placements["moby"]["names"], [reference])
        self.assertEqual(self.engine.inspect(reference)["RepoDigests"], [])
        self.assertEqual(self.prebake("verify").code, harness.DONE)

    def test_of_two_daemons_it_is_the_named_one(self):
        second = docker_engine.DockerEngine(docker_engine.engine(self.suite), store=self.store,
                                            containerd=self.containerd,
                                            directory=self.directory / "second")
        self.addCleanup(second.close)
        second.start()
        self.bake("--runtime", "docker", "--docker-host", second.host, self.reference)
        self.assertIsNotNone(second.inspect(self.reference))
        self.assertIsNone(self.engine.inspect(self.reference))
        found = self.prebake("verify", "--json")
        self.assertEqual(found.code, harness.NOT_READY, found)
        self.assertEqual(self.prebake("verify", "--docker-host", second.host).code, harness.DONE)

    def test_a_disk_of_dockerd_that_is_too_small(self):
        (self.directory / "prebake.toml").write_text(harness.ONE_BY_ONE)
        place = self.workspace.mount_tmpfs(self.directory / "small", "48m")
        small = docker_engine.DockerEngine(docker_engine.engine(self.suite), store="vfs",
                                           containerd=self.containerd, directory=place)
        self.addCleanup(small.close)
        small.start()
        image = oci_image.image([oci_image.big_layer(self.directory / "big", 60 << 20)])
        reference = self.registry.serve(f"{self.repository}-big", image)
        bake = ("--runtime", "docker", "--docker-host", small.host, self.reference, reference)
        result = self.bake(*bake, code=harness.FAILED)
        self.assert_says(result, "dockerd's disk has", "--no-space-check")
        self.assertIsNone(small.inspect(self.reference), "it did not begin")
        result = self.bake(*bake, "--no-space-check", code=harness.PARTIAL)
        self.assert_says(result, reference, "no space left")
        self.assertIsNotNone(small.inspect(self.reference))
        self.assertEqual([item["name"] for item in self.record()["images"]], [self.reference])

    def test_artifacts_are_refused(self):
        result = self.prebake("bake", "-f", self.image_list(
            (self.reference, {"runtime": "docker", "kind": "artifact"})))
        self.assertEqual(result.code, harness.USAGE)
        self.assert_says(result, "graph driver", "containerd-snapshotter")

    def test_a_killed_dockerd_is_named(self):
        gate = self.registry.gate()
        self.registry.on(f"/blobs/{self.image.layers[0].blob.digest}", scripted.stall(gate))
        running = self.start("bake", "--runtime", "docker", self.reference,
                             environment={"DOCKER_HOST": self.engine.host})
        running.at(gate)
        self.engine.kill()
        gate.open()
        result = running.wait()
        self.engine.start()
        self.assertNotEqual(result.code, harness.DONE)
        self.assert_says(result, str(self.engine.socket))
        self.bake("--runtime", "docker", self.reference)
        self.assert_runs(self.reference)


class OverlayOf2010(BothStores, GraphDriver, DockerTest):
    pass


class OverlayOf285(BothStores, GraphDriver, DockerTest):
    suite = docker_engine.FORKY


class ContainerdStoreOf285(BothStores, DockerTest):
    suite, store = docker_engine.FORKY, docker_engine.CONTAINERD_STORE

    def test_only_the_tag_is_a_name(self):
        self.bake("--runtime", "docker", self.reference)
        names = [name for name in self.containerd.images("moby") if self.repository in name]
        self.assertEqual(names, [self.reference])
        _, placements = self.recorded(self.reference)
        self.assertEqual(placements["moby"]["snapshotter"], self.driver())

    def test_another_containerd_is_refused(self):
        other = self.fresh_containerd()
        result = self.prebake("bake", "--runtime", "docker", self.reference, "-a", other.address)
        self.assertEqual(result.code, harness.USAGE)
        self.assert_says(result, self.engine.containerd.address, "--address")


class WithoutDocker(harness.SystemTest):
    """No dockerd, or something else at its socket."""

    def setUp(self):
        super().setUp()
        self.reference = self.registry.serve(self.repository,
                                             oci_image.small_image(self.repository))

    def test_nothing_listens(self):
        result = self.bake("-n", "moby", self.reference, code=harness.TRY_AGAIN,
                           environment={"DOCKER_HOST": f"unix://{self.directory}/none.sock"})
        self.assert_says(result, f"{self.directory}/none.sock", "dockerd")

    def test_the_runtime_containerd_does_not_ask(self):
        self.bake("-n", "moby", "--runtime", "containerd", self.reference,
                  environment={"DOCKER_HOST": f"unix://{self.directory}/none.sock"})
        self.assertIn(self.reference, self.containerd.images("moby"))

    def test_a_socket_of_another_program(self):
        result = self.prebake("bake", "-n", "moby", self.reference,
                              environment={"DOCKER_HOST": f"unix://{self.containerd.address}"})
        self.assertNotIn(result.code, (harness.DONE, harness.PARTIAL))
        self.assert_says(result, self.containerd.address)

    def test_engines_elsewhere_are_unsupported(self):
        result = self.prebake("bake", "-n", "moby", self.reference,
                              environment={"DOCKER_HOST": "tcp://127.0.0.1:2375"})
        self.assertNotIn(result.code, (harness.DONE, harness.PARTIAL))
        self.assert_says(result, "tcp://127.0.0.1:2375")


if __name__ == "__main__":
    harness.main()
