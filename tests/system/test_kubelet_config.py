"""`prebake kubelet-config`: settings for each version of the kubelet, and records that clash."""

import json
import os
import time

import harness

ID = "sha256:" + "a" * 64
NAME = "docker.io/library/nginx:1.27"
POLICY = "imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages\n"
LIST = 'preloadedImagesVerificationAllowlist:\n- "docker.io/library/nginx"\n'


def pulled_record(credentials):
    return json.dumps({"kind": "ImagePulledRecord",
                       "apiVersion": "kubelet.config.k8s.io/v1beta1",
                       "imageRef": ID, "credentialMapping": credentials})


class KubeletConfig(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.state.mkdir()
        (self.state / "bake.json").write_text(json.dumps({
            "schema": "prebake.v1.BakeRecord",
            "images": [{"name": NAME, "config": {"digest": ID},
                        "placements": [{"namespace": "k8s.io", "names": [NAME, ID],
                                        "pinned": True}]}]}))

    def kubelet(self, script):
        """A PATH that begins with such a kubelet."""
        directory = self.directory / "bin"
        directory.mkdir(exist_ok=True)
        program = directory / "kubelet"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return {"PATH": f"{directory}:{os.environ['PATH']}"}

    def advice(self, *arguments, code=harness.DONE, **options):
        result = self.prebake("kubelet-config", *arguments, **options)
        self.assertEqual(result.code, code, result)
        return result

    def assert_set(self, text, is_set, why=""):
        for entry in (POLICY, LIST):
            self.assertEqual("\n" + entry in text, is_set, text)
        if not is_set:
            self.assertIn("# preloadedImagesVerificationAllowlist:\n# - ", text)
        self.assertIn(why, " ".join(text.replace("#", " ").split()))

    def test_the_version_decides(self):
        for version, is_set in (("1.35", True), ("v1.36.2", True), ("1.34.9", False)):
            with self.subTest(version):
                self.assert_set(self.advice("--kubernetes", version).stdout, is_set)

    def test_a_kubelet_on_the_path_is_asked(self):
        for script, is_set, why in (
                ("[ \"$*\" = --version ] && echo Kubernetes v1.35.0", True, ""),
                ("echo Kubernetes v1.33.5-eks-ba24e9c", False, "the kubelet has version 1.33"),
                ("exit 1", False, "version of the kubelet is not known"),
                ("echo none of it", False, "version of the kubelet is not known")):
            with self.subTest(script):
                text = self.advice(environment=self.kubelet(script)).stdout
                self.assert_set(text, is_set, why)

    def test_a_kubelet_that_does_not_answer_is_not_waited_for(self):
        begin = time.monotonic()
        text = self.advice(environment=self.kubelet("exec sleep 600")).stdout
        self.assert_set(text, False, "version of the kubelet is not known")
        self.assertLess(time.monotonic() - begin, 30)

    def test_the_option_overrides_the_kubelet_on_the_path(self):
        path = self.kubelet("echo Kubernetes v1.36.0")
        text = self.advice("--kubernetes=1.30", environment=path).stdout
        self.assert_set(text, False, "version 1.30")

    def test_json_has_no_value_that_must_not_be_set(self):
        document = self.advice("--json", "--kubernetes", "1.34").json
        self.assertEqual(document["kubernetes"], "1.34")
        setting, = (item for item in document["settings"]
                    if item["key"] == "preloadedImagesVerificationAllowlist")
        self.assertEqual((setting["value"], setting["heldBack"]),
                         ("", '- "docker.io/library/nginx"'))

    def test_wrong_usage(self):
        for version in ("latest", "1", "1.x", "", "1.35 x"):
            with self.subTest(version):
                self.advice(f"--kubernetes={version}", code=harness.USAGE)

    def image_manager(self, directory):
        """The root of a kubelet, and the arguments that check it."""
        path = self.directory / "kubelet/image_manager" / directory
        path.mkdir(parents=True)
        return path, ("--check", "--kubelet-root", self.directory / "kubelet")

    def test_records_that_clash(self):
        pulled, check = self.image_manager("pulled")
        self.assertIn("ok: 0 records", self.advice(*check).stdout)
        (pulled / "sha256-odd").write_text("{")
        result = self.advice(*check, code=harness.PARTIAL)
        self.assertNotIn("ok", result.stdout)
        self.assertIn("sha256-odd", result.stderr)
        (pulled / "sha256-b").write_text(pulled_record({"mirror.example/nginx": {}}))
        self.assertIn(NAME, self.advice(*check, code=harness.NOT_READY).stderr)

    def test_a_record_that_lets_only_some_pods_in(self):
        pulled, check = self.image_manager("pulled")
        record = pulled / "sha256-b"
        repository = "docker.io/library/nginx"
        record.write_text(pulled_record({repository: {"nodePodsAccessible": True}}))
        self.assertIn("ok: 1 record", self.advice(*check).stdout)
        secret = {"uid": "u", "namespace": "team-a", "name": "regcred", "credentialHash": "h"}
        record.write_text(pulled_record({repository: {"kubernetesSecrets": [secret]}}))
        result = self.advice(*check, code=harness.NOT_READY)
        self.assertIn("every pod without one of the pull secrets", result.stderr)
        self.assertIn("give the pods that may use it", result.stderr)
        self.assertNotIn("regcred", result.stderr)
        clash, = self.advice(*check, "--json", code=harness.NOT_READY).json["clashes"]
        self.assertEqual((clash["cause"], clash["image"]), ("restricted", NAME))

    def test_an_unfinished_pull(self):
        pulling, check = self.image_manager("pulling")
        intent = pulling / "sha256-c"
        for image, code in (("nginx:1.27", harness.NOT_READY), (NAME, harness.NOT_READY),
                            ("nginx:1.28", harness.DONE)):
            with self.subTest(image):
                intent.write_text(json.dumps({
                    "kind": "ImagePullIntent", "apiVersion": "kubelet.config.k8s.io/v1beta1",
                    "image": image}))
                result = self.advice(*check, code=code)
        self.assertIn("ok: 1 record", result.stdout)
        intent.write_text("{")
        self.assertIn("sha256-c is not", self.advice(*check, code=harness.PARTIAL).stderr)


if __name__ == "__main__":
    harness.main()
