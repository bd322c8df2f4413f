"""Signatures of images, made with openssl(1) after the written formats of cosign and Sigstore."""

import base64
import json
import subprocess
import types

import oci_image
import registry as scripted

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "application/vnd.in-toto+json"
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
EMPTY = oci_image.blob("application/vnd.oci.empty.v1+json", b"{}")


class Key:
    """A key pair on P-256 in a directory; `public` is the file to verify with."""

    def __init__(self, directory, name="test"):
        self._private = directory / f"{name}.pem"
        self.public = directory / f"{name}.pub"
        self._message = directory / f"{name}.message"
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-out", self._private)
        _openssl("pkey", "-in", self._private, "-pubout", "-out", self.public)

    @property
    def private(self):
        return self._private

    @property
    def fingerprint(self):
        return oci_image.sha256(_openssl("pkey", "-pubin", "-in", self.public, "-outform", "DER"))

    def sign(self, message):
        self._message.write_bytes(message)
        return _openssl("dgst", "-sha256", "-sign", self._private, self._message)


def _openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout


def _base64(data):
    return base64.b64encode(data).decode()


def _object(layers, config=EMPTY, **more):
    """A manifest with these blobs, as Registry.serve() takes it."""
    manifest = oci_image.json_blob(oci_image.OCI_MANIFEST, {
        "schemaVersion": 2, "mediaType": oci_image.OCI_MANIFEST, "config": config.descriptor(),
        "layers": [item.descriptor() for item in layers], **more})
    return types.SimpleNamespace(manifests=[manifest], top=manifest, blobs=[config, *layers])


def payload_of(digest):
    return json.dumps({
        "critical": {"identity": {"docker-reference": "reg.example/any"},
                     "image": {"docker-manifest-digest": digest},
                     "type": "cosign container image signature"},
        "optional": None}).encode()


def classic(digest, key, payload=None):
    """cosign's classic form."""
    layer = oci_image.blob(SIMPLE_SIGNING, payload or payload_of(digest))
    layer.annotations = {"dev.cosignproject.cosign/signature": _base64(key.sign(layer.content))}
    return _object([layer])


def bundle(digest, key, predicate=SIGN_PREDICATE, material=None):
    """A Sigstore bundle with the key's hint, or other material."""
    statement = json.dumps({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": {},
        "subject": [{"digest": {"sha256": digest.partition(":")[2]}}]}).encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(STATEMENT), STATEMENT.encode(), len(statement), statement)
    document = {
        "mediaType": BUNDLE,
        "verificationMaterial": material or {"publicKey": {"hint": "aGludA=="}},
        "dsseEnvelope": {"payload": _base64(statement), "payloadType": STATEMENT,
                         "signatures": [{"sig": _base64(key.sign(signed))}]}}
    layer = oci_image.blob(BUNDLE, json.dumps(document).encode())
    return _object([layer], artifactType=BUNDLE, subject={
        "mediaType": oci_image.OCI_MANIFEST, "digest": digest, "size": 1})


def attach_classic(registry, repository, digest, signature):
    registry.serve(repository, signature, tag=digest.replace(":", "-") + ".sig")


def attach_referrers(registry, repository, digest, *objects):
    """The registry then has the referrers API for this digest."""
    entries = []
    for one in objects:
        registry.serve(repository, one, tag=None)
        kind = json.loads(one.top.content).get("artifactType")
        entries.append(one.top.descriptor(artifactType=kind))
    index = json.dumps({"schemaVersion": 2, "mediaType": oci_image.OCI_INDEX,
                        "manifests": entries}).encode()
    registry.on(f"/v2/{repository}/referrers/{digest}",
                scripted.replace(index, oci_image.OCI_INDEX))
