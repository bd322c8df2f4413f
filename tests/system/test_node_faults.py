"""Faults around the daemon: broken files, a containerd that dies, a flood of events."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import socket
import subprocess
import time

import harness
import node


class WithoutCri(node.NodeTest):
    """What a builder and a node without a working CRI say of images for pods."""

    def without_cri(self, cri):
        self.fresh_node(cri=cri)
        self.claimed()
        return self.registry.serve(f"{self.repository}/one", self.runnable("one"))

    def test_nobody_claims_that_pods_find_the_images(self):
        for cri, status, reason, told in (
                ("disabled", "Unknown", "CriDisabled", "disabled_plugins"),
                ("broken", "False", "CriFailed", "nvidia")):
            with self.subTest(cri):
                reference = self.without_cri(cri)
                baked = self.bake(reference)
                self.assert_says(baked, "warning", "CRI", told, "daemon")
                refused = self.bake("--require-cri", reference, code=harness.FAILED)
                self.assert_says(refused, "CRI", told)
                verified = self.prebake("verify")
                self.assertEqual(verified.code, harness.DONE, verified)
                self.assert_says(verified, "CRI was not asked", told)
                daemon = self.daemon(ready=False)
                daemon.until_verdict("not_ready")
                condition = daemon.condition("CriResolves")
                self.assertEqual((condition["status"], condition["reason"]), (status, reason))
                self.assertIn(told, condition["message"] + condition["nextStep"])
                self.assertEqual(daemon.condition("ImagesPresent")["status"], "True")
                daemon.stop()

    def test_a_bake_without_cri_is_checked_on_the_node(self):
        reference = self.without_cri("disabled")
        self.bake("-f", self.image_list(self.sandbox_table(), (reference, {})))
        self.containerd.stop()
        self.containerd.configure(cri="works")
        self.start_containerd()
        self.bake("--require-cri", reference)
        self.assertEqual(self.daemon().condition("CriResolves")["reason"], "Resolves")

    def test_images_in_other_namespaces_do_not_need_cri(self):
        reference = self.without_cri("disabled")
        baked = self.bake("--namespace", "default", reference)
        self.assertNotIn("CRI", baked.stderr)
        condition = self.daemon().condition("CriResolves")
        self.assertEqual((condition["status"], condition["reason"]), ("NotApplicable", "NotWanted"))


class Faults(node.NodeTest):
    def setUp(self):
        super().setUp()
        self.image = self.runnable("one")
        self.reference = self.registry.serve(f"{self.repository}/one", self.image)
        self.bake_node((self.reference, {}))
        self.claimed()

    def test_a_broken_ledger_is_set_aside(self):
        for name, contents in (("half-written", '{"schema": "prebake.v1.Ledger", "images": [{"n'),
                               ("nothing", ""), ("binary", "\0\1\2"),
                               ("another", '{"schema": "x"}')):
            with self.subTest(name):
                (self.state / "ledger.json").write_text(contents)
                daemon = self.daemon()
                self.assertEqual((self.state / "ledger.json.corrupt").read_text(), contents)
                self.assertIn("ledger.json.corrupt", daemon.running.stderr())
                self.assertEqual(daemon.stop().code, harness.DONE)
                json.loads((self.state / "ledger.json").read_text())

    def test_a_ledger_of_a_newer_version_is_kept(self):
        (self.state / "ledger.json").write_text('{"schema": "prebake.v2.Ledger"}')
        self.daemon().stop()
        self.assertEqual((self.state / "ledger.json.newer").read_text(),
                         '{"schema": "prebake.v2.Ledger"}')

    def test_a_broken_record_is_a_condition_and_stays_as_it_is(self):
        for name, contents in (("broken", '{"schema": "prebake.v1.Bake'),
                               ("newer", '{"schema": "prebake.v2.BakeRecord"}')):
            with self.subTest(name):
                (self.state / "bake.json").write_text(contents)
                daemon = self.daemon(ready=False)
                daemon.until_verdict("not_ready")
                condition = daemon.condition("ImagesPresent")
                self.assertEqual(condition["reason"], "RecordUnreadable")
                self.assertIn("bake.json", condition["message"])
                self.assertEqual((self.state / "bake.json").read_text(), contents)
                daemon.stop()

    def test_a_broken_claim_is_a_condition(self):
        (self.state / "claim.json").write_text("{")
        daemon = self.daemon(ready=False)
        daemon.until_verdict("not_ready")
        self.assertEqual(daemon.condition("IdentityClaimed")["status"], "False")

    def test_without_file_watches_a_change_is_noticed_a_little_later(self):
        """Other programs of the node have all inotify instances."""
        self.claimed()
        none_left = ("unshare", "--user", "--map-root-user", "sh", "-ec",
                     'echo 0 >/proc/sys/user/max_inotify_instances; exec "$@"', "sh")
        daemon = self.daemon(ready=False, prefix=none_left)

        def claimed():
            found = daemon.status()["conditions"] if daemon.answers() else []
            return [item["status"] for item in found if item["type"] == "IdentityClaimed"]

        daemon.until(lambda: claimed() == ["True"], "it is claimed")
        self.assertIn("fs.inotify.max_user_instances", daemon.running.stderr())
        (self.state / "claim.json").write_text("{")
        daemon.until(lambda: claimed() == ["False"], "the broken claim is noticed")

    def test_containerd_killed_repeatedly(self):
        """Whenever containerd dies, the node becomes ready again, and every start is counted
        once."""
        daemon = self.daemon()
        pod = self.pod("first")
        self.start_container(pod, "c0", self.reference)
        self.until_counts(daemon, self.reference, 1, 0, 0)
        for round_number in range(1, 6):
            self.containerd.kill()
            self.start_containerd()
            if round_number % 2:  # while the daemon subscribes and lists, or after that
                daemon.until_ready()
            self.start_container(pod, f"c{round_number}", self.reference)
        daemon.until_ready()
        self.until_counts(daemon, self.reference, 6, 0, 0)
        self.assertEqual(daemon.ledger()["sinceClaim"]["starts"], 7)

    def with_much_to_unpack(self):
        """CRI uses another snapshotter than the bake did, so the daemon unpacks."""
        large = self.runnable("large", layers=6, size=8_000_000)
        reference = self.registry.serve(f"{self.repository}/large", large)
        self.bake_node((self.reference, {}), (reference, {}))
        self.containerd.stop()
        self.containerd.configure(snapshotter="native")
        self.start_containerd()
        daemon = self.daemon(ready=False)
        daemon.until(lambda: daemon.answers() and "unpacking" in daemon.status()["message"],
                     "it unpacks")
        return daemon, large

    def test_containerd_killed_while_it_repairs(self):
        daemon, large = self.with_much_to_unpack()
        self.assertNotIn(large.chain_id, self.containerd.snapshots(snapshotter="native"))
        self.containerd.kill()
        self.start_containerd()
        daemon.until_ready()
        self.assertIn(large.chain_id, self.containerd.snapshots(snapshotter="native"))

    def test_containerd_comes_back_with_another_configuration_while_it_repairs(self):
        """As nodeadm does. Facts about the old containerd are not reported for the new one."""
        daemon, large = self.with_much_to_unpack()
        self.containerd.kill()
        killed_at = time.time()
        daemon.until(lambda: daemon.condition("ContainerdServing")["status"] == "False",
                     "it knows that containerd is gone")
        self.containerd.configure(snapshotter="overlayfs")
        self.start_containerd()
        daemon.until_ready()
        self.assertEqual(daemon.status()["snapshotter"], "overlayfs")
        self.assertNotIn(large.chain_id, self.containerd.snapshots(snapshotter="native"))
        daemon.until(lambda: daemon.ledger().get("gaps"), "it has listed what runs")
        gap = daemon.ledger()["gaps"][-1]
        self.assertEqual(gap["cause"], "containerd_restarted")
        began = datetime.datetime.fromisoformat(gap["from"].replace("Z", "+00:00")).timestamp()
        self.assertLess(abs(began - killed_at), 2)

    def test_a_full_disk_of_containerd_is_tried_again(self):
        small = self.workspace.mount_tmpfs(self.directory / "disk", "64m")
        self.containerd.close()
        self.fresh_node(root=small / "root")
        self.state = self.directory / "another"
        self.claimed()
        image = self.runnable("filling", size=4_000_000)
        reference = self.registry.serve(f"{self.repository}/filling", image)
        self.bake_node((reference, {}))
        self.containerd.stop()
        self.containerd.configure(snapshotter="native")
        self.start_containerd()
        filler = small / "filler"
        room = os.statvfs(small)
        filler.write_bytes(bytes(room.f_bavail * room.f_frsize - 1_000_000))
        daemon = self.daemon(ready=False)
        daemon.until_verdict("not_ready")
        condition = daemon.condition("ImagesUnpacked")
        self.assertEqual(condition["status"], "False")
        self.assertIn("no space left", condition["message"].lower())
        filler.unlink()
        begin = time.monotonic()
        daemon.until_ready()  # without a reload
        self.assertLess(time.monotonic() - begin, 20, "before the next attempt that is due anyway")
        self.assertIn(image.chain_id, self.containerd.snapshots(snapshotter="native"))

    def test_an_unpack_by_another_client_is_noticed(self):
        self.containerd.stop()
        self.containerd.configure(snapshotter="native")
        self.start_containerd()
        # Without the blob the daemon cannot unpack.
        layer = self.image.layers[-1].blob
        self.containerd.ctr("content", "rm", layer.digest)
        daemon = self.daemon(ready=False)
        daemon.until_verdict("not_ready")
        self.assertEqual(daemon.condition("ImagesUnpacked")["status"], "False")
        stored = self.directory / "layer"
        stored.write_bytes(layer.content)
        with open(stored, "rb") as stdin:
            self.containerd.ctr("content", "ingest", "--expected-digest", layer.digest, "again",
                                stdin=stdin)
        # Before "unpack", the option has no effect: ctr unpacks into overlayfs.
        self.containerd.ctr("snapshots", "unpack", "--snapshotter", "native",
                            self.image.manifest.digest)
        self.assertIn(self.image.chain_id, self.containerd.snapshots(snapshotter="native"))
        daemon.until_ready()

    def test_a_storm_of_events(self):
        """More events than the queue can hold: memory does not grow, and starts are counted."""
        self.weather_a_storm("60000")

    def test_a_storm_of_events_that_take_a_call_each(self):
        daemon = self.weather_a_storm("40000", self.reference)
        daemon.until(lambda: daemon.ledger().get("gaps"), "it has listed what runs")
        self.assertEqual({gap["cause"] for gap in daemon.ledger()["gaps"]}, {"events_overflowed"})

    def weather_a_storm(self, *arguments):
        daemon = self.daemon()
        pod = self.pod("first")
        before = self.resident_kib(daemon)
        storm = subprocess.Popen([self.cri_program, self.containerd.address, "storm", *arguments])
        self.addCleanup(storm.kill)
        for i in range(3):
            self.start_container(pod, f"c{i}", self.reference)
        self.assertEqual(storm.wait(120), 0)
        self.until_counts(daemon, self.reference, 3, 0, 0)
        daemon.until_ready()
        self.assertLess(self.resident_kib(daemon), before + 16 * 1024)
        return daemon

    @staticmethod
    def resident_kib(daemon):
        status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def test_two_daemons(self):
        self.daemon()
        second = self.prebake("daemon")
        self.assertEqual(second.code, harness.FAILED, second)
        self.assert_says(second, "prebake.sock", "daemon")

    def test_something_else_at_the_sockets_path(self):
        path = self.directory / "run/prebake.sock"
        path.parent.mkdir()
        path.write_text("not a socket")
        self.configure()
        result = self.prebake("daemon")
        self.assertEqual(result.code, harness.FAILED, result)
        self.assert_says(result, str(path))
        self.assertEqual(path.read_text(), "not a socket")

    def test_a_stale_socket_is_replaced(self):
        path = self.directory / "run/prebake.sock"
        path.parent.mkdir()
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
        self.daemon()

    def test_a_full_disk_loses_nothing(self):
        small = self.workspace.mount_tmpfs(self.directory / "small", "256k")
        for name in ("bake.json", "claim.json"):
            (small / name).write_bytes((self.state / name).read_bytes())
        self.state = small
        daemon = self.daemon()
        filler = small / "filler"
        with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
            while out.write(os.urandom(4096)):
                continue
        pod = self.pod("first")
        self.start_container(pod, "c", self.reference)
        self.until_counts(daemon, self.reference, 1, 0, 0)
        daemon.until(lambda: daemon.status()["warnings"], "it is reported")
        self.assertIn("ledger", daemon.status()["warnings"][0])
        self.assertTrue(daemon.status()["ready"])
        filler.unlink()
        daemon.stop()
        daemon = self.daemon()
        self.assertEqual(self.counts(daemon, self.reference), (1, 0, 0))

    def test_sigterm_ends_it_at_once(self):
        daemon = self.daemon()
        self.assertEqual(daemon.stop().code, harness.DONE)
        self.assertFalse(daemon.socket.exists())
        self.containerd.stop()
        daemon = self.daemon(ready=False)
        daemon.until(daemon.answers, "it answers")
        self.assertEqual(daemon.stop().code, harness.DONE)


if __name__ == "__main__":
    harness.main()
