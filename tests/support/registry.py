"""A registry that serves images from memory and misbehaves on request.

A behaviour is a function from (Request, Response) to the Response to send instead; `Registry.on`
attaches it to the paths that match a pattern, forever or for the next N requests. Every request is
logged before its response is sent, so that a test can check what prebake requested.

A test that must stop prebake in the middle of something uses a Gate: the registry reports when it
has reached the gate (`is_reached`) and waits there until the test opens it (`open`).
"""

import base64
import contextlib
import dataclasses
import http.server
import json
import pathlib
import re
import socket
import ssl
import threading
import time
import urllib.parse

from oci_image import sha256

DEADLINE = 300  # seconds; a limit for hangs, also on a busy machine
CHUNK = 256 * 1024
ERROR_CODES = {400: "MANIFEST_INVALID", 401: "UNAUTHORIZED", 403: "DENIED", 404: "NOT_FOUND",
               405: "UNSUPPORTED", 429: "TOOMANYREQUESTS", 500: "UNKNOWN", 503: "UNAVAILABLE"}


@dataclasses.dataclass
class Request:
    """One line of the log. Only the scheme of credentials is kept."""
    method: str
    path: str
    authorization: str
    range: str
    arrived: float = dataclasses.field(default_factory=time.monotonic)
    status: int = 0

    @property
    def is_blob(self):
        return "/blobs/" in self.path


class Gate:
    """A point in a response at which the registry waits for the test."""

    def __init__(self):
        self._reached = threading.Event()
        self._opened = threading.Event()

    @property
    def is_reached(self):
        return self._reached.is_set()

    def wait_reached(self):
        if not self._reached.wait(DEADLINE):
            raise AssertionError(f"nobody came to the gate within {DEADLINE} s")

    def open(self):
        self._opened.set()

    def pass_through(self):
        self._reached.set()
        self._opened.wait(2 * DEADLINE)


@dataclasses.dataclass
class Response:
    status: int
    headers: dict
    content: object = b""  # bytes or pathlib.Path
    start: int = 0
    cut: int = None  # close the connection after this many bytes of the body
    gate: Gate = None
    gate_at: int = None  # bytes of the body before the gate; None: before the header

    def size(self):
        if isinstance(self.content, pathlib.Path):
            return self.content.stat().st_size
        return len(self.content)

    def chunks(self):
        if not isinstance(self.content, pathlib.Path):
            view = memoryview(self.content)[self.start:]
            yield from (view[i:i + CHUNK] for i in range(0, len(view), CHUNK))
            return
        with open(self.content, "rb") as source:
            source.seek(self.start)
            yield from iter(lambda: source.read(CHUNK), b"")


# Behaviours ------------------------------------------------------------------------------------


def error(status, message="on request of the test", **headers):
    """An error with the registry's diagnosis in the body. Headers are keywords: Retry_After=1."""
    def behave(request, response):
        body = {"errors": [{"code": ERROR_CODES.get(status, "UNKNOWN"), "message": message}]}
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        return Response(status, {"Content-Type": "application/json", **named},
                        json.dumps(body).encode())
    return behave


def truncate(after):
    """Closes the connection after `after` bytes of the body, although it declared more."""
    return lambda request, response: dataclasses.replace(response, cut=after)


def shorten(by):
    """A body that is `by` bytes shorter than the blob, with that length: complete, but wrong."""
    return lambda request, response: dataclasses.replace(response, content=response.content[:-by])


def lengthen(by):
    """A body that is `by` bytes longer than the blob, with that length."""
    return lambda request, response: dataclasses.replace(
        response, content=response.content + b"x" * by)


def wrong_bytes(request, response):
    """The right length, but every byte inverted."""
    return dataclasses.replace(response, content=bytes(255 - byte for byte in response.content))


def no_range(request, response):
    """Ignores Range, as registries may: sends the whole blob with status 200."""
    headers = {name: value for name, value in response.headers.items() if name != "Content-Range"}
    status = 200 if response.status == 206 else response.status
    return dataclasses.replace(response, status=status, headers=headers, start=0)


def redirect(base):
    """Redirects to the same path of another server, such as "http://127.0.0.1:1234"."""
    return lambda request, response: Response(307, {"Location": base + request.path})


def without_header(name):
    def behave(request, response):
        kept = {key: value for key, value in response.headers.items() if key != name}
        return dataclasses.replace(response, headers=kept)
    return behave


def replace(content, media_type):
    """Serves other bytes under the same name, with their own digest header."""
    return lambda request, response: Response(
        200, {"Content-Type": media_type, "Docker-Content-Digest": sha256(content)}, content)


def pause(gate, at):
    """Sends `at` bytes of the body and waits at the gate."""
    return lambda request, response: dataclasses.replace(response, gate=gate, gate_at=at)


def stall(gate):
    """Accepts the request and does not answer until the gate opens."""
    return lambda request, response: dataclasses.replace(response, gate=gate)


# The server ------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Rule:
    pattern: re.Pattern
    method: str
    behaviour: object
    left: float


class Registry:
    """Serves on its own loopback port from construction (or `come_back`) until `stop`.

    `tls` is a pair of files (certificate, key).
    """

    def __init__(self, tls=None):
        self.requests = []
        self._tls = tls
        self._manifests = {}
        self._blobs = {}
        self._rules = []
        self._gates = []
        self._user = None
        self._token = None
        self._lock = threading.Lock()
        self._connections = set()
        self.port = 0
        self.come_back()

    # Life

    def come_back(self):
        """Listens (again) on the same port."""
        registry = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, client_address):
                pass  # many tests kill the client

        class Handler(_Handler):
            pass

        Handler.registry = registry
        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def go_down(self):
        """Stops listening and closes every connection. Opens all gates, so that no thread stays."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            connections, self._connections = self._connections, set()
            gates = list(self._gates)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for gate in gates:
            gate.open()

    stop = go_down

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://{self.host}"

    # Contents

    def serve(self, repository, image, tag="1.0"):
        """Adds an image; returns its reference."""
        manifests = self._manifests.setdefault(repository, {})
        for manifest in image.manifests:
            manifests[manifest.digest] = manifest
        if tag:
            manifests[tag] = image.top
        for blob in image.blobs:
            self._blobs.setdefault(repository, {})[blob.digest] = blob
        return f"{self.host}/{repository}:{tag}" if tag else f"{self.host}/{repository}"

    def forget(self, repository):
        self._manifests.pop(repository, None)
        self._blobs.pop(repository, None)

    def on(self, pattern, behaviour, times=None, method=None):
        """Applies `behaviour` to the next `times` requests (None: all) whose path matches."""
        with self._lock:
            self._rules.append(_Rule(re.compile(pattern), method, behaviour,
                                     float("inf") if times is None else times))

    def gate(self):
        """A Gate that opens by itself when the registry goes down."""
        gate = Gate()
        with self._lock:
            self._gates.append(gate)
        return gate

    def behave(self):
        """Removes every rule, clears the log, and opens every gate."""
        with self._lock:
            self._rules, self.requests = [], []
            gates, self._gates = self._gates, []
        for gate in gates:
            gate.open()

    def require_token(self, user=None, password=None):
        """All requests need a bearer token. With a user, the token endpoint needs that password."""
        self._token = f"token-of-{user or 'anybody'}"
        self._user = (user, password) if user else None

    def blob_requests(self, method="GET"):
        return [item for item in list(self.requests) if item.is_blob and item.method == method]

    def gets(self):
        """GET requests of manifests and blobs."""
        return [item for item in list(self.requests)
                if item.method == "GET" and item.path.startswith("/v2/") and len(item.path) > 4]

    # Answers

    def answer(self, request, headers, body):
        if request.path.startswith("/token"):
            response = self._answer_token(headers, body)
        elif self._token and headers.get("Authorization") != f"Bearer {self._token}":
            challenge = f'Bearer realm="{self.url}/token",service="scripted"'
            response = error(401, WWW_Authenticate=challenge)(request, None)
        else:
            response = self._answer_content(request)
        with self._lock:
            self.requests.append(request)
            active = [rule for rule in self._rules if rule.left > 0
                      and rule.method in (None, request.method)
                      and rule.pattern.search(request.path)]
            for rule in active:
                rule.left -= 1
        for rule in active:
            response = rule.behaviour(request, response)
        request.status = response.status
        return response

    def _answer_token(self, headers, body):
        if self._user:
            form = urllib.parse.parse_qs(body.decode())
            given = (form.get("username", [""])[0], form.get("password", [""])[0])
            scheme, _, value = headers.get("Authorization", "").partition(" ")
            if scheme == "Basic":
                given = tuple(base64.b64decode(value).decode().split(":", 1))
            if given != self._user:
                return error(401, "wrong user name or password")(None, None)
        document = {"token": self._token, "access_token": self._token, "expires_in": 300}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _answer_content(self, request):
        path = request.path.partition("?")[0]
        if path in ("/v2", "/v2/"):
            return Response(200, {"Content-Type": "application/json"}, b"{}")
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if not found:
            return error(404, "no such endpoint")(request, None)
        repository, kind, name = found.groups()
        store = self._manifests if kind == "manifests" else self._blobs
        item = store.get(repository, {}).get(name)
        if item is None:
            return error(404, f"{kind} unknown")(request, None)
        headers = {"Docker-Content-Digest": item.digest, "Accept-Ranges": "bytes"}
        headers["Content-Type"] = (item.media_type if kind == "manifests"
                                   else "application/octet-stream")
        response = Response(200, headers, item.content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.range)
        if kind == "blobs" and wanted:
            start, size = int(wanted.group(1)), response.size()
            if start >= size:
                return Response(416, {"Content-Range": f"bytes */{size}"})
            response.status, response.start = 206, start
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        return response


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry = None

    def setup(self):
        super().setup()
        with self.registry._lock:
            self.registry._connections.add(self.connection)

    def finish(self):
        with self.registry._lock:
            self.registry._connections.discard(self.connection)
        super().finish()

    def log_message(self, *arguments):
        pass  # the log is Registry.requests

    def version_string(self):
        return "scripted-registry"

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path,
                          self.headers.get("Authorization", "").partition(" ")[0],
                          self.headers.get("Range", ""))
        response = self.registry.answer(request, self.headers, body)
        if response.gate and response.gate_at is None:
            response.gate.pass_through()
        self.send_response(response.status)
        length = str(response.size() - response.start)
        for name, value in {**response.headers, "Content-Length": length}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(response)

    do_GET = do_HEAD = do_POST = _serve

    def _send_body(self, response):
        sent = 0
        for chunk in response.chunks():
            for limit, stop in ((response.gate_at, self._pause), (response.cut, self._cut)):
                if limit is not None and sent <= limit < sent + len(chunk):
                    self.wfile.write(chunk[:limit - sent])
                    self.wfile.flush()
                    chunk, sent = chunk[limit - sent:], limit
                    if stop(response):
                        return
            self.wfile.write(chunk)
            sent += len(chunk)

    def _pause(self, response):
        response.gate.pass_through()
        return False

    def _cut(self, response):
        self.close_connection = True
        return True
