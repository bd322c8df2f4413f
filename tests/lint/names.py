#!/usr/bin/python3
"""House rules that a program can check: names of files, #pragma once, unwanted words."""

import re

import tree

CODE = (".h", ".cc")
TEXT = (".h", ".cc", ".py", ".proto", ".cmake", ".txt", ".sh", "")
MAX_COLUMNS = 100
MAX_LINES = 600  # of a file of agent/; with more than 400 it probably has two subjects
LOWER_SNAKE = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$")
# Names that other tools require.
FOREIGN = {"CMakeLists.txt", "CMakePresets.json", "README.md", "CHANGELOG.md", "LICENSE"}
# In pieces, because this file is checked as well.
UNFINISHED = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|X" + r"XX)\b")
# Except literals (10ms): there is no other way to use them.
USING_NAMESPACE = re.compile(r"^\s*using\s+namespace\s+(?!std::\w*literals;)")


def findings_in(path, text):
    found = []
    ours = path.parts[0] in ("agent", "tests", "proto")
    if ours and path.name not in FOREIGN and not LOWER_SNAKE.match(path.name):
        found.append(f"{path}: the name is not lower_snake")
    if path.suffix not in TEXT:
        return found
    if path.suffix == ".h" and "#pragma once" not in text:
        found.append(f"{path}: has no #pragma once")
    lines = text.splitlines()
    if path.parts[0] == "agent" and len(lines) > MAX_LINES:
        found.append(f"{path}: {len(lines)} lines: does it have only one subject?")
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            found.append(f"{path}:{number}: unfinished work is an issue, not a comment")
        if path.suffix in CODE and USING_NAMESPACE.search(line):
            found.append(f"{path}:{number}: using namespace")
        if path.suffix in CODE + (".py",) and len(line) > MAX_COLUMNS:
            found.append(f"{path}:{number}: {len(line)} columns")
    return found


def main():
    files = tree.files()
    findings = []
    for path in files:
        try:
            text = (tree.TOP / path).read_text()
        except UnicodeDecodeError:
            continue  # test data
        findings += findings_in(path, text)
    tree.report(findings, len(files), "names")


if __name__ == "__main__":
    main()
