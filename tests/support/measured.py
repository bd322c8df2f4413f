"""What a command and the containerd that it talks to cost."""

import dataclasses
import json
import os
import pathlib
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Cost:
    seconds: float  # until the command ended
    synced_seconds: float  # until everything was on the disk, too
    client_cpu: float
    daemon_cpu: float
    client_rss: int
    daemon_rss: int
    code: int

    @property
    def cpu(self):
        return self.client_cpu + self.daemon_cpu

    def to_dict(self):
        return {**dataclasses.asdict(self), "cpu": self.cpu}


def cpu_seconds(pid):
    """Of the process and of the children that it has waited for, such as unpigz."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def peak_rss(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no peak of memory for process {pid}")


def measure(command, daemon, sync, log, environment):
    """Runs the command; its output goes to the file `log`. `sync` is called after it."""
    pathlib.Path(f"/proc/{daemon}/clear_refs").write_text("5")  # the peak counts from here
    before = cpu_seconds(daemon)
    started = time.monotonic()
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   env=environment)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    ended = time.monotonic()
    sync()
    return Cost(ended - started, time.monotonic() - started, usage.ru_utime + usage.ru_stime,
                cpu_seconds(daemon) - before, usage.ru_maxrss * 1024, peak_rss(daemon),
                process.returncode)


# Stages ----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Stage:
    name: str
    busy: float = 0.0  # seconds in which it ran at least once
    total: float = 0.0  # sum of all that ran, also at the same time


def stages(spans):
    """Sums up spans (name, begin, end), in seconds."""
    by_name = {}
    for name, begin, end in spans:
        by_name.setdefault(name, []).append((begin, end))
    found = []
    for name, times in by_name.items():
        stage, until = Stage(name), float("-inf")
        for begin, end in sorted(times):
            stage.total += end - begin
            stage.busy += max(end - max(begin, until), 0)
            until = max(until, end)
        found.append(stage)
    return found


def spans_of_trace(text):
    """Of `prebake bake --trace`: one JSON object a line, with `stage`, `begin` and `end`."""
    lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [(line["stage"], line["begin"], line["end"]) for line in lines]


def _seconds(text):
    """Of an RFC 3339 time of today: only differences are used."""
    hours, minutes, rest = text.partition("T")[2].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def spans_of_progress(text, started, ended):
    """Of `prebake bake --progress json`, for a prebake without --trace. `started` and `ended` are
    times of the clock."""
    midnight = started - started % 86400
    spans, open_since = [], {}
    last = first = None
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        now = midnight + _seconds(event["time"])
        kind, layer = event["event"], event.get("layer", "")
        first = now if first is None else first
        last = now
        if kind in ("fetching", "unpacking"):
            open_since.setdefault((kind, layer), now)
        elif kind in ("fetched", "unpacked"):
            began = {"fetched": "fetching", "unpacked": "unpacking"}[kind]
            begin = open_since.pop((began, layer), None)
            if begin is not None:
                spans.append((began, begin, now))
    if first is not None:
        spans += [("before the first image", started, first), ("after the last image", last, ended)]
    return spans
