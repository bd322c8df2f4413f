"""Images whose documents are slightly odd, as other people's tools write them.

An oddity changes one document in one way. `OddImage(seed, oddities)` has all of the given ones and
is the same for the same seed. Whether containerd accepts an image with them is not said here:
system/test_documents.py asks it. `stricter` and `laxer` are the reasons why prebake refuses what
containerd's client accepts, and accepts what it refuses.
"""

import dataclasses
import json
import random

import oci_image
from oci_image import (DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG,
                       OCI_INDEX, OCI_LAYER, OCI_MANIFEST)

HOST = oci_image.host_architecture()
OTHER = oci_image.other_architecture()

# What an oddity changes: the documents as data, or the bytes of one, or a part of it.
CONFIG, CONFIG_BYTES = "config", "config bytes"
MANIFEST, MANIFEST_BYTES = "manifest", "manifest bytes"
CHILD, SIBLING, INDEX, INDEX_BYTES = "child", "sibling", "index", "index bytes"
ANNOUNCED = "announced"
NEED_INDEX = {CHILD, SIBLING, INDEX, INDEX_BYTES}


@dataclasses.dataclass(frozen=True)
class Oddity:
    name: str
    where: str
    apply: object  # (document, random.Random) -> new document, or None if it was changed in place
    stricter: str = ""
    laxer: str = ""


# Changes ---------------------------------------------------------------------------------------

DROP = object()


def change(*steps):
    """Sets the member at the path `steps[:-1]` to `steps[-1]`, or drops it."""
    *path, key, value = steps

    def apply(document, _):
        for step in path:
            if isinstance(document, dict) and not isinstance(document.get(step), (dict, list)):
                document[step] = {}
            document = document[step]
            if not isinstance(document, (dict, list)):
                return
        if value is DROP:
            if isinstance(document, list):
                del document[key]
            else:
                document.pop(key, None)
        else:
            document[key] = value
    return apply


def rename(old, new):
    def apply(document, _):
        if old in document:
            document[new] = document.pop(old)
    return apply


def replace(old, new):
    """In the bytes; at the begin of the object if `old` is empty."""
    def apply(data, _):
        return data.replace(old, new, 1) if old else b"{" + new + data[1:]
    return apply


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def _oddities():
    """All of them. The names are unique."""
    def odd(where, name, apply, **more):
        found.append(Oddity(f"{where}: {name}", where, apply, **more))

    found = []
    other_kind = {
        OCI_MANIFEST: DOCKER_MANIFEST, DOCKER_MANIFEST: OCI_MANIFEST, OCI_INDEX: DOCKER_LIST,
        DOCKER_LIST: OCI_INDEX, OCI_CONFIG: DOCKER_CONFIG, DOCKER_CONFIG: OCI_CONFIG,
        OCI_LAYER + "+gzip": DOCKER_LAYER + ".gzip", DOCKER_LAYER + ".gzip": OCI_LAYER + "+gzip"}

    def swap_type(*path):
        def apply(document, _):
            for step in path:
                document = document[step]
            document["mediaType"] = other_kind.get(document.get("mediaType"), OCI_MANIFEST)
        return apply

    # Image configs
    for key in ("architecture", "os"):
        for name, value in {"missing": DROP, "empty": "", "null": None, "number": 7}.items():
            odd(CONFIG, f"{key} {name}", change(key, value))
    odd(CONFIG, "architecture in capitals", change("architecture", HOST.upper()))
    odd(CONFIG, "os in capitals", change("os", "Linux"))
    odd(CONFIG, "variant empty", change("variant", ""))
    odd(CONFIG, "variant null", change("variant", None))
    odd(CONFIG, "of another architecture", change("architecture", OTHER),
        stricter="a container of it would not run; --platform says that it is meant")
    odd(CONFIG, "of another system", change("os", "windows"),
        stricter="a container of it would not run; --platform says that it is meant")
    for name, value in {"missing": DROP, "null": None, "empty": {}, "list": []}.items():
        odd(CONFIG, f"rootfs {name}", change("rootfs", value))
    for name, value in {"missing": DROP, "null": None, "empty": "", "odd": "layers+base",
                        "number": 1}.items():
        odd(CONFIG, f"rootfs type {name}", change("rootfs", "type", value))
    for name, value in {"missing": DROP, "null": None, "text": "x", "numbers": [1]}.items():
        odd(CONFIG, f"diff_ids {name}", change("rootfs", "diff_ids", value))
    for name, value in {"missing": DROP, "null": None, "empty": "", "number": 0,
                        "day": "2024-01-01",
                        "offset": "2024-02-29T23:59:59.5+05:30", "first": "0001-01-01T00:00:00Z",
                        "no offset": "2024-01-01T00:00:00",
                        "no such day": "2023-02-29T00:00:00Z"}.items():
        odd(CONFIG, f"created {name}", change("created", value))
    for name, value in {"missing": DROP, "null": None, "text": "x", "of null": [None],
                        "of text": ["x"], "of odd": [{"empty_layer": "true"}],
                        "of times": [{"created": "yesterday"}],
                        "of more": [{"created_by": "x", "x": [1]}] * 9}.items():
        odd(CONFIG, f"history {name}", change("history", value))
    for name, value in {"missing": DROP, "null": None, "empty": {}, "list": [],
                        "text": "x"}.items():
        odd(CONFIG, f"config {name}", change("config", value))
    for key, values in {
            "Env": {"null": None, "text": "A=B", "of numbers": [1], "of nulls": [None]},
            "Cmd": {"null": None, "text": "/bin/sh", "missing": DROP},
            "Entrypoint": {"empty": [], "text": "/bin/sh"},
            "Labels": {"null": None, "list": [], "of numbers": {"a": 1}, "of nulls": {"a": None}},
            "ExposedPorts": {"usual": {"80/tcp": {}}, "of nulls": {"80": None}, "list": ["80"],
                             "of texts": {"80": "tcp"}},
            "Volumes": {"usual": {"/v": {}}, "of lists": {"/v": []}},
            "User": {"number": 0, "null": None},
            "WorkingDir": {"number": 0, "missing": DROP},
            "StopSignal": {"number": 15, "text": "15"},
            "StopTimeout": {"text": "10"},
            "Healthcheck": {"odd": {"Interval": "1s", "Test": 7}}}.items():
        for name, value in values.items():
            odd(CONFIG, f"config.{key} {name}", change("config", key, value))
    odd(CONFIG, "unknown members", change("x", {"y": [1, 2.5, {"z": None}], "size": "7"}))
    odd(CONFIG, "deep", change("x", nested(200)))
    odd(CONFIG, "too deep", change("x", nested(800)),
        stricter="each level takes stack; real documents have less than 20")
    odd(CONFIG, "os.features of numbers", change("os.features", [1]))
    for old, new in (("rootfs", "RootFS"), ("os", "OS"), ("architecture", "Architecture"),
                     ("config", "CONFIG")):
        odd(CONFIG, f"{new} in another case", rename(old, new))

    # Manifests
    for where, own, opposite in ((MANIFEST, OCI_MANIFEST, OCI_INDEX),
                                 (INDEX, OCI_INDEX, DOCKER_MANIFEST)):
        for name, value in {"missing": DROP, "empty": "", "null": None, "own": own,
                            "any": "text/plain", "number": 7, "opposite": opposite}.items():
            odd(where, f"mediaType {name}", change("mediaType", value))
        odd(where, "mediaType of the other family", swap_type())
        for name, value in {"missing": DROP, "null": None, "1": 1, "3": 3, "text": "2",
                            "fraction": 2.5}.items():
            odd(where, f"schemaVersion {name}", change("schemaVersion", value))
        for name, value in {"null": None, "list": [], "of numbers": {"a": 1},
                            "of nulls": {"a": None}, "usual": {"a": "b"}}.items():
            odd(where, f"annotations {name}", change("annotations", value))
        odd(where, "fsLayers", change("fsLayers", []))
        odd(where, "unknown members", change("x", {"config": 1, "layers": "2"}))
    for name, value in {"list": [], "null": None}.items():
        odd(MANIFEST, f"manifests {name}", change("manifests", value))
        odd(MANIFEST, f"layers {name}", change("layers", value))
        odd(INDEX, f"config {name}", change("config", value))
        odd(INDEX, f"layers {name}", change("layers", value))
    odd(MANIFEST, "layers missing", change("layers", DROP))
    odd(MANIFEST, "a null layer", lambda manifest, _: manifest["layers"].append(None))
    odd(MANIFEST, "a layer twice", lambda manifest, _: manifest["layers"].append(
        dict(manifest["layers"][0])))
    odd(MANIFEST, "config missing", change("config", DROP))
    odd(MANIFEST, "config null", change("config", None))
    odd(MANIFEST, "Layers in another case", rename("layers", "Layers"))
    odd(MANIFEST, "CONFIG in another case", rename("config", "CONFIG"))
    for part in (("config",), ("layers", 0)):
        title = part[0].rstrip("s")
        odd(MANIFEST, f"{title} of the other family", swap_type(*part))
        for key, values in {
                "mediaType": {"missing": DROP, "number": 7},
                "digest": {"missing": DROP, "number": 7, "short": "sha256:abc",
                           "sha512": "sha512:" + "a" * 128},
                "size": {"missing": DROP, "null": None, "zero": 0, "text": "7", "fraction": 1.5,
                         "negative": -1, "wrong": 7, "huge": 1 << 63},
                "urls": {"null": None, "empty": [], "of numbers": [1]},
                "annotations": {"null": None, "of nulls": {"a": None}, "of numbers": {"a": 1}},
                "platform": {"null": None, "empty": {}, "text": "linux", "of numbers": {"os": 1}},
                }.items():
            for name, value in values.items():
                more = {}
                if title == "config" and (key, name) == ("mediaType", "missing"):
                    more = {"stricter": "CRI and `ctr run` refuse a config of an unknown type"}
                elif (key, name) == ("platform", "empty"):
                    more = {"laxer": "the platform was selected by the manifest; ctr leaves out "
                                     "the parts that do not name it"}
                odd(MANIFEST, f"{title}.{key} {name}", change(*part, key, value), **more)

    # Indexes
    odd(INDEX, "manifests null", change("manifests", None))
    odd(INDEX, "manifests missing", change("manifests", DROP))
    odd(INDEX, "Manifests in another case", rename("manifests", "Manifests"))
    odd(INDEX, "a null child", lambda index, _: index["manifests"].append(None),
        laxer="ctr fetches every child that has no platform, also one without a digest")
    odd(CHILD, "of the other family", swap_type())
    for name, value in {"missing": DROP, "null": None, "empty": {}, "text": "linux",
                        "without os": {"architecture": HOST},
                        "without architecture": {"os": "linux"},
                        "in capitals": {"os": "Linux", "architecture": HOST.upper()},
                        "with null": {"os": "linux", "architecture": HOST, "variant": None},
                        "with features": {"os": "linux", "architecture": HOST, "os.version": "1"},
                        "of numbers": {"os": "linux", "architecture": 7}}.items():
        odd(CHILD, f"platform {name}", change("platform", value))
        odd(SIBLING, f"platform {name}", change("platform", value),
            laxer="the config of each child decides" if name in ("missing", "null") else "")
    for where in (CHILD, SIBLING):
        for key, values in {
                "mediaType": {"missing": DROP, "number": 7, "odd": "application/json"},
                "digest": {"missing": DROP, "number": 7, "sha512": "sha512:" + "a" * 128},
                "size": {"missing": DROP, "zero": 0, "text": "7", "wrong": 7},
                "annotations": {"null": None, "of numbers": {"a": 1}},
                "urls": {"empty": [], "of numbers": [1]}}.items():
            for name, value in values.items():
                odd(where, f"{key} {name}", change(key, value))

    # Bytes of any document
    for where, key in ((CONFIG_BYTES, b'"architecture"'), (MANIFEST_BYTES, b'"layers"'),
                       (INDEX_BYTES, b'"manifests"')):
        odd(where, "Latin-1", replace(b"", b'"x": "caf\xe9", '))
        odd(where, "not UTF-8 in a name", replace(b"", b'"caf\xe9\xff": 1, '))
        odd(where, "half of a surrogate pair", replace(b"", rb'"x": "\ud83d \udc00 \ud83d", '))
        odd(where, "surrogate pair", replace(b"", rb'"x": "\ud83d\ude00", '))
        odd(where, "byte order mark", lambda data, _: b"\xef\xbb\xbf" + data)
        odd(where, "space around", lambda data, _: b"\r\n\t " + data + b"\n \n")
        odd(where, "text behind", lambda data, _: data + b"x")
        odd(where, "second document", lambda data, _: data + b"{}")
        odd(where, "cut off", lambda data, rng: data[:-rng.randint(1, len(data) - 1)])
        odd(where, "comment", replace(b"", b'/* x */ '))
        odd(where, "trailing comma", lambda data, _: data.rstrip()[:-1] + b",}")
        odd(where, "control character", replace(b"", b'"x": "\t", '))
        odd(where, "invalid escape", replace(b"", rb'"x": "\x41", '))
        odd(where, "large number", replace(b"", b'"x": 1' + b"0" * 400 + b', '))
        odd(where, "large exponent", replace(b"", b'"x": 1e999, '))
        odd(where, "leading zero", replace(b"", b'"x": 007, '))
        odd(where, "NaN", replace(b"", b'"x": NaN, '))
        odd(where, "a member twice", replace(b"", key + b": null, "))
        odd(where, "a member twice, of another type", replace(b"", key + b": {}, "),
            laxer="the last one counts; Go also reads the first")
    odd(CONFIG_BYTES, "escaped name", replace(b'"architecture"', rb'"architec\u0074ure"'))

    # The type that the registry says
    odd(ANNOUNCED, "the other family", lambda kind, _: other_kind[kind])
    odd(ANNOUNCED, "with a parameter", lambda kind, _: kind + "; charset=utf-8")
    return found


ODDITIES = _oddities()


# Images ----------------------------------------------------------------------------------------


class OddImage:
    """For registry.Registry.serve()."""

    def __init__(self, seed, oddities):
        self.seed = seed
        self.oddities = list(oddities)
        self._random = random.Random(f"{seed}")
        flavour = self._random.choice(("oci", "docker"))
        is_oci = flavour == "oci"
        layers = [oci_image.layer([oci_image.file(f"file-{i}", f"{seed} {i}")], flavour=flavour)
                  for i in range(self._random.choice((1, 2)))]
        config = self._document(CONFIG, CONFIG_BYTES, OCI_CONFIG if is_oci else DOCKER_CONFIG, {
            "architecture": HOST,
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "Labels": {"seed": str(seed)}},
            "rootfs": {"type": "layers", "diff_ids": [item.diff_id for item in layers]},
            "history": [{"created": "2024-01-31T08:00:00.123456789Z", "created_by": "x"}
                        for _ in layers],
        })
        manifest_type = OCI_MANIFEST if is_oci else DOCKER_MANIFEST
        manifest = self._document(MANIFEST, MANIFEST_BYTES, manifest_type, {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config.descriptor(),
            "layers": [item.blob.descriptor() for item in layers],
        })
        self.manifests = [manifest]
        self.blobs = [config] + [item.blob for item in layers]
        where = {oddity.where for oddity in self.oddities}
        if where & NEED_INDEX or not where and self._random.random() < 0.5:
            self.manifests.append(self._index(manifest, OCI_INDEX if is_oci else DOCKER_LIST))
        top = self.manifests[-1]
        self.top = dataclasses.replace(top, media_type=self._changed(ANNOUNCED, top.media_type))

    def _index(self, manifest, index_type):
        """Another architecture's child stands before ours and cannot be fetched."""
        ours = manifest.descriptor(platform={"os": "linux", "architecture": HOST})
        sibling = {"mediaType": manifest.media_type, "size": 7,
                   "digest": oci_image.sha256(f"{self.seed} sibling".encode()),
                   "platform": {"os": "linux", "architecture": OTHER}}
        return self._document(INDEX, INDEX_BYTES, index_type, {
            "schemaVersion": 2,
            "mediaType": index_type,
            "manifests": [self._changed(SIBLING, sibling), self._changed(CHILD, ours)],
        })

    def _changed(self, where, document):
        for oddity in self.oddities:
            if oddity.where == where:
                changed = oddity.apply(document, self._random)
                document = document if changed is None else changed
        return document

    def _document(self, where, where_bytes, media_type, document):
        indent = self._random.choice((None, 1))
        data = json.dumps(self._changed(where, document), indent=indent).encode()
        return oci_image.blob(media_type, self._changed(where_bytes, data))

    def reason(self, kind):
        """Why prebake may be "stricter" or "laxer" for this image; empty if it must not be."""
        return "; ".join(filter(None, (getattr(oddity, kind) for oddity in self.oddities)))

    def __str__(self):
        lines = [f"seed {self.seed}: " + ", ".join(oddity.name for oddity in self.oddities)]
        for blob in (*self.manifests, self.blobs[0]):
            lines.append(f"  {blob.media_type} {blob.digest}: {blob.content[:3000]!r}")
        return "\n".join(lines)


# Oddities that mean something else together.
PAIRS = (
    ("config: rootfs missing", "manifest: layers missing"),
    ("config: diff_ids null", "manifest: layers null"),
    ("config: os missing", "child: platform missing"),
    ("config: architecture missing", "child: platform missing"),
    ("config: architecture missing", "child: platform null"),
    ("config: of another architecture", "child: platform missing"),
    ("sibling: platform missing", "child: platform missing"),
)


def table():
    """An image for each oddity, and for each of the pairs."""
    by_name = {oddity.name: oddity for oddity in ODDITIES}
    chosen = [[oddity] for oddity in ODDITIES] + [[by_name[name] for name in pair]
                                                  for pair in PAIRS]
    return [OddImage("table " + ", ".join(oddity.name for oddity in oddities), oddities)
            for oddities in chosen]


def random_image(seed):
    """An image with one to three oddities in different places."""
    rng = random.Random(f"choice {seed}")
    chosen = {}
    for oddity in rng.sample(ODDITIES, rng.randint(1, 3)):
        chosen.setdefault(oddity.where, oddity)
    return OddImage(seed, chosen.values())
