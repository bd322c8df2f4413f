#!/usr/bin/python3
"""Holds the comparison in agent/identity/README.md against the identity items of the program.

PREBAKE is the program whose `seal --list --json` is read. --self-test breaks the page and expects
each fault to be found."""

import json
import os
import re
import subprocess
import sys

import tree

PAGE = "agent/identity/README.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)` \|.*\| (\w+) \|$", re.MULTILINE)
COUNT = re.compile(r"There are (\d+)\.")
VERDICTS = {"on": "yes", "off": "off", "report": "reported"}


def findings_in(page, items):
    """`items` are (name, default) in the order of work."""
    found = []
    count = COUNT.search(page)
    if count is None or int(count[1]) != len(items):
        found.append(f"{PAGE}: must say \"There are {len(items)}.\"")
    verdicts = {name: VERDICTS[default] for name, default in items}
    rows = ROW.findall(page)
    if not rows:
        found.append(f"{PAGE}: has no comparison")
    for name, verdict in rows:
        if name not in verdicts:
            found.append(f"{PAGE}: there is no item {name}")
        elif verdict != verdicts[name]:
            found.append(f"{PAGE}: {name}: prebake is \"{verdicts[name]}\", not \"{verdict}\"")
    known = [name for name, _ in rows if name in verdicts]
    if known != [name for name, _ in items if name in known]:
        found.append(f"{PAGE}: rows must stand once, in the order of prebake seal --list")
    return found


def self_test(page, items):
    """Each change of the page must be found."""
    first, second = (match[0] for match in list(ROW.finditer(page))[:2])
    broken = (
        ("count", COUNT.sub("There are 7.", page)),
        ("no count", COUNT.sub("", page)),
        ("unknown item", page.replace("| `hosts` |", "| `ghosts` |")),
        ("verdict", page.replace(first, re.sub(r"\w+ \|$", "off |", first))),
        ("order", page.replace(first, "@").replace(second, first).replace("@", second)),
        ("twice", page.replace(first, first + "\n" + first)),
        ("no table", ROW.sub("", page)),
    )
    tree.report([f"not found: {name}" for name, text in broken if not findings_in(text, items)],
                len(broken), "self-test of the item lint")


def main():
    output = subprocess.run([os.environ["PREBAKE"], "seal", "--list", "--json"], check=True,
                            capture_output=True, text=True).stdout
    items = [(item["name"], item["default"]) for item in json.loads(output)["items"]]
    page = (tree.TOP / PAGE).read_text()
    if sys.argv[1:] == ["--self-test"]:
        self_test(page, items)
    tree.report(findings_in(page, items), len(items), "items")


if __name__ == "__main__":
    main()
