"""Hydration in what the daemon reports. prebake-hydrate.service's file is written by the test."""

import datetime
import json
import os
import pathlib
import subprocess
import time

import harness
import node
from daemons import wait_until

MIB = 1 << 20


def stamp(seconds=None):
    moment = datetime.datetime.fromtimestamp(time.time() if seconds is None else seconds,
                                             datetime.timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")


class HydrationStatus(node.NodeTest):
    def setUp(self):
        super().setUp()
        self.reference = self.registry.serve(f"{self.repository}/one", self.runnable("one"))
        self.bake_node((self.reference, {}))
        self.claimed()
        self.plan = self.state / "hydration-plan.json"
        self.plan_of_an_earlier_boot()
        self.progress = self.directory / "run/hydration.json"

    def plan_of_an_earlier_boot(self):
        self.plan.write_text(json.dumps({"schema": "prebake.v1.HydrationPlan"}))
        os.utime(self.plan, (1_700_000_000, 1_700_000_000))

    def write(self, state, warm=0, **fields):
        """As the service does: a new file takes the place of the old one."""
        document = {
            "schema": "prebake.v1.Hydration", "state": state, "updatedAt": stamp(),
            "bootId": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "seconds": 96 if state == "hydrated" else 5,
            "ranks": [{"rank": "TRACED", "bytes": 310 * MIB, "totalBytes": 310 * MIB,
                       "seconds": 2.2},
                      {"rank": "IMAGES", "bytes": warm * MIB, "totalBytes": 690 * MIB,
                       "seconds": 3}],
            "volumes": [{"device": "/dev/nvme0n1p1", "lazy": True,
                         "depth1BytesPerSecond": 6 * MIB, "peakBytesPerSecond": 140 * MIB,
                         "peakDepth": 32, "coldReads": 700, "throttledMicroseconds": 2_500_000}],
            **fields}
        self.progress.parent.mkdir(exist_ok=True)
        new = self.progress.with_suffix(".new")
        new.write_text(json.dumps(document))
        new.rename(self.progress)

    def until_reason(self, daemon, reason):
        daemon.until(lambda: daemon.condition("Hydrated")["reason"] == reason, reason)
        return daemon.condition("Hydrated")

    def test_from_the_boot_until_it_is_done(self):
        daemon = self.daemon()
        condition = daemon.condition("Hydrated")
        self.assertEqual((condition["status"], condition["reason"]), ("Unknown", "NotRun"))
        self.assertIn("systemctl start prebake-hydrate", condition["nextStep"])
        self.assertFalse(condition.get("gatesReadiness", False))
        self.assertEqual(daemon.status()["verdict"], "ready")

        self.write("hydrating", warm=320, bytesPerSecond=131 * MIB, etaSeconds=18, depth=24)
        condition = self.until_reason(daemon, "Hydrating")
        self.assertEqual(condition["status"], "False")
        status = daemon.status()
        self.assertEqual(status["verdict"], "ready", "a node that gets faster is not degraded")
        self.assertEqual(status["hydration"]["bytes"], 630 * MIB)
        text = self.prebake("status")
        self.assertEqual(text.code, 0, text)
        self.assertRegex(text.stdout,
                         r"\nHydration +63% \(630.0 MiB of 1000.0 MiB\), 131.0 MiB/s, 18.0 s left; "
                         r"cold: 6.0 MiB/s at depth 1, 140.0 MiB/s at 32\n")
        metrics = daemon.get("/metrics")[1]
        for line in ('prebake_hydration_state{state="hydrating"} 1',
                     f'prebake_hydration_bytes{{rank="traced"}} {310 * MIB}',
                     f'prebake_hydration_total_bytes{{rank="images"}} {690 * MIB}',
                     "prebake_hydration_depth 24", "prebake_cold_reads_total 700",
                     "prebake_throttled_seconds_total 2.5"):
            self.assertIn(line + "\n", metrics)
        checked = subprocess.run(["promtool", "check", "metrics"], input=metrics, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((checked.returncode, checked.stdout.strip()), (0, ""))

        self.write("hydrated", warm=690, tracedAt=stamp())
        self.until_reason(daemon, "Hydrated")
        self.assertRegex(self.prebake("status").stdout,
                         r"\nHydrated +hot 310.0 MiB in 2.2 s, all 1000.0 MiB in 1 min 36 s;")

    def test_waiting_for_hydration(self):
        daemon = self.daemon()
        self.write("hydrating")
        self.until_reason(daemon, "Hydrating")
        not_yet = self.prebake("status", "--for=hydrated")
        self.assertEqual(not_yet.code, harness.NOT_READY, not_yet)
        self.assertIn("not hydrated: reading ahead", not_yet.stderr)
        self.assertEqual(self.prebake("status", "--for=hydrated", "--wait=1").code,
                         harness.NOT_READY)
        waiting = self.start("status", "--wait=600", "--for=hydrated", "--json")
        wait_until(lambda: daemon.connections() >= 2, "status is connected")
        self.write("hydrated", warm=690)
        result = waiting.wait()
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.json["hydration"]["state"], "hydrated")
        self.assertEqual(self.prebake("status", "--for=hydrated", "--brief").code, 0)

    def test_waiting_ends_when_there_is_nothing_to_hydrate(self):
        for state, reason in (("not_needed", "NotNeeded"), ("off", "SwitchedOff"),
                              ("no_plan", "NoPlan")):
            with self.subTest(state):
                self.write(state)
                daemon = self.daemon()
                self.assertEqual(daemon.condition("Hydrated")["reason"], reason)
                self.assertEqual(self.prebake("status", "--wait=600", "--for=hydrated").code, 0)
                daemon.stop()

    def test_waiting_ends_at_once_if_it_is_in_vain(self):
        daemon = self.daemon()
        for state, reason in (("incomplete", "HydrationIncomplete"), ("failed", "HydrationFailed")):
            with self.subTest(state):
                self.write("hydrating")
                self.until_reason(daemon, "Hydrating")
                waiting = self.start("status", "--wait=600", "--for=hydrated")
                wait_until(lambda: daemon.connections() >= 2, "status is connected")
                self.write(state, message="I/O error", nextStep="look at the disk")
                result = waiting.wait()
                self.assertEqual(result.code, harness.PARTIAL, result)
                self.assertIn("I/O error; look at the disk", result.stderr)
                self.assertEqual(daemon.condition("Hydrated")["reason"], reason)
                self.assertEqual(daemon.status()["verdict"], "degraded")

    def test_without_a_daemon_it_is_not_known(self):
        self.daemon().stop()
        self.write("hydrated", warm=690)
        result = self.prebake("status", "--for=hydrated")
        self.assertEqual(result.code, harness.NOT_READY, result)
        self.assertEqual(self.prebake("status", "--for=hydrated", "--brief").code, 2)

    def test_a_service_that_was_killed(self):
        self.write("hydrating", warm=320, updatedAt=stamp(time.time() - 31))
        daemon = self.daemon()
        condition = daemon.condition("Hydrated")
        self.assertEqual((condition["status"], condition["reason"]), ("False", "HydrationStopped"))
        self.assertIn("ended at 60%", condition["message"])
        self.assertEqual(daemon.status()["verdict"], "degraded")
        # It is started again, and goes on.
        self.write("hydrating", warm=320)
        self.until_reason(daemon, "Hydrating")

    def test_it_may_gate(self):
        gates = '[readiness]\ngates = ["ImagesPresent", "Hydrated"]\n[guard]\nmin_free = "0"\n'
        self.write("hydrating")
        daemon = self.daemon(ready=False, config=gates)
        daemon.until_verdict("not_ready")
        self.assertEqual(daemon.condition("Hydrated")["reason"], "Hydrating")
        self.assertIn("[-]Hydrated failed: Hydrating", daemon.get("/readyz")[1])
        self.write("hydrated", warm=690)
        daemon.until_ready()

    def test_a_bake_of_this_boot_needs_none(self):
        self.plan.unlink()
        daemon = self.daemon()
        self.assertEqual(daemon.condition("Hydrated")["reason"], "NoPlan")
        self.plan.write_text("{}")
        self.until_reason(daemon, "WrittenInThisBoot")
        self.plan_of_an_earlier_boot()
        self.until_reason(daemon, "NotRun")

    def test_a_file_that_cannot_be_read(self):
        self.write("hydrating")
        daemon = self.daemon()
        self.progress.write_text("{")
        condition = self.until_reason(daemon, "ProgressUnreadable")
        self.assertIn("hydration.json", condition["message"])
        self.write("hydrated", warm=690, bootId="another boot")
        self.until_reason(daemon, "NotRun")

    def test_first_starts_with_and_without(self):
        other = self.registry.serve(f"{self.repository}/other", self.runnable("other"))
        self.bake_node((self.reference, {}), (other, {}))
        self.plan_of_an_earlier_boot()
        daemon = self.daemon()
        self.write("hydrating")
        self.until_reason(daemon, "Hydrating")
        pod = self.pod("first")
        self.start_container(pod, "first", self.reference)
        daemon.until(lambda: daemon.ledger().get("firstStarts", {}).get("cold") == 1,
                     "the first start is timed")
        entry, = (image for image in daemon.ledger()["images"] if image["name"] == self.reference)
        self.assertGreater(entry["firstStartSeconds"], 0)
        self.assertFalse(entry["firstStartHydrated"])
        self.assertIn('prebake_first_starts_total{hydrated="false"} 1\n', daemon.get("/metrics")[1])
        self.assertNotIn("First starts", self.prebake("status").stdout)

        # A restart of the daemon forgets nothing.
        daemon.stop()
        self.write("hydrated", warm=690, tracedAt=stamp())
        daemon = self.daemon()
        self.start_container(pod, "again", self.reference)
        self.start_container(pod, "second", other)
        daemon.until(lambda: daemon.ledger()["firstStarts"].get("hydrated") == 1,
                     "the first start of the other image is timed")
        self.assertEqual(daemon.ledger()["firstStarts"]["cold"], 1)
        self.assertRegex(self.prebake("status").stdout,
                         r"\nFirst starts +after hydration .* \(1 image\), before it .* \(1 ")


if __name__ == "__main__":
    harness.main()
