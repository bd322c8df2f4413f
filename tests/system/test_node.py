"""The node: baked images are usable, stay usable, and are counted. Pods are started through CRI."""

import json
import os
import signal

import harness
import node
import oci_image


LEASE = "prebake-baked"


class Ledger(node.NodeTest):
    """Starts are counted and classified."""

    def bake_and_start(self, *names, **options):
        """Bakes runnable images and starts the daemon; returns it and the references."""
        references = [self.registry.serve(f"{self.repository}/{name}", self.runnable(name))
                      for name in names]
        self.bake_node(*((reference, {}) for reference in references))
        self.claimed()
        return self.daemon(**options), *references

    def test_a_baked_image_is_a_hit(self):
        daemon, reference = self.bake_and_start("one")
        pod = self.pod("first")
        self.start_container(pod, "c", reference)
        self.until_counts(daemon, reference, 1, 0, 0)
        entry = self.in_ledger(daemon, reference)
        baked, _ = self.recorded(reference)
        busybox = int(baked["layers"][0]["size"])
        # The sandbox was the first to use the shared layer.
        self.assertEqual(int(entry["bytesServed"]),
                         sum(int(layer["size"]) for layer in baked["layers"]) - busybox)
        self.assertEqual(int(entry["bytesPulled"]), 0)
        total = daemon.ledger()["sinceClaim"]
        self.assertEqual((total["starts"], total["hits"]), (2, 2), "the pod's sandbox is one")
        self.assertEqual(total["hitRatio"], 1)
        self.start_container(pod, "again", reference)
        self.until_counts(daemon, reference, 2, 0, 0)
        self.assertEqual(self.in_ledger(daemon, reference)["bytesServed"], entry["bytesServed"],
                         "a layer is served once")

    def test_an_image_that_is_pulled_later_is_a_miss(self):
        daemon, _ = self.bake_and_start("one")
        program = oci_image.file("bin/sleep", oci_image.BUSYBOX.read_bytes(), mode=0o755)
        late = self.registry.serve(f"{self.repository}/late", oci_image.image(
            [oci_image.layer([oci_image.directory("bin"), program]),
             oci_image.layer([oci_image.file("etc/late", "late")])]))
        pod = self.pod("first")
        self.cri("pull", late)
        self.cri("container", pod, "c", late, "/bin/sleep", "1000")
        self.until_counts(daemon, late, 0, 0, 1)
        entry = self.in_ledger(daemon, late)
        self.assertEqual(entry["reason"], "never_listed")
        self.assertEqual(entry["bytesServed"], 0)
        self.assertEqual(entry["bytesPulled"], entry["bytes"])
        self.assertGreater(entry["secondsToFirstStart"], 0)
        self.assertLess(entry["secondsToFirstStart"], 60)

    def test_shared_layers_make_it_partial_with_the_right_bytes(self):
        daemon, _ = self.bake_and_start("one")
        image = self.runnable("late", layers=2)
        late = self.registry.serve(f"{self.repository}/late", image)
        pod = self.pod("first")
        self.cri("pull", late)
        self.start_container(pod, "c", late)
        self.until_counts(daemon, late, 0, 1, 0)
        entry = self.in_ledger(daemon, late)
        shared, *own = (layer.blob.descriptor()["size"] for layer in image.layers)
        self.assertEqual(int(entry["bytesPulled"]), sum(own))
        self.assertEqual(int(entry["bytes"]), shared + sum(own))
        # The bytes of busybox were first used by the sandbox.
        self.assertEqual(int(entry["bytesServed"]), 0)
        self.assertEqual(daemon.ledger()["sinceClaim"]["partials"], 1)

    def test_a_moved_tag_is_not_the_baked_image(self):
        daemon, reference = self.bake_and_start("one")
        self.registry.serve(f"{self.repository}/one", self.runnable("other"))
        self.cri("pull", reference)
        pod = self.pod("first")
        self.start_container(pod, "c", reference)
        self.until_counts(daemon, reference, 0, 1, 0)
        self.assertEqual(self.in_ledger(daemon, reference)["reason"], "tag_moved")
        state, = (image for image in daemon.document("/v1/images")["images"]
                  if image["name"] == reference)
        self.assertEqual(state["state"], "moved")
        self.assertTrue(daemon.status()["ready"], "somebody meant it")

    def test_what_was_never_used_is_named_with_its_bytes(self):
        daemon, one, two = self.bake_and_start("one", "two")
        self.start_container(self.pod("first"), "c", one)
        self.until_counts(daemon, one, 1, 0, 0)
        unused = {item["name"]: item for item in daemon.ledger()["neverUsed"]}
        self.assertEqual(list(unused), [two])
        self.assertEqual(unused[two]["bytes"],
                         sum(layer["size"] for layer in self.recorded(two)[0]["layers"]))
        self.assertEqual(daemon.status()["counts"]["neverUsed"], 1)

    def test_every_namespace_counts(self):
        reference = self.registry.serve(f"{self.repository}/one", self.runnable("one"))
        self.bake_node((reference, {"namespaces": ["k8s.io", "default"]}))
        self.claimed()
        daemon = self.daemon()
        self.containerd.ctr("run", "--rm", "--cgroup", f"/prebake-{os.getpid()}", reference,
                            "from-ctr", "/bin/busybox", "true", namespace="default")
        daemon.until(lambda: any(item["namespace"] == "default" and item["hits"] == 1
                                 for item in daemon.ledger()["images"]), "ctr's start is a hit")

    def test_an_image_build_and_a_view_count_no_start(self):
        daemon, reference = self.bake_and_start("one")
        pod = self.pod("first")
        baked, _ = self.recorded(reference)
        self.containerd.ctr("snapshots", "view", "a-look", baked["chainId"])
        chain = "sha256:" + 64 * "5"  # as BuildKit commits its results: they belong to no image
        self.containerd.ctr("snapshots", "prepare", "step-1")
        self.containerd.ctr("snapshots", "commit", chain, "step-1")
        self.containerd.ctr("snapshots", "prepare", "step-2", chain)
        self.start_container(pod, "c", reference)
        self.until_counts(daemon, reference, 1, 0, 0)
        self.assertEqual(daemon.ledger()["sinceClaim"]["starts"], 2, "the pod's sandbox is one")
        daemon.stop()
        daemon = self.daemon()
        daemon.until(lambda: daemon.ledger()["gapsTotal"] == 1, "all is listed")
        self.assertEqual(daemon.ledger()["gaps"][-1]["foundAfter"], 0)
        self.assertEqual(daemon.ledger()["sinceClaim"]["starts"], 2)

    def test_a_mounted_image_volume_counts_once(self):
        reference = self.registry.serve(f"{self.repository}/volume", self.runnable("volume"))
        self.bake_node((reference, {"kind": "volume"}))
        self.claimed()
        daemon = self.daemon()
        baked, _ = self.recorded(reference)
        # As CRI of containerd 2.1 and later prepares it. No process starts in it.
        mount = "/run/containerd/io.containerd.grpc.v1.cri/image-volumes/{}/" + 64 * "5"
        self.containerd.ctr("snapshots", "prepare", mount.format("pod-1"), baked["chainId"])
        self.until_counts(daemon, reference, 1, 0, 0)
        daemon.stop()
        self.containerd.ctr("snapshots", "prepare", mount.format("pod-2"), baked["chainId"])
        daemon = self.daemon()
        self.until_counts(daemon, reference, 2, 0, 0)

    def test_restarts_count_nothing_twice_and_lose_nothing(self):
        daemon, reference = self.bake_and_start("one")
        pod = self.pod("first")
        self.start_container(pod, "before", reference)
        self.until_counts(daemon, reference, 1, 0, 0)

        self.containerd.stop()
        daemon.until_verdict("not_ready")
        self.assertEqual(daemon.condition("ContainerdServing")["status"], "False")
        self.start_containerd()
        daemon.until_ready()
        daemon.until(lambda: daemon.ledger()["gapsTotal"] == 1, "the gap is marked")
        self.assertEqual(daemon.ledger()["gaps"][-1]["cause"], "containerd_restarted")
        self.assertEqual(self.counts(daemon, reference), (1, 0, 0))

        daemon.until(lambda: daemon.stored_is_current(self.state), "the ledger is written")
        daemon.stop(signal.SIGKILL)
        self.start_container(pod, "meanwhile", reference)
        daemon = self.daemon()
        self.until_counts(daemon, reference, 2, 0, 0)
        stops = lambda: [gap["foundAfter"] for gap in daemon.ledger()["gaps"]
                         if gap["cause"] == "daemon_stopped"]
        daemon.until(lambda: stops() == [1], "the gap is marked")

        self.assertEqual(daemon.stop().code, harness.DONE)
        daemon = self.daemon()
        daemon.until(lambda: stops() == [1, 0], "the gap is marked")
        self.assertEqual(self.counts(daemon, reference), (2, 0, 0))
        self.start_container(pod, "after", reference)
        self.until_counts(daemon, reference, 3, 0, 0)
        self.assertEqual(daemon.ledger()["boot"]["starts"], 4, "and one sandbox")

    def test_another_claim_starts_new_counts(self):
        daemon, reference = self.bake_and_start("one")
        self.start_container(self.pod("first"), "c", reference)
        self.until_counts(daemon, reference, 1, 0, 0)
        daemon.stop()
        claim = json.loads((self.state / "claim.json").read_text())
        claim["claimedAt"] = "2026-02-02T00:00:00Z"
        (self.state / "claim.json").write_text(json.dumps(claim))
        ledger = json.loads((self.state / "ledger.json").read_text())
        self.assertEqual(ledger["sinceClaim"]["starts"], 2)
        daemon = self.daemon()
        # The running container was started in this boot, so this claim counts it; nothing else.
        self.until_counts(daemon, reference, 1, 0, 0)
        self.assertNotEqual(daemon.ledger()["claim"], ledger["claim"])


class Guard(node.NodeTest):
    """The daemon repairs changes that others make to baked images."""

    def setUp(self):
        super().setUp()
        self.image = self.runnable("one")
        self.reference = self.registry.serve(f"{self.repository}/one", self.image)
        self.bake_node((self.reference, {}))
        self.claimed()
        self.baked = self.own_images()
        self.node = self.daemon()

    def own_images(self):
        """name -> (target, labels) of the baked image"""
        images = self.containerd.images()
        return {name: images.get(name) for name in self.names(self.reference, self.image)}

    def until_as_before(self):
        self.node.until(lambda: self.own_images() == self.baked,
                        "names, targets and pins are as they were baked")

    def repairs(self):
        return [repair["what"] for repair in self.node.status()["repairs"]]

    def test_a_pull_through_cri_loses_no_pin(self):
        self.cri("pull", self.reference)
        self.until_as_before()
        self.node.until(lambda: self.repairs(), "the repair is reported")
        repair = self.node.status()["repairs"][0]
        self.assertEqual(repair["image"], self.reference)
        self.assertIn("pulled again", repair["why"])
        self.start_container(self.pod("first"), "c", self.reference)
        self.until_counts(self.node, self.reference, 1, 0, 0)
        self.assertEqual(self.in_ledger(self.node, self.reference)["repins"], 1)

    def test_a_removed_pin_is_restored(self):
        for name in self.names(self.reference, self.image):
            self.containerd.ctr("images", "label", name, f"{harness.PINNED[0]}=")
        self.until_as_before()
        entry = lambda: self.in_ledger(self.node, self.reference)
        # The pin is back before the daemon publishes that it was.
        self.node.until(lambda: entry() and entry()["repins"] == 3,
                        "the repair of each name is counted")
        self.assertEqual({repair["why"] for repair in self.node.status()["repairs"]},
                         {"its label was removed"})
        self.assertEqual(entry()["pulls"], 0, "nobody pulled it")

    def test_what_is_left_of_a_moved_image_may_be_deleted(self):
        self.registry.serve(f"{self.repository}/one", self.runnable("other"))
        self.cri("pull", self.reference)
        state = lambda: next(image["state"] for image in self.node.document("/v1/images")["images"]
                             if image["name"] == self.reference)
        self.node.until(lambda: state() == "moved", "it is moved")
        old = [name for name in self.names(self.reference, self.image) if name != self.reference]
        self.containerd.ctr("images", "rm", *old)
        # Events arrive in order: a repair of a later one shows that these were processed.
        self.containerd.ctr("images", "rm", node.SANDBOX)
        self.node.until(lambda: node.SANDBOX in self.containerd.images(), "the sandbox is back")
        self.assertFalse(set(old) & set(self.containerd.images()), "it was deleted on purpose")
        self.assertTrue(self.node.status()["ready"])

    def test_a_tag_that_is_moved_back_is_usable_again(self):
        other = self.registry.serve(f"{self.repository}/other", self.runnable("other"))
        self.cri("pull", other)
        state = lambda: next(image["state"] for image in self.node.document("/v1/images")["images"]
                             if image["name"] == self.reference)
        self.containerd.ctr("images", "tag", "--force", other, self.reference)
        self.node.until(lambda: state() == "moved", "it is moved")
        digest_name = next(name for name in self.names(self.reference, self.image) if "@" in name)
        self.cri("pull", self.reference)
        self.node.until(lambda: state() in ("usable", "repaired"),
                        f"{digest_name} has its tag back")

    def test_a_deleted_name_is_restored(self):
        self.containerd.ctr("images", "rm", self.reference)
        self.until_as_before()

    def test_deleted_names_come_back_as_long_as_the_content_is_there(self):
        # Another name protects the content from garbage collection.
        self.containerd.ctr("images", "tag", self.reference, "localhost/holder:1")
        for name in self.names(self.reference, self.image):
            self.containerd.ctr("images", "rm", name)
        self.until_as_before()

    def all_names_deleted(self):
        """As `crictl rmi --prune` does it: the last deletion waits for the collection."""
        self.containerd.ctr("images", "rm", "--sync", *self.names(self.reference, self.image))
        self.containerd.collect_garbage()

    def until_held(self):
        self.node.until(lambda: LEASE in self.containerd.leases(), "there is a lease")
        # The lease is filled by then: the daemon does one thing after the other.
        self.containerd.ctr("images", "rm", node.SANDBOX)
        self.node.until(lambda: node.SANDBOX in self.containerd.images(), "the content is held")
        self.node.until(lambda: self.containerd.leases() == [LEASE], "the repair has ended")

    def test_content_outlives_all_names(self):
        self.until_held()
        self.registry.go_down()
        self.addCleanup(self.registry.come_back)
        self.all_names_deleted()
        self.until_as_before()
        self.assertIn(self.image.chain_id, self.containerd.snapshots())
        self.node.until_ready()
        self.node.until(lambda: LEASE in self.node.running.stderr(), "how to delete it is logged")

    def test_the_lease_is_found_again(self):
        self.until_held()
        self.node.stop(signal.SIGKILL)
        self.assertEqual(self.containerd.leases(), [LEASE])
        self.node = self.daemon()
        self.all_names_deleted()
        self.until_as_before()
        self.node.until(lambda: self.containerd.leases() == [LEASE], "the repair's lease is gone")
        self.containerd.stop()
        self.start_containerd()
        self.node.until_ready()
        self.all_names_deleted()
        self.until_as_before()

    def test_the_lease_is_given_up_for_space(self):
        for config in ('min_free = "99.9%"', 'min_free = "0"\nkeep_deleted = false'):
            with self.subTest(config):
                self.until_held()
                self.node.stop()
                self.node = self.daemon(config=f"[guard]\n{config}\n")
                self.node.until(lambda: self.containerd.leases() == [], "nothing is held")
                self.node.stop()
                self.node = self.daemon()

    def test_images_without_content_are_an_alarm(self):
        # To free the space, the lease goes first. The daemon sees it when all of it has happened:
        # otherwise it may be in time to restore the image.
        self.until_held()
        self.node.running.send(signal.SIGSTOP)
        self.containerd.ctr("leases", "rm", LEASE)
        with_sync = ["images", "rm", "--sync", *self.names(self.reference, self.image)]
        self.containerd.ctr(*with_sync)
        self.containerd.collect_garbage()
        self.node.running.send(signal.SIGCONT)
        self.node.until_verdict("not_ready")
        condition = self.node.condition("ImagesPresent")
        self.assertEqual((condition["status"], condition["reason"]), ("False", "ImagesMissing"))
        self.assertIn(self.reference, condition["message"])
        self.assertIn("prebake bake", condition["nextStep"])
        self.assertEqual(self.node.get("/readyz")[0], 503)
        # The kubelet pulls it: a miss, and the node is ready again.
        self.cri("pull", self.reference)
        self.node.until_ready()
        self.start_container(self.pod("first"), "c", self.reference)
        self.node.until(lambda: sum(self.counts(self.node, self.reference)) == 1, "it is counted")
        self.assertEqual(self.counts(self.node, self.reference)[0], 0, "it was pulled: no hit")
        self.assertEqual(self.in_ledger(self.node, self.reference)["reason"], "garbage_collected")

    def test_a_lost_snapshot_is_unpacked_again(self):
        chain = self.image.chain_id
        self.containerd.ctr("snapshots", "rm", chain)
        self.node.until(lambda: chain in self.containerd.snapshots(), "the snapshot is back")
        self.node.until_ready()
        self.start_container(self.pod("first"), "c", self.reference)
        self.until_counts(self.node, self.reference, 1, 0, 0)

    def test_a_bake_during_the_run_is_picked_up(self):
        another = self.registry.serve(f"{self.repository}/two", self.runnable("two"))
        self.bake(another)
        self.node.until(lambda: self.node.status()["counts"]["baked"] == 3,
                        "the record is read again")
        self.containerd.ctr("images", "rm", another)
        self.node.until(lambda: another in self.containerd.images(), "it is guarded")


class Reconcile(node.NodeTest):
    """At start the daemon repairs from the disk before the node is ready."""

    def bake_one(self, **keys):
        self.image = self.runnable("one")
        self.reference = self.registry.serve(f"{self.repository}/one", self.image)
        self.bake_node((self.reference, keys))
        self.claimed()

    def test_lost_names_and_pins_are_back_before_ready(self):
        self.bake_one()
        before = self.containerd.images()
        self.containerd.ctr("images", "tag", self.reference, "localhost/holder:1")
        for name in self.names(self.reference, self.image):
            self.containerd.ctr("images", "rm", name)
        self.daemon()
        images = self.containerd.images()
        for name in self.names(self.reference, self.image):
            self.assertEqual(images[name], before[name], name)

    def test_another_snapshotter_is_filled_from_the_blobs(self):
        self.bake_one()
        self.containerd.stop()
        self.containerd.configure(snapshotter="native")
        self.start_containerd()
        self.assertNotIn(self.image.chain_id, self.containerd.snapshots(snapshotter="native"))
        daemon = self.daemon()
        self.assertEqual(daemon.status()["snapshotter"], "native")
        self.assertIn(self.image.chain_id, self.containerd.snapshots(snapshotter="native"))
        self.registry.go_down()
        self.addCleanup(self.registry.come_back)
        self.start_container(self.pod("first"), "c", self.reference)
        self.until_counts(daemon, self.reference, 1, 0, 0)

    def test_another_snapshotter_without_blobs_is_an_alarm(self):
        self.bake_one(keep_layers=False)
        self.containerd.collect_garbage()
        self.containerd.stop()
        self.containerd.configure(snapshotter="native")
        self.start_containerd()
        daemon = self.daemon(ready=False)
        daemon.until_verdict("not_ready")
        condition = daemon.condition("ImagesUnpacked")
        self.assertEqual((condition["status"], condition["reason"]), ("False", "NotUnpacked"))
        self.assertIn("native", condition["message"])
        self.assertIn("prebake bake", condition["nextStep"])

    def test_a_namespace_that_lost_an_image_adopts_it_from_another(self):
        self.image = self.runnable("one")
        self.reference = self.registry.serve(f"{self.repository}/one", self.image)
        self.bake_node((self.reference, {"namespaces": ["k8s.io", "default"]}))
        self.claimed()
        self.containerd.ctr("images", "rm", "--sync", self.reference, namespace="default")
        self.containerd.collect_garbage()
        self.registry.go_down()
        self.addCleanup(self.registry.come_back)
        self.daemon()
        self.assertIn(self.reference, self.containerd.images("default"))
        self.assertIn(self.image.chain_id, self.containerd.snapshots("default"))

    def test_a_sandbox_image_that_the_list_forgot_is_guarded(self):
        self.bake("-f", self.image_list(self.sandbox_table()))
        (self.state / "bake.json").unlink()
        self.claimed()
        self.containerd.ctr("images", "label", node.SANDBOX, f"{harness.PINNED[0]}=")
        daemon = self.daemon()
        self.assertEqual(daemon.status()["sandboxImage"], node.SANDBOX)
        daemon.until(lambda: harness.PINNED[0] in self.containerd.images()[node.SANDBOX][1],
                     "it is pinned")

    def test_containerd_may_start_late(self):
        self.bake_one()
        self.containerd.stop()
        daemon = self.daemon(ready=False)
        daemon.until(daemon.answers, "the endpoint serves without containerd")
        self.assertEqual(daemon.status()["verdict"], "starting")
        self.assertEqual(daemon.get("/readyz")[0], 503)
        self.start_containerd()
        daemon.until_ready()

    def test_a_node_with_nothing_but_a_sandbox_image_is_ready(self):
        self.bake("-f", self.image_list(self.sandbox_table()))
        (self.state / "bake.json").unlink()
        self.claimed()
        daemon = self.daemon()
        self.assertEqual(daemon.status()["counts"]["baked"], 0)


class Budget(node.NodeTest):
    """Pins never cause disk pressure."""

    def test_the_least_used_lose_their_pins(self):
        references = [
            self.registry.serve(f"{self.repository}/{name}", self.runnable(name, size=400_000))
            for name in ("one", "two", "three")]
        self.bake_node(*((reference, {}) for reference in references))
        self.claimed()
        daemon = self.daemon()
        self.start_container(self.pod("first"), "c", references[1])
        self.until_counts(daemon, references[1], 1, 0, 0)
        daemon.stop()
        # Space for the sandbox image (busybox is shared) and one of the three images of 1.2 MB.
        busybox = oci_image.BUSYBOX.stat().st_size + oci_image.busybox_layer().blob.size
        daemon = self.daemon(
            config=f'[guard]\nmin_free = "0"\nmax_pinned_bytes = "{busybox + 1_900_000}"\n')
        daemon.until(lambda: daemon.status()["counts"]["unpinnedByBudget"] == 2, "two are unpinned")
        pinned = {name for name, (_, labels) in self.containerd.images().items()
                  if harness.PINNED[0] in labels}
        self.assertIn(references[1], pinned)
        self.assertIn(node.SANDBOX, pinned)
        self.assertNotIn(references[0], pinned)
        self.assertNotIn(references[2], pinned)
        self.assertTrue(daemon.status()["ready"])
        # The daemon does not restore an image that the budget unpinned.
        self.cri("remove-image", references[0])
        daemon.until(lambda: any(image["state"] == "evicted"
                                 for image in daemon.document("/v1/images")["images"]), "evicted")
        self.assertNotIn(references[0], self.containerd.images())
        self.assertTrue(daemon.status()["ready"])
        # Not even after a restart of the daemon.
        ready = daemon.status()["times"]
        self.assertEqual(daemon.stop().code, harness.DONE)
        daemon = self.daemon(
            config=f'[guard]\nmin_free = "0"\nmax_pinned_bytes = "{busybox + 1_900_000}"\n')
        images = daemon.document("/v1/images")["images"]
        states = {image["name"]: image["state"] for image in images}
        self.assertEqual(states[references[0]], "evicted")
        self.assertEqual(daemon.status()["counts"]["unpinnedByBudget"], 2)
        self.assertNotIn(harness.PINNED[0], self.containerd.images()[references[2]][1])
        self.assertEqual(daemon.status()["times"], ready, "the boot was ready when it was")


if __name__ == "__main__":
    harness.main()
