#!/usr/bin/python3
"""Checks every #include of agent/ against the arrows of agent/README.md.

A room may include what stands to its left, and itself. A third-party library belongs to the rooms
that adapt it. `includes.py --self-test` shows that a forbidden include is found.
"""

import pathlib
import re
import sys

import tree

# Room -> the rooms directly to its left. Arrows are transitive.
ARROWS = {
    "base": (),
    "oci": ("base",),
    "http": ("oci",),
    "registry": ("http",),
    "trust": ("registry",),
    "containerd": ("oci",),
    "docker": ("http",),
    "layer": ("oci",),
    "store": ("containerd", "docker", "layer"),
    "bake": ("trust", "store"),
    "guard": ("bake",),
    "ledger": ("store",),
    "hydrate": ("store",),
    "report": ("guard", "ledger", "hydrate"),
    "daemon": ("report",),
    "kubelet": ("store",),
    "machine": ("base",),
    "identity/secrets": ("machine",),
    "identity": ("identity/secrets",),
    "identity/firstboot": ("identity",),
    "cli": ("daemon", "kubelet", "identity/firstboot"),
}


def rooms_left_of(room):
    """The room itself and every room that it may include."""
    return {room}.union(*(rooms_left_of(other) for other in ARROWS.get(room, ())))


# Prefix of the header -> rooms, or single files, that may include it. The first match decides.
LIBRARIES = (
    ("proto/containerd/", ("containerd",)),
    ("proto/prebake/v1/problem.pb.h", ("base",)),
    ("proto/prebake/",
     ("store", "bake", "guard", "ledger", "hydrate", "report", "daemon", "kubelet",
      "machine", "identity", "identity/firstboot", "cli")),
    ("google/protobuf/",
     ("base/json.h", "base/json.cc", "base/json_numbers.h", "base/json_numbers.cc",
      "base/timestamp.h", "base/timestamp.cc", "containerd", "store", "bake", "guard", "ledger",
      "hydrate", "report", "daemon", "kubelet", "machine", "identity",
      "identity/firstboot", "cli")),
    ("grpc", ("containerd",)),
    # Each file with their templates takes many seconds to compile.
    ("boost/beast", ("http/connection.h", "report/http_beast.cc")),
    ("boost/asio", ("http/connection.h", "http/connector.h", "report/http_beast.cc")),
    ("boost/json",
     ("oci", "registry", "trust/verifier_programs.cc", "containerd", "machine", "identity",
      "kubelet", "report", "docker")),
    ("boost/url", ("http",)),
    ("boost/system",
     ("oci", "http", "registry", "containerd", "docker", "machine", "identity", "kubelet",
      "report")),
    ("boost/", ()),
    ("openssl/types.h", ("http",)),  # names of types, for headers
    ("openssl/evp",
     ("base", "trust/public_key.cc", "identity/firstboot/host_certificate.cc")),
    ("openssl/",
     ("http/tls_context.cc", "http/tls_failure.cc", "report/http_beast.cc", "trust/public_key.cc",
      "identity/firstboot/host_certificate.cc")),
    ("archive", ("layer",)),
    ("isa-l", ("layer",)),
    ("igzip", ("layer",)),
    ("zstd", ("layer",)),
    ("zlib", ("layer", "identity/secrets")),
    ("yaml-cpp/", ("registry/yaml.cc",)),
    ("spdlog/", ("cli",)),
    ("CLI/", ("cli",)),
    ("toml++/", ("base/toml.h",)),
)
# Headers of libc and of the kernel; the C++ library's have neither a slash nor an extension.
SYSTEM = re.compile(r"^([a-z0-9_]+(\.h)?|(sys|linux|netinet|arpa|net|bits)/[a-z0-9_/]+\.h)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def room_of(path):
    """The room of a file below agent/. A room inside another one counts as its own."""
    inner = "/".join(path.parts[:2])
    return inner if inner in ARROWS else path.parts[0]


def is_allowed(path, style, header):
    """Whether agent/<path> may include the header. `path` is relative to agent/."""
    room = room_of(path)
    if header.startswith("agent/"):
        return room_of(pathlib.PurePath(header).relative_to("agent")) in rooms_left_of(room)
    for prefix, places in LIBRARIES:
        if header.startswith(prefix):
            return room in places or str(path) in places
    # What is ours is included from the top, in quotes; what is unknown must be entered above first.
    return style == "<" and bool(SYSTEM.match(header))


def findings_in(path, text):
    return [f"agent/{path}:{text.count(chr(10), 0, match.start(2)) + 1}: may not include {match[2]}"
            for match in INCLUDE.finditer(text) if not is_allowed(path, match[1], match[2])]


def self_test():
    path = pathlib.PurePath
    forbidden = (
        ("base/file.h", '#include "agent/oci/digest.h"'),
        ("oci/digest.h", '#include "agent/http/client.h"'),
        ("registry/remote.cc", '#include "agent/containerd/content.h"'),
        ("containerd/diff.cc", '#include "agent/layer/apply.h"'),
        ("bake/plan.cc", '#include "agent/cli/config.h"'),
        ("identity/seal.cc", '#include "agent/oci/digest.h"'),
        ("machine/root.cc", '#include "agent/identity/item.h"'),
        ("identity/seal.cc", '#include "agent/identity/firstboot/first_boot.h"'),
        ("identity/secrets/scan.cc", '#include "agent/identity/survey.h"'),
        ("identity/secrets/scan.cc", "#include <boost/json.hpp>"),
        ("registry/remote.cc", "#include <boost/beast/http.hpp>"),
        ("bake/plan.cc", "#include <grpcpp/grpcpp.h>"),
        ("bake/plan.cc", "#include <boost/json.hpp>"),
        ("bake/plan.cc", '#include "proto/containerd/content.pb.h"'),
        ("oci/digest.cc", "#include <openssl/evp.h>"),
        ("bake/bake.cc", "#include <spdlog/spdlog.h>"),
        ("bake/bake.cc", '#include "plan.h"'),
        ("bake/bake.cc", "#include <unknown/library.h>"),
        ("newroom/a.cc", '#include "agent/base/error.h"'),
        ("bake/bake.cc", "  #  include   <grpcpp/channel.h>"),
    )
    allowed = (
        ("oci/digest.cc", '#include "agent/base/error.h"'),
        ("cli/main.cc", '#include "agent/identity/seal.h"'),
        ("identity/residue.cc", '#include "agent/identity/secrets/scan.h"'),
        ("http/connection.h", "#include <boost/asio/ssl.hpp>"),
        ("containerd/diff.cc", "#include <grpcpp/grpcpp.h>"),
        ("store/record.cc", '#include "proto/prebake/v1/bake_record.pb.h"'),
        ("base/file.cc", "#include <sys/stat.h>\n#include <vector>\n#include <fcntl.h>"),
        ("bake/bake.cc", '// #include "agent/cli/config.h"'),
    )
    wrong = [f"not found: {name}: {text}" for name, text in forbidden
             if not findings_in(path(name), text)]
    wrong += [f"wrongly found: {name}: {text}" for name, text in allowed
              if findings_in(path(name), text)]
    tree.report(wrong, len(forbidden) + len(allowed), "self-test of the include lint")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    sources = [path for path in tree.files()
               if path.parts[0] == "agent" and path.suffix in (".h", ".cc")]
    findings = []
    for path in sources:
        findings += findings_in(path.relative_to("agent"), (tree.TOP / path).read_text())
    tree.report(findings, len(sources), "includes")


if __name__ == "__main__":
    main()
