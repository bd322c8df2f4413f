"""`prebake record`: what a container reads of its image's layers becomes a trace, which bakes keep.

containerd's files are on a disk of their own, so that its read-ahead is nobody else's."""

import json
import os
import pathlib
import signal
import subprocess

import harness
import oci_image
from harness import DONE, FAILED, INTERRUPTED, USAGE, Containerd, SystemTest
from oci_image import directory, file, layer, symlink
from scratch_disk import ScratchDisk

KIB = 1024
MIB = 1024 * KIB
READ_AHEAD = 8192  # of the disk, as systems may set it: one page brings 8 MiB

# What a program of an image does: each argument is HOW:FILE:OFFSET:LENGTH, or a word.
READER = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char** words) {
    for (int i = 1; i < count; ++i) {
        char how[16], path[256];
        long offset, length;
        if (strcmp(words[i], "ready") == 0) {
            close(open("/ready", O_CREAT | O_WRONLY, 0644));
        } else if (strcmp(words[i], "forever") == 0) {
            pause();
        } else if (sscanf(words[i], "%15[^:]:%255[^:]:%ld:%ld", how, path, &offset, &length) == 4) {
            int fd = open(path, O_RDONLY);
            if (fd < 0) { perror(path); return 9; }
            if (strcmp(how, "mmap") == 0) {
                volatile char* at = mmap(0, length, PROT_READ, MAP_SHARED, fd, offset);
                if (at == MAP_FAILED) { perror("mmap"); return 9; }
                for (long page = 0; page < length; page += 4096) (void)at[page];
            } else if (pread(fd, malloc(length), length, offset) != length) {
                perror("pread");
                return 9;
            }
            close(fd);
        } else {
            return 8;
        }
    }
    return 0;
}
"""


def ranges_of(traced):
    """[(offset, length), ...] of a file in a trace."""
    numbers = [int(number) for number in traced["ranges"]]
    result, end = [], 0
    for gap, length in zip(numbers[::2], numbers[1::2]):
        result.append((end + gap, length))
        end += gap + length
    return result


class Recording(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.containerd.stop()
        disk = ScratchDisk(cls.workspace.path / "disk", 192 * MIB)
        cls.addClassCleanup(disk.close)
        cls.disk_path = cls.enterClassContext(disk.fresh())
        number = os.stat(cls.disk_path).st_dev
        cls.read_ahead_file = pathlib.Path(
            f"/sys/class/bdi/{os.major(number)}:{os.minor(number)}/read_ahead_kb")
        cls.device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", cls.disk_path], check=True,
                                    stdout=subprocess.PIPE, text=True).stdout.strip()
        cls.uuid = subprocess.run(["blkid", "-p", "-o", "value", "-s", "UUID", cls.device],
                                  check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        cls.containerd = Containerd(cls.workspace.path / "on-disk", root=cls.disk_path / "root")
        cls.addClassCleanup(cls.containerd.close)
        cls.containerd.start()
        source = cls.workspace.path / "reader.c"
        source.write_text(READER)
        cls.reader = cls.workspace.path / "reader"
        subprocess.run(["cc", "-static", "-O1", "-o", cls.reader, source], check=True)

    @classmethod
    def enterClassContext(cls, context):  # unittest has it since Python 3.11
        value = context.__enter__()
        cls.addClassCleanup(context.__exit__, None, None, None)
        return value

    def setUp(self):
        super().setUp()
        self.read_ahead_file.write_text(str(READ_AHEAD))
        self.traces = self.directory / "traces.d"
        (self.directory / "prebake.toml").write_text(
            f'[bake]\nsandbox = "never"\ntraces = "{self.traces}"\n'
            f'[report]\nsocket = "{self.directory}/run/prebake.sock"\nlisten = []\n')
        self.addCleanup(self.assert_nothing_left)

    def assert_nothing_left(self):
        self.assertEqual(self.read_ahead(), READ_AHEAD)
        self.assertEqual(self.containers(), [])
        self.assertEqual([name for name in self.containerd.leases() if "record" in name], [])
        kinds = set(self.containerd.snapshots().values())
        self.assertLessEqual(kinds, {"Committed"})

    def read_ahead(self):
        return int(self.read_ahead_file.read_text())

    def containers(self):
        return self.containerd.ctr("containers", "ls", "--quiet").split()

    def baked(self, command=("/bin/reader",), **config):
        """An image of two layers, baked; the upper one replaces a file."""
        noise = os.urandom(64 * KIB)
        below = layer([
            directory("bin"), directory("data"), directory("etc"),
            file("bin/busybox", oci_image.BUSYBOX.read_bytes(), 0o755),
            file("bin/reader", self.reader.read_bytes(), 0o755),
            *(symlink(f"bin/{name}", "busybox") for name in ("sh", "ls", "id", "cat", "echo")),
            file("data/read", noise * 16), file("data/mapped", noise * 32),
            file("data/replaced", noise * 4), file("data/twin", noise),
            file("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1234:99::/:/bin/sh\n"),
            file("etc/group", "root:x:0:\nfriends:x:77:app\n"),
        ])
        above = layer([directory("data"), file("data/replaced", noise * 8),
                       file("data/untouched", noise * 16)])
        image = oci_image.image([below, above], command=list(command), config_changes=None)
        if config:
            document = json.loads(image.config.content)
            document["config"].update(config)
            image = oci_image.image([below, above], config_changes={"config": document["config"]})
        reference = self.registry.serve(f"recorded/{self.repository}", image)
        self.bake(reference)
        return reference, image

    def record(self, *arguments, code=DONE):
        result = self.prebake("record", *arguments)
        self.assertEqual(result.code, code, result)
        return result

    def trace_of(self, reference):
        path, = self.traces.iterdir()
        self.assertTrue(path.name.endswith(".json") and self.repository in path.name, path)
        return json.loads(path.read_text())

    def test_what_is_read_is_recorded_and_nothing_else(self):
        reference, image = self.baked()
        result = self.record(
            reference, "--json", "--", "/bin/reader", f"pread:/data/read:{40 * KIB}:{12 * KIB}",
            f"pread:/data/read:{900 * KIB}:1", f"mmap:/data/mapped:0:{MIB}",
            f"mmap:/data/replaced:{64 * KIB}:4096")
        trace = self.trace_of(reference)
        below, above = (item.diff_id for item in image.layers)
        found = {(item["diffId"], traced["path"]): ranges_of(traced)
                 for item in trace["layers"] for traced in item["files"]}
        page = 4 * KIB
        program = found.pop((below, "bin/reader"))
        self.assertTrue(program, "the program itself was mapped")
        # runc looks the user up, which reads these two.
        found.pop((below, "etc/passwd"), None)
        found.pop((below, "etc/group"), None)
        self.assertEqual(found, {
            (below, "data/read"): [(40 * KIB, 3 * page), (900 * KIB, page)],
            (below, "data/mapped"): [(0, MIB)],
            (above, "data/replaced"): [(64 * KIB, page)],
        })
        recorded, = trace["images"]
        self.assertEqual((recorded["name"], recorded["digest"], recorded["diffIds"]),
                         (reference, image.manifest.digest, [below, above]))
        report = result.json
        self.assertEqual((report["end"], report["notDroppedBytes"]), ("ended", 0))
        self.assertGreaterEqual(report["bytes"], MIB + 5 * page)

        # The next bake keeps it, also if it has nothing to do.
        self.bake(reference)
        kept = json.loads((self.state / "traces.json").read_text())
        self.assertEqual(kept["layers"], sorted(trace["layers"], key=lambda item: item["diffId"]))
        (self.state / "traces.json").unlink()
        other = oci_image.small_image("another")
        second = self.registry.serve(f"recorded/{self.repository}-other", other)
        for stray in self.traces.iterdir():
            stray.rename(self.directory / "wanted.json")
        self.bake("-f", self.image_list((reference, {"trace": "wanted.json"}), (second, {})))
        self.assertEqual(json.loads((self.state / "traces.json").read_text()), kept)

    def test_a_trace_in_a_list_must_be_usable(self):
        reference, _ = self.baked()
        for text, word in (("{}", "not a trace"), (None, "cannot")):
            listed = self.image_list((reference, {"trace": ["bad.json"]}))
            if text is not None:
                (self.directory / "bad.json").write_text(text)
            else:
                (self.directory / "bad.json").unlink()
            for command in ("plan", "bake"):
                result = self.prebake(command, "-f", listed)
                self.assertEqual(result.code, USAGE, result)
                self.assert_says(result, "images.toml:2", "bad.json", word)
        # In the directory it is a warning.
        self.traces.mkdir()
        (self.traces / "bad.json").write_text('{"schema":"prebake.v1.ReadTrace","layers":'
                                              '[{"diffId":"sha256:' + 64 * "0" + '","files":'
                                              '[{"path":"../x","ranges":[0,4096]}]}]}')
        self.assert_says(self.bake(reference), "bad.json", "a trace is not used", '".."')

    def test_a_killed_recording_is_cleaned_up_by_the_next(self):
        reference, _ = self.baked()
        running = self.start("record", reference, "--for", "1h", "--", "/bin/reader", "forever")
        running.until(lambda: self.read_ahead() == 0 and self.containers(), "it records")
        busy = self.prebake("record", reference, "--", "/bin/reader")
        self.assertEqual(busy.code, FAILED, busy)
        self.assert_says(busy, "another prebake")
        running.send(signal.SIGKILL)
        running.wait()
        self.assertEqual(self.read_ahead(), 0)
        self.assertEqual(len(self.containers()), 1)
        # A start of the daemon repairs the disk; a recording, the rest.
        daemon = self.start("daemon")
        daemon.until(lambda: self.read_ahead() == READ_AHEAD, "the daemon repairs read-ahead")
        daemon.send(signal.SIGTERM)
        daemon.wait()
        self.assert_says(daemon.wait(), "a recording was killed")
        self.record(reference, "--", "/bin/reader", "pread:/data/twin:0:4096")
        self.assertEqual(self.read_ahead(), READ_AHEAD)

    def test_an_interrupted_recording_leaves_nothing(self):
        reference, _ = self.baked()
        running = self.start("record", reference, "--for", "1h", "--", "/bin/reader", "forever")
        running.until(lambda: self.read_ahead() == 0 and self.containers(), "it records")
        running.send(signal.SIGINT)
        self.assertEqual(running.wait().code, INTERRUPTED)
        self.assertFalse(self.traces.exists())

    def test_it_ends_when_the_container_is_ready_or_time_is_over(self):
        reference, _ = self.baked()
        ready = ["--until-ready", "test -e /proc/$PREBAKE_PID/root/ready"]
        program = ["--", "/bin/reader", "pread:/data/twin:0:4096"]
        result = self.record(reference, "--json", *ready, *program, "ready", "forever")
        self.assertEqual(result.json["end"], "ready")
        self.assertIn("data/twin", json.dumps(self.trace_of(reference)))
        result = self.record(reference, "--json", "--for", "300ms", *program, "forever")
        self.assertEqual(result.json["end"], "time")
        result = self.prebake("record", reference, "--for", "1s", *ready, *program, "forever")
        self.assertEqual(result.code, harness.TRY_AGAIN, result)
        self.assert_says(result, "not ready within 1")
        result = self.record(reference, *ready, *program, code=FAILED)
        self.assert_says(result, "ended before it was ready")

    def test_a_container_that_fails_is_no_recording(self):
        reference, _ = self.baked()
        result = self.record(reference, "--", "/bin/sh", "-c", "echo one; echo two >&2; exit 7",
                             code=FAILED)
        self.assert_says(result, "container: one", "container: two", "exit status 7")
        # Two streams: their order is not certain.
        kept = (self.directory / "run/record.log").read_text().splitlines()
        self.assertLessEqual({"one", "two"}, set(kept))
        self.assertFalse(self.traces.exists())
        result = self.record(reference, "--", "/bin/nothing", code=FAILED)
        self.assert_says(result, "/bin/nothing")

    def test_it_runs_as_the_image_says_without_a_network(self):
        reference, _ = self.baked(Entrypoint=["/bin/sh", "-c"], WorkingDir="/data", User="app",
                                  Env=["PATH=/bin", "WORD=from the image"],
                                  Cmd=["id; echo $WORD; echo here *; ls /sys/class/net; exit 5"])
        result = self.record(reference, code=FAILED)
        self.assert_says(result, "uid=1234(app) gid=99 groups=77(friends),99", "from the image",
                         "here mapped read replaced twin untouched", "exit status 5")
        lines = [line.split("container: ")[1] for line in result.stderr.splitlines()
                 if "container: " in line]
        self.assertEqual(lines[3:], ["lo"])
        result = self.record(reference, "--net-host", code=FAILED)
        here = sorted(os.listdir("/sys/class/net"))
        lines = [line.split("container: ")[1] for line in result.stderr.splitlines()
                 if "container: " in line]
        self.assertEqual(sorted(lines[3:]), here)

    def test_a_boot_is_recorded_by_blocks_and_by_files(self):
        reference, image = self.baked()
        read, = self.disk_path.glob("root/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs"
                                    "/data/twin")
        instance = pathlib.Path("/sys/kernel/tracing/instances/prebake")
        self.assertEqual(self.prebake("status", "--trace").code, FAILED)
        killed = self.start("record", "--boot", "--for", "1h")
        killed.until(lambda: "recording what is read" in killed.stderr(), "it records")
        self.assertTrue(instance.exists())
        killed.send(signal.SIGKILL)
        killed.wait()
        self.assertTrue(instance.exists())

        # With the capabilities of its unit.
        running = self.start("record", "--boot", "--for", "1h", "--json", prefix=(
            "setpriv", "--bounding-set", "-all,+sys_admin,+dac_read_search,+dac_override,+fowner",
            "--no-new-privs", "--"))
        running.until(lambda: "recording what is read" in running.stderr(), "it records")
        chunk = 251
        subprocess.run(["dd", f"if={self.device}", "of=/dev/null", "bs=4096", "iflag=direct",
                        f"skip={chunk * 128 + 3}", "count=1", "status=none"], check=True)
        self.drop(read)
        read.read_bytes()
        running.send(signal.SIGTERM)  # what came until then counts
        result = running.wait()
        self.assertEqual(result.code, DONE, result)
        self.assertFalse(instance.exists())
        trace = json.loads((self.state / "boot-trace.json").read_text())
        volume, = (each for each in trace["volumes"] if each["uuid"] == self.uuid)
        self.assertIn(chunk, self.chunks_of(volume))
        files = {traced["path"] for item in trace["layers"] for traced in item["files"]
                 if item["diffId"] == image.layers[0].diff_id}
        self.assertIn("data/twin", files)
        self.assertGreaterEqual(result.json["chunks"], 1)
        self.assertEqual(result.json["end"], "stopped")
        timed = self.prebake("record", "--boot", "--for", "100ms", "-o", "-")
        self.assertEqual(json.loads(timed.stdout)["schema"], "prebake.v1.ReadTrace")

        # As Run Command hands it out, and as the next bake takes it.
        text = self.prebake("status", "--trace")
        self.assertEqual(text.code, DONE, text)
        self.assertLessEqual(len(text.stdout), 23_000)
        self.assertTrue(text.stdout.startswith("prebake-trace:v1\n"), text)
        self.traces.mkdir()
        (self.traces / "canary.txt").write_text(text.stdout)
        self.bake(reference)
        kept = json.loads((self.state / "traces.json").read_text())
        self.assertIn(self.uuid, [each["uuid"] for each in kept["volumes"]])
        self.assertIn("data/twin", json.dumps(kept))

    @staticmethod
    def chunks_of(volume):
        chunks, end = set(), 0
        numbers = [int(number) for number in volume["runs"]]
        for gap, count in zip(numbers[::2], numbers[1::2]):
            chunks.update(range(end + gap, end + gap + count))
            end += gap + count
        return chunks

    @staticmethod
    def drop(path):
        with open(path, "rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def test_an_image_that_is_not_there_says_how_to_bake_it(self):
        result = self.record("reg.example/a:1", code=FAILED)
        self.assert_says(result, "prebake bake reg.example/a:1")
        self.assert_says(self.record(code=USAGE), "no image named")
        reference, image = self.baked(command=["/bin/reader", "pread:/data/twin:0:4096"])
        self.record()  # the only one
        self.record("-o", "-", f"{reference.rpartition(':')[0]}@{image.top.digest}")
        self.containerd.ctr("images", "rm", reference)
        self.assert_says(self.record(reference, code=FAILED), "prebake bake")


if __name__ == "__main__":
    harness.main()
