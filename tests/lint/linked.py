#!/usr/bin/python3
"""`prebake version --verbose` lists every library of others that is in the program or comes with
it, with its license: all libraries that the linker has read, all headers that the compiler has
read.

PREBAKE is the program, BUILD the directory in which Ninja has built it. --self-test breaks the list
and expects each fault to be found."""

import os
import pathlib
import re
import subprocess
import sys

import tree

# Source packages whose code is not in the program, and the reason.
OTHERS = {
    "glibc": "linked dynamically; the few functions of libc_nonshared.a are free of conditions",
    "linux": "interface of the kernel, free of conditions (Linux-syscall-note)",
    "openssl": "linked dynamically",
}
# SPDX identifier -> what Debian's copyright file says.
LICENSES = {
    "Apache-2.0": r"^License:\s+Apache-2\.0",
    "BSD-3-Clause": r"^License:\s+BSD-3-(clause|google)",
    "BSL-1.0": r"^License:\s+BSL-1\.0",
    "GPL-3.0-or-later WITH GCC-exception-3.1": r"^GCC Runtime Library Exception\s+Version 3\.1",
    # Debian calls yaml-cpp's X11; its own text is Expat's.
    "MIT": r"^License:\s+(Expat|X11)|under the MIT License",
    "Zlib": r"^License:\s+Zlib",
}
ROW = re.compile(r"^(\S+)  +(\d\S*)  +(\S.*?)  +(\S+) (\S+)$", re.MULTILINE)


def ask(*command):
    return subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def headers_read(build):
    """By what the program is made of. Those of the distribution: absolute paths."""
    read, is_ours = set(), False
    for line in ask("ninja", "-C", build, "-t", "deps").splitlines():
        if not line.startswith(" "):
            is_ours = line.startswith(("agent/", "proto/")) and "(VALID)" in line
        elif is_ours:
            read.add(line.strip())
    ours = (str(tree.TOP), str(build))
    return {name for name in read if name.startswith("/") and not name.startswith(ours)}


def libraries_linked(build):
    words = ask("ninja", "-C", build, "-t", "commands", "prebake").splitlines()[-1].split()
    compiler = next(word for word in words if re.search(r"(\+\+|g\+\+-\d+|clang\+\+-\d+)$", word))
    named = [word[3:] for word in words if word.startswith("-l:")]
    named += ["libstdc++.a"] * ("-static-libstdc++" in words)
    found = {ask(compiler, f"-print-file-name={name}").strip() for name in named}
    return found | {word for word in words if word.startswith("/") and word.endswith((".a", ".so"))}


def sources_of(files):
    """Source package -> binary packages that have the files, and the files without a package."""
    files = sorted({os.path.realpath(name) for name in files})
    answered = subprocess.run(["dpkg-query", "--search", *files], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False).stdout
    owners = dict(reversed(line.split(": ", 1)) for line in answered.splitlines())
    sources = {}
    for line in ask("dpkg-query", "--show", "--showformat",
                    "${source:Package} ${source:Version} ${Package}\n",
                    *sorted(set(owners.values()))).splitlines():
        source, version, package = line.split()
        sources.setdefault((source, version), set()).add(package)
    return sources, [name for name in files if name not in owners]


def faults(listed, sources, unowned, text_of):
    for name in unowned:
        yield f"{name}: is in the program, and belongs to no package"
    rows = {(row[3], row[4]): row for row in ROW.findall(listed)}
    for source, version in sources:
        if source not in OTHERS and (source, version) not in rows:
            yield f"{source} {version}: is in the program, and version --verbose does not list it"
    for (source, version), (name, _, license_, *_) in rows.items():
        if (source, version) not in sources:
            yield f"{name}: {source} {version} is not in the program"
            continue
        text = "\n".join(map(text_of, sorted(sources[source, version])))
        for identifier in license_.split(" AND "):
            pattern = LICENSES.get(identifier)
            if not pattern:
                yield f"{name}: {identifier} is no license that this lint knows"
            elif not re.search(pattern, text, re.MULTILINE | re.IGNORECASE):
                yield f"{name}: its copyright file does not say {identifier}"


def copyright_of(package):
    return pathlib.Path(f"/usr/share/doc/{package}/copyright").read_text(errors="replace")


def self_test(listed, sources):
    zlib = next(line for line in listed.splitlines() if line.startswith("zlib "))
    ways = (
        (listed.replace(f"{zlib}\n", ""), [], "zlib 1:"),
        (listed + zlib.replace("zlib ", "lzma ", 2).replace(" zlib ", " lzma ") + "\n", [],
         "lzma: "),
        (listed.replace(zlib, zlib.replace("1:", "2:")), [], "version --verbose does not list it"),
        (listed.replace(zlib, zlib.replace("Zlib", "MIT ")), [], "does not say MIT"),
        (listed.replace(zlib, zlib.replace("Zlib", "None")), [], "None is no license"),
        (listed, ["/usr/local/lib/libown.a"], "/usr/local/lib/libown.a: is in the program"),
    )
    missed = [f"not found: {expected}" for text, unowned, expected in ways
              if not any(expected in fault
                         for fault in faults(text, sources, unowned, copyright_of))]
    tree.report(missed, len(ways), "linked libraries, self-test")


def main():
    build = pathlib.Path(os.environ["BUILD"])
    listed = ask(os.environ["PREBAKE"], "version", "--verbose")
    sources, unowned = sources_of(headers_read(build) | libraries_linked(build))
    found = list(faults(listed, sources, unowned, copyright_of))
    if "--self-test" in sys.argv[1:] and not found:
        self_test(listed, sources)
    tree.report(found, len(sources), "linked libraries")


if __name__ == "__main__":
    main()
