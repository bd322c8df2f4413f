"""Certificates for the servers and clients of a test, made by openssl(1)."""

import ipaddress
import itertools
import subprocess

# Without openssl's own configuration file, which adds extensions.
SETTINGS = "[req]\ndistinguished_name = name\n[name]\n"


class Authority:
    """A certificate authority. `certificate` is the file to trust."""

    def __init__(self, directory, name="prebake test"):
        directory.mkdir(parents=True)
        self.directory = directory
        self._numbers = itertools.count(1)
        (directory / "openssl.cnf").write_text(SETTINGS)
        self.certificate, self._key = directory / "ca.crt", directory / "ca.key"
        self._make(name, self.certificate, self._key, "basicConstraints=critical,CA:TRUE",
                   "keyUsage=critical,keyCertSign,cRLSign")

    def for_server(self, *names):
        """Files (certificate, key) of a server with these names or addresses."""
        return self._issue(names[0], "extendedKeyUsage=serverAuth",
                           "subjectAltName=" + ",".join(map(_alternative, names)))

    def for_client(self, name):
        return self._issue(name, "extendedKeyUsage=clientAuth")

    def _issue(self, name, *extensions):
        number = next(self._numbers)
        certificate, key = (self.directory / f"{number}.{kind}" for kind in ("crt", "key"))
        self._make(name, certificate, key, "basicConstraints=critical,CA:FALSE", *extensions,
                   signer=("-CA", self.certificate, "-CAkey", self._key))
        return certificate, key

    def _make(self, name, certificate, key, *extensions, signer=()):
        added = itertools.chain.from_iterable(("-addext", item) for item in extensions)
        subprocess.run(["openssl", "req", "-x509", "-config", self.directory / "openssl.cnf",
                        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", f"/CN={name}", *signer, *added, "-out", certificate,
                        "-keyout", key], check=True, stderr=subprocess.PIPE)


def _alternative(name):
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
