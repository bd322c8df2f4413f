"""Amazon ECR: its API for tokens, a private registry, and the bucket with its layers.

Needs a private network (private_network.py), in which it has the real names.
"""

import base64
import datetime
import itertools
import json
import re
import time

import private_network
from registry import Registry, redirect
from scripted_server import Response, Server

ACCOUNT, REGION = "123456789012", "eu-west-1"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
API = f"api.ecr.{REGION}.amazonaws.com"
BUCKET = f"prod-{REGION}-starport-layer-bucket.s3.{REGION}.amazonaws.com"
TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
HTTPS = 443


class TokenApi(Server):
    """Answers GetAuthorizationToken to callers that sign with the access key of a role. It checks
    the key, but not the signature. Each answer has another password."""

    def __init__(self, key, **place):
        self.callers = {}  # password -> User-Agent
        self.is_allowed = True
        self._key = key
        self._numbers = itertools.count(1)
        super().__init__(**place)

    def respond(self, request, headers, body):
        if headers.get("X-Amz-Target") != TARGET:
            return _refusal("UnknownOperationException", "no such operation")
        signer = re.search(r"Credential=([^/]+)/\d+/([^/]+)/ecr/aws4_request",
                           headers.get("Authorization", ""))
        if not signer or signer.groups() != (self._key, REGION):
            return _refusal("UnrecognizedClientException",
                            "The security token included in the request is invalid.")
        if not self.is_allowed:
            return _refusal("AccessDeniedException",
                            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/builder/i-1 is not "
                            "authorized to perform: ecr:GetAuthorizationToken on resource: *")
        password = f"password-{next(self._numbers)}-from-ecr"
        self.callers[password] = headers.get("User-Agent", "")
        token = base64.b64encode(f"AWS:{password}".encode()).decode()
        return _answer(200, {"authorizationData": [{
            "authorizationToken": token, "expiresAt": time.time() + 12 * 3600,
            "proxyEndpoint": f"https://{REGISTRY}"}]})


def _answer(status, document):
    return Response(status, {"Content-Type": "application/x-amz-json-1.1"},
                    json.dumps(document).encode())


def _refusal(kind, message):
    return _answer(400, {"__type": kind, "message": message})


class Ecr:
    """All of it. `passwords` are good in addition to those of the API. `users` are the pairs (user
    name, password) with which the registry served something."""

    def __init__(self, authority, key):
        self.passwords = set()
        self.users = []
        self.api = TokenApi(key, **self._place(authority, API))
        self.bucket = Registry(**self._place(authority, BUCKET))
        self.registry = Registry(**self._place(authority, REGISTRY))
        self.registry.require_basic(self._is_good, "ecr.amazonaws.com")
        self.behave()

    def behave(self):
        """As new: no password is good, nobody asked."""
        self.passwords.clear()
        self.users.clear()
        self.api.callers.clear()
        self.api.is_allowed = True
        for server in (self.api, self.bucket, self.registry):
            server.behave()
        self.registry.on("/blobs/", self._redirect)

    def _redirect(self, request, response):
        is_refused = response.status >= 400
        return response if is_refused else redirect(self.bucket.url)(request, response)

    @staticmethod
    def _place(authority, name):
        return {"tls": authority.for_server(name), "address": private_network.name_server(name),
                "port": HTTPS, "name": name}

    def _is_good(self, user, password):
        if user != "AWS" or password not in self.passwords | set(self.api.callers):
            return False
        self.users.append((user, password))
        return True

    def serve(self, repository, image, tag="1"):
        self.bucket.serve(repository, image, tag)
        return self.registry.serve(repository, image, tag)

    def stop(self):
        for server in (self.api, self.bucket, self.registry):
            server.stop()


def role_credentials(key, secret, token):
    """What the metadata service answers about a role."""
    def moment(hours):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (now + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": moment(0),
                       "AccessKeyId": key, "SecretAccessKey": secret, "Token": token,
                       "Expiration": moment(6)})
