#!/usr/bin/python3
"""`prebake seal` and `seal --check` on a mounted machine image, as a pipeline calls them.

They never seal the machine that runs the tests: tests with booted machines cover that.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

PROGRAM = os.path.abspath(os.environ["PREBAKE"])
DONE, USAGE, PARTIAL, NOT_READY = harness.DONE, harness.USAGE, harness.PARTIAL, harness.NOT_READY
SECRET = base64.b64encode(b"AWS:" + b"no such token" * 4).decode()
BAKED = "var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/" + "5eed" * 16

FILES = {
    "etc/os-release": 'NAME="Debian"\n',
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\n",
    "etc/machine-id": "8e174b389f1c4c1fa0b65b91e283db0f\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/ssh/sshd_config": "PasswordAuthentication no\n",
    "etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 AAAAC3Nza root@builder\n",
    "home/admin/.ssh/authorized_keys": "ssh-ed25519 AAAAC3Nzb packer\n",
    "root/.docker/config.json": '{"auths": {"registry.example": {"auth": "' + SECRET + '"}}}\n',
    "opt/tool/settings.json": '{"auths": {"registry.example": {"auth": "' + SECRET + '"}}}\n',
    "var/lib/amazon/ssm/Vault/Manifest": "{}\n",
    "var/lib/docker/engine-id": "c0ffee00-0000-4000-8000-000000000000",
    "var/lib/prebake/bake.json": '{"schema": "prebake.v1.BakeRecord"}\n',
    BAKED: "layer",
    "var/log/syslog": "the builder was here\n",
}


class SealTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="prebake-image."))
        self.addCleanup(shutil.rmtree, self.root)
        for name, text in FILES.items():
            self.put(name, text)

    def put(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def prebake(self, *arguments, expect=DONE):
        ran = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, text=True,
                             capture_output=True, check=False, timeout=600)
        self.assertEqual(ran.returncode, expect, ran.stdout + ran.stderr)
        self.assertNotIn(SECRET, ran.stdout + ran.stderr)
        return ran

    def seal(self, *arguments, expect=DONE):
        return self.prebake("seal", "--root", str(self.root), *arguments, expect=expect)

    def residue(self, expect=NOT_READY):
        report = json.loads(self.seal("--check", "--json", expect=expect).stdout)
        return {(found["item"], found["path"]) for found in report["residue"]}

    def tree(self):
        return {str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else None
                for path in self.root.rglob("*")}

    def test_from_dirty_to_sealed(self):
        before = self.tree()
        found = self.residue()
        for item, path in (("machine-id", "/etc/machine-id"),
                           ("ssh-host-keys", "/etc/ssh/ssh_host_ed25519_key.pub"),
                           ("authorized-keys", "/home/admin/.ssh/authorized_keys"),
                           ("ssm-agent", "/var/lib/amazon/ssm/Vault"),
                           ("docker", "/var/lib/docker/engine-id"),
                           ("logs", "/var/log/syslog"),
                           ("secrets", "/opt/tool/settings.json"),
                           ("registry-credentials", "/root/.docker/config.json"),
                           ("claim", "/var/lib/prebake/claim.json")):
            self.assertIn((item, path), found)
            self.assertEqual([other for other, where in found if where == path], [item])
        planned = self.seal("--dry-run").stdout
        self.assertIn("truncate /etc/machine-id", planned)
        self.assertEqual(self.tree(), before)  # neither changed anything

        self.seal()
        after = self.tree()
        self.assertEqual(after["etc/machine-id"], b"")
        self.assertNotIn("var/lib/docker/engine-id", after)
        for kept in ("etc/ssh/sshd_config", "etc/os-release", "var/lib/prebake/bake.json", BAKED):
            self.assertEqual(after[kept], before[kept], kept)
        # Secrets that no item covers are found as well, and stay until the user decides.
        self.assertEqual(self.residue(), {("secrets", "/opt/tool/settings.json")})
        (self.root / "opt/tool/settings.json").unlink()
        self.assertEqual(self.residue(expect=DONE), set())
        claim = json.loads((self.root / "var/lib/prebake/claim.json").read_text())
        self.assertEqual(claim["state"], "SEALED")
        self.assertNotIn("8e174b389f1c", json.dumps(claim))

        sealed = self.tree()
        self.seal()
        self.assertEqual(self.tree(), sealed)  # sealing twice is sealing once

    def test_keys_of_real_programs_are_found(self):
        """What OpenSSL and gzip write; what is public among it is no secret."""
        directory = self.root / "srv/keys"
        directory.mkdir(parents=True)

        def openssl(*arguments):
            subprocess.run(("openssl", *arguments), cwd=directory, check=True,
                           capture_output=True, timeout=60)

        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout",
                "key.pem", "-out", "certificate.pem")
        to_der = ("-outform", "DER", "-out")
        key = ("-in", "key.pem", *to_der)
        store = ("-in", "certificate.pem", "-passout", "pass:x", "-out")
        openssl("rsa", *key, "rsa.der", "-traditional")
        openssl("pkcs8", *key, "pkcs8.der", "-topk8", "-nocrypt")
        openssl("pkcs8", *key, "encrypted.der", "-topk8", "-passout", "pass:x")
        openssl("genpkey", "-algorithm", "ed25519", *to_der, "ed25519.der")
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", *to_der, "sec1.der")
        openssl("pkcs12", "-export", "-inkey", "key.pem", *store, "key.p12")
        openssl("pkcs12", "-export", "-nokeys", *store, "public.p12")
        openssl("rsa", *key, "public.der", "-pubout")
        openssl("req", *to_der, "request.der", "-new", "-key", "key.pem", "-subj", "/CN=x")
        openssl("x509", "-in", "certificate.pem", *to_der, "certificate.der")
        text = (directory / "key.pem").read_text()
        (directory / "utf16.txt").write_bytes(text.encode("utf-16"))
        subprocess.run(("gzip", "key.pem"), cwd=directory, check=True)
        found = {path.removeprefix("/srv/keys/") for item, path in self.residue()
                 if item == "secrets" and path.startswith("/srv/keys/")}
        self.assertEqual(found, {"rsa.der", "pkcs8.der", "encrypted.der", "ed25519.der", "sec1.der",
                                 "key.p12", "utf16.txt", "key.pem.gz"})

    def test_what_names_the_builder_is_found_after_the_seal(self):
        """As programs write it, also by its hash: the seal removed the name itself."""
        key = self.root / "usr/lib/myservice/server.key"
        self.put("etc/hostname", "base-vm\n")
        self.put("etc/postfix/main.cf", "mydestination = base-vm, localhost\n")
        self.put("etc/NetworkManager/conf.d/a.conf", "match-device=mac:52:54:00:12:34:56\n")
        self.put("etc/default/grub", 'GRUB_CMDLINE_LINUX="ifname=lan0:52:54:00:12:34:56"\n')
        self.put("etc/sysconfig/network/ifcfg-eth-id-52:54:00:12:34:56", "BOOTPROTO=dhcp\n")
        key.parent.mkdir(parents=True)
        subprocess.run(("openssl", "genpkey", "-algorithm", "ed25519", "-out", key), check=True,
                       capture_output=True, timeout=60)
        key.chmod(0o600)
        (self.root / "opt/tool/settings.json").unlink()
        self.seal()
        self.assertEqual(self.residue(), {
            ("builder-values", "/etc/postfix/main.cf"),
            ("builder-values", "/etc/NetworkManager/conf.d/a.conf"),
            ("builder-values", "/etc/default/grub"),
            ("builder-values", "/etc/sysconfig/network/ifcfg-eth-id-52:54:00:12:34:56"),
            ("secrets", "/usr/lib/myservice/server.key")})
        key.chmod(0o644)  # as a package would install it
        self.assertNotIn("secrets", {item for item, _ in self.residue()})

    def test_one_item_that_fails_stops_no_other(self):
        vault = self.root / "var/lib/amazon/ssm/Vault"
        subprocess.run(["mount", "-t", "tmpfs", "prebake-test", vault], check=True)
        self.addCleanup(subprocess.run, ["umount", vault], check=True)
        ran = self.seal(expect=PARTIAL)
        self.assertIn("NOT SEALED", ran.stdout)
        self.assertRegex(ran.stderr, r"ssm-agent: .*Vault.*mounted")
        self.assertEqual((self.root / "etc/machine-id").read_text(), "")
        found = self.residue()
        self.assertIn("claim", {item for item, _ in found})
        self.assertIn("ssm-agent", {item for item, _ in found})

    def test_configuration(self):
        configuration = self.root / "prebake.toml"
        self.put("opt/vendor/id", "1\n")
        configuration.write_text('[seal]\nskip = ["logs"]\nremove = ["/opt/vendor/id"]\n'
                                 'keep = ["/opt/tool", "/home/*/.ssh/authorized_keys"]\n')
        self.seal("--config", str(configuration))
        self.assertFalse((self.root / "opt/vendor/id").exists())
        for kept in ("var/log/syslog", "home/admin/.ssh/authorized_keys", "opt/tool/settings.json"):
            self.assertEqual((self.root / kept).read_text(), FILES[kept])
        self.seal("--check", "--config", str(configuration))

    def test_wrong_usage(self):
        empty = self.root / "empty"
        empty.mkdir()
        self.prebake("seal", "--root", str(empty), expect=USAGE)
        self.prebake("seal", "--check", "--root", str(empty), expect=USAGE)
        for arguments, words in ((("--only", "machine_id"), 'did you mean "machine-id"?'),
                                 (("--check", "--list"), "cannot be combined"),
                                 (("--at-shutdown",), "--root"),
                                 (("--skip", "nothing-like-it"), "no identity item")):
            with self.subTest(arguments):
                before = self.tree()
                self.assertIn(words, self.seal(*arguments, expect=USAGE).stderr)
                self.assertEqual(self.tree(), before)

    def test_the_list(self):
        items = json.loads(self.prebake("seal", "--list", "--json").stdout)["items"]
        self.assertGreater(len(items), 80)
        self.assertEqual([item["order"] for item in items],
                         sorted({item["order"] for item in items}))
        text = self.prebake("seal", "--list").stdout
        for item in items:
            self.assertIn(f"{item['name']} ({item['default']})", text)
            self.assertTrue(item["why"] and item["back"] and item["targets"], item["name"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
