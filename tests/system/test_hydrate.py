#!/usr/bin/python3
"""prebake hydrate on a disk that loads lazily, with plans that are written by hand.

No upper limit of a time is checked: the tests hold on a busy machine, too.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest
import uuid

import harness
import hydrators
import oci_image
import registry
import scratch_disk
from daemons import ADMIN_PATH, Containerd, wait_until
from harness import DONE, FAILED, PARTIAL, TERMINATED, Running
from slow_disk import CHUNK_BYTES, SlowDisk

CHUNKS = 256
AN_HOUR = 3600
MOST_RSS_KIB = 40 << 10
METADATA, TRACED, IMAGES, BOOT = "METADATA", "TRACED", "IMAGES", "BOOT"
# Chunks of which ext4 uses none on a disk of this size. Ranks in the order of reading.
PARTS = ((METADATA, ((200, 4),)), (TRACED, ((101, 1), (103, 1), (110, 10))),
         (IMAGES, ((40, 30), (120, 50))))
PLANNED = {chunk for _, runs in PARTS for first, count in runs
           for chunk in range(first, first + count)}


def gaps(runs):
    """Runs as documents have them."""
    numbers, end = [], 0
    for first, count in runs:
        numbers += [first - end, count]
        end = first + count
    return numbers


def place_of(file):
    """Offset of the first byte of a file on its file system's device."""
    said = subprocess.run(["filefrag", "-v", "-b1024", file], check=True, stdout=subprocess.PIPE,
                          text=True, env={"PATH": ADMIN_PATH}).stdout
    first = next(line for line in said.splitlines() if line.strip().startswith("0:"))
    return int(first.split(":")[2].split("..")[0]) * 1024


class HydrateTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        scratch_disk.private_mounts()

    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="prebake-hydrate-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.state, self.runtime = self.home / "state", self.home / "run"
        self.state.mkdir()

    # The disk and its plan

    def disk(self, parts=PARTS, **settings):
        settings = {"latency_ms": 30, "bandwidth": 0, **settings}
        disk = SlowDisk(CHUNKS * CHUNK_BYTES, **settings)
        self.addCleanup(disk.close)
        (disk.path / "sentinel").write_bytes(b"s" * 8192)
        (disk.path / "images").mkdir()
        for number in range(20):
            (disk.path / "images" / str(number)).write_bytes(os.urandom(200_000))
        os.sync()
        self.plan(disk.path, disk.device, parts)
        self.cool(disk)
        return disk

    def cool(self, disk):
        disk.cool()
        # The file system's own blocks, which are read to find out whether the plan holds.
        subprocess.run(["blkid", "-p", disk.device], check=True, stdout=subprocess.DEVNULL)
        os.stat(disk.path / "sentinel")
        place_of(disk.path / "sentinel")
        self.before = {touch[1] for touch in disk.touched()}
        self.assertFalse(self.before & PLANNED)

    @staticmethod
    def uuid_of(device):
        return subprocess.run(["blkid", "-p", "-o", "value", "-s", "UUID", device], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def plan(self, mount_point, device, parts):
        sentinel = mount_point / "sentinel"
        size = int(subprocess.run(["blockdev", "--getsize64", device], check=True, text=True,
                                  stdout=subprocess.PIPE).stdout)
        volume = {"uuid": self.uuid_of(device), "type": "ext4", "mountPoint": str(mount_point),
                  "bytes": size, "chunkBytes": CHUNK_BYTES,
                  "sentinels": [{"path": str(sentinel), "size": 8192,
                                 "offset": place_of(sentinel)}],
                  "parts": [{"rank": rank, "chunks": sum(count for _, count in runs),
                             "runs": gaps(runs)} for rank, runs in parts]}
        files = [{"rank": METADATA, "paths": [str(sentinel)]},
                 {"rank": IMAGES, "paths": [str(mount_point / "images")]}]
        (self.state / "hydration-plan.json").write_text(json.dumps(
            {"schema": "prebake.v1.HydrationPlan", "volumes": [volume], "files": files}))

    # prebake

    def begin(self, *arguments, mode="auto", settings="", threads=False, wrapper=()):
        config = self.home / "prebake.toml"
        config.write_text(f'[hydrate]\nmode = "{mode}"\n{settings}')
        command = [*wrapper, os.environ["PREBAKE"], "--config", config, "--state-dir", self.state,
                   "hydrate", "--runtime-dir", self.runtime, "--json", *arguments]
        if threads:
            command = ["python3", "-c", "import os, sys, hydrators; hydrators.refuse_io_uring(); "
                       "os.execv(sys.argv[1], sys.argv[1:])", *command]
        environment = {"PATH": ADMIN_PATH, "LANG": "C.UTF-8",
                       "PYTHONPATH": str(pathlib.Path(hydrators.__file__).parent)}
        running = Running([str(word) for word in command], environment, self.home, "")
        self.addCleanup(running.end)
        return running

    def run_prebake(self, disk, *arguments, code=DONE, **options):
        result = self.begin(*arguments, **options).wait(timeout=300)
        self.assertEqual(result.code, code, result)
        return result

    def hydrate(self, disk, *arguments, **options):
        """The report. It is what the progress file has in the end."""
        result = self.run_prebake(disk, *arguments, **options)
        report = result.json
        self.assertEqual(report, self.progress())
        self.assertNotIn("internal error", result.stderr)
        return report

    def progress(self):
        return json.loads((self.runtime / "hydration.json").read_text())

    def touched(self, disk):
        return {touch[1] for touch in disk.touched()} - self.before

    @staticmethod
    def chunks_of(numbers):
        chunks, end = set(), 0
        for gap, count in zip(numbers[::2], numbers[1::2]):
            chunks |= set(range(end + gap, end + gap + count))
            end += gap + count
        return chunks

    def assert_ranks(self, report, parts=PARTS):
        wanted = [(rank, sum(count for _, count in runs) * CHUNK_BYTES) for rank, runs in parts]
        for key in ("bytes", "totalBytes"):
            self.assertEqual([(rank["rank"], rank[key]) for rank in report["ranks"]], wanted)

    # What is read

    def test_what_is_planned_is_read_and_nothing_else(self):
        for whole_chunks in (True, False):
            for threads in (False, True):
                with self.subTest(whole_chunks=whole_chunks, threads=threads):
                    disk = self.disk(whole_chunks=whole_chunks)
                    report = self.hydrate(disk, threads=threads)
                    self.assertEqual(report["state"], "hydrated", report)
                    self.assertEqual(self.touched(disk), PLANNED, report)
                    self.assertEqual(report["method"], "threads" if threads else "io_uring")
                    self.assert_ranks(report)
                    volume, = report["volumes"]
                    self.assertTrue(volume["lazy"], volume)
                    self.assertGreaterEqual(volume["coldSeconds"], 0.03)
                    self.assertTrue(report["tracedAt"])
                    if not whole_chunks:
                        self.assertEqual(report["mode"], "blocks")
                        self.assertGreaterEqual(disk.statistics()["bytes_loaded"],
                                                len(PLANNED) * CHUNK_BYTES)
                    disk.close()

    def test_where_a_small_read_brings_its_chunk_small_reads_suffice(self):
        parts = ((METADATA, ((10, 200),)),)
        disk = self.disk(parts=parts)
        before = disk.statistics()["bytes_read"]
        report = self.hydrate(disk, "--all", mode="on", settings="depth = 8\n")
        if report["mode"] == "touch":  # on a busy machine the probe may see nothing
            self.assertLess(disk.statistics()["bytes_read"] - before, 100 * CHUNK_BYTES)
        self.assertEqual(report["state"], "hydrated")

    def test_ranks_come_in_their_order(self):
        disk = self.disk()
        self.hydrate(disk, "--all", mode="on", settings="depth = 1\n", threads=True)
        order = [chunk for _, chunk, _, _ in disk.touched() if chunk in PLANNED]
        probed = 20  # some of them of all ranks
        ranks = [next(i for i, (_, runs) in enumerate(PARTS)
                      if any(first <= chunk < first + count for first, count in runs))
                 for chunk in order[probed:]]
        self.assertEqual(ranks, sorted(ranks))

    def test_a_warm_disk_is_left_alone(self):
        disk = self.disk()
        disk.warm()
        report = self.hydrate(disk)
        self.assertEqual(report["state"], "not_needed")
        self.assertFalse(report["volumes"][0]["lazy"])
        self.assertFalse(self.touched(disk))

    def test_off_and_no_plan(self):
        disk = self.disk()
        self.assertEqual(self.hydrate(disk, mode="off")["state"], "off")
        (self.state / "hydration-plan.json").unlink()
        self.assertEqual(self.hydrate(disk)["state"], "no_plan")
        self.assertFalse(self.touched(disk))

    def test_a_plan_that_cannot_be_used(self):
        self.disk()
        plan = self.state / "hydration-plan.json"
        whole = plan.read_text()
        for text in ("", "{", whole[:-20], whole.replace("HydrationPlan", "ReadTrace"),
                     whole.replace("prebake.v1", "prebake.v2"),
                     whole.replace('"runs": [200, 4]', '"runs": [200, 4000]')):
            with self.subTest(text[:60]):
                plan.write_text(text)
                result = self.begin().wait()
                self.assertEqual(result.code, FAILED, result)
                self.assertEqual(self.progress()["state"], "failed")
                self.assertTrue(self.progress()["message"])

    # Once

    def test_what_was_read_is_not_read_again(self):
        disk = self.disk()
        self.hydrate(disk)
        # Another boot of the same volume: warm or not, it was read.
        self.cool(disk)
        report = self.hydrate(disk)
        self.assertEqual(report["state"], "hydrated")
        self.assert_ranks(report)
        self.assertFalse(self.touched(disk))
        self.hydrate(disk, "--again")
        self.assertEqual(self.touched(disk), PLANNED)
        # A new plan is other work.
        self.cool(disk)
        self.plan(disk.path, disk.device, PARTS[:2])
        self.hydrate(disk)
        self.assertEqual(len(self.touched(disk)), 16)

    def test_a_run_that_was_ended_is_resumed(self):
        for how, code in ((signal.SIGTERM, TERMINATED), (signal.SIGKILL, 128 + signal.SIGKILL)):
            with self.subTest(how):
                disk = self.disk(slow_chunk=135, slow_seconds=AN_HOUR)
                running = self.begin(settings="depth = 8\n")
                # All is read but one chunk.
                running.until(lambda disk=disk: self.touched(disk) == PLANNED, "all is asked for")
                if how == signal.SIGKILL:
                    saved = self.state / "hydration.json"
                    running.until(saved.exists, "what is finished is saved")
                running.send(how)
                self.assertEqual(running.wait().code, code)
                if how == signal.SIGTERM:
                    self.assertEqual(self.progress()["state"], "incomplete")
                done = json.loads((self.state / "hydration.json").read_text())["volumes"][0]
                self.assertEqual(done["doneChunks"][0], 4)
                self.assertFalse(done["finished"])
                disk.reset()
                report = self.hydrate(disk)
                self.assertEqual(report["state"], "hydrated")
                self.assert_ranks(report)
                again = {touch[1] for touch in disk.touched()}
                self.assertIn(135, again)
                self.assertFalse(again & set(range(200, 204)), "read before")
                disk.close()
                (self.state / "hydration.json").unlink()

    def test_a_second_one_at_once_is_refused(self):
        disk = self.disk(slow_chunk=135, slow_seconds=AN_HOUR)
        running = self.begin()
        running.until(lambda: self.touched(disk) == PLANNED, "it reads")
        result = self.begin().wait()
        self.assertEqual(result.code, FAILED, result)
        self.assertIn("another prebake hydrate is running", result.stderr)
        running.send(signal.SIGTERM)
        self.assertEqual(running.wait().code, TERMINATED)

    # What starts comes first

    def test_an_image_whose_container_starts_comes_first(self):
        disk = SlowDisk(1 << 30, latency_ms=1, bandwidth=0)
        self.addCleanup(disk.close)
        containerd = Containerd(self.home / "c", disk.path / "containerd")
        self.addCleanup(containerd.close)
        # The layer of busybox, which both have, is read with the first one.
        first, second = self.bake_two(containerd)
        containerd.stop()
        disk.cool()
        containerd.start()
        own, other = (self.image_chunks(name, disk.device) for name in (second, first))
        self.assertGreaterEqual(len(own), 10)
        # So slow that the first one takes minutes.
        running = self.begin(mode="on", settings=f"""rate = "256KiB"
            [containerd]
            config = "{containerd.config_file}"
            """)
        running.until(lambda: self.has_read(IMAGES), "it reads")
        self.assertNotIn("is starting", running.stderr())
        self.run_container(containerd, second)
        running.until(lambda: f"reading {first} first: a container with layers of it is starting"
                      in running.stderr(), "it says what comes first")
        self.assertIn(f"reading {second} first: a container of it is starting", running.stderr())
        before = {touch[1] for touch in disk.touched()}
        running.until(lambda: own <= {touch[1] for touch in disk.touched()}, "it is read")
        running.send(signal.SIGTERM)
        self.assertEqual(running.wait().code, TERMINATED)
        order = [touch[1] for touch in disk.touched()]
        since = order[:1 + max(order.index(chunk) for chunk in own)][len(before):]
        # One that was under way, and what the container itself reads of busybox.
        self.assertLess(len(set(since) & other), 5, (since, own, other))
        self.assertGreater(len(other - set(order)), len(other) // 3)
        self.assertEqual(self.progress()["promotedImages"], 2)

    def bake_two(self, containerd):
        served = registry.Registry()
        self.addCleanup(served.stop)
        containerd.start()
        references = []
        for name, size in (("first", 64), ("second", 10)):
            data = oci_image.layer([oci_image.file(f"data/{i}", os.urandom(CHUNK_BYTES))
                                    for i in range(size)])
            references.append(served.serve(f"test/{name}", oci_image.image(
                [oci_image.busybox_layer(), data])))
        config = self.home / "bake.toml"
        config.write_text(harness.NO_SANDBOX)
        listed = self.home / "images.toml"
        listed.write_text(harness.image_tables(*((name, {}) for name in references)))
        subprocess.run(
            [os.environ["PREBAKE"], "--config", config, "--state-dir", self.state, "--address",
             containerd.address, "bake", "-f", listed], check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env={"PATH": ADMIN_PATH, "HOME": str(self.home)})
        return references

    def image_chunks(self, name, device):
        """Of the rest of an image. The plan is left with this disk's rest of images: this machine's
        own disk is not lazy, and the metadata would take minutes at the rate of the test."""
        path = self.state / "hydration-plan.json"
        plan = json.loads(path.read_text())
        own = self.uuid_of(device)
        volume, = (volume for volume in plan["volumes"] if volume["uuid"] == own)
        volume["parts"] = [part for part in volume["parts"] if part["rank"] == IMAGES]
        plan["volumes"] = [volume]
        path.write_text(json.dumps(plan))
        part = next(part for part in volume["parts"] if part["image"] == name)
        return self.chunks_of(part["runs"])

    def run_container(self, containerd, reference):
        """It stays until the end of the test."""
        name = f"prebake-test-{os.getpid()}"
        self.addCleanup(containerd.run_ctr, "tasks", "delete", "--force", name)
        # A cgroup at the top level is removed with it.
        containerd.ctr("run", "--detach", "--cgroup", f"/{name}", reference, name, "/bin/busybox",
                       "sleep", "100000")

    # Faults

    def test_chunks_that_cannot_be_read(self):
        disk = self.disk(error_every=10)
        bad = {chunk for chunk in PLANNED if (chunk + 1) % 10 == 0}
        report = self.hydrate(disk, code=PARTIAL)
        self.assertEqual(report["state"], "incomplete")
        volume, = report["volumes"]
        self.assertEqual(volume["failedChunks"], len(bad))
        self.assertTrue(volume["finished"])
        self.assertEqual(self.chunks_of(volume["failedRuns"]), bad)
        self.assertIn("could not be read", report["message"])
        # The next boot tries them again, and only them.
        disk.set(error_every=0)
        disk.reset()
        report = self.hydrate(disk, mode="on")
        self.assertEqual(report["state"], "hydrated")
        self.assert_ranks(report)
        self.assertEqual({touch[1] for touch in disk.touched()}, bad)

    def test_errors_that_pass(self):
        disk = self.disk(error_every=10, error_tries=2)
        report = self.hydrate(disk)
        self.assertEqual(report["state"], "hydrated")
        self.assert_ranks(report)

    def test_a_read_that_never_ends(self):
        disk = self.disk(slow_chunk=135, slow_seconds=AN_HOUR)
        report = self.hydrate(disk, "--read-limit", "8s", code=PARTIAL)
        self.assertEqual(self.touched(disk), PLANNED)
        self.assertEqual(self.chunks_of(report["volumes"][0]["failedRuns"]), {135})

    def test_the_deadline(self):
        disk = self.disk(slow_chunk=135, slow_seconds=AN_HOUR)
        report = self.hydrate(disk, settings='deadline = "3s"\n', code=PARTIAL)
        self.assertIn("deadline", report["message"])
        self.assertFalse(report["volumes"][0]["finished"])

    def test_a_disk_that_goes_away(self):
        disk = self.disk(slow_chunk=203, slow_seconds=AN_HOUR)
        disk.set(gone=True)
        report = self.hydrate(disk, mode="on", code=PARTIAL)
        self.assertEqual(report["volumes"][0]["failedChunks"], len(PLANNED))
        disk.set(gone=False)

    def test_a_device_that_becomes_smaller(self):
        image = self.home / "image"
        with open(image, "wb") as file:
            file.truncate(CHUNKS * CHUNK_BYTES)
        subprocess.run([*scratch_disk.MAKE["ext4"], image], check=True, stdout=subprocess.DEVNULL)
        device = subprocess.run(["losetup", "--find", "--show", image], check=True, text=True,
                                stdout=subprocess.PIPE).stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], check=True)
        mount_point = self.home / "mounted"
        mount_point.mkdir()
        subprocess.run(["mount", device, mount_point], check=True)
        self.addCleanup(subprocess.run, ["umount", mount_point], check=True)
        (mount_point / "sentinel").write_bytes(b"s" * 8192)
        os.sync()
        self.plan(mount_point, device, PARTS)
        running = self.begin(mode="on", settings='rate = "2MiB"\n')
        running.until(lambda: self.has_read(TRACED), "it has read something")
        os.truncate(image, 60 * CHUNK_BYTES)
        subprocess.run(["losetup", "--set-capacity", device], check=True)
        result = running.wait()
        self.assertEqual(result.code, PARTIAL, result)
        self.assertIn("is smaller now", result.json["message"])
        self.assertGreaterEqual(result.json["volumes"][0]["failedChunks"], 50)

    def has_read(self, rank):
        with contextlib.suppress(FileNotFoundError):
            return any(entry["rank"] == rank and entry["bytes"] for entry in
                       self.progress()["ranks"])
        return False

    def test_without_access_to_the_device_files_are_read(self):
        disk = self.disk()
        no_devices = ["unshare", "--mount", "sh", "-c", "mount --bind /dev /dev && "
                      "mount -o remount,bind,nodev /dev && exec \"$@\"", "sh"]
        report = self.hydrate(disk, mode="on", wrapper=no_devices)
        self.assertEqual((report["state"], report["mode"]), ("hydrated", "files"))
        read = {rank["rank"]: rank["bytes"] for rank in report["ranks"]}
        self.assertEqual(read, {METADATA: 8192, IMAGES: 20 * 200_000})
        # Without a device there is no probe, and no reason to read files.
        report = self.hydrate(disk, wrapper=no_devices)
        self.assertEqual(report["state"], "not_needed")
        self.assertIn("was not measured", report["message"])
        self.assertIn('mode = "on"', report["nextStep"])

    def change_plan(self, change):
        path = self.state / "hydration-plan.json"
        plan = json.loads(path.read_text())
        change(plan)
        path.write_text(json.dumps(plan))

    def test_a_volume_that_is_absent(self):
        disk = self.disk()
        absent = str(uuid.uuid4())

        def add(plan):
            other = {**plan["volumes"][0], "uuid": absent, "mountPoint": "/nowhere",
                     "sentinels": [{"path": "/nowhere/file", "size": 8192, "offset": 0}]}
            plan["volumes"].append(other)

        self.change_plan(add)
        for mode in ("auto", "on"):  # the second one finds the other volume read
            report = self.hydrate(disk, mode=mode, code=PARTIAL)
            self.assertEqual(report["state"], "incomplete")
            self.assertIn(absent, report["message"])
            self.assertIn("mount it", report["nextStep"])
            self.assertEqual(self.touched(disk), PLANNED)
            self.assertEqual([volume["uuid"] == absent for volume in report["volumes"]],
                             [False, True])

    def test_a_plan_without_places(self):
        disk = self.disk()
        self.change_plan(lambda plan: plan.update(volumes=[]))
        report = self.hydrate(disk)
        self.assertEqual(report["state"], "not_needed")
        self.assertIn("but not their places", report["message"])
        self.assertIn('mode = "on"', report["nextStep"])
        report = self.hydrate(disk, mode="on")
        self.assertEqual((report["state"], report["mode"]), ("hydrated", "files"))
        read = {rank["rank"]: rank["bytes"] for rank in report["ranks"]}
        self.assertEqual(read, {METADATA: 8192, IMAGES: 20 * 200_000})
        self.assertTrue(report["tracedAt"])
        shutil.rmtree(disk.path / "images")
        report = self.hydrate(disk, mode="on", code=PARTIAL)
        self.assertEqual(report["state"], "incomplete")
        self.assertIn(f"1 path of the plan, as {disk.path}/images, not there", report["message"])
        (disk.path / "sentinel").unlink()
        report = self.hydrate(disk, mode="on", code=PARTIAL)
        self.assertIn("none of the files of the plan is here", report["message"])

    def test_files_that_were_traced_come_first(self):
        disk = self.disk()
        layer, diff_id = disk.path / "images", "sha256:" + 64 * "a"
        (layer / "way").symlink_to(self.home)
        (self.home / "outside").write_bytes(b"o" * 70_000)
        (layer / "link").symlink_to(layer / "3")
        os.mkfifo(layer / "fifo")
        self.change_plan(lambda plan: plan.update(
            volumes=[], layers=[{"diffId": diff_id, "directory": str(layer)}]))
        files = [{"path": path, "ranges": ranges} for path, ranges in (
            ("2", [8192, 4096, 4096, 8192]), ("way/outside", [0, 69632]), ("link", [0, 4096]),
            ("fifo", [0, 4096]), ("gone", [0, 4096]))]
        (self.state / "traces.json").write_text(json.dumps(
            {"schema": "prebake.v1.ReadTrace",
             "layers": [{"diffId": diff_id, "files": files}]}))
        report = self.hydrate(disk, mode="on")
        self.assertEqual(report["state"], "hydrated")
        self.assertTrue(report["tracedAt"])
        self.assertEqual([(rank["rank"], rank["bytes"]) for rank in report["ranks"]],
                         [(METADATA, 8192), (TRACED, 3 * 4096), (IMAGES, 20 * 200_000)])
        # A damaged trace costs the order, and nothing else.
        (self.state / "traces.json").write_text("{")
        report = self.hydrate(disk, mode="on")
        self.assertEqual(report["state"], "hydrated")
        self.assertEqual([rank["rank"] for rank in report["ranks"]], [METADATA, IMAGES])

    def test_memory(self):
        parts = ((METADATA, ((20, 200),)),)
        disk = self.disk(parts=parts, whole_chunks=False)
        for threads in (False, True):
            with self.subTest(threads=threads):
                disk.reset()
                running = self.begin("--again", mode="on", settings="depth = 128\n",
                                     threads=threads)
                peak = 0

                def look(running=running):
                    nonlocal peak
                    with contextlib.suppress(OSError):
                        status = pathlib.Path(f"/proc/{running.pid}/status").read_text()
                        for line in status.splitlines():
                            if line.startswith("VmHWM:"):
                                peak = max(peak, int(line.split()[1]))
                    return running.has_ended()

                wait_until(look, "it ends")
                self.assertEqual(running.wait().code, DONE)
                print(f"{peak / 1024:.1f} MiB resident at most")
                self.assertLessEqual(peak, MOST_RSS_KIB)


if __name__ == "__main__":
    unittest.main()
