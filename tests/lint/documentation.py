#!/usr/bin/python3
"""The documents name the options, exit statuses, keys, units and variables that exist.

PREBAKE is the program whose --help is read, PAGES the directory of the man pages that the build
fills in. --self-test breaks documents and expects each fault to be found."""

import os
import pathlib
import re
import subprocess
import sys

import tree

COMPLETIONS = ("packaging/completions/prebake.bash", "packaging/completions/_prebake",
               "packaging/completions/prebake.fish")
MANUAL = "packaging/man/prebake.1.in"
SEAL_PAGE = "packaging/man/prebake-seal.8.in"
UNITS_PAGE = "packaging/man/prebaked.service.8.in"
KEYS_PAGE = "prebake.toml.5"  # filled in
CONFFILE = "packaging/prebake.toml"
README = "README.md"
SSM_PAGE = "packaging/ssm/README.md"
DOCUMENTS = (README, "CHANGELOG.md", SSM_PAGE, CONFFILE, MANUAL, SEAL_PAGE, UNITS_PAGE,
             "packaging/man/prebake.toml.5.in", *COMPLETIONS)
HELP = {"-h", "--help"}
# Options of other programs in the documents.
FOREIGN = {
    "--build", "--install",  # cmake
    "--insecure-ignore-tlog", "--key",  # cosign
    "--matrix",  # tests/run
    "--prune",  # crictl
    "--pull",  # docker run
    "--root",  # systemctl
    "--unix-socket",  # curl
    "--filter", "--regex",  # fish's string
    # aws ssm
    "--command-id", "--content", "--document-format", "--document-name", "--document-type",
    "--filters", "--instance-id", "--instance-ids", "--name", "--output", "--parameters",
    "--query", "--result-attributes", "--schedule-expression", "--target", "--targets",
    "--type-name",
}
# prebake.toml and prebaked.service are names of files, seal.d is a directory.
NO_KEYS = {"d", "io", "service", "sock", "toml", "target"}
OPTION = re.compile(r"(?<![\w-])(--[a-z]+(?:-[a-z]+)*)")
LISTED = re.compile(r"^  (?:(-\w),)?(--[a-z-]+)", re.MULTILINE)


def plain(text):
    """Roff without its escapes."""
    text = re.sub(r"\\f[A-Z]", "", text.replace("\\-", "-").replace("\\e", "\\"))
    return text.replace("\\(ti", "~")


def words(text):
    return " ".join(text.replace("`", "").split())


def section(text, begin, end):
    """From the line that begins with `begin` to the next that begins with `end`; else ""."""
    match = re.search(rf"^{begin}.*?(?=^(?:{end})|\Z)", text, re.MULTILINE | re.DOTALL)
    return match[0] if match else ""


def names(option, text):
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text) is not None


class Help:
    """What the program's --help says."""

    def __init__(self, texts):
        self.text = texts[""]
        self.commands = [name for name in texts if name]
        # Every option in its spellings: ("-f", "--file") or ("--lock",).
        self.options = {name: [tuple(filter(None, found)) for found in LISTED.findall(text)]
                        for name, text in texts.items()}

    def spellings(self, *commands):
        return {spelling for command in ("", *commands) for option in self.options[command]
                for spelling in option}

    def statuses(self):
        listed = section(self.text, "Exit status:", r"\Z")
        found = {}
        for number, text in re.findall(r"^  ([0-5]) +(.*?)(?=^  \d|\Z)", listed,
                                       re.MULTILINE | re.DOTALL):
            found[number] = words(text)
        for number, text in re.findall(r"\b(1[34]\d) +([a-z]+ \(\w+\))", listed):
            found[number] = text
        return found

    def variables(self):
        return set(re.findall(r"\(Env:(\w+)\)", self.text))


def ask_for_help(program):
    def ask(*arguments):
        return subprocess.run([program, *arguments, "--help"], stdout=subprocess.PIPE, text=True,
                              check=True).stdout

    texts = {"": ask()}
    commands = section(texts[""], "Subcommands:", "Exit status:")
    for name in re.findall(r"^  ([a-z-]+) ", commands, re.MULTILINE):
        texts[name] = ask(name)
    return texts


def faults_of_options(said, documents):
    manual = plain(documents[MANUAL])
    for command in ("", *said.commands):
        called = f"prebake {command}".strip()
        begin = rf"\.SS {called}\b" if command else r"\.SH OPTIONS"
        # The heading is the synopsis; the text below explains the options.
        whole = section(manual, begin, r"\.S[SH] ").replace("\\\n", "")
        heading, _, in_manual = whole.partition("\n")
        if not heading:
            yield f"{MANUAL}: {called} is missing"
        if "REGISTRY OPTIONS" in heading:
            in_manual += section(manual, r"\.SS Registry options", r"\.S[SH] ")
        if command and not re.search(rf"^    {called}\b", documents[README], re.MULTILINE):
            yield f"{README}: {called} is missing from the list of commands"
        for option in said.options[command]:
            if command and set(option) & HELP:
                continue
            for spelling in option:
                if not names(spelling, in_manual):
                    yield f"{MANUAL}: {called}: {spelling} is missing"
            for path in COMPLETIONS:
                if not names(option[-1], offered_in(path, documents[path])):
                    yield f"{path}: {called}: {option[-1]} is missing"


def offered_in(path, text):
    if path.endswith(".fish"):
        return "\n".join(f"--{name}" for name in re.findall(r"^complete .* -l ([a-z-]+)", text,
                                                              re.MULTILINE))
    return text


def faults_of_unknown_options(said, documents):
    known = said.spellings(*said.commands)
    commands = "|".join(map(re.escape, said.commands))
    for path in DOCUMENTS:
        text = plain(documents[path])
        for option in OPTION.findall(offered_in(path, text)):
            if option not in known | FOREIGN:
                yield f"{path}: there is no option {option}"
        # A command with its options ends with the code, the line or the shell command.
        for command, rest in re.findall(rf"\bprebake ({commands})\b([^`|;&#\n]*)", text):
            for option in OPTION.findall(rest):
                if option not in said.spellings(command):
                    yield f"{path}: prebake {command} has no option {option}"


def faults_of_statuses(said, documents):
    wanted = said.statuses()
    if set(wanted) != {"0", "1", "2", "3", "4", "5", "130", "143"}:
        yield f"--help: its exit statuses are {sorted(wanted)}"
    page = section(plain(documents[MANUAL]), r"\.SH EXIT STATUS", r"\.SH ")
    in_manual = {number: words(text) for number, text in
                 re.findall(r"^\.B (\d+)\n(.*?)(?=^\.)", page, re.MULTILINE | re.DOTALL)}
    for number, text in wanted.items():
        if in_manual.get(number) != text:
            yield f"{MANUAL}: exit status {number} is not \"{text}\", as --help says"
    for number in set(in_manual) - set(wanted):
        yield f"{MANUAL}: --help has no exit status {number}"


def keys_of(text, table_line, key_line):
    keys, table = {}, ""
    for line in text.split("\n"):
        if match := re.match(table_line, line):
            table = match[1]
        elif match := re.match(key_line, line):
            keys[f"{table}.{match[1]}"] = match[2]
    return keys


def faults_of_keys(documents):
    keys = keys_of(documents[CONFFILE], r"\[(\w+)\]$", r"#(\w+) = (.*)$")
    page = section(documents[KEYS_PAGE], r"\.SH KEYS", r"\.SH ")
    listed = keys_of(plain(page), r"\.SS \[(\w+)\]$", r"(\w+) = (.*)$")
    for key in sorted(keys.keys() | listed.keys()):
        if keys.get(key) != listed.get(key):
            yield (f"{KEYS_PAGE}: {key} = {listed.get(key)}, but {CONFFILE} says "
                   f"{keys.get(key)}")
    tables = "|".join({key.partition(".")[0] for key in keys})
    for path in DOCUMENTS:
        text = plain(documents[path])
        for table, key in re.findall(rf"(?<![\w./-])({tables})\.([a-z_]+)\b(?![./-])", text):
            if key not in NO_KEYS and f"{table}.{key}" not in keys:
                yield f"{path}: there is no key {table}.{key}"
    for block in re.findall(r"^```toml\n(.*?)^```", documents[README],
                            re.MULTILINE | re.DOTALL):
        for key in keys_of(block, r"\[+(\w+)\]+", r"(\w+) = (.*)"):
            if key not in keys and not key.startswith(("image.", "trust.")):
                yield f"{README}: there is no key {key}"


def faults_of_units(units, documents):
    text = plain(documents[UNITS_PAGE] + documents[SEAL_PAGE])
    for unit in units:
        if unit not in text:
            yield f"{UNITS_PAGE}: {unit} is missing"


def faults_of_variables(said, given, documents):
    manual = section(documents[MANUAL], r"\.SH ENVIRONMENT", r"\.SH ")
    for variable in said.variables():
        if not names(variable, manual):
            yield f"{MANUAL}: {variable} is missing"
    for variable in set(re.findall(r"\bCONTAINERD_[A-Z]+\b", manual)) - said.variables():
        yield f"{MANUAL}: --help has no variable {variable}"
    listed = set(re.findall(r"\bPREBAKE_[A-Z0-9_]+\b", documents[SEAL_PAGE]))
    for variable in given ^ listed:
        where = "is not given to executables" if variable in listed else "is missing"
        yield f"{SEAL_PAGE}: {variable} {where}"


def faults_of_links(documents):
    """Links to files of the repository."""
    for path in (README, SSM_PAGE):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", documents[path]):
            if not (tree.TOP / path).parent.joinpath(link).exists():
                yield f"{path}: there is no file {link}"


def faults_of(texts, units, given, documents):
    said = Help(texts)
    return sorted({*faults_of_options(said, documents),
                   *faults_of_unknown_options(said, documents),
                   *faults_of_statuses(said, documents),
                   *faults_of_keys(documents),
                   *faults_of_units(units, documents),
                   *faults_of_variables(said, given, documents),
                   *faults_of_links(documents)})


def self_test(texts, units, given, documents):
    """Each row changes one text; one of the findings must then contain its last column."""
    rows = (
        (README, "[--deep] [--repair] [--sealed]", "[--shallow]", "no option --shallow"),
        (README, "    prebake daemon ", "    prebake demon ", "prebake daemon is missing"),
        (README, "verify --deep", "verify --check", "verify has no option --check"),
        (README, "min_free = ", "min_fre = ", "no key guard.min_fre"),
        (README, "`readiness.gates`", "`readiness.gate`", "no key readiness.gate"),
        (README, "(packaging/dependencies)", "(packaging/depends)", "no file packaging/depends"),
        (SSM_PAGE, "--targets", "--target-list", "no option --target-list"),
        (MANUAL, ".B \\-\\-sealed", ".B \\-\\-json", "prebake verify: --sealed"),
        (MANUAL, "\\-\\-log\\-level", "\\-\\-loglevel", "--log-level is missing"),
        (MANUAL, ".SS prebake daemon", ".SS prebake demon", "prebake daemon is missing"),
        (MANUAL, "\nwrong usage: ", "\nmisuse: ", "exit status 2"),
        (MANUAL, ".B 143", ".B 144", "no exit status 144"),
        (MANUAL, "CONTAINERD_SNAPSHOTTER", "CONTAINERD_SNAP", "no variable CONTAINERD_SNAP"),
        (MANUAL, "readiness.deadline", "readiness.limit", "no key readiness.limit"),
        (SEAL_PAGE, "PREBAKE_ZONE", "PREBAKE_PLACE", "PREBAKE_PLACE is not given"),
        (KEYS_PAGE, "\"10m\"", "\"11m\"", "readiness.deadline = \"11m\""),
        (CONFFILE, "#attempts = 5\n", "", "registry.attempts"),
        (CONFFILE, "#attempts = 5", "#attempts = 6", "registry.attempts"),
        (UNITS_PAGE, "wait\\-ready.service", "ready", "prebake-wait-ready.service is missing"),
        ("packaging/completions/prebake.bash", "--kubelet-root", "--root", "--kubelet-root"),
        ("packaging/completions/_prebake", "--disarm", "--unarm", "no option --unarm"),
        ("packaging/completions/prebake.fish", "-l dry-run", "-l dryrun", "no option --dryrun"),
        ("CHANGELOG.md", "`--dry-run`", "`--simulate`", "no option --simulate"),
    )
    wrong = []
    for path, old, new, expected in rows:
        if old not in documents[path]:
            wrong.append(f"{path}: {old!r} was not found")
            continue
        broken = documents | {path: documents[path].replace(old, new)}
        found = faults_of(texts, units, given, broken)
        if not any(expected in fault for fault in found):
            wrong.append(f"{path}: {old!r} as {new!r}: {expected!r} is not among {found}")
    unlisted = faults_of(texts | {"": texts[""].replace("  --json", "  --jason")}, units, given,
                         documents)
    if not any("--jason is missing" in fault for fault in unlisted):
        wrong.append(f"a new option: not among {unlisted}")
    if not faults_of(texts, [*units, "prebake-new.service"], given, documents):
        wrong.append("a new unit is not found")
    return wrong, len(rows) + 2


def main():
    texts = ask_for_help(os.environ["PREBAKE"])
    documents = {path: (tree.TOP / path).read_text() for path in DOCUMENTS}
    documents[KEYS_PAGE] = pathlib.Path(os.environ["PAGES"], KEYS_PAGE).read_text()
    units = [path.name for path in sorted((tree.TOP / "systemd").iterdir())
             if path.suffix in (".service", ".target")]
    given = {variable for room in ("identity", "machine")
             for path in (tree.TOP / "agent" / room).rglob("*.cc")
             for variable in re.findall(r'"(PREBAKE_[A-Z0-9_]+)"', path.read_text())}
    if sys.argv[1:] == ["--self-test"]:
        wrong, rows = self_test(texts, units, given, documents)
        tree.report(wrong, rows, "self-test of the documentation lint")
    tree.report(faults_of(texts, units, given, documents), len(documents), "documentation")


if __name__ == "__main__":
    main()
