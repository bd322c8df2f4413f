#!/usr/bin/python3
"""The top level is fixed: nothing else may appear there."""

import tree

ALLOWED = {"agent", "proto", "systemd", "packaging", "tests", "CMakeLists.txt", "CMakePresets.json",
           "README.md", "CHANGELOG.md", "LICENSE"}


def main():
    files = tree.files()
    entries = sorted({path.parts[0] for path in files})
    findings = [f"{entry}: does not belong to the top level" for entry in entries
                if entry not in ALLOWED and not entry.startswith(".")]
    tree.report(findings, len(files), "top level")


if __name__ == "__main__":
    main()
