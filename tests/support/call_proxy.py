"""A socket in front of containerd's that stops at a chosen call.

It counts the calls of all clients and containerd's answers to them, by the frames of HTTP/2: a call
begins with a HEADERS frame, and an answer ends with one.
"""

import contextlib
import os
import socket
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, END_STREAM = 1, 1

CALL = "call"      # the n-th call, which containerd does not get
ANSWER = "answer"  # the answer to some call, the n-th; its client does not get it


class CallProxy:
    def __init__(self, path, target):
        self.path = str(path)
        self._target = target
        self._lock = threading.RLock()  # the action may close the proxy
        self._connections = set()
        self._listener = None
        self.watch()
        self.open()

    def watch(self, point=None, number=0, action=None):
        """Counts from zero again. At the n-th `point`, calls `action`, and breaks the connection
        instead of passing it on. Once this returns, no earlier action is running."""
        with self._lock:
            self.counts = {CALL: 0, ANSWER: 0}
            self._stop_at = (point, number)
            self._action = action

    def open(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self):
        """As a containerd that was killed: the socket is there, and nobody listens."""
        with self._lock:
            connections, self._connections = self._connections, set()
        # Only this ends accept().
        for each in (self._listener, *connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._connections |= {client, server}
            for ends in ((client, server, CALL), (server, client, ANSWER)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source, sink, point):
        try:
            with source.makefile("rb") as stream:
                if point == CALL:
                    sink.sendall(stream.read(len(PREFACE)))
                while head := stream.read(9):
                    body = stream.read(int.from_bytes(head[:3], "big"))
                    is_point = head[3] == HEADERS and (point == CALL or head[4] & END_STREAM)
                    if is_point and self._stops_at(point):
                        break
                    sink.sendall(head + body)
        except OSError:
            pass
        finally:
            for each in (source, sink):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                with self._lock:
                    self._connections.discard(each)

    def _stops_at(self, point):
        with self._lock:
            self.counts[point] += 1
            if (point, self.counts[point]) != self._stop_at:
                return False
            self._action()
            return True
