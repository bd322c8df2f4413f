"""Between prebake and a registry: a proxy, and a connection that breaks."""

import contextlib
import re
import socket
import threading

from daemons import ADMIN_PATH, Server, wait_until


class Tinyproxy:
    """Debian's tinyproxy, which wants a user name and a password. Needs an address of its own."""

    def __init__(self, directory, address, user, password, port=3128):
        directory.mkdir(parents=True)
        self.address, self.port = address, port
        config = directory / "tinyproxy.conf"
        config.write_text(f"Listen {address}\nPort {port}\nTimeout 600\nMaxClients 100\n"
                          f"LogLevel Connect\nBasicAuth {user} {password}\n")
        self._server = Server(["tinyproxy", "-d", "-c", config], directory / "tinyproxy.log",
                              {"PATH": ADMIN_PATH})
        wait_until(self._accepts, "tinyproxy accepts connections")

    def _accepts(self):
        self._server.check_alive()
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((self.address, self.port)).close()
            return True
        return False

    @property
    def host(self):
        return f"{self.address}:{self.port}"

    def tunnels(self):
        """The hosts to which it connected so far, in order."""
        return re.findall(r'Established connection to host "([^"]+)"', self._server.log.read_text())

    def stop(self):
        self._server.stop()


class DyingRoute:
    """Forwards connections to a server until `after` bytes came back from it. Then it closes all of
    them and listens no longer, as a mirror does that is switched off."""

    def __init__(self, address, port, target, after):
        self._target = target
        self._left = after
        self._lock = threading.Lock()
        self._sockets = set()
        self._listener = socket.create_server((address, port))
        self.has_died = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._target)
                with self._lock:
                    self._sockets |= {client, server}
                for source, sink, counts in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._forward, args=(source, sink, counts),
                                     daemon=True).start()

    def _forward(self, source, sink, counts):
        with contextlib.suppress(OSError):
            while data := source.recv(64 * 1024):
                if counts and not self._spend(len(data)):
                    self.stop()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _spend(self, size):
        with self._lock:
            self._left -= size
            return self._left > 0

    def stop(self):
        self.has_died.set()
        # close(2) alone would not wake up the threads that wait in accept(2) and recv(2).
        with self._lock:
            sockets, self._sockets = self._sockets | {self._listener}, set()
        for item in sockets:
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
        self._listener.close()
