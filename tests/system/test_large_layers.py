#!/usr/bin/python3
"""A large layer is fetched over several connections if the server limits each of them."""

import dataclasses
import re
import signal
import threading
import time

import harness
import oci_image
import registry as scripted

MEBI = 1 << 20
LAYER_BYTES = 48 * MEBI
RATE = 20 * MEBI  # of a connection, a second
WAITS_AT = 6 * MEBI  # by then the connection has proven to be slow
LIMIT_BYTES = 80_000_000


def is_part(requested):
    return re.search(r"-\d", requested) is not None


class LargeLayerTest(harness.SystemTest):
    """The registry limits each connection, as object stores do."""

    def setUp(self):
        super().setUp()
        self.fresh_containerd()
        self.image = oci_image.image([oci_image.big_layer(self.directory / "layer", LAYER_BYTES)])
        self.layer = self.image.layers[0].blob
        self.reference = self.registry.serve(self.repository, self.image)
        self.path = "/blobs/" + self.layer.digest
        self.be_slow(self.registry)

    def be_slow(self, registry):
        """Limits each connection. The first one waits for a request of a part, which on a busy
        machine may come late."""
        gate = registry.gate()

        def wait_for_a_part(request, response):
            if is_part(request.range):
                gate.open()
                return response
            return scripted.pause(gate, WAITS_AT)(request, response)

        registry.on(self.path, scripted.pace(RATE))
        registry.on(self.path, wait_for_a_part)

    def only_parts(self, behaviour):
        """The behaviour, for requests of parts."""
        return lambda request, response: (
            behaviour(request, response) if is_part(request.range) else response)

    def asked(self, registry=None):
        """The ranges of the requests for the layer: those of parts, and the others."""
        ranges = [item.range for item in (registry or self.registry).blob_requests()
                  if item.path.endswith(self.layer.digest)]
        parts = [item for item in ranges if is_part(item)]
        return parts, [item for item in ranges if item not in parts]

    def assert_whole(self):
        self.assert_baked(self.reference, self.image)
        self.assertEqual(self.prebake("verify", "--deep").code, harness.DONE)

    def bake_in_parts(self, *arguments, **options):
        result = self.bake(self.reference, *arguments, **options)
        self.assert_whole()
        self.assertLess(result.max_rss_kib * 1024, LIMIT_BYTES)
        return result

    def test_it_arrives_over_all_connections(self):
        seconds = {}
        for connections in (1, 6):
            (self.directory / "prebake.toml").write_text(
                f'{harness.NO_SANDBOX}parallel_downloads = {connections}\n')
            self.registry.requests.clear()
            self.registry.behave()
            if connections == 1:
                self.registry.on(self.path, scripted.pace(RATE))
            else:
                self.be_slow(self.registry)
            self.state = self.directory / f"state-{connections}"
            self.fresh_containerd()
            started = time.monotonic()
            result = self.bake_in_parts()
            seconds[connections] = time.monotonic() - started
            parts, rests = self.asked()
            self.assertEqual(rests, [""])
            if connections == 1:
                self.assertEqual(parts, [])
            else:
                self.assertGreaterEqual(len(parts), 4)
        # How much faster it is depends on what else runs: tests/bench/bake measures that.
        print(f"48 MiB at 20 MiB/s: {seconds[1]:.1f} s over one connection, {seconds[6]:.1f} s "
              f"over six, peak memory {result.max_rss_kib * 1024 / 1e6:.0f} MB")

    def test_layers_that_use_all_connections_are_not_split(self):
        (self.directory / "prebake.toml").write_text(
            f'{harness.NO_SANDBOX}parallel_downloads = 2\n')
        second = oci_image.big_layer(self.directory / "second", LAYER_BYTES + MEBI)
        self.image = oci_image.image([self.image.layers[0], second])
        self.reference = self.registry.serve(self.repository, self.image)
        self.registry.behave()
        self.registry.on(self.path, scripted.pace(RATE))
        self.registry.on("/blobs/" + second.blob.digest, scripted.pace(RATE))
        self.bake_in_parts()
        ranges = [item.range for item in self.registry.blob_requests()
                  if not item.path.endswith(self.image.config.digest)]
        # The longer one may be split for what is left of it when the other one has ended.
        self.assertLessEqual(len([item for item in ranges if item]), 2, ranges)

    def test_a_server_without_ranges_is_asked_once(self):
        self.registry.on(self.path, scripted.no_range)
        self.bake_in_parts()
        parts, rests = self.asked()
        self.assertEqual((len(parts), rests), (1, [""]))

    def test_odd_answers_to_parts(self):
        behaviours = {
            "the whole": scripted.no_range, "refused": scripted.error(403),
            "unsatisfiable": scripted.error(416), "busy": scripted.error(429, Retry_After=1),
            "down": scripted.error(503), "closed": scripted.hang_up,
            "cut": scripted.truncate(3 * MEBI),
            "another range": scripted.with_headers(Content_Range=f"bytes 5-9/{self.layer.size}"),
            "another total": lambda request, response: dataclasses.replace(
                response, headers={**response.headers, "Content-Range": re.sub(
                    r"/\d+", "/7", response.headers.get("Content-Range", ""))}),
        }
        for name, behaviour in behaviours.items():
            # From the first part on, and later.
            for good in (0, 2):
                with self.subTest(name, good=good):
                    count = iter(range(1000))
                    self.registry.behave()
                    self.be_slow(self.registry)
                    self.registry.on(self.path, self.only_parts(
                        lambda request, response, count=count, good=good, behaviour=behaviour:
                        behaviour(request, response) if next(count) >= good else response))
                    self.fresh_containerd()
                    self.state = self.directory / f"state-{name.replace(' ', '-')}-{good}"
                    self.bake_in_parts()
                    self.assertGreaterEqual(len(self.asked()[0]), 1)

    def test_wrong_bytes_of_a_part_fail_the_image_with_its_digest(self):
        def wrong(request, response):
            if isinstance(response.content, bytes):
                return response
            content = bytearray(response.content.read_bytes())
            content[response.start] ^= 1
            return dataclasses.replace(response, content=bytes(content))

        self.registry.on(self.path, self.only_parts(wrong))
        # On a busy machine the first connection would arrive at a part before its bytes do.
        slow = scripted.pace(MEBI)
        self.registry.on(self.path, lambda request, response: (
            response if is_part(request.range) else slow(request, response)))
        result = self.bake(self.reference, code=harness.FAILED)
        self.assert_says(result, self.layer.digest, self.reference)
        self.assert_not_baked(self.repository, self.image)

    def test_storage_is_asked_and_not_the_registry(self):
        """The registry redirects to signed URLs, which expire."""
        storage = self.fresh_registry()
        storage.serve(self.repository, self.image)
        self.be_slow(storage)
        uses, signatures = {}, iter(range(1000))
        lock = threading.Lock()

        def redirect(request, response):
            return scripted.Response(
                307, {"Location": f"{storage.url}{request.path}?sig={next(signatures)}"})

        def expire(request, response):
            with lock:
                uses[request.path] = uses.get(request.path, 0) + 1
                is_used_up = uses[request.path] > 4
            return scripted.Response(403, {}) if is_used_up else response

        self.registry.on(self.path, redirect)
        storage.on("/blobs/", expire)
        self.bake_in_parts()
        parts, rests = self.asked()
        self.assertEqual(rests, [""])
        asked_storage = [item for item in storage.requests if item.status == 206]
        self.assertGreaterEqual(len(asked_storage), 4)
        self.assertLess(len(parts), len(asked_storage) / 2)
        self.assertEqual({item.authorization for item in storage.requests}, {""})

    def test_a_killed_bake_is_resumed_where_its_parts_had_a_gap(self):
        """One part stalls, and those behind it arrive: they must not be in the file."""
        for how, code in ((signal.SIGTERM, harness.TERMINATED),
                          (signal.SIGKILL, 128 + signal.SIGKILL)):
            with self.subTest(how.name):
                self.registry.behave()
                self.fresh_containerd()
                self.state = self.directory / how.name
                gate, count = self.registry.gate(), iter(range(1000))
                self.be_slow(self.registry)
                self.registry.on(self.path, self.only_parts(
                    lambda request, response, count=count, gate=gate:
                    scripted.pause(gate, 3 * MEBI)(request, response) if next(count) == 1
                    else response))
                running = self.start("bake", self.reference)
                running.at(gate)
                stored = []

                def stands_still(stored=stored):
                    stored.append(self.containerd.ingested_bytes())
                    return len(stored) > 20 and len(set(stored[-20:])) == 1 and stored[-1] > 0

                running.until(stands_still, "all before the gap is stored")
                running.send(how)
                self.assertEqual(running.wait(15).code, code)
                self.assert_not_baked(self.repository, self.image)
                before = self.containerd.ingested_bytes()
                self.registry.behave()
                self.registry.on(self.path, scripted.pace(RATE))
                result = self.bake_in_parts()
                self.assertIn("1 layer written in place", result.stdout)
                _, rests = self.asked()
                self.assertEqual(rests, [f"bytes={before}-"])


if __name__ == "__main__":
    harness.main()
