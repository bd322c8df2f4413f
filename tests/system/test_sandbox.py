#!/usr/bin/python3
"""CRI's sandbox (pause) image: baked although no list names it, so that the clones become ready."""

import harness
import node
import registry as scripted


class SandboxTest(node.NodeTest):
    def setUp(self):
        super().setUp()
        # The sandbox image of this containerd is in a registry of the test.
        self.sandbox = self.registry.serve(f"{self.repository}/pause", self.pause_image(), "3.9")
        self.fresh_node(sandbox_image=self.sandbox)
        self.reference = self.registry.serve(f"{self.repository}/one", self.runnable("one"))
        self.settings()

    def settings(self, text=""):
        (self.directory / "builder.toml").write_text(
            f'[containerd]\nconfig = "{self.containerd.config_file}"\n{text}')

    def never(self):
        self.settings(harness.NO_SANDBOX)

    def verify(self):
        """With the settings of the builder, not of the node."""
        self.directory.joinpath("prebake.toml").write_text(
            (self.directory / "builder.toml").read_text())
        return self.prebake("verify")

    def test_it_is_planned_baked_and_found(self):
        plan = self.prebake("plan", self.reference)
        self.assertEqual(plan.code, harness.DONE, plan)
        line, = (line for line in plan.stdout.splitlines() if line.startswith(self.sandbox))
        self.assertIn("to bake (needed by CRI)", line)
        images = self.prebake("plan", self.reference, "--json").json["images"]
        self.assertEqual([(image["name"], image["sandbox"]) for image in images],
                         [(self.reference, False), (self.sandbox, True)])
        baked = self.bake(self.reference)
        self.assertIn("2 of 2 images", baked.stdout)
        self.assertEqual([image["name"] for image in self.record()["images"]],
                         [self.reference, self.sandbox])
        self.assertEqual(self.verify().code, harness.DONE)
        self.registry.go_down()
        self.addCleanup(self.registry.come_back)
        self.claimed()
        self.daemon()  # becomes ready
        self.start_container(self.pod("first"), "c", self.reference)

    def test_one_that_is_there_is_adopted(self):
        self.cri("pull", self.sandbox)
        self.registry.on("/pause/", scripted.error(503))
        self.bake(self.reference)
        self.assert_baked(self.sandbox, self.pause_image())
        _, placements = self.recorded(self.sandbox)
        self.assertTrue(placements["k8s.io"]["pinned"])

    def test_one_that_cannot_be_had_makes_the_bake_partial(self):
        self.registry.on("/pause/", scripted.error(404))
        self.assertEqual(self.prebake("plan", self.reference).code, harness.PARTIAL)
        result = self.bake(self.reference, code=harness.PARTIAL)
        self.assert_says(result, self.sandbox, "CRI needs this image", 'sandbox = "never"')
        self.assertEqual([image["name"] for image in self.record()["images"]], [self.reference])
        verified = self.verify()
        self.assertEqual(verified.code, harness.NOT_READY, verified)
        self.assertIn(self.sandbox, verified.stdout)
        self.assertIn("every pod needs", verified.stdout)

    def test_on_a_node_a_missing_one_is_an_alarm(self):
        self.registry.on("/pause/", scripted.error(404))
        self.bake(self.reference, code=harness.PARTIAL)
        self.registry.behave()
        self.claimed()
        daemon = self.daemon(ready=False)
        daemon.until_verdict("not_ready")
        condition = daemon.condition("ImagesPresent")
        self.assertEqual(condition["reason"], "SandboxImageMissing")
        self.assertIn(self.sandbox, condition["message"])
        self.bake(self.reference)
        daemon.until_ready()

    def test_nothing_but_a_sandbox_image_is_no_partial_success(self):
        self.cri("pull", self.sandbox)
        self.bake(f"{self.reference}-missing", code=harness.FAILED)

    def test_never_means_never(self):
        self.never()
        result = self.bake(self.reference)
        self.assertNotIn(self.sandbox, result.stdout)
        self.assertEqual(self.verify().code, harness.DONE)
        self.claimed()
        self.daemon(config=harness.NO_SANDBOX)  # ready without it

    def test_what_a_bake_left_out_is_not_missed_with_other_settings(self):
        self.never()
        self.bake(self.reference)
        self.assertTrue(self.record()["sandboxLeftOut"])
        self.settings()
        verified = self.verify()
        self.assertEqual(verified.code, harness.DONE, verified)
        self.assert_says(verified, f"sandbox image {self.sandbox} is not here", "left it out",
                         f"prebake bake {self.sandbox}")
        self.claimed()
        self.daemon()  # ready without it
        # A bake that does not leave it out takes it back.
        self.bake(self.reference)
        self.assertFalse(self.record()["sandboxLeftOut"])
        verified = self.verify()
        self.assertEqual(verified.code, harness.DONE, verified)
        self.assertNotIn("left it out", verified.stderr)

    def test_images_that_are_not_for_pods_do_not_need_it(self):
        self.bake("-n", "default", self.reference)
        self.assertNotIn(self.sandbox, self.containerd.images())


if __name__ == "__main__":
    harness.main()
