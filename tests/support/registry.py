"""A registry that serves images from memory and misbehaves on request (scripted_server.py)."""

import json
import re
import urllib.parse

from scripted_server import Response, Server, basic_credentials, error
# Re-exported, so that a test imports only one module.
from scripted_server import (Gate, body_for_head, hang_up, lengthen, no_range, pace, pause,
                             redirect, replace, shorten, stall, truncate, with_headers,
                             without_header, wrong_bytes)


class Registry(Server):
    """Serves what `serve` adds. Its token endpoint is a path of its own."""

    def __init__(self, **place):
        self._manifests = {}
        self._blobs = {}
        self._user = None
        self._token = None
        self._basic = None
        super().__init__(**place)

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

    # Credentials

    def require_token(self, user=None, password=None):
        """All requests need a bearer token. With a user, the token endpoint needs that password."""
        self._token = f"token-of-{user or 'anybody'}"
        self._user = (user, password) if user else None

    def require_basic(self, is_good, service="scripted"):
        """All requests need credentials for which is_good(user, password) is true."""
        self._basic = is_good, service

    # Requests

    def blob_requests(self, method="GET"):
        return [item for item in list(self.requests) if item.is_blob and item.method == method]

    def gets(self):
        """GET requests of manifests and blobs."""
        return [item for item in list(self.requests)
                if item.method == "GET" and item.path.startswith("/v2/") and len(item.path) > 4]

    # Answers

    def respond(self, request, headers, body):
        authorization = headers.get("Authorization", "")
        if request.path.startswith("/token"):
            return self._answer_token(authorization, body)
        if self._token and authorization != f"Bearer {self._token}":
            challenge = f'Bearer realm="{self.url}/token",service="scripted"'
            return error(401, WWW_Authenticate=challenge)(request, None)
        if self._basic:
            is_good, service = self._basic
            if not is_good(*basic_credentials(authorization)):
                challenge = f'Basic realm="{self.url}/",service="{service}"'
                return error(401, WWW_Authenticate=challenge)(request, None)
        return self._answer_content(request)

    def _answer_token(self, authorization, body):
        if self._user:
            form = urllib.parse.parse_qs(body.decode())
            given = (form.get("username", [""])[0], form.get("password", [""])[0])
            if authorization:
                given = basic_credentials(authorization)
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
            response.end = min(int(wanted.group(2) or size - 1) + 1, size)
            headers["Content-Range"] = f"bytes {start}-{response.end - 1}/{size}"
        return response
