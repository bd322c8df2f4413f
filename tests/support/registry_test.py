#!/usr/bin/python3
"""The scripted registry misbehaves exactly as requested: other tests depend on that."""

import http.client
import pathlib
import socket
import threading
import tempfile
import unittest

import oci_image
import registry as scripted


class RegistryTest(unittest.TestCase):
    def setUp(self):
        self.registry = scripted.Registry()
        self.addCleanup(self.registry.stop)
        self.image = oci_image.small_image("a")
        self.registry.serve("team/app", self.image)
        self.blob = self.image.layers[0].blob
        self.blob_path = f"/v2/team/app/blobs/{self.blob.digest}"
        self.tag_path = "/v2/team/app/manifests/1.0"

    def ask(self, path, method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.registry.port, timeout=300)
        self.addCleanup(connection.close)
        connection.request(method, path, body=body,
                           headers={name.replace("_", "-"): v for name, v in headers.items()})
        return connection.getresponse()

    def test_serves_manifests_by_tag_and_digest(self):
        for name in ("1.0", self.image.top.digest):
            with self.subTest(name):
                answer = self.ask(f"/v2/team/app/manifests/{name}")
                self.assertEqual(answer.read(), self.image.top.content)
                self.assertEqual(answer.headers["Docker-Content-Digest"], self.image.top.digest)
                self.assertEqual(answer.headers["Content-Type"], oci_image.OCI_MANIFEST)

    def test_head_has_the_length_and_no_body(self):
        answer = self.ask(self.tag_path, "HEAD")
        self.assertEqual(int(answer.headers["Content-Length"]), self.image.top.size)
        self.assertEqual(answer.read(), b"")

    def test_a_tls_handshake_gets_a_status_line(self):
        for handshake in (b"one-word\n", b"GET words\n", b"of four words here\n"):
            with self.subTest(handshake), \
                    socket.create_connection(("127.0.0.1", self.registry.port)) as connection:
                connection.sendall(b"\x16\x03\x01" + handshake)
                self.assertEqual(connection.recv(5), b"HTTP/")

    def test_serves_ranges(self):
        answer = self.ask(self.blob_path, Range="bytes=100-")
        self.assertEqual((answer.status, answer.read()), (206, self.blob.content[100:]))
        self.assertEqual(self.registry.requests[-1].range, "bytes=100-")
        self.assertEqual(self.ask(self.blob_path, Range="bytes=999999-").status, 416)

    def test_serves_files(self):
        with tempfile.NamedTemporaryFile() as stored:
            stored.write(b"0123456789")
            stored.flush()
            self.blob.content = pathlib.Path(stored.name)
            self.assertEqual(self.ask(self.blob_path, Range="bytes=7-").read(), b"789")

    def test_counts_how_often_it_misbehaves(self):
        self.registry.on("/manifests/", scripted.error(429, Retry_After=1), times=2)
        answers = [self.ask(self.tag_path) for _ in range(3)]
        self.assertEqual([answer.status for answer in answers], [429, 429, 200])
        self.assertEqual(answers[0].headers["Retry-After"], "1")
        self.assertIn(b"TOOMANYREQUESTS", answers[0].read())

    def test_bodies_that_lie(self):
        cases = {
            "wrong bytes": (scripted.wrong_bytes, self.blob.size),
            "longer": (scripted.lengthen(5), self.blob.size + 5),
            "shorter": (scripted.shorten(5), self.blob.size - 5),
            "no range": (scripted.no_range, self.blob.size),
        }
        for name, (behaviour, size) in cases.items():
            with self.subTest(name):
                self.registry.behave()
                self.registry.on("/blobs/", behaviour)
                answer = self.ask(self.blob_path, Range="bytes=0-" if name == "no range" else "")
                self.assertEqual(answer.status, 200)
                body = answer.read()
                self.assertEqual(len(body), size)
                self.assertEqual(body == self.blob.content, name == "no range")

    def test_truncates(self):
        self.registry.on("/blobs/", scripted.truncate(10))
        with self.assertRaises(http.client.IncompleteRead) as caught:
            self.ask(self.blob_path).read()
        self.assertEqual(caught.exception.partial, self.blob.content[:10])

    def test_pauses_at_a_byte(self):
        gate = self.registry.gate()
        self.registry.on("/blobs/", scripted.pause(gate, 10))
        answer = self.ask(self.blob_path)
        gate.wait_reached()
        self.assertEqual(answer.read(10), self.blob.content[:10])
        gate.open()
        self.assertEqual(answer.read(), self.blob.content[10:])

    def test_stalls_until_released(self):
        gate = self.registry.gate()
        self.registry.on("/blobs/", scripted.stall(gate))
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.ask(self.blob_path).status))
        thread.start()
        gate.wait_reached()
        self.assertEqual(answers, [])
        gate.open()
        thread.join()
        self.assertEqual(answers, [200])

    def test_goes_down_and_comes_back_on_the_same_port(self):
        port = self.registry.port
        self.registry.go_down()
        with self.assertRaises(ConnectionRefusedError):
            self.ask(self.tag_path)
        self.registry.come_back()
        self.assertEqual(self.registry.port, port)
        self.assertEqual(self.ask(self.tag_path).status, 200)

    def test_asks_for_a_token(self):
        self.registry.require_token("ann", "secret")
        answer = self.ask(self.tag_path)
        self.assertEqual(answer.status, 401)
        self.assertIn("/token", answer.headers["WWW-Authenticate"])
        self.assertEqual(self.ask("/token").status, 401)
        self.assertEqual(self.ask("/token", "POST", b"username=ann&password=wrong").status, 401)
        self.assertEqual(self.ask("/token", "POST", b"username=ann&password=secret").status, 200)
        # "ann:secret"
        self.assertEqual(self.ask("/token", Authorization="Basic YW5uOnNlY3JldA==").status, 200)
        answer = self.ask(self.tag_path, Authorization="Bearer token-of-ann")
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.registry.requests[-1].authorization, "Bearer")

    def test_redirects(self):
        self.registry.on("/blobs/", scripted.redirect("http://127.0.0.1:9"))
        answer = self.ask(self.blob_path)
        self.assertEqual((answer.status, answer.headers["Location"]),
                         (307, "http://127.0.0.1:9" + self.blob_path))


if __name__ == "__main__":
    unittest.main()
