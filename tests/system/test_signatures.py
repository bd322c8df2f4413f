#!/usr/bin/python3
"""Images that must be signed: rules, keys, what cosign writes, and what nodes verify again.

Environment:
  PREBAKE_TEST_COSIGN  directory whose usr/bin/ holds cosign (default: it is fetched)
"""

import json
import os
import pathlib
import subprocess
import unittest

import harness
import oci_image
import signatures

TOP = pathlib.Path(__file__).resolve().parents[2]


class SignatureTest(harness.SystemTest):
    """A registry that is scripted, and signatures made with openssl."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.key = signatures.Key(cls.workspace.path, "release")
        cls.other_key = signatures.Key(cls.workspace.path, "other")

    def setUp(self):
        super().setUp()
        self.image = oci_image.small_image(self.repository)
        self.digest = self.image.top.digest
        self.reference = self.registry.serve(self.repository, self.image)

    def require(self, key=None, match=None, more=""):
        """Writes a rule about this test's repository."""
        match = match or f"{self.registry.host}/{self.repository}"
        (self.directory / "prebake.toml").write_text(
            harness.NO_SANDBOX + f'[[trust]]\nmatch = "{match}"\n'
            f'keys = ["{(key or self.key).public}"]\n' + more)

    def sign(self, key=None, digest=None):
        signature = signatures.classic(digest or self.digest, key or self.key)
        signatures.attach_classic(self.registry, self.repository, self.digest, signature)
        return signature

    def assert_refused(self, *words):
        """The image fails alone, and nothing of it is stored."""
        self.bake_beside_a_good_one(self.reference, "refused", self.digest, *words,
                                    image=self.image)
        self.assertNotIn(self.digest, self.containerd.blobs())
        self.assertNotIn(self.image.layers[0].blob.digest, self.containerd.blobs())

    def assert_kept(self, signature):
        """The signature is in the store, and stays there as long as the image."""
        self.containerd.collect_garbage()
        blobs = self.containerd.blobs()
        self.assertIn(signature.top.digest, blobs)
        self.assertIn(signature.blobs[1].digest, blobs)
        self.assertIn(signature.top.digest, blobs[self.digest].values())

    def recorded_signature(self):
        recorded, = self.recorded(self.reference)[0]["signatures"]
        return recorded

    def verify(self, code, *words, arguments=()):
        result = self.prebake("verify", *arguments)
        self.assertEqual(result.code, code, result)
        for word in words:
            self.assertIn(word, result.stdout + result.stderr, result)
        return result


class BakeTest(SignatureTest):

    def test_a_signed_image_is_baked_with_its_signature(self):
        self.require()
        signature = self.sign()
        plan = self.prebake("plan", "--json", self.reference).json
        planned, = plan["images"][0]["signatures"]
        self.assertEqual(planned["key"], self.key.fingerprint)
        self.assertIn("signed by release.pub", self.prebake("plan", self.reference).stdout)
        report = self.bake("--json", self.reference).json
        self.assert_baked(self.reference, self.image)
        recorded = self.recorded_signature()
        self.assertEqual(report["images"][0]["signatures"], [recorded])
        self.assertEqual(recorded["key"], self.key.fingerprint)
        self.assertEqual(recorded["keyFile"], str(self.key.public))
        self.assertEqual(recorded["form"], "cosign")
        self.assertEqual(recorded["manifest"]["digest"], signature.top.digest)
        self.assert_kept(signature)

    def test_a_second_bake_finds_nothing_to_do_and_fetches_nothing(self):
        self.require()
        self.sign()
        self.bake(self.reference)
        before = self.record()["images"]
        self.registry.requests.clear()
        result = self.bake("--json", self.reference)
        self.assertEqual(result.json["images"][0]["outcome"], "ALREADY_THERE", result)
        gets = [item.path for item in self.registry.gets()
                if "/referrers/" not in item.path and item.status != 404]
        self.assertEqual(gets, [], "manifests count against limits of registries")
        self.assertEqual(self.record()["images"][0]["signatures"], before[0]["signatures"])

    def test_a_bundle_is_found_by_the_referrers_api(self):
        self.require()
        bundle = signatures.bundle(self.digest, self.key)
        attestation = signatures.bundle(self.digest, self.key, "https://slsa.dev/provenance/v1")
        signatures.attach_referrers(self.registry, self.repository, self.digest, attestation,
                                    signatures.bundle(self.digest, self.other_key), bundle)
        self.bake(self.reference)
        self.assertEqual(self.recorded_signature()["form"], "bundle")
        self.assert_kept(bundle)

    def test_a_mirror_that_lists_no_signatures_does_not_hide_those_of_the_registry(self):
        self.require()
        bundle = signatures.bundle(self.digest, self.key)
        signatures.attach_referrers(self.registry, self.repository, self.digest, bundle)
        for number, capabilities in enumerate(('', 'capabilities = ["pull", "resolve"]\n')):
            with self.subTest(capabilities):
                mirror = self.fresh_registry()
                mirror.serve(self.repository, self.image)
                signatures.attach_referrers(mirror, self.repository, self.digest)
                place = self.directory / f"certs-{number}" / self.registry.host
                place.mkdir(parents=True)
                (place / "hosts.toml").write_text(f'[host."{mirror.url}"]\n{capabilities}')
                plan = self.prebake("plan", "--json", "--hosts-dir", place.parent, self.reference)
                planned, = plan.json["images"][0]["signatures"]
                self.assertEqual(planned["key"], self.key.fingerprint)
                asked = [item for item in mirror.requests if "/referrers/" in item.path]
                self.assertEqual(bool(asked), not capabilities)

    def test_an_image_without_a_signature_is_refused(self):
        self.require()
        result = self.prebake("plan", self.reference)
        self.assertEqual(result.code, harness.FAILED, result)
        self.assertIn("problem: untrusted", result.stdout)
        self.assert_says(result, "none was found", "cosign sign")
        self.assert_refused("none was found")

    def test_what_is_not_a_signature_of_the_image_by_the_key_is_refused(self):
        self.require()
        other_digest = oci_image.sha256(b"other")
        keyless = {"certificate": {"rawBytes": "AAAA"}}
        rows = (
            ("not made by", lambda: self.sign(self.other_key)),
            ("another image", lambda: self.sign(digest=other_digest)),
            ("attestation", lambda: signatures.attach_referrers(
                self.registry, self.repository, self.digest,
                signatures.bundle(self.digest, self.key, "https://slsa.dev/provenance/v1"))),
            ("keyless", lambda: signatures.attach_referrers(
                self.registry, self.repository, self.digest,
                signatures.bundle(self.digest, self.key, material=keyless))),
        )
        for reason, attach in rows:
            with self.subTest(reason):
                self.registry.behave()
                attach()
                self.assert_refused(reason)

    def test_the_index_has_to_be_signed_not_its_manifest(self):
        architecture = f"linux/{oci_image.host_architecture()}"
        index = oci_image.index([(architecture, self.image)])
        self.reference = self.registry.serve(self.repository, index)
        self.require()
        self.digest = self.image.top.digest
        self.sign()
        self.digest = index.top.digest
        self.assert_refused("none was found")
        self.sign()
        self.bake(self.reference)
        self.assert_baked(self.reference, index)

    def test_a_rule_with_more_characters_wins(self):
        other_host = self.registry.host
        self.require(match=f"{other_host}/**", more="".join(
            f'[[trust]]\nmatch = "{other_host}/{name}"\nrequire = "none"\n'
            for name in (self.repository, "good/**")))
        self.bake(self.reference)
        self.assertEqual(self.recorded(self.reference)[0]["signatures"], [])

    def test_the_name_of_an_alias_counts(self):
        self.require(match="docker.io/library/*")
        listed = self.image_list((self.reference, {"aliases": ["app:1"]}))
        result = self.prebake("bake", "-f", listed)
        self.assertEqual(result.code, harness.FAILED, result)
        self.assert_says(result, "refused", "none was found")
        self.sign()
        self.bake("-f", listed)
        self.assertIn("docker.io/library/app:1", self.containerd.images())

    def test_a_key_of_the_command_line(self):
        result = self.bake("--verify-key", self.key.public, self.reference, code=harness.FAILED)
        self.assert_says(result, "--verify-key requires a signature", "none was found")
        self.sign()
        self.bake("--verify-key", self.other_key.public, "--verify-key", self.key.public,
                  self.reference)
        self.assertEqual(self.recorded_signature()["key"], self.key.fingerprint)

    def test_a_key_that_cannot_be_used_is_an_error_before_anything_is_done(self):
        missing = self.directory / "missing.pub"
        for file, word in ((missing, "no such file"), (self.key.private, "is a private key")):
            with self.subTest(word):
                result = self.bake("--verify-key", file, self.reference, code=harness.USAGE)
                self.assert_says(result, str(file), word)
        self.assertEqual(self.registry.requests, [])
        self.require()
        config = self.directory / "prebake.toml"
        config.write_text(config.read_text().replace("release.pub", "missing.pub"))
        result = self.prebake("config", "check")
        self.assertEqual(result.code, harness.USAGE, result)
        self.assert_says(result, "the rule at", "missing.pub")
        self.require()
        self.key.public.chmod(0o666)
        try:
            result = self.bake("--verify-key", self.key.public, self.reference, code=harness.USAGE)
            self.assert_says(result, "release.pub", "chmod go-w")
        finally:
            self.key.public.chmod(0o644)

    def test_an_image_that_is_refused_later_keeps_the_names_that_it_had(self):
        self.bake(self.reference)
        self.require()
        result = self.bake(self.reference, code=harness.FAILED)
        self.assert_says(result, "refused")
        self.assert_baked(self.reference, self.image)
        self.verify(harness.NOT_READY, "not required when the image was baked")


class NodeTest(SignatureTest):
    """What verify says where the image was booted, without the registry."""

    def setUp(self):
        super().setUp()
        self.require()
        self.signature = self.sign()
        self.bake(self.reference)

    def test_the_signature_is_verified_again(self):
        self.registry.requests.clear()
        self.verify(harness.DONE, "1 signature verified")
        self.assertEqual(self.prebake("verify", "--json").json["signatures"], 1)
        self.assertEqual(self.registry.requests, [])

    def test_a_node_without_the_key_says_so(self):
        (self.directory / "prebake.toml").write_text(harness.NO_SANDBOX)
        self.verify(harness.DONE, "1 signature not checked", self.key.fingerprint)
        self.verify(harness.DONE, "1 signature verified", arguments=("--verify-key",
                                                                    self.key.public))

    def test_a_node_with_another_key_refuses_the_image(self):
        self.require(self.other_key)
        self.verify(harness.NOT_READY, "NOT OK", "not made by", "other.pub")

    def test_a_node_whose_key_is_gone_refuses_the_image(self):
        config = self.directory / "prebake.toml"
        config.write_text(config.read_text().replace("release.pub", "missing.pub"))
        self.verify(harness.NOT_READY, "no key of it can be used", "missing.pub")

    def test_a_lost_signature_is_found_and_repaired(self):
        for digest in (self.signature.top.digest, self.signature.blobs[1].digest):
            self.containerd.ctr("content", "rm", digest)
        self.verify(harness.NOT_READY, "is not in containerd's store")
        self.verify(harness.DONE, "1 finding repaired", arguments=("--repair",))
        self.assert_kept(self.signature)

    def test_a_repair_from_the_disk_keeps_the_signature(self):
        label = next(key for key, value in self.containerd.blobs()[self.digest].items()
                     if value == self.signature.top.digest)
        # Otherwise containerd may collect it before the repair.
        self.containerd.ctr("content", "label", self.signature.top.digest,
                            "containerd.io/gc.root=test")
        self.containerd.ctr("content", "label", self.digest, f"{label}=")
        self.containerd.ctr("images", "label", self.reference, f"{harness.PINNED[0]}=")
        self.registry.requests.clear()
        self.verify(harness.DONE, "1 finding repaired", arguments=("--repair",))
        self.assertEqual(self.registry.requests, [])
        self.assert_kept(self.signature)


class VerifierProgramTest(SignatureTest):
    """containerd's image verifiers, which it has from 2.0 on."""

    def setUp(self):
        super().setUp()
        programs = self.directory / "verifiers"
        programs.mkdir()
        self.seen = self.directory / "seen"
        program = programs / "policy"
        program.write_text(f'#!/bin/sh\necho "$@" >> {self.seen}\ncat >> {self.seen}\n'
                           'echo "not on Fridays"\nexit 7\n')
        program.chmod(0o755)
        containerd = self.fresh_containerd(start=False)
        containerd.configure(verifier_directory=programs)
        containerd.start()
        (self.directory / "prebake.toml").write_text(
            harness.NO_SANDBOX + f'[containerd]\nconfig = "{containerd.config_file}"\n')

    def test_a_bake_asks_them_as_a_pull_does(self):
        if self.containerd.version < (2, 0, 0):
            self.bake(self.reference)
            self.assertFalse(self.seen.exists())
            return
        result = self.bake(self.reference, code=harness.FAILED)
        self.assert_says(result, "policy rejects", "exit status 7", "not on Fridays")
        self.assert_not_baked(self.repository, self.image)
        arguments, descriptor = self.seen.read_text().splitlines()
        self.assertEqual(arguments, f"-name {self.reference} -digest {self.digest} "
                         "-stdin-media-type application/vnd.oci.descriptor.v1+json")
        self.assertEqual(json.loads(descriptor)["digest"], self.digest)


class CosignTest(SignatureTest):
    """The real cosign, and Debian's docker-registry, which has no referrers API."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        home = pathlib.Path(os.environ.get("PREBAKE_TEST_COSIGN") or TOP / "build/matrix/cosign")
        fetched = subprocess.run([TOP / "tests/support/fetch_package", "cosign", "forky", home],
                                 check=False)
        if fetched.returncode != 0 and os.environ.get("PREBAKE_MATRIX_OPTIONAL") == "1":
            raise unittest.SkipTest("cosign of Debian forky (PREBAKE_MATRIX_OPTIONAL=1)")
        fetched.check_returncode()
        cls.program_of_cosign = home / "usr/bin/cosign"
        cls.store = harness.DockerRegistry(cls.workspace.path / "registry")
        cls.addClassCleanup(cls.store.stop)
        cls.cosign("generate-key-pair")

    def setUp(self):
        super().setUp()
        self.reference = self.store.push(self.repository, self.image)
        (self.directory / "prebake.toml").write_text(
            harness.NO_SANDBOX + f'[[trust]]\nmatch = "{self.store.host}/**"\n'
            f'keys = ["{self.workspace.path}/cosign.pub"]\n')

    @classmethod
    def cosign(cls, *arguments):
        environment = {"PATH": harness.ADMIN_PATH, "HOME": str(cls.workspace.path),
                       "COSIGN_PASSWORD": ""}
        done = subprocess.run([cls.program_of_cosign, *map(str, arguments)], check=False,
                              cwd=cls.workspace.path, env=environment, timeout=harness.DEADLINE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise AssertionError(f"cosign {' '.join(map(str, arguments))}: {done.stdout}")

    def sign_with_cosign(self, *more):
        # Only names by digest: a tag may move between two requests.
        repository = self.reference.rpartition(":")[0]
        self.cosign("sign", "--key", "cosign.key", "--tlog-upload=false",
                    "--use-signing-config=false", "--allow-http-registry", "--yes", *more,
                    f"{repository}@{self.digest}")

    def check(self, form):
        self.bake(self.reference)
        self.assert_baked(self.reference, self.image)
        recorded = self.recorded_signature()
        self.assertEqual(recorded["form"], form)
        self.containerd.collect_garbage()
        self.assertIn(recorded["blob"]["digest"], self.containerd.blobs())
        self.verify(harness.DONE, "1 signature verified")

    def test_a_bundle_of_cosign_3(self):
        self.bake(self.reference, code=harness.FAILED)
        self.sign_with_cosign()
        self.check("bundle")

    def test_the_classic_form(self):
        self.sign_with_cosign("--new-bundle-format=false")
        self.check("cosign")


if __name__ == "__main__":
    harness.main(allowed_skips=("CosignTest)",))
