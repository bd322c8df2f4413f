"""The files that the lints check."""

import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]


def files(top=TOP):
    """The files under version control and new files, relative to the top. Without git (a source
    archive): every file outside build directories."""
    if (top / ".git").exists():
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={top}", "-C", top, "ls-files", "-z", "--cached",
             "--others", "--exclude-standard"],
            stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
        paths = [pathlib.Path(name) for name in listed if name]
    else:
        paths = [path.relative_to(top) for path in top.rglob("*")]
        paths = [path for path in paths if not path.parts[0].startswith("build")]
    return sorted(path for path in paths if (top / path).is_file())


def report(findings, looked_at, what):
    """Prints the findings and exits: with 1 if there are any, or if no file was checked."""
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"{what}: {looked_at} files, {len(findings)} findings")
    sys.exit(1 if findings or not looked_at else 0)
