"""The images of the benchmark of hydration: an application in Python with many small files, a
service that is one large program, and a model of which a tenth is read.

They are made of this machine's Python and of generated files, and are kept: they take a minute.
Each prints "ready" when it is, and ends. With LINGER in its environment, it stays for so many
seconds.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

import file_registry
import oci_image

RECIPE = 4  # a change of it makes the images again
MB = 1_000_000
PYTHON = "/usr/bin/python3"
# Of the standard library, what an application with a web server and a database imports.
IMPORTS = """
    argparse asyncio concurrent.futures csv ctypes dataclasses datetime decimal
    email.mime.text hashlib html http.client http.server inspect json logging.config
    multiprocessing pathlib pickle queue random re secrets shutil socket sqlite3 ssl
    string subprocess tempfile threading typing unittest.mock urllib.request uuid
    xml.etree.ElementTree zipfile
    """.split()
PACKAGES, MODULES = 60, 50  # generated ones
EVERY = 13  # of these, the application imports one
OTHER_BYTES = 120 * MB  # of installed packages of Python that it does not import


def program():
    """What the service and the model's server are: touch_pages/."""
    top = pathlib.Path(__file__).resolve().parents[2]
    return pathlib.Path(os.environ.get(
        "PREBAKE_TOUCH_PAGES", top / "build/release/tests/support/touch_pages/touch_pages"))


def make(directory, scale, tell):
    """A directory for file_registry with bench/python, bench/service and bench/model, and the
    figures of each. Their sizes are divided by `scale`, except for Python's own."""
    home = directory / f"lazy-{scale}"
    made = home / "made.json"
    mark = [RECIPE, oci_image.sha256(program().read_bytes())]
    if made.exists():
        kept = json.loads(made.read_text())
        if kept["mark"] == mark:
            return home, kept["images"]
    tell("making the images; this takes a minute, once")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    figures = {}
    for name, maker in (("python", _python), ("service", _service), ("model", _model)):
        image, about = maker(home, scale)
        about["layers"] = len(image.layers)
        about["blob_bytes"] = sum(layer.blob.size for layer in image.layers)
        about["diff_ids"] = [layer.diff_id for layer in image.layers]
        file_registry.add(home, f"bench/{name}", image)
        figures[name] = about
    made.write_text(json.dumps({"mark": mark, "images": figures}, indent=1) + "\n")
    return home, figures


def noise(seed, size):
    """Bytes that cannot be compressed, the same for the same seed."""
    return hashlib.shake_128(seed.encode()).digest(size)


# One large program, and a model -----------------------------------------------------------------


def _service(_home, scale):
    code = program().read_bytes()
    rest = 150 * MB // scale
    # Half of it compresses, as machine code does.
    block = noise("service", 1 << 20)
    data = b"".join((block[i % 4096:] + block[:i % 4096])[:len(block) // 2] + bytes(len(block) // 2)
                    for i in range(rest // len(block)))
    entries = [oci_image.directory("bin"),
               oci_image.file("bin/service", code.ljust(-(-len(code) // 4096) * 4096, b"\0") + data,
                              mode=0o755)]
    parts = 60 // (1 if scale == 1 else 4)
    image = oci_image.image([oci_image.layer(entries)], command=[
        "/bin/service", "/proc/self/exe", str(parts), str(256 << 10), "scattered"])
    return image, {"files": 1, "bytes": len(code) + len(data), "hot_bytes": parts * (256 << 10)}


def _model(home, scale):
    size = 500 * MB // scale
    parts = 25 if scale == 1 else 5
    part = size // parts // 10
    server = oci_image.layer([oci_image.directory("bin"),
                              oci_image.file("bin/server", program().read_bytes(), mode=0o755)])
    weights = oci_image.big_layer(home / "weights", size)
    image = oci_image.image([server, weights], command=["/bin/server", "/noise", str(parts),
                                                        str(part), "in-order"])
    return image, {"files": 2, "bytes": size, "hot_bytes": parts * part}


# An application in Python -----------------------------------------------------------------------


def _python(home, scale):
    tree = home / "tree"
    layers, count, size = [], 0, 0
    for fill in (_interpreter, _packages, _application):
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        fill(tree, scale)
        # A hash in the file instead of a time: all files of these images have the same time.
        subprocess.run([PYTHON, "-m", "compileall", "-q", "-j0", "--invalidation-mode",
                        "unchecked-hash", "-s", tree, "-p", "/", tree],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        entries = _entries(tree)
        count += len(entries)
        size += sum(len(entry.data) for entry in entries)
        layers.append(oci_image.layer(entries))
    shutil.rmtree(tree)
    image = oci_image.image(layers, command=["/usr/bin/python3", "/app/main.py"])
    return image, {"files": count, "bytes": size}


def _entries(tree):
    """Of a directory, sorted. Of links, what they point to: they may point out of it."""
    found = []
    for place, directories, files in os.walk(tree):
        directories.sort()
        name = os.path.relpath(place, tree)
        if name != ".":
            found.append(oci_image.directory(name))
        for file in sorted(files):
            path = pathlib.Path(place, file)
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            found.append(oci_image.file(os.path.normpath(f"{name}/{file}"), path.read_bytes(),
                                        mode))
    return found


def _copy(source, tree, name=None):
    target = tree / str(name or source).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.realpath(source), target)


def _interpreter(tree, _scale):
    ask = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    library = subprocess.run([PYTHON, "-c", ask], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.strip()
    _copy(PYTHON, tree)
    shutil.copytree(library, tree / library.lstrip("/"), symlinks=False,
                    ignore_dangling_symlinks=True,
                    ignore=shutil.ignore_patterns("__pycache__", "test", "tests", "config-*"))
    programs = [PYTHON, *pathlib.Path(library, "lib-dynload").glob("*.so")]
    listed = subprocess.run(["ldd", *programs], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True, check=False).stdout
    for path in sorted(set(re.findall(r"(/\S+) \(0x", listed))):
        _copy(path, tree)


def _packages(tree, scale):
    """What is installed, up to OTHER_BYTES, or generated text."""
    left = OTHER_BYTES // scale
    for place, directories, files in os.walk("/usr/lib/python3/dist-packages"):
        directories[:] = sorted(set(directories) - {"__pycache__"})
        for name in sorted(files):
            path = pathlib.Path(place, name)
            about = path.stat() if path.exists() else None
            if about and stat.S_ISREG(about.st_mode) and about.st_size <= min(left, MB):
                _copy(path, tree)
                left -= about.st_size
    text = noise("text", 20_000).hex().encode()
    for number in range(max(left, 0) // (4 * len(text))):  # a share is left out: it is only filling
        path = tree / f"usr/share/filling/{number // 50}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text[number % 999:])


def _application(tree, scale):
    wanted = []
    for number in range(PACKAGES // scale * MODULES):
        package, module = f"package_{number // MODULES:02}", f"module_{number % MODULES:02}"
        place = tree / "app" / package
        place.mkdir(parents=True, exist_ok=True)
        (place / "__init__.py").write_text("")
        (place / f"{module}.py").write_text(_source(number))
        (place / f"{module}.html").write_text(noise(module + package, 3000).hex())
        if number % EVERY == 0:
            wanted.append(f"{package}.{module}")
    (tree / "app/main.py").write_text(
        "import importlib, os, pathlib, sys, time\n"
        f"for name in {list(IMPORTS) + wanted!r}:\n"
        "    importlib.import_module(name)\n"
        "here = pathlib.Path(__file__).parent\n"
        f"for name in {wanted[::3]!r}:\n"
        "    (here / (name.replace('.', '/') + '.html')).read_bytes()\n"
        "print('ready', len(sys.modules), flush=True)\n"
        "time.sleep(int(os.environ.get('LINGER', '0')))\n")


def _source(number):
    functions = [f"def function_{i}(value):\n"
                 f"    'Part {noise(f'{number}-{i}', 60).hex()}.'\n"
                 f"    return [value * {i}, {number}, '{noise(f'{i}-{number}', 40).hex()}']\n"
                 for i in range(2 + number % 17)]
    table = f"TABLE = {{i: function_0(i) for i in range({number % 50})}}\n"
    return "\n\n".join([*functions, table])
