#!/usr/bin/python3
"""The SSM documents are valid by the rules of schema 2.2, and their scripts work.

The scripts run with a stub for prebake, and parameters are inserted as text, as SSM does it.
--self-test breaks documents and expects each fault to be found."""

import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import tree

MAX_BYTES = 64 * 1024
TOP_KEYS = {"schemaVersion", "description", "parameters", "mainSteps"}
PARAMETER_KEYS = {"type", "description", "default", "allowedValues", "allowedPattern",
                  "displayType", "minItems", "maxItems", "minChars", "maxChars"}
STEP_KEYS = {"action", "name", "precondition", "inputs", "maxAttempts", "onFailure",
             "timeoutSeconds", "settings"}
INPUT_KEYS = {"runCommand", "timeoutSeconds", "workingDirectory"}
NAME = re.compile(r"[A-Za-z0-9]{3,64}\Z")
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
SECRET = re.compile(r"secret|password|token|credential|key", re.IGNORECASE)
HOSTILE = ("$(touch hacked)", "`touch hacked`", "'; touch hacked; '", "a;touch hacked", "a|b",
           "a&b", "a>hacked", "a\ntouch hacked", "$HOME", "a b;c", '"', "'", "\\", "*", "{{ x }}",
           "-f", "--x", "a --lock", "a  b", " ", "%s", "~", "#", "!x", "(a)", "a\x00", "\u00e4")
# A bake needs HOME, which the SSM agent does not set.
STUB = """#!/bin/sh
[ "$1" != bake ] || [ -n "$HOME" ] || { echo 'no HOME'; exit; }
for word; do printf '<%s>' "$word"; done
exit "$STUB_EXIT"
"""
# The only place whose files a parameter may name: an error could tell what is in another file.
LISTS = "/etc/prebake/images.d/"
# Document, parameters, arguments of prebake.
CALLS = (
    ("PrebakeStatus", {}, "<status><--format=text>"),
    ("PrebakeStatus", {"Format": "json"}, "<status><--format=json>"),
    ("PrebakeStatus", {"Format": "brief"}, "<status><--format=brief>"),
    ("PrebakeWaitReady", {}, "<status><--wait=300>"),
    ("PrebakeWaitReady", {"Seconds": "1"}, "<status><--wait=1>"),
    ("PrebakeWaitReady", {"Seconds": "3599"}, "<status><--wait=3599>"),
    ("PrebakeVerify", {}, "<verify>"),
    ("PrebakeVerify", {"Deep": "true"}, "<verify><--deep>"),
    ("PrebakeBake", {}, "<bake>"),
    ("PrebakeBake", {"Images": "nginx"}, "<bake><nginx>"),
    ("PrebakeBake", {"Images": "localhost:5000/A_b/c-d:V1.2@sha256:0f busybox"},
     "<bake><localhost:5000/A_b/c-d:V1.2@sha256:0f><busybox>"),
    ("PrebakeBake", {"ListFile": LISTS + "a.toml"}, f"<bake><--file><{LISTS}a.toml>"),
    ("PrebakeBake", {"Images": "a b", "ListFile": LISTS + "team_1/b-2.txt"},
     f"<bake><a><b><--file><{LISTS}team_1/b-2.txt>"),
)
REFUSED = {"Seconds": ("0", "3600", "-1", "1.5", "", "10s", "99999"), "Format": ("", "xml"),
           "Deep": ("", "yes"), "Images": ("-f", "a -f", "--lock x"),
           "ListFile": ("a", "-", "/", "/etc/shadow", "/etc/prebake/prebake.toml", LISTS,
                        LISTS[:-1], LISTS + "../../shadow", LISTS + "..", LISTS + ".", LISTS + ".x",
                        LISTS + "a/../../../shadow", LISTS + "a//b", LISTS + "a/",
                        "/etc/prebake/imagesXd/a", "/etc/prebake/images.dx/a",
                        "/x/etc/prebake/images.d/a", "etc/prebake/images.d/a")}


def accepts(parameter, value):
    return matches(parameter, value) and value in parameter.get("allowedValues", [value])


def matches(parameter, value):
    """Matches like the most lenient regex engine: "$" also before a final newline."""
    return re.search(parameter.get("allowedPattern", ""), value) is not None


def quoted_only(line):
    """The placeholders of a line outside single quotes."""
    outside = "".join(line.split("'")[0::2])
    return PLACEHOLDER.findall(outside)


def faults_of(name, text):
    found = []

    def expect(is_right, what):
        if not is_right:
            found.append(f"{name}: {what}")

    def unique(pairs):
        expect(len(dict(pairs)) == len(pairs), "a key stands twice")
        return dict(pairs)

    expect(len(text.encode()) < MAX_BYTES, "64 KB or more")
    document = json.loads(text, object_pairs_hook=unique)
    expect(set(document) == TOP_KEYS, f"its keys are {sorted(document)}")
    expect(document.get("schemaVersion") == "2.2", "schemaVersion is not 2.2")
    expect(NAME.match(name), "no name for a document")
    parameters = document.get("parameters", {})
    for key, parameter in parameters.items():
        expect(NAME.match(key), f"parameter {key}: no name")
        expect(set(parameter) <= PARAMETER_KEYS, f"parameter {key}: unknown keys")
        expect(parameter.get("type") == "String", f"parameter {key}: put in as text, so a String")
        expect(parameter.get("description"), f"parameter {key}: no description")
        expect(not SECRET.search(key), f"parameter {key}: parameters are no place for secrets")
        pattern = parameter.get("allowedPattern", "")
        # Required even with allowedValues: tools and reviews check for a pattern.
        expect(pattern, f"parameter {key}: no pattern")
        expect(not pattern or (pattern[0], pattern[-1]) == ("^", "$"),
               f"parameter {key}: the pattern is open at an end")
        for value in (parameter.get("default"), *parameter.get("allowedValues", ())):
            expect(accepts(parameter, value), f"parameter {key}: refuses its own {value!r}")
        for value in HOSTILE + REFUSED.get(key, ()):
            # The pattern must reject them, even without allowedValues.
            expect(not pattern or not matches(parameter, value),
                   f"parameter {key}: takes {value!r}")
    steps = document.get("mainSteps", [])
    expect(steps, "no steps")
    expect(len({step.get("name") for step in steps}) == len(steps), "step names are not unique")
    used = set()
    for step in steps:
        inputs = step.get("inputs", {})
        expect(set(step) <= STEP_KEYS, "a step has unknown keys")
        expect(step.get("action") == "aws:runShellScript", "a step of another action")
        expect(NAME.match(step.get("name", "")), "a step has no name")
        expect(step.get("precondition") == {"StringEquals": ["platformType", "Linux"]},
               "a step is not for Linux alone")
        expect(set(inputs) <= INPUT_KEYS, "inputs have unknown keys")
        seconds = inputs.get("timeoutSeconds")
        expect(isinstance(seconds, str) and 5 <= int(seconds) <= 172800, "timeoutSeconds")
        commands = inputs.get("runCommand")
        expect(isinstance(commands, list) and all(isinstance(line, str) for line in commands),
               "runCommand is no list of strings")
        for line in commands or ():
            used |= set(PLACEHOLDER.findall(line))
            expect(not quoted_only(line), f"a parameter outside of single quotes: {line}")
    expect(used == set(parameters), f"parameters {sorted(parameters)}, used {sorted(used)}")
    return found


def run(document, values, prebake_exit, directory):
    """Like SSM's agent: inserts every parameter as text, and runs the lines with sh."""
    values = {key: values.get(key, parameter["default"])
              for key, parameter in document["parameters"].items()}
    script = "\n".join(document["mainSteps"][0]["inputs"]["runCommand"])
    script = PLACEHOLDER.sub(lambda found: values[found[1]], script)
    path = pathlib.Path(directory, "bin")
    path.mkdir(exist_ok=True)
    stub = path / "prebake"
    stub.unlink(missing_ok=True)
    if prebake_exit is not None:
        stub.write_text(STUB)
        stub.chmod(0o755)
    return subprocess.run(["/bin/sh", "-c", script], cwd=directory, capture_output=True, text=True,
                          env={"PATH": str(path), "STUB_EXIT": str(prebake_exit)}, timeout=300,
                          check=False)


def misbehaviour_of(documents):
    found = []
    called = {name for name, _, _ in CALLS}
    if called != set(documents):
        found.append(f"documents {sorted(documents)}, tried {sorted(called)}")
    with tempfile.TemporaryDirectory() as directory:
        for name, values, expected in CALLS:
            document = documents.get(name)
            if document is None:
                continue
            for key, value in values.items():
                if not accepts(document["parameters"][key], value):
                    found.append(f"{name}: {key} refuses {value!r}")
            for status in (0, 3, 4):
                ended = run(document, values, status, directory)
                if (ended.stdout, ended.returncode) != (expected, status):
                    found.append(f"{name} {values}: calls {ended.stdout!r}, ends with "
                                 f"{ended.returncode} in place of {status}: {ended.stderr}")
            ended = run(document, values, None, directory)
            if ended.returncode != 127 or "install" not in ended.stderr:
                found.append(f"{name}: does not say what to do where prebake is missing")
    return found


def read_documents():
    documents = sorted((tree.TOP / "packaging/ssm").glob("*.json"))
    return {path.stem: path.read_text() for path in documents}


def check(texts):
    found = [fault for name, text in texts.items() for fault in faults_of(name, text)]
    return found or misbehaviour_of({name: json.loads(text) for name, text in texts.items()})


def self_test():
    """Each way to break a document must be found."""
    good = read_documents()
    assert not check(good), check(good)

    def broken(change, name="PrebakeBake", key="Images"):
        document = copy.deepcopy(json.loads(good[name]))
        replacement = change(document, document["parameters"][key], document["mainSteps"][0])
        return {**good, name: replacement or json.dumps(document)}

    def unquote(step):
        commands = step["inputs"]["runCommand"]
        step["inputs"]["runCommand"] = [line.replace("'{{ Images }}'", "{{ Images }}")
                                        for line in commands]

    def drop_last(step):
        step["inputs"]["runCommand"][-1:] = ["exec prebake bake"]

    ways = {
        "another schema": lambda d, p, s: d.update(schemaVersion="1.2"),
        "an unknown key": lambda d, p, s: d.update(steps=[]),
        "a key twice": lambda d, p, s: good["PrebakeBake"].replace(
            '"schemaVersion"', '"schemaVersion": "2.2", "schemaVersion"', 1),
        "too large": lambda d, p, s: d.update(description="x" * MAX_BYTES),
        "no pattern": lambda d, p, s: p.pop("allowedPattern") and None,
        "an open pattern": lambda d, p, s: p.update(allowedPattern=p["allowedPattern"][:-1]),
        "a pattern that takes all": lambda d, p, s: p.update(allowedPattern="^.*$"),
        "a list anywhere": lambda d, p, s: d["parameters"]["ListFile"].update(
            allowedPattern="^(|/[A-Za-z0-9._/-]*)$"),
        "a default that is refused": lambda d, p, s: p.update(default=";"),
        "a list": lambda d, p, s: p.update(type="StringList"),
        "a parameter for a secret": lambda d, p, s: d["parameters"].update(Password=p),
        "an unused parameter": lambda d, p, s: d["parameters"].update(Other=p),
        "an undeclared one": lambda d, p, s: d["parameters"].pop("Images") and None,
        "unquoted": lambda d, p, s: unquote(s),
        "every platform": lambda d, p, s: s.pop("precondition") and None,
        "another action": lambda d, p, s: s.update(action="aws:runPowerShellScript"),
        "a numeric timeout": lambda d, p, s: s["inputs"].update(timeoutSeconds=60),
        "arguments lost": lambda d, p, s: drop_last(s),
        "says nothing without prebake": lambda d, p, s: s["inputs"].update(
            runCommand=s["inputs"]["runCommand"][6:]),
    }
    of_values = {
        "values without a pattern": lambda d, p, s: p.pop("allowedPattern") and None,
        "a pattern wider than the values": lambda d, p, s: p.update(allowedPattern="^[a-z]*$"),
        "a value that the pattern refuses": lambda d, p, s: p["allowedValues"].append("xml"),
        "a default that is none of the values": lambda d, p, s: p["allowedValues"].remove("text"),
    }
    missed = [what for what, change in ways.items() if not check(broken(change))]
    missed += [what for what, change in of_values.items()
               if not check(broken(change, "PrebakeStatus", "Format"))]
    tree.report([f"not found: {what}" for what in missed], len(ways) + len(of_values),
                "SSM documents, self-test")


def main():
    if "--self-test" in sys.argv[1:]:
        self_test()
    texts = read_documents()
    tree.report(check(texts), len(texts), "SSM documents")


if __name__ == "__main__":
    main()
