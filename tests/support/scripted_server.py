"""HTTP servers that misbehave on request.

A behaviour is a function from (Request, Response) to the Response to send instead; `Server.on`
attaches it to the paths that match a pattern, forever or for the next N requests. Every request is
logged before its response is sent, so that a test can check what prebake requested.

A test that must stop prebake in the middle of something uses a Gate: the server reports when it
has reached the gate (`is_reached`) and waits there until the test opens it (`open`).
"""

import base64
import binascii
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

from oci_image import sha256

DEADLINE = 300  # seconds; a limit for hangs, also on a busy machine
CHUNK = 256 * 1024
ERROR_CODES = {400: "MANIFEST_INVALID", 401: "UNAUTHORIZED", 403: "DENIED", 404: "NOT_FOUND",
               405: "UNSUPPORTED", 429: "TOOMANYREQUESTS", 500: "UNKNOWN", 503: "UNAVAILABLE"}


def basic_credentials(authorization):
    """User name and password of an Authorization header, or two empty strings."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


@dataclasses.dataclass
class Request:
    """One line of the log. Of credentials, only the scheme and a user name are kept."""
    method: str
    path: str
    authorization: str
    range: str
    user: str = ""
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
    status: int  # 0: closes the connection instead
    headers: dict
    content: object = b""  # bytes or pathlib.Path
    start: int = 0
    end: int = None  # of the range that is sent; None: of the content
    bytes_per_second: int = None  # of this response
    cut: int = None  # close the connection after this many bytes of the body
    gate: Gate = None
    gate_at: int = None  # bytes of the body before the gate; None: before the header
    answers_head_with_body: bool = False  # which HTTP forbids

    def size(self):
        if isinstance(self.content, pathlib.Path):
            return self.content.stat().st_size
        return len(self.content)

    def length(self):
        # A behaviour may have shortened the content meanwhile.
        end = self.size() if self.end is None else min(self.end, self.size())
        return end - self.start

    def chunks(self):
        steps = range(0, self.length(), CHUNK)
        if not isinstance(self.content, pathlib.Path):
            view = memoryview(self.content)[self.start:self.end]
            yield from (view[i:i + CHUNK] for i in steps)
            return
        with open(self.content, "rb") as source:
            source.seek(self.start)
            yield from (source.read(min(CHUNK, self.length() - i)) for i in steps)


# Behaviours ------------------------------------------------------------------------------------


def error(status, message="on request of the test", **headers):
    """An error with a registry's diagnosis in the body. Headers are keywords: Retry_After=1."""
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
    return dataclasses.replace(response, status=status, headers=headers, start=0, end=None)


def pace(bytes_per_second):
    """Sends the body at this rate, whatever other connections get."""
    return lambda request, response: dataclasses.replace(response,
                                                         bytes_per_second=bytes_per_second)


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


def with_headers(**headers):
    """Adds or replaces headers, given as keywords: Content_Type="text/html"."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return lambda request, response: dataclasses.replace(
        response, headers={**response.headers, **named})


def hang_up(request, response):
    """Closes the connection without an answer."""
    return Response(0, {})


def body_for_head(request, response):
    """Answers HEAD with the body, too."""
    return dataclasses.replace(response, answers_head_with_body=True)


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


class Server:
    """Serves on a loopback address from construction (or `come_back`) until `stop`.

    `tls` is a pair of files (certificate, key). `name` is the host in its own URLs; with a port,
    unless that is the port of https.
    """

    def __init__(self, tls=None, address="127.0.0.1", port=0, name=None):
        self.requests = []
        self._tls = tls
        self._address = address
        self._name = name
        self._rules = []
        self._gates = []
        self._lock = threading.Lock()
        self._connections = set()
        self.port = port
        self.come_back()

    def respond(self, request, headers, body):
        """The Response of a server that behaves."""
        raise NotImplementedError

    # Life

    def come_back(self):
        """Listens (again) on the same port."""
        owner = self

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, client_address):
                pass  # many tests kill the client

        class Handler(_Handler):
            pass

        Handler.owner = owner
        self._server = Listener((self._address, self.port), Handler)
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
            # A connection shakes hands in its own thread: one that does not must not stop others.
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
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
        if self._name and self._tls and self.port == 443:
            return self._name
        return f"{self._name or self._address}:{self.port}"

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://{self.host}"

    # Behaviours

    def on(self, pattern, behaviour, times=None, method=None):
        """Applies `behaviour` to the next `times` requests (None: all) whose path matches."""
        with self._lock:
            self._rules.append(_Rule(re.compile(pattern), method, behaviour,
                                     float("inf") if times is None else times))

    def gate(self):
        """A Gate that opens by itself when the server goes down."""
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

    def answer(self, request, headers, body):
        response = self.respond(request, headers, body)
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


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner = None

    def setup(self):
        super().setup()
        with self.owner._lock:
            self.owner._connections.add(self.connection)

    def finish(self):
        with self.owner._lock:
            self.owner._connections.discard(self.connection)
        super().finish()

    def parse_request(self):
        # A TLS handshake gets a status line, too: by it ctr knows a server without TLS. Some random
        # bytes look like a request of HTTP/0.9, whose answer is a body alone.
        if self.raw_requestline.startswith(b"\x16\x03"):
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            self.close_connection = True
            return False
        return super().parse_request()

    def log_message(self, *arguments):
        pass  # the log is Server.requests

    def version_string(self):
        return "scripted"

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        authorization = self.headers.get("Authorization", "")
        request = Request(self.command, self.path, authorization.partition(" ")[0],
                          self.headers.get("Range", ""), basic_credentials(authorization)[0])
        response = self.owner.answer(request, self.headers, body)
        if response.gate and response.gate_at is None:
            response.gate.pass_through()
        if response.status == 0:
            self.close_connection = True
            return
        self.send_response(response.status)
        length = str(response.length())
        for name, value in {**response.headers, "Content-Length": length}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" or response.answers_head_with_body:
            self._send_body(response)

    do_GET = do_HEAD = do_POST = _serve

    def _send_body(self, response):
        sent, started = 0, time.monotonic()
        for chunk in response.chunks():
            if response.bytes_per_second:
                ahead = sent / response.bytes_per_second - (time.monotonic() - started)
                time.sleep(max(ahead, 0))
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
