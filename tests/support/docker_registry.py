"""Debian's docker-registry, with the kinds of authentication that it knows."""

import contextlib
import dataclasses
import http.client
import json
import re
import shutil
import subprocess

from daemons import ADMIN_PATH, DEADLINE, Server, wait_until

SALT = "prebakeprebakeprebakeu"  # 22 characters that bcrypt allows


def htpasswd(file, users):
    """Settings for HTTP Basic authentication by `users`, name -> password. Writes the file."""
    # Perl has libc's crypt(3), which knows bcrypt, the only kind that the registry takes.
    hashed = subprocess.run(
        ["perl", "-e", "print map { crypt($_, $ENV{SETTING}) . \"\\n\" } @ARGV", *users.values()],
        env={"SETTING": f"$2b$04${SALT}"}, stdout=subprocess.PIPE, text=True, check=True).stdout
    file.write_text("".join(f"{user}:{line}\n"
                            for user, line in zip(users, hashed.splitlines(), strict=True)))
    return {"htpasswd": {"realm": "prebake test", "path": str(file)}}


@dataclasses.dataclass
class Answered:
    """One request in the log of a docker-registry."""
    method: str
    path: str  # with the query
    status: int
    size: int  # of the body that was sent
    user: str
    client: str  # "prebake/0.1.0"

    @property
    def is_blob(self):
        return "/blobs/" in self.path


class DockerRegistry:
    """One docker-registry, with its files below `directory`. It listens on a loopback address.

    `through` is a command prefix that starts it, for example in another network. `storage` are the
    blobs of another one. `tls` are the files of a certificate and its key, and `clients` the file
    of the authority whose clients alone are admitted. `auth` is what htpasswd() or
    TokenServer.settings() returns. With `upstream` it is a pull-through cache: the settings of its
    proxy, such as {"remoteurl": "http://127.0.0.1:5000"}. `name` stands in references, instead of
    the address.
    """

    def __init__(self, directory, through=(), storage=None, port=0, tls=None, *,
                 address="127.0.0.1", name=None, clients=None, auth=None, upstream=None):
        directory.mkdir(parents=True)
        self.storage = storage or directory / "storage"
        self.name = name
        config = directory / "registry.yml"
        settings = {
            "version": 0.1,
            # "debug" has the user's name.
            "log": {"level": "debug", "formatter": "json", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.storage)}},
            "http": {"addr": f"{address}:{port}"},
        }
        if tls:
            settings["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
            if clients:
                settings["http"]["tls"]["clientcas"] = [str(clients)]
        if auth:
            settings["auth"] = auth
        if upstream:
            settings["proxy"] = upstream
        config.write_text(json.dumps(settings))  # JSON is YAML
        program = shutil.which("docker-registry", path=ADMIN_PATH)
        if not program:
            raise AssertionError("docker-registry is not installed")
        self._server = Server([*through, program, "serve", config], directory / "registry.log",
                              {"PATH": ADMIN_PATH})
        self.address, port = wait_until(self._announced, "docker-registry names its port").groups()
        self.port = int(port)

    def _announced(self):
        self._server.check_alive()
        return re.search(r"listening on (127\.[\d.]+):(\d+)", self._server.log.read_text())

    @property
    def host(self):
        if self.name and self.port == 443:
            return self.name
        return f"{self.name or self.address}:{self.port}"

    def stop(self):
        self._server.stop()

    def push(self, repository, image, tag="1.0"):
        """For a registry without TLS and authentication."""
        return push(self.host, repository, image, tag)

    def requests(self):
        """What was answered so far, in order."""
        answered, users = [], {}
        for line in self._server.log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                request = entry.get("http.request.id")
                if "auth.user.name" in entry:
                    users[request] = entry["auth.user.name"]
                if entry["msg"].startswith("response completed"):
                    answered.append(Answered(
                        entry["http.request.method"], entry["http.request.uri"],
                        entry["http.response.status"], entry["http.response.written"],
                        users.get(request, ""), entry.get("http.request.useragent", "")))
        return answered


def push(host, repository, image, tag):
    """Uploads an image to a registry as any client would; returns its reference."""
    connection = http.client.HTTPConnection(host, timeout=DEADLINE)
    with contextlib.closing(connection):
        for blob in image.blobs:
            location = _send(connection, "POST", f"/v2/{repository}/blobs/uploads/", 202)
            path = re.sub(r"^https?://[^/]+", "", location)
            path += ("&" if "?" in path else "?") + f"digest={blob.digest}"
            _send(connection, "PUT", path, 201, blob.content, "application/octet-stream")
        for manifest in reversed(image.manifests):  # children before their index
            name = tag if manifest is image.top else manifest.digest
            _send(connection, "PUT", f"/v2/{repository}/manifests/{name}", 201, manifest.content,
                  manifest.media_type)
    return f"{host}/{repository}:{tag}"


def _send(connection, method, path, expected, body=b"", media_type=None):
    headers = {"Content-Type": media_type} if media_type else {}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != expected:
        raise AssertionError(f"{method} {path}: {answer.status} {text.decode()}")
    return answer.headers.get("Location", "")
