#!/usr/bin/python3
"""The completions, called as each shell calls them. PREBAKE is the program, whose identity items
they offer."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

COMPLETIONS = pathlib.Path(__file__).resolve().parents[2] / "packaging/completions"
SECONDS = 600  # for one shell; a limit for hangs

COMMANDS = {"plan", "bake", "verify", "images", "seal", "firstboot", "status", "daemon",
            "kubelet-config", "ecs-config", "record", "config", "help", "version"}

# What is typed, what must be offered, and what must not be offered.
ROWS = (
    ("prebake ", COMMANDS, {"--file", "auto"}),
    ("prebake ba", {"bake"}, {"plan"}),
    ("prebake --namespace moby se", {"seal"}, {"status"}),
    ("prebake --log-level ", {"error", "warn", "info", "debug"}, COMMANDS),
    ("prebake --v", {"--version"}, set()),
    ("prebake plan --", {"--file", "--platform", "--lock", "--json"}, {"--progress", "--deep"}),
    ("prebake plan -f some.l", {"some.list"}, {"some-directory/"}),
    ("prebake plan --lock some.l", {"some.list"}, set()),
    ("prebake plan --authfile some.l", {"some.list"}, set()),
    ("prebake bake --image-cred", {"--image-credential-provider-config",
                                   "--image-credential-provider-bin-dir"}, {"--authfile"}),
    ("prebake verify --hosts-dir some", {"some-directory/"}, {"some.list"}),
    ("prebake --config some.l", {"some.list"}, set()),
    ("prebake bake --pro", {"--progress"}, {"--platform"}),
    ("prebake bake --progress ", {"auto", "tty", "plain", "json", "none"}, {"text"}),
    ("prebake bake --progress=p", {"plain"}, {"auto"}),
    ("prebake bake -n m", {"moby"}, {"k8s.io"}),
    ("prebake verify --", {"--deep", "--repair", "--sealed", "--snapshotter"}, {"--file"}),
    ("prebake seal --", {"--check", "--list", "--at-shutdown", "--disarm", "--root", "--dry-run",
                         "--yes", "--only", "--skip", "--also"}, {"--armed", "--file"}),
    ("prebake seal --root some", {"some-directory/"}, {"some.list"}),
    ("prebake seal --only ssh-h", {"ssh-host-keys"}, {"machine-id"}),
    ("prebake seal --skip ssh-host-keys,machine", {"machine-id"}, {"hosts"}),
    ("prebake record --", {"--for", "--until-ready", "--boot", "--net-host", "--output"},
     {"--file", "--wait"}),
    ("prebake record -o some.l", {"some.list"}, set()),
    ("prebake images --js", {"--json"}, set()),
    ("prebake config ", {"check"}, {"plan"}),
    ("prebake help ver", {"verify", "version"}, {"plan"}),
    ("prebake version --verb", {"--verbose"}, {"--version"}),
    ("prebake firstboot --o", {"--online"}, set()),
    ("prebake status --f", {"--format"}, set()),
    ("prebake status --format ", {"text", "json", "brief", "prometheus"}, {"plain"}),
    ("prebake status --format=js", {"json"}, {"text"}),
    ("prebake kubelet-config --k", {"--kubernetes", "--kubelet-root"}, {"--check"}),
    ("prebake ecs-config --", {"--check", "--write", "--root", "--json"}, {"--kubelet-root"}),
    ("prebake ecs-config --root some", {"some-directory/"}, {"some.list"}),
)

# Each shell starts once and completes all lines. It ends what it offers for a line with this line.
END_OF_LINE = "\x1e"

# As readline calls a completion: the line is split into words, and "=" is a word. \x1f ends a word.
BASH = r"""
source "$1/prebake.bash"
complete -p prebake | grep -q -- '-F _prebake prebake' || exit 1
for line in "${@:2}"; do
    mapfile -t -d $'\x1f' COMP_WORDS < <(printf %s "$line")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _prebake
    for word in "${COMPREPLY[@]}"; do
        if [ -d "$word" ]; then echo "$word/"; else echo "$word"; fi
    done
    echo $'\x1e'
done
"""

FISH = r"""
source $argv[1]/prebake.fish
for line in $argv[2..-1]
    complete -C $line | string split --fields 1 \t
    echo \x1e
end
true # string fails if there was nothing to split
"""

# A shell in its own terminal, in which a key completes and prints what compadd got. Calls that only
# query matches (-O, -A, -D) are passed through. Matches are not listed: a long list asks first.
ZSH_INSIDE = r"""
PS1= PS2=
setopt NO_AUTO_LIST NO_AUTO_MENU
fpath=($COMPLETIONS $fpath)
autoload -Uz compinit
compinit -u -D
zstyle ':completion:*' completer _complete
compadd() {
    local -a matches
    local to=${@[(i)(-|--)]}
    if [[ ${@[1,$to]} == *-[OAD]* ]]; then
        builtin compadd "$@"
        return
    fi
    builtin compadd -O matches "$@"
    local match
    for match in $matches; do
        print -r -- "MATCH<$match>"
    done
    builtin compadd "$@"
}
tell() { zle complete-word; zle kill-whole-line; print -r -- "THE-""END" }
zle -C complete-word complete-word _main_complete
zle -N tell
bindkey '^T' tell
print READY-TO-COMPLETE
"""
ZSH = r"""
zmodload zsh/zpty
zpty inside zsh -f -i
zpty -w inside "source $1"
zpty -r -m inside line '*READY-TO-COMPLETE*'
for typed in "${@:2}"; do
    zpty -w -n inside "$typed"$'\x14'
    zpty -r -m inside line '*THE-END*'
    print -r -- "$line"
    print $'\x1e'
done
zpty -d inside
"""


def run(arguments, directory, environment):
    """What a shell offers for each line."""
    result = subprocess.run(arguments, cwd=directory, env=environment, capture_output=True,
                            text=True, timeout=SECONDS, check=False)
    parts = result.stdout.split(END_OF_LINE)[:-1]
    if result.returncode != 0 or result.stderr or len(parts) != len(ROWS):
        raise SystemExit(f"completions: {arguments[0]} ended with {result.returncode} after "
                         f"{len(parts)} of {len(ROWS)} lines: {result.stderr or result.stdout}")
    return parts


def offered_by_bash(lines, directory, environment):
    words = [[word for part in line.split(" ") for word in re.split("(=)", part)]
             for line in lines]
    rows = ["".join(word + "\x1f" for word in row) for row in words]
    parts = run(["bash", "--norc", "-c", BASH, "bash", COMPLETIONS, *rows], directory, environment)
    return [{word.rpartition(",")[2] for word in part.split()} for part in parts]


def offered_by_fish(lines, directory, environment):
    parts = run(["fish", "--no-config", "-c", FISH, COMPLETIONS, *lines], directory, environment)
    return [{re.split("[,=]", word)[-1] for word in part.split("\n") if word} for part in parts]


def offered_by_zsh(lines, directory, environment):
    script = pathlib.Path(environment["HOME"]) / "inside.zsh"
    script.write_text(ZSH_INSIDE)
    parts = run(["zsh", "-f", "-c", ZSH, "zsh", script, *lines], directory,
                environment | {"COMPLETIONS": str(COMPLETIONS)})
    return [{name + "/" if (directory / name).is_dir() else name
             for name in re.findall("MATCH<(.*?)>", part)} for part in parts]


SHELLS = {"bash": offered_by_bash, "fish": offered_by_fish, "zsh": offered_by_zsh}


def main():
    program = pathlib.Path(os.environ["PREBAKE"])
    findings = 0
    with tempfile.TemporaryDirectory() as name:
        home, directory = pathlib.Path(name, "home"), pathlib.Path(name, "here")
        home.mkdir()
        (directory / "some-directory").mkdir(parents=True)
        (directory / "some.list").touch()
        pathlib.Path(name, "bin").mkdir()
        pathlib.Path(name, "bin/prebake").symlink_to(program.resolve())
        environment = {"HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8",
                       "PATH": f"{name}/bin:/usr/bin:/bin"}
        for shell, offered_by in SHELLS.items():
            all_offered = offered_by([row[0] for row in ROWS], directory, environment)
            for (line, wanted, unwanted), offered in zip(ROWS, all_offered):
                wrong = {"missing": wanted - offered, "too many": unwanted & offered}
                for what, words in wrong.items():
                    if words:
                        print(f"{shell}: {line!r}: {what}: {', '.join(sorted(words))}; "
                              f"offered: {', '.join(sorted(offered)) or 'nothing'}")
                        findings += 1
    print(f"completions: {len(SHELLS)} shells, {len(ROWS)} lines, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
