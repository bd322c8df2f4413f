#!/usr/bin/python3
"""A registry of files that costs next to nothing: for benchmarks, which must not measure it.

The kernel copies a blob from the page cache to the socket (sendfile). It is a process of its own,
so that it shares no lock of Python with a test. Started by itself it serves a directory and logs
each request: file_registry.py DIRECTORY [BYTES_PER_SECOND]
"""

import json
import os
import pathlib
import re
import socket
import sys
import threading
import time
import urllib.parse

import oci_image
from daemons import Server, wait_until

MAX_REQUEST_BYTES = 64 * 1024
# Of a connection whose rate is limited: small enough for an even flow.
PACED_BYTES = 128 * 1024


def add(directory, repository, image, tag="1.0"):
    """Makes the image part of what is served from `directory`. The files of its blobs are moved."""
    blobs = directory / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    for blob in image.blobs:
        path = blobs / blob.digest.partition(":")[2]
        if isinstance(blob.content, bytes):
            path.write_bytes(blob.content)
        else:
            blob.content.rename(path)
    manifests = directory / "manifests" / urllib.parse.quote(repository, safe="")
    manifests.mkdir(parents=True, exist_ok=True)
    for manifest in image.manifests:
        (manifests / manifest.digest).write_bytes(manifest.content)
    (manifests / tag).write_bytes(image.top.content)


class FileRegistry:
    """Serves what add() put into `directory`. With `bytes_per_second`, no connection gets more, as
    those to an object store."""

    def __init__(self, directory, log, bytes_per_second=0):
        self._server = Server([sys.executable, __file__, directory, str(bytes_per_second)], log)
        found = wait_until(self._announced, "the registry names its port")
        self.host = f"127.0.0.1:{found.group(1)}"

    def _announced(self):
        self._server.check_alive()
        return re.search(r"^port (\d+)$", self._server.log.read_text(), re.MULTILINE)

    def requests(self):
        """What was asked for so far: pairs of method and path."""
        lines = self._server.log.read_text().splitlines()
        return [tuple(line.split()[1:3]) for line in lines if line.startswith("request ")]

    def stop(self):
        self._server.stop()


# The process that serves -----------------------------------------------------------------------


class Service:
    def __init__(self, directory, bytes_per_second):
        self.directory = directory
        self.bytes_per_second = bytes_per_second

    def serve(self, connection):
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    received = connection.recv(MAX_REQUEST_BYTES)
                    is_tls = not pending and received[:1] == b"\x16"
                    if not received or is_tls or len(pending) > MAX_REQUEST_BYTES:
                        return
                    pending += received
                head, _, pending = pending.partition(b"\r\n\r\n")
                try:
                    self.answer(connection, head.decode("latin-1").split("\r\n"))
                except OSError:  # the client has enough
                    return

    def answer(self, connection, lines):
        method, target, _ = lines[0].split(" ", 2)
        os.write(1, f"request {method} {target}\n".encode())  # at once: threads share the log
        path, media_type = self.find(urllib.parse.unquote(target.partition("?")[0]))
        if path is None:
            body = b"" if target in ("/v2", "/v2/") else b'{"errors":[{"code":"NOT_FOUND"}]}'
            status = "404 Not Found" if body else "200 OK"
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                               + (b"" if method == "HEAD" else body))
            return
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            first, last, status, more = 0, size - 1, "200 OK", ""
            wanted = next((re.fullmatch(r"range:\s*bytes=(\d+)-(\d*)\s*", line, re.IGNORECASE)
                           for line in lines if line.lower().startswith("range:")), None)
            if wanted and int(wanted.group(1)) < size:
                first, last = int(wanted.group(1)), min(int(wanted.group(2) or last), last)
                status = "206 Partial Content"
                more = f"Content-Range: bytes {first}-{last}/{size}\r\n"
            length = last + 1 - first
            digest = path.name if media_type is None else oci_image.sha256(file.read())
            connection.sendall(
                f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}Accept-Ranges: bytes\r\n"
                f"Docker-Content-Digest: sha256:{digest.rpartition(':')[2]}\r\n"
                f"Content-Type: {media_type or 'application/octet-stream'}\r\n\r\n".encode())
            if method == "GET":
                self.send(connection, file, first, length)

    def send(self, connection, file, offset, length):
        started, sent = time.monotonic(), 0
        while sent < length:
            step = length - sent
            if self.bytes_per_second:
                step = min(step, PACED_BYTES)
                ahead = sent / self.bytes_per_second - (time.monotonic() - started)
                time.sleep(max(ahead, 0))
            sent += os.sendfile(connection.fileno(), file.fileno(), offset + sent, step)

    def find(self, target):
        """The file, and its media type if it is a manifest."""
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", target)
        if not found:
            return None, None
        repository, kind, name = found.groups()
        if kind == "blobs":
            path = self.directory / "blobs" / name.partition(":")[2]
            return (path if path.is_file() else None), None
        path = (self.directory / "manifests" / urllib.parse.quote(repository, safe="") / name)
        if not path.is_file():
            return None, None
        return path, json.loads(path.read_bytes())["mediaType"]


def main():
    service = Service(pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print("port", listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=service.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
