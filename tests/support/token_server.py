"""A token service for docker-registry, by distribution's specifications "token" and "oauth"."""

import base64
import hashlib
import itertools
import json
import subprocess
import time
import urllib.parse

from scripted_server import Response, Server, basic_credentials, error

ISSUER = "prebake test"
LIFETIME = 300  # seconds


class TokenServer(Server):
    """`users` are name -> password, and each may pull and push everything. Without credentials it
    issues a token for nothing. `grants` has the user name and the kind of each token: "basic",
    "password", "refresh_token", "anonymous".

    `place` is what Server takes. Can misbehave as every Server.
    """

    def __init__(self, directory, users, **place):
        directory.mkdir(parents=True)
        self.users = users
        self.grants = []
        self.issued = []  # every token, to search for
        self._refresh_tokens = {}
        self._numbers = itertools.count(1)
        self._key, self._certificate = directory / "key.pem", directory / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=token", "-keyout", self._key, "-out", self._certificate],
                       check=True, stderr=subprocess.PIPE)
        self._key_id = key_id(self._key)
        super().__init__(**place)

    def settings(self, service):
        """Of a docker-registry that trusts these tokens."""
        return {"token": {"realm": f"{self.url}/token", "service": service, "issuer": ISSUER,
                          "rootcertbundle": str(self._certificate)}}

    def refresh_token(self, user):
        """What `docker login` stores as identity token."""
        token = f"refresh-{user}-{next(self._numbers)}"
        self._refresh_tokens[token] = user
        return token

    def token(self, user, service, *scopes):
        """A bearer token, as `registrytoken` in a Docker config."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        signed = ".".join((_encoded({"typ": "JWT", "alg": "RS256", "kid": self._key_id}),
                           _encoded({"iss": ISSUER, "sub": user, "aud": service, "iat": now,
                                     "nbf": now - 60, "exp": now + LIFETIME,
                                     "jti": str(next(self._numbers)), "access": access})))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self._key],
                                   input=signed.encode(), stdout=subprocess.PIPE,
                                   check=True).stdout
        token = f"{signed}.{_base64(signature)}"
        self.issued.append(token)
        return token

    def respond(self, request, headers, body):
        asked = urllib.parse.parse_qs(request.path.partition("?")[2])
        if request.method == "POST":
            asked = urllib.parse.parse_qs(body.decode())
        kind, user = self._who(asked, headers.get("Authorization", ""))
        if user is None:
            return error(401, "wrong user name or password")(request, None)
        request.user = user
        self.grants.append((user, kind))
        scopes = [] if kind == "anonymous" else [
            scope for item in asked.get("scope", []) for scope in item.split(" ") if scope]
        token = self.token(user, asked.get("service", [""])[0], *scopes)
        document = {"token": token, "access_token": token, "expires_in": LIFETIME}
        return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _who(self, asked, authorization):
        """The kind of the credentials, and the user, or None if they are wrong."""
        def first(name):
            return asked.get(name, [""])[0]
        kind, user, password = "basic", *basic_credentials(authorization)
        if first("grant_type") == "refresh_token":
            return "refresh_token", self._refresh_tokens.get(first("refresh_token"))
        if first("grant_type") == "password":
            kind, user, password = "password", first("username"), first("password")
        if not user and not password:
            return "anonymous", ""
        return kind, user if self.users.get(user) == password else None


def key_id(key):
    """The name that distribution has for the public key: of its SHA-256, 240 bits in base32."""
    public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"],
                            stdout=subprocess.PIPE, check=True).stdout
    text = base64.b32encode(hashlib.sha256(public).digest()[:30]).decode()
    return ":".join(text[i:i + 4] for i in range(0, len(text), 4))


def _encoded(document):
    return _base64(json.dumps(document).encode())


def _base64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
