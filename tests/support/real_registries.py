"""Base of the tests with real registries. They run in a network of their own (private_network.py),
so a registry has a name and the port of https."""

import hashlib
import itertools
import pathlib
import subprocess
import tempfile

import harness
import oci_image
import private_network
from certificates import Authority
from docker_registry import DockerRegistry
from token_server import TokenServer

HTTPS = 443
DOMAIN = "prebake.test"


class RealRegistriesTest(harness.SystemTest):
    """All registries of a class serve what `push` stored, unless a test says otherwise. prebake
    trusts the class's authority."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority = Authority(cls.workspace.path / "authority")
        cls.store = DockerRegistry(cls.workspace.path / "store")
        cls.addClassCleanup(cls.store.stop)

    # Servers

    @classmethod
    def place(cls, name, *more_names):
        """Where a server of that name listens, with a certificate."""
        return {"tls": cls.authority.for_server(name, *more_names), "port": HTTPS, "name": name,
                "address": private_network.name_server(name)}

    @classmethod
    def new_directory(cls):
        return pathlib.Path(tempfile.mkdtemp(dir=cls.workspace.path)) / "files"

    @classmethod
    def serve(cls, label, **options):
        """A docker-registry `label`.prebake.test until the class ends."""
        created = DockerRegistry(cls.new_directory(), **{
            "storage": cls.store.storage, **cls.place(f"{label}.{DOMAIN}"), **options})
        cls.addClassCleanup(created.stop)
        return created

    @classmethod
    def issue_tokens(cls, label, users):
        created = TokenServer(cls.new_directory(), users, **cls.place(f"{label}.{DOMAIN}"))
        cls.addClassCleanup(created.stop)
        return created

    # Images

    _tags = itertools.count(1)

    def push(self, registry, **options):
        """Stores a new image; returns it and its reference in the registry."""
        repository, tag = f"team/{self.repository}", str(next(self._tags))
        image = oci_image.small_image(f"{self.repository}-{tag}", **options)
        self.store.push(repository, image, tag)
        return image, f"{registry.host}/{repository}:{tag}"

    # prebake

    def command(self, *arguments, environment=None, **options):
        trusting = {"SSL_CERT_FILE": str(self.authority.certificate)}
        return super().command(*arguments, environment={**trusting, **(environment or {})},
                               **options)

    def hosts_file(self, registry, text, directory="hosts"):
        """Writes a hosts.toml for the registry; returns the options to use its directory."""
        path = self.directory / directory / registry.host
        path.mkdir(parents=True, exist_ok=True)
        (path / "hosts.toml").write_text(text)
        return "--hosts-dir", path.parent


class Skopeo:
    """skopeo(1): another client of registries. It trusts the authority."""

    def __init__(self, authority, directory):
        self._directory = directory
        self._environment = {"PATH": harness.ADMIN_PATH, "HOME": str(directory),
                             "SSL_CERT_FILE": str(authority.certificate)}

    def upload(self, image, reference, *options):
        source = pathlib.Path(tempfile.mkdtemp(dir=self._directory)) / "image"
        oci_image.write_directory(image, source)
        self._run("copy", "--all", "--preserve-digests", *options, f"dir:{source}",
                  f"docker://{reference}")

    def digest(self, reference, *options):
        """Of the document that the registry has under that name."""
        raw = self._run("inspect", "--raw", *options, f"docker://{reference}")
        return "sha256:" + hashlib.sha256(raw).hexdigest()

    def login(self, registry, user, password, file):
        """Writes the credentials into the file."""
        self._run("login", "--authfile", file, "--username", user, "--password-stdin", registry,
                  given=password)

    def _run(self, *arguments, given=""):
        done = subprocess.run(["skopeo", "--insecure-policy", *map(str, arguments)],
                              input=given.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self._environment)
        if done.returncode != 0:
            raise AssertionError(f"skopeo {arguments[0]}: {done.stderr.decode()}")
        return done.stdout


def main(allowed_skips=()):
    private_network.enter()
    harness.main(allowed_skips)
