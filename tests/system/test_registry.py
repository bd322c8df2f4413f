#!/usr/bin/python3
"""A registry that requires credentials, rejects, throttles, disconnects and redirects."""

import base64
import json
import urllib.parse

import harness
import oci_image
import registry as scripted

MEBI = 1 << 20


class MendedTest(harness.SystemTest):
    """Failures that a bake survives."""

    def setUp(self):
        super().setUp()
        self.image = oci_image.small_image(self.repository, size=100_000)
        self.layer = self.image.layers[0].blob
        self.reference = self.registry.serve(self.repository, self.image)

    def bake_through(self):
        result = self.bake(self.reference)
        self.assert_baked(self.reference, self.image)
        return result

    def layer_requests(self):
        return [item for item in self.registry.blob_requests()
                if item.path.endswith(self.layer.digest)]

    def test_temporary_errors_are_retried(self):
        for status in (500, 502, 503, 504):
            with self.subTest(status):
                self.registry.behave()
                image = oci_image.small_image(f"{self.repository}-{status}")
                reference = self.registry.serve(f"{self.repository}/{status}", image)
                self.registry.on("/manifests/", scripted.error(status), times=1)
                self.registry.on("/blobs/", scripted.error(status), times=1)
                self.bake(reference)
                self.assert_baked(reference, image)

    def test_retry_after_is_respected(self):
        self.registry.on("/blobs/" + self.layer.digest, scripted.error(429, Retry_After=2), times=1)
        self.bake_through()
        first, second = self.layer_requests()
        self.assertGreaterEqual(second.arrived - first.arrived, 2)

    def test_a_broken_transfer_is_resumed_with_range(self):
        self.registry.on("/blobs/" + self.layer.digest, scripted.truncate(60_000), times=1)
        self.bake_through()
        first, second = self.layer_requests()
        self.assertEqual((first.range, second.range), ("", "bytes=60000-"))
        self.assertEqual(second.status, 206)

    def test_a_transfer_that_keeps_breaking_but_progresses_is_resumed(self):
        self.registry.on("/blobs/" + self.layer.digest, scripted.truncate(10_000), times=7)
        self.bake_through()
        self.assertEqual([item.range for item in self.layer_requests()],
                         [""] + [f"bytes={n}0000-" for n in range(1, 8)])

    def test_a_registry_without_range_is_read_again_from_the_start(self):
        self.registry.on("/blobs/", scripted.no_range)
        self.registry.on("/blobs/" + self.layer.digest, scripted.truncate(60_000), times=1)
        self.bake_through()
        self.assertEqual([item.status for item in self.layer_requests()], [200, 200])

    def test_a_registry_that_goes_down_in_mid_layer_and_comes_back(self):
        image = oci_image.small_image(self.repository + "-big", size=6 * MEBI)
        reference = self.registry.serve(self.repository + "-big", image)
        gate = self.registry.gate()
        self.registry.on(image.layers[0].blob.digest, scripted.pause(gate, 4 * MEBI), times=1)
        before = self.containerd.ingested_bytes()
        running = self.start("bake", reference)
        running.at(gate)
        running.until(lambda: self.containerd.ingested_bytes() >= before + MEBI,
                      "bytes reach the store")
        self.registry.go_down()
        self.registry.come_back()
        result = running.wait()
        self.assertEqual(result.code, harness.DONE, result)
        self.assert_baked(reference, image)
        self.assertRegex(self.registry.blob_requests()[-1].range, r"^bytes=\d{6,}-$")

    def test_many_images_at_once_share_that_the_registry_speaks_plain_http(self):
        """If TLS failed and another request found that out, no request fails because of it."""
        references = [self.registry.serve(f"{self.repository}/{i}", self.image) for i in range(8)]
        for _ in range(5):
            result = self.prebake("plan", *references)
            self.assertEqual((result.code, result.stderr), (harness.DONE, ""), result)

    def test_head_may_be_unknown_or_incomplete(self):
        cases = {
            "405": ("HEAD", scripted.error(405)),
            "no digest": (None, scripted.without_header("Docker-Content-Digest")),
        }
        for name, (method, behaviour) in cases.items():
            with self.subTest(name):
                self.registry.behave()
                image = oci_image.small_image(f"{self.repository}-{name}")
                reference = self.registry.serve(f"{self.repository}/x{name[:3].strip()}", image)
                self.registry.on("/manifests/", behaviour, method=method)
                self.bake(reference)
                self.assert_baked(reference, image)

    def test_blobs_may_live_on_another_host_which_never_sees_our_token(self):
        storage = self.fresh_registry()
        storage.serve(self.repository, self.image)
        registry = self.fresh_registry()
        registry.require_token()
        reference = registry.serve(self.repository, self.image)
        registry.on("/blobs/", scripted.redirect(storage.url))
        storage.on("/blobs/" + self.layer.digest, scripted.truncate(60_000), times=1)
        self.bake(reference)
        self.assert_baked(reference, self.image)
        self.assertEqual({item.authorization for item in storage.requests}, {""})
        # The rest is requested from the original address: a signed address may have expired.
        asked = [item.range for item in registry.blob_requests()
                 if item.path.endswith(self.layer.digest) and item.status == 307]
        self.assertEqual(asked, ["", "bytes=60000-"])

    def test_an_anonymous_token_is_fetched_and_used(self):
        registry = self.fresh_registry()
        registry.require_token()
        reference = registry.serve(self.repository, self.image)
        self.bake(reference)
        served = [item for item in registry.requests if item.status == 200
                  and item.path.startswith("/v2/")]
        self.assertEqual({item.authorization for item in served}, {"Bearer"})
        token, = (item for item in registry.requests if item.path.startswith("/token"))
        self.assertIn("repository", token.path if token.method == "GET" else "repository")

    def test_credentials_come_from_the_docker_config(self):
        registry = self.fresh_registry()
        registry.require_token("ann", "open sesame")
        reference = registry.serve(self.repository, self.image)
        auth = base64.b64encode(b"ann:open sesame").decode()
        config = self.list_file(json.dumps({"auths": {registry.host: {"auth": auth}}}),
                                "config.json")
        self.bake(reference, environment={"DOCKER_CONFIG": str(config.parent)})
        self.assert_baked(reference, self.image)


    def test_robots_of_two_projects_on_one_host(self):
        """Two hosts.toml differ only in the path, as a proxy of two registries has them."""
        registry = self.fresh_registry()
        for project in ("adocker", "quay"):
            registry.serve(f"{project}/{self.repository}", self.image)
            registry.on(f"/{project}/", lambda request, response, project=project:
                        response if request.user == project
                        else scripted.error(401, WWW_Authenticate="Basic realm=r")(request, None))
            directory = self.directory / "hosts" / f"{project}.example"
            directory.mkdir(parents=True)
            (directory / "hosts.toml").write_text(
                f'server = "{registry.url}/v2/{project}"\noverride_path = true\n')
        logins = self.list_file(json.dumps({"auths": {
            f"{registry.host}/{project}": {"username": project, "password": "pw"}
            for project in ("adocker", "quay")}}), "auth.json")
        references = [f"{project}.example/{self.repository}:1.0" for project in ("adocker", "quay")]
        self.bake("--hosts-dir", self.directory / "hosts", "--authfile", logins, *references)
        for reference in references:
            self.assert_baked(reference, self.image)
        for request in registry.requests:
            self.assertIn(request.user, ("", request.path.split("/")[2]), request)


class RefusedTest(harness.SystemTest):
    """Failures that fail only the image."""

    def serve(self, registry=None):
        image = oci_image.small_image(self.repository, size=50_000)
        return (registry or self.registry).serve(self.repository, image), image

    def test_unknown_image(self):
        self.bake_beside_a_good_one(f"{self.registry.host}/{self.repository}:1.0", "not found")

    def test_unknown_digest(self):
        reference, _ = self.serve()
        digest = "sha256:" + "0" * 64
        self.bake_beside_a_good_one(f"{reference.rpartition(':')[0]}@{digest}", digest)

    def test_no_permission(self):
        reference, image = self.serve()
        self.registry.on(f"/{self.repository}/", scripted.error(403))
        self.bake_beside_a_good_one(reference, "403", image=image)

    def test_no_permission_in_the_registrys_own_words(self):
        reference, image = self.serve()
        self.registry.on(f"/{self.repository}/blobs/", scripted.error(403, "you shall not pull"))
        self.bake_beside_a_good_one(reference, "you shall not pull", image=image)

    def test_missing_credentials(self):
        registry = self.fresh_registry()
        registry.require_token("ann", "open sesame")
        reference, image = self.serve(registry)
        self.bake_beside_a_good_one(reference, "credentials", image=image)

    def test_wrong_credentials_are_not_repeated_in_the_message(self):
        registry = self.fresh_registry()
        registry.require_token("ann", "open sesame")
        reference, image = self.serve(registry)
        auth = base64.b64encode(b"ann:wrong-secret").decode()
        config = self.list_file(json.dumps({"auths": {registry.host: {"auth": auth}}}),
                                "config.json")
        result = self.bake_beside_a_good_one(reference, "credentials", image=image,
                                             environment={"DOCKER_CONFIG": str(config.parent)})
        self.assertNotIn("wrong-secret", result.stdout + result.stderr)
        self.assertNotIn(auth, result.stdout + result.stderr)

    def test_what_was_sent_is_not_repeated_in_the_message(self):
        """Whether the token service or the registry quotes it, and however it is written."""
        password = 'open "sesame" & more'
        pair = base64.b64encode(f"ann:{password}".encode()).decode()
        form = urllib.parse.urlencode({"username": "ann", "password": password})
        cases = {"form": ("/token", form), "json": ("/token", f"wrong password: {password}"),
                 "basic": ("/token", f"cannot parse header Basic {pair}"),
                 "bearer": ("/manifests/", "no key for token-of-ann")}
        for name, (path, words) in cases.items():
            with self.subTest(name):
                registry = self.fresh_registry()
                registry.require_token("ann", password)
                image = oci_image.small_image(f"{self.repository}-{name}")
                reference = registry.serve(f"{self.repository}/{name}", image)
                signed_in = lambda request, response, words=words: (
                    response if response.status == 401 and path != "/token"
                    else scripted.error(403, words)(request, response))
                registry.on(path, signed_in)
                config = self.list_file(json.dumps({"auths": {registry.host: {"auth": pair}}}),
                                        "config.json")
                result = self.bake_beside_a_good_one(
                    reference, "403", "…", image=image,
                    environment={"DOCKER_CONFIG": str(config.parent)})
                for secret in (password, "sesame", pair.rstrip("="), "token-of-ann"):
                    self.assertNotIn(secret, result.stdout + result.stderr)

    def test_no_such_host(self):
        self.bake_beside_a_good_one("no-such-host.invalid/team/app:1.0")

    def test_nobody_listens(self):
        registry = self.fresh_registry()
        reference, image = self.serve(registry)
        registry.go_down()
        self.bake_beside_a_good_one(reference, registry.host, image=image)

    def test_a_registry_that_stays_down_in_mid_layer_and_is_resumed_by_the_next_bake(self):
        registry = self.fresh_registry()
        image = oci_image.small_image(self.repository, size=6 * MEBI)
        reference = registry.serve(self.repository, image)
        gate = registry.gate()
        registry.on(image.layers[0].blob.digest, scripted.pause(gate, 4 * MEBI), times=1)
        before = self.containerd.ingested_bytes()
        running = self.start("bake", reference)
        running.at(gate)
        running.until(lambda: self.containerd.ingested_bytes() >= before + MEBI,
                      "bytes reach the store")
        registry.go_down()
        result = running.wait()
        self.assertEqual(result.code, harness.TRY_AGAIN, result)
        self.assert_says(result, reference, registry.host)
        self.assert_not_baked(self.repository, image)
        registry.come_back()
        self.bake(reference)
        self.assert_baked(reference, image)
        self.assertRegex(registry.blob_requests()[-1].range, r"^bytes=\d{6,}-$")

    def test_permanent_errors(self):
        reference, image = self.serve()
        self.registry.on(f"/{self.repository}/manifests/", scripted.error(500, "on fire"))
        self.bake_beside_a_good_one(reference, "500", image=image)
        # HEAD has no body: the registry's message can only come from a GET.
        self.assertGreater(len([item for item in self.registry.requests if item.status == 500]), 1)

    def test_a_retry_after_of_a_day_fails(self):
        reference, image = self.serve()
        self.registry.on(f"/{self.repository}/", scripted.error(429, Retry_After=86400))
        self.bake_beside_a_good_one(reference, "429", image=image)
        refused = [item for item in self.registry.requests if item.status == 429]
        self.assertEqual(len(refused), 1, "waiting is of no use, asking again is rude")

    def test_a_redirect_in_a_circle(self):
        reference, image = self.serve()
        self.registry.on(f"/{self.repository}/blobs/", scripted.redirect(self.registry.url))
        self.bake_beside_a_good_one(reference, "redirect", image=image)

    def test_a_stalled_registry_delays_neither_other_images_nor_the_end(self):
        reference, image = self.serve()
        gate = self.registry.gate()
        self.registry.on(image.layers[0].blob.digest, scripted.stall(gate))
        good = oci_image.small_image("beside-the-stalled-one")
        good_reference = self.registry.serve("beside/stalled", good)
        running = self.start("bake", reference, good_reference)
        running.at(gate)
        running.until(lambda: good_reference in self.containerd.images(), "the good image is baked")
        running.send(harness.signal.SIGTERM)
        self.assertEqual(running.wait(15).code, harness.TERMINATED)
        self.assert_baked(good_reference, good)
        self.assert_not_baked(self.repository, image)


if __name__ == "__main__":
    harness.main()
