"""Builds OCI and Docker images from Python data: the same data always gives the same bytes.

Tests pass what must be wrong (a diffID, a size, a media type, a malicious path) as an argument.
Nothing is validated here, because that is prebake's task.
"""

import dataclasses
import gzip
import hashlib
import io
import json
import pathlib
import platform as host_platform
import subprocess
import tarfile
import zlib

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

EPOCH = 1_700_000_000  # the time of every file: the bytes of a layer must not depend on the clock
BUSYBOX = pathlib.Path("/bin/busybox")


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def host_architecture():
    machine = host_platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def other_architecture():
    return "arm64" if host_architecture() != "arm64" else "amd64"


# Entries of a layer ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Entry:
    path: str
    kind: bytes = tarfile.REGTYPE
    data: bytes = b""
    target: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    xattrs: tuple = ()


def file(path, data="", mode=0o644, **more):
    return Entry(path, data=data.encode() if isinstance(data, str) else data, mode=mode, **more)


def directory(path, mode=0o755, **more):
    return Entry(path, kind=tarfile.DIRTYPE, mode=mode, **more)


def symlink(path, target):
    return Entry(path, kind=tarfile.SYMTYPE, target=target, mode=0o777)


def hardlink(path, target, mode=0o644, **more):
    """Mode and owner of the target: archives repeat them, and readers apply them again."""
    return Entry(path, kind=tarfile.LNKTYPE, target=target, mode=mode, **more)


def whiteout(path):
    parent, _, name = path.rpartition("/")
    return Entry(f"{parent}/.wh.{name}" if parent else f".wh.{name}")


def opaque(path):
    return Entry(f"{path}/.wh..wh..opq")


def tar_of(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.type, info.mode, info.mtime = entry.kind, entry.mode, EPOCH
            info.uid, info.gid, info.linkname = entry.uid, entry.gid, entry.target
            info.size = len(entry.data)
            info.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in entry.xattrs}
            archive.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def compressed(data, compression):
    if compression == "gzip":
        return gzip.compress(data, compresslevel=1, mtime=0)
    if compression == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout
    return data


# Blobs and documents ---------------------------------------------------------------------------


@dataclasses.dataclass
class Blob:
    """Bytes in memory or in a file, and their descriptor in a manifest (wrong on request)."""
    media_type: str
    content: object  # bytes or pathlib.Path
    digest: str
    size: int
    annotations: dict = dataclasses.field(default_factory=dict)

    def descriptor(self, **more):
        out = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            out["annotations"] = self.annotations
        return {**out, **more}


def blob(media_type, data):
    return Blob(media_type, data, sha256(data), len(data))


def json_blob(media_type, document):
    return blob(media_type, json.dumps(document, indent=1, sort_keys=True).encode())


@dataclasses.dataclass
class Layer:
    blob: Blob
    diff_id: str


def layer(entries, compression="gzip", flavour="oci", media_type=None, diff_id=None, tar=None):
    """A layer of `entries`, or of the ready `tar` bytes."""
    tar = tar_of(entries) if tar is None else tar
    if media_type is None:
        media_type = OCI_LAYER if flavour == "oci" else DOCKER_LAYER
        separator = "+" if flavour == "oci" else "."
        media_type += separator + compression if compression != "none" else ""
    return Layer(blob(media_type, compressed(tar, compression)), diff_id or sha256(tar))


def big_layer(path, size, step=1 << 20):
    """A gzip layer with one file of `size` incompressible bytes, written to `path`. It uses stored
    deflate blocks, so that building it is cheap."""
    noise = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(step // 32))
    info = tarfile.TarInfo("noise")
    info.size, info.mtime = size, EPOCH
    deflate = zlib.compressobj(0, zlib.DEFLATED, 31)
    tar_hash, blob_hash = hashlib.sha256(), hashlib.sha256()
    with open(path, "wb") as out:

        def put(data, last=False):
            tar_hash.update(data)
            packed = deflate.compress(data) + (deflate.flush() if last else b"")
            blob_hash.update(packed)
            out.write(packed)

        put(info.tobuf(tarfile.PAX_FORMAT))
        for offset in range(0, size, step):
            turn = (offset // step) * 37 % step
            put((noise[turn:] + noise[:turn])[:min(step, size - offset)])
        put(b"\0" * (-size % 512 + 1024), last=True)
    stored = Blob(OCI_LAYER + "+gzip", path, "sha256:" + blob_hash.hexdigest(),
                  path.stat().st_size)
    return Layer(stored, "sha256:" + tar_hash.hexdigest())


@dataclasses.dataclass
class Image:
    manifest: Blob
    config: Blob
    layers: list

    @property
    def top(self):
        return self.manifest

    @property
    def manifests(self):
        return [self.manifest]

    @property
    def blobs(self):
        return [self.config] + [layer.blob for layer in self.layers]

    @property
    def chain_id(self):
        chain = self.layers[0].diff_id
        for item in self.layers[1:]:
            chain = sha256(f"{chain} {item.diff_id}".encode())
        return chain


def image(layers, flavour="oci", architecture=None, os="linux", variant=None, command=None,
          config_changes=None, manifest_changes=None, config_media_type=None,
          manifest_media_type=None):
    """An image of `layers`. `*_changes` replace top-level keys of the documents; None removes."""
    config = {
        "architecture": architecture or host_architecture(),
        "os": os,
        "config": {"Cmd": command or ["/bin/sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [item.diff_id for item in layers]},
        "history": [{"created_by": f"layer {i}"} for i in range(len(layers))],
    }
    if variant:
        config["variant"] = variant
    config = _changed(config, config_changes)
    oci = flavour == "oci"
    config_blob = json_blob(config_media_type or (OCI_CONFIG if oci else DOCKER_CONFIG), config)
    media_type = manifest_media_type or (OCI_MANIFEST if oci else DOCKER_MANIFEST)
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config_blob.descriptor(),
        "layers": [item.blob.descriptor() for item in layers],
    }
    return Image(json_blob(media_type, _changed(manifest, manifest_changes)), config_blob,
                 list(layers))


def _changed(document, changes):
    merged = {**document, **(changes or {})}
    return {key: value for key, value in merged.items() if value is not None}


@dataclasses.dataclass
class Index:
    document: Blob
    children: list  # of Image
    attestation: Image = None

    @property
    def top(self):
        return self.document

    @property
    def manifests(self):
        extra = [self.attestation.manifest] if self.attestation else []
        return [self.document] + [child.manifest for child in self.children] + extra

    @property
    def blobs(self):
        extra = self.attestation.blobs if self.attestation else []
        return [item for child in self.children for item in child.blobs] + extra


def index(children, flavour="oci", with_attestation=True):
    """`children` are pairs (platform, Image); a platform is "linux/arm/v7", or None for none."""
    entries = []
    for platform, child in children:
        described = child.manifest.descriptor()
        if platform is not None:
            os, architecture, *variant = platform.split("/")
            described["platform"] = {"os": os, "architecture": architecture}
            if variant:
                described["platform"]["variant"] = variant[0]
        entries.append(described)
    attestation = None
    if with_attestation:
        subject = children[0][1].manifest.digest
        statement = blob("application/vnd.in-toto+json", b'{"_type":"statement"}')
        attestation = image([Layer(statement, statement.digest)], architecture="unknown",
                            os="unknown")
        entries.append(attestation.manifest.descriptor(
            platform={"os": "unknown", "architecture": "unknown"},
            annotations={"vnd.docker.reference.type": "attestation-manifest",
                         "vnd.docker.reference.digest": subject}))
    media_type = OCI_INDEX if flavour == "oci" else DOCKER_LIST
    document = json_blob(media_type,
                         {"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
    return Index(document, [child for _, child in children], attestation)


def write_directory(image, directory):
    """The image as skopeo's transport `dir:` has it."""
    directory.mkdir(parents=True)
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    for item in image.blobs:
        (directory / item.digest.partition(":")[2]).write_bytes(item.content)
    for item in image.manifests:
        name = item.digest.partition(":")[2] + ".manifest.json"
        (directory / ("manifest.json" if item is image.top else name)).write_bytes(item.content)


# Ready-made images -----------------------------------------------------------------------------


def busybox_layer(**options):
    return layer([directory("bin"), file("bin/busybox", BUSYBOX.read_bytes(), mode=0o755),
                  symlink("bin/sh", "busybox"), symlink("bin/cat", "busybox"),
                  directory("proc"), directory("dev"), directory("sys"), directory("tmp", 0o1777)],
                 **options)


def greeting_image(greeting, extra=(), flavour="oci", **options):
    """A runnable busybox that prints `greeting`, with two layers and `extra` layers on top."""
    layers = [busybox_layer(flavour=flavour),
              layer([directory("etc"), file("etc/greeting", greeting + "\n")], flavour=flavour)]
    return image(layers + list(extra), flavour=flavour,
                 command=["/bin/busybox", "cat", "/etc/greeting"], **options)


def small_image(name, flavour="oci", size=2000, **options):
    """A one-layer image that cannot run, unique for each `name`: for tests of the transport."""
    noise = b"".join(hashlib.sha256(f"{name}{i}".encode()).digest() for i in range(size // 32 + 1))
    return image([layer([file(f"{name}.txt", noise[:size])], flavour=flavour)], flavour=flavour,
                 **options)
