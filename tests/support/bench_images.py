"""Images of the sizes that real ones have, made of Debian's files below /usr.

The same files and the same recipe give the same bytes. A machine that has too few files gets
generated ones. Compressing takes minutes: what was made is kept.
"""

import concurrent.futures
import dataclasses
import hashlib
import io
import json
import os
import random
import shutil
import stat
import tarfile
import zlib

import file_registry
import oci_image

RECIPE = 1  # a change of it makes the images again
SEED = "prebake"
MB = 1_000_000
# Larger files would make a shape depend on a few of them.
MAX_FILE_BYTES = 48 * MB
# What one may measure of the mean that is left for a layer: the mean of most files is too small.
MAX_TIMES_MEAN = 40
MIN_FILE_BYTES = 256
BLOCK = 64 * 1024


@dataclasses.dataclass(frozen=True)
class LayerShape:
    entries: int
    size: int  # bytes of files
    # The share of `size` that is in a few large files of which `noise` cannot be compressed, as the
    # libraries of CUDA are.
    large: float = 0.0
    noise: float = 0.0


@dataclasses.dataclass(frozen=True)
class Shape:
    name: str
    about: str
    layers: tuple

    @property
    def size(self):
        return sum(layer.size for layer in self.layers)


def _app():
    entries = (6000, 3500, 300, 9000, 7000, 5000, 2500, 600, 100)
    sizes = (114, 62, 10, 156, 99, 73, 44, 12, 4)
    return tuple(LayerShape(count, size * MB, large=0.14, noise=0.7)
                 for count, size in zip(entries, sizes, strict=True))


def _many():
    small = [LayerShape(280 + 17 * (i * 7 % 31), (440 + 97 * (i * 11 % 29)) * 1000)
             for i in range(39)]
    return (LayerShape(5000, 30 * MB), *small)


SHAPES = {shape.name: shape for shape in (
    Shape("app", "9 layers, as those of an application are", _app()),
    Shape("fat", "3 large layers, as those of an image with CUDA are",
          (LayerShape(3500, 217 * MB, large=0.3, noise=0.4),
           LayerShape(5000, 610 * MB, large=0.6, noise=0.5),
           LayerShape(2500, 1200 * MB, large=0.8, noise=0.5))),
    Shape("many", "40 small layers", _many()),
    Shape("one", "a single large layer",
          (LayerShape(2500, 700 * MB, large=0.8, noise=0.5),)))}


# What the layers are made of -------------------------------------------------------------------


class Pool:
    """Files of this machine in a random order that the seed determines, a directory at a time."""

    def __init__(self, seed, top="/usr"):
        self._random = random.Random(seed)
        self._directories = []
        self.libraries = []  # large files: text of the compressible part of generated ones
        for place, directories, files in os.walk(top):
            directories[:] = sorted(set(directories) - {"__pycache__", "local", "src"})
            found = []
            for name in sorted(files):
                path = os.path.join(place, name)
                about = os.lstat(path)
                if stat.S_ISREG(about.st_mode) and about.st_size <= MAX_FILE_BYTES:
                    found.append((path, about))
                    if about.st_size >= MB:
                        self.libraries.append((path, about.st_size))
                elif stat.S_ISLNK(about.st_mode):
                    found.append((path, about))
            if found:
                self._directories.append(found)
        self._directories.sort(key=lambda found: found[0][0])
        self._random.shuffle(self._directories)
        self._next = self._files()

    def _files(self):
        for found in self._directories:
            yield from found

    def take(self):
        """The next path and its stat; None when all were taken."""
        return next(self._next, None)


def blocks(rng, libraries, size, noise):
    """`size` bytes, of which the share `noise` cannot be compressed."""
    while size > 0:
        step = min(BLOCK, size)
        if not libraries or rng.random() < noise:
            block = rng.randbytes(step)
        else:
            path, length = rng.choice(libraries)
            with open(path, "rb") as file:
                file.seek(rng.randrange(max(length - step, 1)))
                block = file.read(step)
        yield block.ljust(step, b"\0")
        size -= step


def words(rng, size):
    """Text that compresses like a program's: to less than a half."""
    known = [f"{rng.randrange(1 << rng.randrange(8, 40)):x}" for _ in range(3000)]
    return " ".join(rng.choice(known) for _ in range(size // 3)).encode()[:size].ljust(size)


class _Blocks(io.RawIOBase):
    """What blocks() yields as a file."""

    def __init__(self, source):
        self._source, self._left = source, b""

    def read(self, size=-1):
        while len(self._left) < size:
            block = next(self._source, None)
            if block is None:
                break
            self._left += block
        data, self._left = self._left[:size], self._left[size:]
        return data


# One layer -------------------------------------------------------------------------------------


class _Blob:
    """A file that receives a tar archive and compresses it, with both digests."""

    def __init__(self, path):
        self._file = open(path, "wb")
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, 31)
        self.tar_hash, self.blob_hash = hashlib.sha256(), hashlib.sha256()
        self.tar_size = 0

    def write(self, data):
        self.tar_hash.update(data)
        self.tar_size += len(data)
        self._put(self._gzip.compress(data))
        return len(data)

    def _put(self, packed):
        self.blob_hash.update(packed)
        self._file.write(packed)

    def close(self):
        self._put(self._gzip.flush())
        self._file.close()


class _Layer:
    """Writes the entries of one layer. `lower` are names of files in the layers below."""

    def __init__(self, shape, number, pool_entries, libraries, lower, path):
        self.shape, self.libraries = shape, libraries
        self.entries, self.lower, self.path = pool_entries, lower, path
        self.random = random.Random(f"{SEED}-layer-{number}")

    def info(self, name, mode, size=0, kind=tarfile.REGTYPE):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size = kind, mode, size
        info.mtime = oci_image.EPOCH + self.random.randrange(10_000_000)
        return info

    def write(self):
        """-> oci_image.Layer, entries, bytes of files"""
        blob = _Blob(self.path)
        self.count, self.size = 0, 0
        with tarfile.open(fileobj=blob, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20,
                          copybufsize=1 << 20) as archive:
            self.archive, self.made = archive, set()
            for name, source in self.entries:
                self.add(name, source)
            self.change_lower()
            self.add_large()
        blob.close()
        stored = oci_image.Blob(oci_image.OCI_LAYER + "+gzip", self.path,
                                "sha256:" + blob.blob_hash.hexdigest(), self.path.stat().st_size)
        layer = oci_image.Layer(stored, "sha256:" + blob.tar_hash.hexdigest())
        return layer, self.count, self.size

    def put(self, info, file=None):
        parent = os.path.dirname(info.name)
        if parent and parent not in self.made:
            self.made.add(parent)
            self.put(self.info(parent, 0o755, kind=tarfile.DIRTYPE))
        self.archive.addfile(info, file)
        self.count += 1
        self.size += info.size

    def add(self, name, source):
        path, size = source
        if path is None:
            self.put(self.info(name, 0o644, size), io.BytesIO(words(self.random, size)))
        elif os.path.islink(path):
            link = self.info(name, 0o777, kind=tarfile.SYMTYPE)
            link.linkname = os.readlink(path)
            self.put(link)
        else:
            with open(path, "rb") as file:
                self.put(self.info(name, 0o755 if os.access(path, os.X_OK) else 0o644, size), file)

    def change_lower(self):
        """Deletes and replaces a few files of the layers below."""
        some = self.random.sample(self.lower, min(len(self.lower), self.shape.entries // 100))
        for i, name in enumerate(some):
            parent, _, base = name.rpartition("/")
            if i % 2:
                self.put(self.info(f"{parent}/.wh.{base}", 0o644))
            else:
                self.put(self.info(name, 0o644, 3000), io.BytesIO(words(self.random, 3000)))

    def add_large(self):
        left, number = int(self.shape.size * self.shape.large), 0
        while left > 0:
            size = min(left, self.random.randrange(4 * MB, 300 * MB))
            source = blocks(self.random, self.libraries, size, self.shape.noise)
            self.put(self.info(f"opt/lib/large-{number}.so", 0o755, size), _Blocks(source))
            left, number = left - size, number + 1


def _choose(shape, pool, rng, prefix):
    """Names and sources of the entries of one layer; a source is a path, or None for generated
    text, and a size."""
    chosen, parents = [], set()
    left = shape.size * (1 - shape.large)
    generated = 0
    while len(chosen) + len(parents) < shape.entries - shape.entries // 100:
        mean = left / max(shape.entries - len(chosen) - len(parents), 1)
        found = pool.take()
        if found is None:
            size = int(max(min(rng.lognormvariate(0, 1) * mean * 0.6, MAX_FILE_BYTES), 1))
            name, source = f"{prefix}/generated/{generated // 50}/{generated}", (None, size)
            generated += 1
        else:
            path, about = found
            size = about.st_size if stat.S_ISREG(about.st_mode) else 0
            if size > max(MAX_TIMES_MEAN * mean, MIN_FILE_BYTES):
                continue
            name, source = path.lstrip("/"), (path, size)
        chosen.append((name, source))
        left -= size
        parent = os.path.dirname(name)
        while parent and parent not in parents:
            parents.add(parent)
            parent = os.path.dirname(parent)
    if left > 0:  # one file of what is missing
        chosen.append((f"{prefix}/rest", (None, int(left))))
    return chosen


# The images ------------------------------------------------------------------------------------


def make(shape, directory, tell):
    """The registry's directory with the image `bench/NAME:1.0`, and its figures. It is made if it
    is not there yet."""
    home = directory / shape.name
    made = home / "made.json"
    if made.exists():
        figures = json.loads(made.read_text())
        if figures["recipe"] == RECIPE:
            return home, figures
    tell(f"making the image {shape.name}: {shape.about}; this takes a while, once")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    pool, rng = Pool(f"{SEED}-{shape.name}"), random.Random(f"{SEED}-{shape.name}-sizes")
    layers, lower = [], []
    for number, layer in enumerate(shape.layers):
        entries = _choose(layer, pool, rng, f"usr/share/bench-{number}")
        layers.append(_Layer(layer, f"{shape.name}-{number}", entries, pool.libraries, list(lower),
                             home / f"layer-{number}"))
        lower += [name for name, (path, _) in entries if path is None or not os.path.islink(path)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        # The largest first, so that none of them runs alone in the end.
        order = sorted(range(len(layers)), key=lambda i: -shape.layers[i].size)
        written = dict(zip(order, workers.map(lambda i: layers[i].write(), order), strict=True))
    image = oci_image.image([written[i][0] for i in range(len(layers))])
    file_registry.add(home, f"bench/{shape.name}", image)
    figures = {
        "recipe": RECIPE, "digest": image.top.digest, "layers": len(layers),
        "entries": sum(count for _, count, _ in written.values()),
        "bytes": sum(size for _, _, size in written.values()),
        "gzip_bytes": sum(layer.blob.size for layer, _, _ in written.values()),
        "largest_layer_gzip_bytes": max(layer.blob.size for layer, _, _ in written.values()),
    }
    made.write_text(json.dumps(figures, indent=1) + "\n")
    return home, figures
