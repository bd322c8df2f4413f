#!/usr/bin/python3
"""prebake-hydrate.service under a real systemd, with its sandbox, on a disk that loads lazily."""

import json
import os
import pathlib
import stat
import subprocess
import unittest

from booted import BootTest, enable
from daemons import ADMIN_PATH
from slow_disk import CHUNK_BYTES, SlowDisk

HYDRATE, TARGET = "prebake-hydrate.service", "prebake-hydrated.target"
WAIT = "prebake-wait-hydrated.service"
PLAN = "/var/lib/prebake/hydration-plan.json"
PROGRESS = "/run/prebake/hydration.json"
CHUNKS = 128
PLANNED = (70, 40)  # the first one, and how many


class HydrateUnitsTest(BootTest):
    def machine_with(self, plan):
        machine = self.make_first_machine(self.id().rpartition(".")[2])
        enable(machine, "preset", HYDRATE)
        if plan:
            machine.write(PLAN, json.dumps(plan))
        return machine

    def test_without_a_plan_nothing_is_read_or_waited_for(self):
        booted = self.machine_with(None).boot()
        self.assertEqual(booted.properties(HYDRATE, "ConditionResult", "ActiveState"),
                         {"ConditionResult": "no", "ActiveState": "inactive"})
        booted.run("systemctl", "start", TARGET)
        booted.run("systemctl", "is-active", TARGET)

    def test_it_runs_early_and_holds_nobody_back(self):
        plan = {"schema": "prebake.v1.HydrationPlan", "volumes": [
            {"uuid": "0c7f1e4a-0000-4000-8000-000000000000", "type": "ext4", "mountPoint": "/gone",
             "bytes": CHUNK_BYTES * 8, "chunkBytes": CHUNK_BYTES,
             "parts": [{"rank": "METADATA", "chunks": 1, "runs": [1, 1]}]}]}
        booted = self.machine_with(plan).boot()
        self.assertLess(booted.begun_at(HYDRATE), booted.begun_at("ssh.service"))
        self.assertEqual(booted.properties(HYDRATE, "Result"), {"Result": "success"})
        # Its volume is absent, which is no failure of the machine.
        self.assertEqual(json.loads(booted.run("cat", PROGRESS))["state"], "incomplete")
        self.assertNotIn("ordering cycle", booted.log_of_systemd())

    def test_the_target_is_not_reached_if_parts_were_not_read(self):
        plan = {"schema": "prebake.v1.HydrationPlan", "volumes": [
            {"uuid": "0c7f1e4a-0000-4000-8000-000000000000", "chunkBytes": 1}]}
        booted = self.machine_with(plan).boot(expected="degraded")
        progress = json.loads(booted.run("cat", PROGRESS))
        self.assertEqual(progress["state"], "failed")
        # In a container, the daemon's sandbox shows it the boot ID of the host.
        progress["bootId"] = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        booted.run("systemctl", "mask", "--runtime", HYDRATE)
        (booted.seen_from_outside / PROGRESS.lstrip("/")).write_text(json.dumps(progress))
        self.assertNotEqual(booted.run_raw("systemctl", "start", TARGET).returncode, 0)
        self.assertEqual(booted.properties(WAIT, "Result", "ExecMainStatus"),
                         {"Result": "exit-code", "ExecMainStatus": "3"}, booted.journal(WAIT))
        self.assertEqual(booted.properties(TARGET, "ActiveState"), {"ActiveState": "inactive"})

    def test_its_sandbox_lets_it_read_a_device(self):
        machine = self.machine_with(None)
        with SlowDisk(CHUNKS * CHUNK_BYTES, latency_ms=20) as disk:
            (disk.path / "sentinel").write_bytes(b"s" * 8192)
            os.sync()
            uuid = subprocess.run(["blkid", "-p", "-o", "value", "-s", "UUID", disk.device],
                                  check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            disk.cool()
            where = machine.path("/data")
            where.mkdir()
            subprocess.run(["mount", "--bind", disk.path, where], check=True)
            try:
                booted = machine.boot()
                self.hydrate(booted, disk, uuid, self.place_of(disk.path / "sentinel"))
                booted.power_off()
            finally:
                subprocess.run(["umount", where], check=True)

    def place_of(self, file):
        said = subprocess.run(["filefrag", "-v", "-b1024", file], check=True, text=True,
                              stdout=subprocess.PIPE, env={"PATH": ADMIN_PATH}).stdout
        first = next(line for line in said.splitlines() if line.strip().startswith("0:"))
        return int(first.split(":")[2].split("..")[0]) * 1024

    def hydrate(self, booted, disk, uuid, place):
        # A container has no block devices of its own.
        number = pathlib.Path(disk.device).stat().st_rdev
        booted.run("mknod", disk.device, "b", str(os.major(number)), str(os.minor(number)))
        self.assertTrue(stat.S_ISBLK(pathlib.Path(disk.device).stat().st_mode))
        booted.write("/etc/prebake/conf.d/hydrate.toml", '[hydrate]\nmode = "on"\n')
        booted.write(PLAN, json.dumps({"schema": "prebake.v1.HydrationPlan", "volumes": [
            {"uuid": uuid, "type": "ext4", "mountPoint": "/data", "bytes": CHUNKS * CHUNK_BYTES,
             "chunkBytes": CHUNK_BYTES,
             "sentinels": [{"path": "/data/sentinel", "size": 8192, "offset": place}],
             "parts": [{"rank": "IMAGES", "chunks": PLANNED[1], "runs": list(PLANNED)}]}]}))
        booted.run("systemctl", "start", "--wait", HYDRATE)
        report = json.loads(booted.run("cat", PROGRESS))
        journal = booted.journal(HYDRATE)
        self.assertEqual(report["state"], "hydrated", (report, journal))
        self.assertEqual(report["method"], "io_uring", journal)
        touched = {chunk for _, chunk, _, _ in disk.touched()}
        self.assertTrue(set(range(PLANNED[0], sum(PLANNED))) <= touched)
        self.assertEqual(booted.properties(HYDRATE, "Result"), {"Result": "success"})


if __name__ == "__main__":
    unittest.main()
