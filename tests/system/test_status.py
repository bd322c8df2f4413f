"""`prebake status` and the documents of the endpoint, as shells, SSM, Prometheus and monitors read
them."""

import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time

import harness
import node
from daemons import ADMIN_PATH, wait_until

MAX_TEXT, MAX_JSON, MAX_BRIEF = 2500, 24_000, 80
# Limit of the endpoint on each transport.
PLACES, MAX_WAITING = 64, 16


class Status(node.NodeTest):
    def setUp(self):
        super().setUp()
        self.reference = self.registry.serve(f"{self.repository}/one", self.runnable("one"))
        self.bake_node((self.reference, {}))
        self.claimed()

    def status(self, *arguments, code, **options):
        self.configure()
        result = self.prebake("status", *arguments, **options)
        self.assertEqual(result.code, code, result)
        return result

    def test_a_ready_node(self):
        self.daemon()
        well = self.containerd.honors_pins
        text = self.status(code=0).stdout
        self.assertRegex(text.splitlines()[0], r"^READY\b.*\b2 of 2 images usable\b")
        self.assertEqual("this containerd ignores pins" not in text, well, text)
        self.assertLessEqual(len(text), MAX_TEXT)
        document = self.status("--json", code=0).json
        self.assertEqual((document["schema"], document["verdict"], document["source"]),
                         ("prebake.v1.NodeStatus", "ready", "daemon"))
        not_met = [(item["type"], item["reason"]) for item in document["conditions"]
                   if item["status"] not in ("True", "NotApplicable")]
        self.assertEqual(not_met, [] if well else [("ImagesPinned", "PinsIgnored")])
        self.assertIn("NotApplicable: StoreMatches, Hydrated\n", text)
        self.assertEqual(document["counts"]["pinned"], 2 if well else 0)
        self.assertFalse(document["truncated"])
        self.assertGreater(document["times"]["containerdToReadySeconds"], 0)
        self.assertEqual(document["times"]["claimToReadySeconds"], 0, "that was another boot")
        brief = self.status("--brief", code=0).stdout
        self.assertTrue(brief.startswith("ready"), brief)
        self.assertLess(len(brief), MAX_BRIEF)
        metrics = self.status("--format=prometheus", code=0).stdout
        self.assertIn("prebake_ready 1\n", metrics)

    def test_a_broken_node(self):
        self.containerd.ctr("images", "rm", "--sync",
                            *[name for name in self.containerd.images() if "pause" not in name])
        daemon = self.daemon(ready=False)
        daemon.until_verdict("not_ready")
        text = self.status(code=harness.NOT_READY).stdout
        self.assertTrue(text.startswith("NOT READY"), text)
        self.assertIn(self.reference, text)
        self.assertIn("prebake bake", text)
        self.assertLessEqual(len(text), MAX_TEXT)
        self.assertEqual(self.status("--json", code=harness.NOT_READY).json["ready"], False)
        brief = self.status("--brief", code=1).stdout
        self.assertTrue(brief.startswith("not ready"), brief)
        self.assertLess(len(brief.rstrip("\n")), MAX_BRIEF)
        code, body = daemon.get("/readyz")
        self.assertEqual(code, 503)
        self.assertIn("ImagesPresent", body)

    def test_the_daemon_does_not_run(self):
        daemon = self.daemon()
        daemon.stop(signal.SIGKILL)
        result = self.status(code=harness.NOT_READY)
        self.assertTrue(result.stdout.startswith("UNKNOWN"), result)
        self.assertIn("does not", result.stdout.splitlines()[0])
        document = self.status("--json", code=harness.NOT_READY).json
        self.assertEqual((document["source"], document["verdict"]), ("files", "unknown"))
        self.assertTrue(self.status("--brief", code=2).stdout.startswith("unknown"))

    def test_it_never_ran_and_nothing_was_baked(self):
        shutil.rmtree(self.state)
        self.assertTrue(self.status(code=harness.NOT_READY).stdout.startswith("UNKNOWN"))

    def test_waiting_ends_when_the_node_is_ready(self):
        self.containerd.stop()
        daemon = self.daemon(ready=False)
        daemon.until(daemon.answers, "the daemon answers")
        waiting = self.start("status", "--wait=60", "--json")
        # It waits in the daemon, which is one more connection.
        wait_until(lambda: daemon.connections() >= 2, "status is connected")
        self.containerd.start()
        result = waiting.wait()
        self.assertEqual(result.code, 0, result)
        self.assertTrue(result.json["ready"])

    def test_waiting_ends_at_the_deadline(self):
        self.containerd.stop()
        daemon = self.daemon(ready=False)
        daemon.until(daemon.answers, "the daemon answers")
        begin = time.monotonic()
        self.status("--wait=1", code=harness.NOT_READY)
        self.assertGreaterEqual(time.monotonic() - begin, 1)

    def test_waiting_without_a_number_uses_the_configured_deadline(self):
        self.configure('[readiness]\ndeadline = "1s"\n')
        begin = time.monotonic()
        result = self.prebake("status", "--wait")
        self.assertEqual(result.code, harness.NOT_READY, result)
        self.assertTrue(1 <= time.monotonic() - begin < 60)

    def test_waiting_for_a_daemon_that_starts_later(self):
        self.configure("[guard]\nmin_free = \"0\"\n")
        waiting = self.start("status", "--wait=60", "--brief")
        self.daemon()
        self.assertEqual(waiting.wait().code, 0)

    def test_a_signal_ends_waiting_at_once(self):
        self.containerd.stop()
        daemon = self.daemon(ready=False)
        daemon.until(daemon.answers, "the daemon answers")
        for how, code in ((signal.SIGTERM, harness.TERMINATED),
                          (signal.SIGINT, harness.INTERRUPTED)):
            with self.subTest(how):
                waiting = self.start("status", "--wait=600")
                wait_until(lambda: daemon.connections() >= 2, "status is connected")
                waiting.send(how)
                self.assertEqual(waiting.wait().code, code)

    def test_waiting_continues_while_the_daemon_restarts(self):
        self.containerd.stop()
        daemon = self.daemon(ready=False)
        daemon.until(daemon.answers, "the daemon answers")
        waiting = self.start("status", "--wait=60", "--json")
        wait_until(lambda: daemon.connections() >= 2, "status is connected")
        daemon.stop()
        self.containerd.start()
        self.daemon()
        self.assertEqual(waiting.wait().code, 0)

    def test_immediate_answers_are_not_retried_at_once(self):
        # As from a daemon in which all places for waiting clients are taken.
        self.configure()
        body = json.dumps({"schema": "prebake.v1.NodeStatus", "verdict": "not_ready"}).encode()
        requests = []

        class Answer(socketserver.StreamRequestHandler):
            def handle(self):
                requests.append(self.rfile.readline().split()[1])
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                self.wfile.write(body)

        path = self.directory / "run/prebake.sock"
        path.parent.mkdir(exist_ok=True)
        with socketserver.UnixStreamServer(str(path), Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.shutdown)
            begin = time.monotonic()
            result = self.prebake("status", "--wait=3")
            server.shutdown()
        self.assertEqual(result.code, harness.NOT_READY, result)
        self.assertTrue(result.stdout.startswith("NOT READY"), result)
        self.assertGreaterEqual(time.monotonic() - begin, 3)
        self.assertIn(b"/v1/status?wait=3", requests)
        self.assertLessEqual(len(requests), 5, requests)

    def test_a_socket_that_is_switched_off(self):
        (self.directory / "prebake.toml").write_text('[report]\nsocket = ""\n')
        result = self.prebake("status", "--wait=600")
        self.assertEqual(result.code, harness.NOT_READY, result)
        self.assertIn("report.socket", result.stdout.splitlines()[0])

    def test_an_unreadable_ledger_does_not_mean_no_starts(self):
        (self.state / "ledger.json").write_text("{")
        self.assertIn("ledger.json", self.status(code=harness.NOT_READY).stdout)

    def test_the_state_directory_is_replaced(self):
        daemon = self.daemon()
        self.state.rename(self.directory / "old")
        self.state.mkdir()
        daemon.until(lambda: daemon.status()["claim"] == "unclaimed", "the claim is gone")
        self.claimed()
        daemon.until(lambda: daemon.status()["claim"] == "claimed", "the new claim is read")

    def test_wrong_usage(self):
        for arguments in (["--format=xml"], ["--wait=soon"], ["--wait=-1"], ["--wait=0x10"],
                          ["--wait=1.5"], ["--wait=86401"], ["--wait=" + "9" * 30],
                          ["--for=rich"], ["--for"]):
            with self.subTest(arguments):
                self.assertEqual(self.prebake("status", *arguments).code, harness.USAGE)

    def test_a_user_without_permission_gets_the_next_step(self):
        self.daemon()
        for directory in (self.workspace.path, self.directory, self.directory / "run"):
            directory.chmod(0o755)
        program = self.directory / "prebake"
        shutil.copy(self.program, program)
        self.configure()
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "--config",
             self.directory / "prebake.toml", "--state-dir", self.state, "status"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"PATH": ADMIN_PATH})
        self.assertEqual(done.returncode, harness.FAILED, done)
        self.assertIn("no permission to use", done.stderr)
        self.assertIn("group", done.stderr)
        # For node-problem-detector 1 means a problem of the node.
        done = subprocess.run([*done.args, "--brief"], stdout=subprocess.PIPE, text=True,
                              env={"PATH": ADMIN_PATH})
        self.assertEqual((done.returncode, done.stdout[:8]), (2, "unknown:"))

    def test_many_images_fit_into_what_ssm_returns(self):
        daemon = self.daemon()
        daemon.stop()
        record = json.loads((self.state / "bake.json").read_text())
        entry = next(item for item in record["images"] if item["name"] == self.reference)
        for i in range(100):
            copy = json.loads(json.dumps(entry).replace("/one", f"/{'long-name-' * 8}{i}"))
            record["images"].append(copy)
        (self.state / "bake.json").write_text(json.dumps(record))
        # The daemon restores their names from the disk: they all are one image.
        self.daemon()
        text = self.status(code=0).stdout
        self.assertLessEqual(len(text.encode()), MAX_TEXT)
        result = self.status("--json", code=0)
        self.assertLess(len(result.stdout.encode()), MAX_JSON)
        self.assertTrue(result.json["truncated"])
        self.assertEqual(result.json["imagesTotal"], 102)
        self.assertLess(len(result.json["images"]), 102)


class Endpoint(node.NodeTest):
    """HTTP over TCP on loopback, as port forwarding and Prometheus use it."""

    def setUp(self):
        super().setUp()
        self.bake_node()
        self.claimed()
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]

    def configure(self, text=""):
        super().configure(text)
        file = self.directory / "prebake.toml"
        listen = f'listen = ["localhost:{self.port}"]'
        file.write_text(file.read_text().replace("listen = []", listen))

    def request(self, target, host="localhost", address="127.0.0.1", method="GET"):
        connection = http.client.HTTPConnection(address, self.port, timeout=harness.DEADLINE)
        with contextlib.closing(connection):
            connection.putrequest(method, target, skip_host=True)
            if host:
                connection.putheader("Host", host)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def test_both_families_serve_and_only_loopback(self):
        self.daemon()
        for address in ("127.0.0.1", "::1"):
            self.assertEqual(self.request("/livez", address=address)[0], 200, address)
        listening = subprocess.run(["ss", "-Hltn", f"sport = :{self.port}"], stdout=subprocess.PIPE,
                                   text=True, check=True, env={"PATH": ADMIN_PATH}).stdout
        addresses = {line.split()[3].rpartition(":")[0] for line in listening.splitlines()}
        self.assertEqual(addresses, {"127.0.0.1", "[::1]"})

    def test_a_port_that_somebody_else_has_is_taken_when_it_is_free(self):
        with contextlib.closing(socket.create_server(("127.0.0.1", self.port))):
            daemon = self.daemon()
            condition = daemon.condition("EndpointListening")
            self.assertEqual((condition["status"], condition["reason"]), ("False", "NotListening"))
            self.assertIn(f"127.0.0.1:{self.port}: a process of user {os.geteuid()} has the port",
                          condition["message"])
            self.assertTrue(daemon.status()["ready"], "the socket serves")
        daemon.until(lambda: daemon.condition("EndpointListening")["status"] == "True",
                     "it has the port")
        self.assertEqual(self.request("/livez")[0], 200)

    def test_tcp_may_be_for_the_readiness_only(self):
        self.daemon(config='tcp = "readiness"\n[guard]\nmin_free = "0"\n')
        self.assertEqual([self.request(target)[0] for target in ("/readyz", "/v1/status")],
                         [200, 403])

    def test_a_foreign_host_is_refused(self):
        self.daemon()
        self.assertIn(self.request("/v1/status", host="rebound.example:80")[0], (403, 421))
        self.assertEqual(self.request("/v1/status", host=f"localhost:{self.port}")[0], 200)
        self.assertEqual(self.request("/v1/status", host="")[0], 400)

    def test_it_only_reads(self):
        self.daemon()
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            self.assertEqual(self.request("/v1/status", method=method)[0], 405)
        self.assertEqual(self.request("/v2/status")[0], 404)

    def test_promtool_has_no_findings(self):
        daemon = self.daemon()
        self.cri("pod", "first")
        daemon.until(lambda: daemon.ledger()["sinceClaim"]["starts"] == 1, "the start is counted")
        metrics = self.request("/metrics")[1]
        done = subprocess.run(["promtool", "check", "metrics"], input=metrics, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((done.returncode, done.stdout.strip()), (0, ""))
        self.assertIn('prebake_starts_total{result="hit"} 1\n', metrics)

    def test_a_user_who_may_not_use_the_socket_is_answered_here(self):
        self.daemon()
        program = self.directory / "prebake"
        shutil.copy(self.program, program)
        for path in (self.workspace.path, self.directory):
            path.chmod(0o755)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program,
                   "--config", self.directory / "prebake.toml", "status", "--json"]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertEqual(json.loads(said.stdout)["source"], "daemon")

    def test_one_bad_client_delays_no_other(self):
        daemon = self.daemon()
        with contextlib.ExitStack() as clients:
            for _ in range(20):
                slow = clients.enter_context(socket.create_connection(("127.0.0.1", self.port)))
                slow.sendall(b"GET /v1/status HTTP/1.1\r\nHost: local")
            huge = clients.enter_context(socket.create_connection(("127.0.0.1", self.port)))
            with contextlib.suppress(OSError):
                huge.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000)
            noise = clients.enter_context(socket.create_connection(("127.0.0.1", self.port)))
            noise.sendall(b"\x16\x03\x01\x00\xff" + os.urandom(200))
            deaf = clients.enter_context(socket.create_connection(("127.0.0.1", self.port)))
            deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500)
            begin = time.monotonic()
            for _ in range(20):
                self.assertEqual(self.request("/readyz")[0], 200)
            self.assertLess(time.monotonic() - begin, 5, "others do not delay it")
        self.assertEqual(daemon.get("/livez")[0], 200)

    def test_waiting_clients_leave_room_for_others(self):
        self.containerd.stop()
        daemon = self.daemon(ready=False)
        daemon.until(daemon.answers, "the daemon answers")
        for address in (("127.0.0.1", self.port), str(daemon.socket)):
            with self.subTest(address), contextlib.ExitStack() as stack:
                family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
                waiting = [stack.enter_context(socket.socket(family)) for _ in range(PLACES)]
                for client in waiting:
                    client.connect(address)
                for client in waiting:
                    client.sendall(b"GET /v1/status?wait=300 HTTP/1.1\r\nHost: localhost\r\n\r\n")

                def answered(clients=waiting):
                    return select.select(clients, [], [], 0)[0]
                wait_until(lambda: len(answered()) >= PLACES - MAX_WAITING, "most are answered")
                for client in answered():
                    self.assertEqual(client.recv(15), b"HTTP/1.1 200 OK")
                begin = time.monotonic()
                for _ in range(20):
                    self.assertEqual(self.request("/livez")[0], 200)
                    self.assertEqual(daemon.get("/livez")[0], 200)
                said = self.prebake("status", "--json").json
                self.assertEqual((said["source"], said["ready"]), ("daemon", False))
                self.assertLess(time.monotonic() - begin, 5, "others do not delay it")
                self.assertEqual(len(answered()), PLACES - MAX_WAITING, "the rest waits")

    def test_pipelined_requests_are_answered_in_order(self):
        self.daemon()
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.port))) as client:
            client.settimeout(30)
            client.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                                    for path in ("/livez", "/nowhere", "/readyz", "/v1/ledger"))
                           + b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        codes = re.findall(rb"HTTP/1\.1 (\d+)", received)
        self.assertEqual(codes, [b"200", b"404", b"200", b"200", b"200"])

    def test_an_occupied_port_does_not_keep_the_node_from_serving(self):
        with contextlib.closing(socket.create_server(("127.0.0.1", self.port))):
            daemon = self.daemon()
            self.assertIn(str(self.port), daemon.running.stderr())
            self.assertEqual(daemon.get("/readyz")[0], 200)


if __name__ == "__main__":
    harness.main()
