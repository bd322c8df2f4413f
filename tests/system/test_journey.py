#!/usr/bin/python3
"""A user's first day, with the commands of README.md: installs the .deb on a running machine, bakes
and seals, boots two clones without a network, breaks and repairs one, and purges the package.

Debian, systemd, apt, containerd, CRI, docker-registry and runc are real. Two of Docker Hub's and
Kubernetes' names lead to the docker-registry, by TLS. The CRI client replaces the kubelet.

Environment, besides what packaged.py reads:
  PREBAKE_TRANSCRIPT   a file for everything that the user types and sees (default: standard output)
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

import harness
import machine
import oci_image
from booted import CLAIM, CONFIGURATION, RANDOM_SEED, identity_of, print_table
from daemons import ADMIN_PATH, wait_until
from docker_registry import DockerRegistry
from harness import DONE, FAILED, NOT_READY, PARTIAL, USAGE
from packaged import PackagedTest, package

README = (machine.TOP / "README.md").read_text()
# What README shows and this user does not type: the output of packaging/quickstart, AWS, what needs
# a second machine, Docker (test_docker_life.py), and the recording of a web server
# (test_recording.py).
ELSEWHERE = (r"prebake (plan|bake) 127\.0\.0\.1:[0-9]+/\S+|prebake verify --deep|aws .*|ssh .*|"
             r"(sudo )?prebake bake --runtime docker .*|docker .*|"
             r"sudo prebake record --until-ready .*")
RUN_BY_SYSTEMD = {"daemon", "firstboot", "hydrate"}

NGINX, PAUSE = "docker.io/library/nginx:1.27", "registry.k8s.io/pause:3.6"
REGISTRIES = ("registry-1.docker.io", "registry.k8s.io")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
LAYER_BYTES = 2_000_000
RECORD = "/var/lib/prebake/bake.json"
DEB = "/root/prebake.deb"
STAND_IN = """\
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
# ctr asks for a share of the processor, and these machines may have no controllers.
START = f"ctr -n k8s.io run --rm --cpu-shares 0 {NGINX}"
LEFT_BY_PURGE = {"/etc/prebake", "/etc/prebake/conf.d", "/etc/prebake/conf.d/test.toml",
                 "/etc/prebake/tls", "/etc/prebake/tls/host.crt", "/etc/prebake/tls/host.key",
                 "/etc/prebake/traces.d",
                 "/etc/prebake/traces.d/docker.io-library-nginx-1.27.json"}


def commands_of_readme():
    """What follows a prompt in its indented blocks, without comments."""
    return [re.sub(r"\s+#\s.*", "", line) for line in re.findall(r"(?m)^    \$ (.+)$", README)]


def list_of_readme():
    """The image list that README prints with cat."""
    block = re.search(r"(?m)^    \$ cat images\.txt\n((?:    [^$\s].*\n)+)", README)[1]
    return re.sub(r"(?m)^    ", "", block)


class Journey(PackagedTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = os.environ.get("PREBAKE_TRANSCRIPT")
        cls.transcript = open(path, "w") if path else sys.stdout
        if path:
            cls.addClassCleanup(cls.transcript.close)
        cls.typed = set()

    def test_story(self):
        self.make_builder()
        self.the_package_is_installed()
        self.the_builder_bakes()
        self.a_seal_is_announced_and_taken_back()
        self.the_builder_is_sealed()
        one, two = self.two_clones_are_ready()
        self.a_start_is_a_hit_and_a_failed_one_is_not(one)
        self.what_breaks_is_repaired(one)
        self.after_a_reboot_it_still_knows(one)
        self.purged_it_leaves_what_the_manual_says(two)
        self.every_command_of_readme_was_typed()

    # The user

    def title(self, text):
        print(f"\n\n=== {text}", file=self.transcript, flush=True)

    def show(self, place, command, output, code=None):
        # What dpkg draws over itself.
        output = re.sub(r"(?m)^\(Reading database \.\.\. (\d+%)?\n", "", output)
        print(f"\n{place}# {command}\n{output.rstrip()}\n"
              + ("" if code is None else f"[exit status {code}]"), file=self.transcript, flush=True)

    def types(self, booted, command, code=DONE):
        """At a shell of root; returns what the user sees."""
        done = booted.run_raw("sh", "-c", f"exec 2>&1; cd /root; {command}")
        self.show(f"root@{booted.name}:~", command, done.stdout, done.returncode)
        self.assertEqual(done.returncode, code, f"{command}\n{done.stdout}")
        self.typed.add(command)
        return done.stdout

    def follows(self, booted, command, code=DONE):
        """types() for a command that is in README."""
        self.assertIn(command, commands_of_readme(), "README has changed: change the journey, too")
        return self.types(booted, command, code)

    def asks_readyz(self, booted):
        def get():
            try:
                with urllib.request.urlopen("http://localhost:9813/readyz", timeout=300) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as refused:
                with contextlib.closing(refused):
                    return refused.code, refused.read().decode()
        return booted.network.call(get)

    def every_command_of_readme_was_typed(self):
        missed = [command for command in commands_of_readme()
                  if command not in self.typed and not re.fullmatch(ELSEWHERE, command)]
        self.assertEqual(missed, [], "commands of README that the journey does not use")
        reference = set(re.findall(r"(?m)^    prebake ([a-z-]+) ", README))
        tried = set(re.findall(r"\bprebake ([a-z-]+)", "\n".join(self.typed)))
        self.assertGreater(len(reference), 10)
        self.assertEqual(reference - tried - RUN_BY_SYSTEMD, set(), "commands that were not tried")

    # The registries

    def make_registries(self):
        """Pushes to a registry without TLS, whose blobs serve() offers under the usual names."""
        registry = self.registry_in(self.builder)
        noise = oci_image.layer([oci_image.file("opt/data", os.urandom(LAYER_BYTES))])
        self.push(self.builder, registry, "library/nginx", noise, tag="1.27")
        for tag in ("3.6", "3.10"):  # of this containerd, and of README
            self.push(self.builder, registry, "pause", tag=tag)
        registry.stop()
        self.blobs = registry.storage
        self.tls = self.workspace.path / "certificate.pem", self.workspace.path / "key.pem"
        names = ",".join(f"DNS:{name}" for name in REGISTRIES)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=registry",
                        "-addext", f"subjectAltName={names}", "-out", self.tls[0], "-keyout",
                        self.tls[1]], check=True, stderr=subprocess.DEVNULL)
        self.builder.write(CA_BUNDLE, self.builder.read(CA_BUNDLE) + self.tls[0].read_text())
        self.builder.write("/etc/hosts", self.builder.read("/etc/hosts")
                           + f"127.0.0.1 {' '.join(REGISTRIES)}\n")

    def serve(self, booted):
        """The registries, in the network of the machine. The caller must stop() them."""
        registry = DockerRegistry(booted.directory / "registries",
                                  ("nsenter", f"--net={booted.network.path}", "--"), self.blobs,
                                  443, self.tls)
        self.addClassCleanup(registry.stop)
        return registry

    # The builder

    def make_builder(self):
        self.builder = builder = self.make_node("builder")
        builder.write(DEB, package(".deb").read_bytes())
        builder.write("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n', 0o755)
        builder.write("/etc/dpkg/dpkg.cfg.d/test", "force-unsafe-io\n")
        for unit in ("kubelet", "nomad"):
            builder.write(f"/etc/systemd/system/{unit}.service", STAND_IN)
        self.make_registries()
        builder.boot()

    def the_package_is_installed(self):
        self.title("The package, on a machine that runs")
        builder = self.builder
        # Without a network it cannot get what is recommended.
        self.types(builder, f"apt-get install -y --no-install-recommends {DEB}")
        self.types(builder, "systemctl is-active prebaked.service")
        for path in (CLAIM, RECORD):
            self.assertFalse(builder.path(path).exists(), path)
        self.types(builder, "prebake version")
        self.assertIn("--file", self.types(builder, "prebake help bake"))
        builder.write("/etc/prebake/conf.d/test.toml", CONFIGURATION)
        self.assertIn("conf.d/test.toml", self.types(builder, "prebake config check"))
        self.types(builder, "systemctl enable --now kubelet.service")
        self.follows(builder, "sudo systemctl add-wants nomad.service prebake-ready.target")
        self.follows(builder, "sudo systemctl add-requires kubelet.service prebake-ready.target")

    def the_builder_bakes(self):
        self.title("The bake")
        builder = self.builder
        registries = self.serve(builder)
        self.follows(builder, "echo docker.io/library/nginx:1.27 >images.txt")
        self.assertEqual(builder.read("/root/images.txt"), f"{NGINX}\n")
        builder.write("/root/images.txt", list_of_readme())
        self.follows(builder, "cat images.txt")
        planned = self.follows(builder, "sudo prebake plan -f images.txt")
        self.assertRegex(planned, rf"(?m)^{re.escape(PAUSE)} .*needed by CRI")
        self.assertIn("3 of 3 images usable",
                      self.follows(builder, "sudo prebake bake -f images.txt"))
        verified = self.follows(builder, "sudo prebake verify --deep")
        self.assertRegex(verified.splitlines()[-1], "^ok: 3 images")
        self.assertIn("nothing fetched", self.follows(builder, "sudo prebake bake -f images.txt"))
        self.types(builder, f"prebake record {NGINX} -- /bin/busybox echo hello")
        self.assertIn("recorded: ", self.follows(builder, "sudo prebake bake -f images.txt"))
        self.follows(builder, "sudo prebake plan -f images.txt --lock images.lock")
        self.assertIn("nothing fetched", self.follows(builder, "sudo prebake bake -f images.lock"))
        # From here to the repair of a clone there is no registry.
        registries.stop()
        self.assertIn(NGINX, self.types(builder, "prebake images"))
        # The package was installed after the boot, so nothing was claimed.
        self.wait_for_ledger(builder, lambda ledger: ledger["boot"]["bytesPulled"] == 0 and
                             NGINX in {image["name"] for image in ledger["neverUsed"]})
        self.types(builder, "prebake status", NOT_READY)

    def a_seal_is_announced_and_taken_back(self):
        self.title("The seal")
        builder = self.builder
        armed = self.follows(builder, "sudo prebake seal --at-shutdown")
        self.assertRegex(armed, "(?m)^units to stop: .*prebaked.service.*kubelet.service")
        self.assertTrue(self.types(builder, "prebake status", NOT_READY).startswith("ARMED"))
        disarmed = self.types(builder, "sudo prebake seal --disarm")
        self.assertNotIn("warning", disarmed)
        for unit in ("kubelet.service", "prebaked.service"):
            self.assertIn(unit, disarmed)
            wait_until(lambda: builder.properties(unit, "ActiveState")["ActiveState"] == "active",
                       f"{unit} is active again")

    def the_builder_is_sealed(self):
        builder = self.builder
        builder.path(DEB).unlink()
        sealed = self.follows(builder, "sudo sh -c 'prebake seal && prebake seal --check'")
        self.assertRegex(sealed, "(?m)^units to stop: .*prebaked.service.*kubelet.service")
        self.assertTrue(self.types(builder, "prebake status", NOT_READY).startswith("SEALED"))
        self.types(builder, "prebake verify --sealed")
        self.assertEqual(builder.properties("kubelet.service", "ActiveState"),
                         {"ActiveState": "inactive"})
        self.types(builder, "systemctl --no-block poweroff")
        builder.await_power_off()
        self.assertEqual(self.claim_of(builder)["state"], "SEALED")
        self.check_image(builder)
        self.sealed = builder.image()

    def check_image(self, off):
        """As another machine does that has mounted the disk."""
        command = (f"prebake --config {off.root}/etc/prebake/prebake.toml seal --check "
                   f"--root {off.root}")
        done = subprocess.run(f"{self.program} {command.partition(' ')[2]}", shell=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={"PATH": ADMIN_PATH})
        self.show("root@elsewhere:~", *(text.replace(str(off.root), "/mnt/image")
                                        for text in (command, done.stdout)), done.returncode)
        self.assertEqual(done.returncode, DONE, done.stdout)

    # The clones

    def two_clones_are_ready(self):
        self.title("Two clones, without a network")
        clones = [self.make_clone(f"clone {number}", self.sealed) for number in (1, 2)]
        for clone in clones:
            clone.power_on()
        for clone in clones:
            clone.await_boot()
            self.until_ready(clone)
            self.until_all_say(clone, DONE)
            self.assertLess(clone.ended_at("prebake-ready.target"),
                            clone.begun_at("kubelet.service"))
            clone.claim = self.assert_claimed(clone)
            self.assertNotIn("clonedFrom", clone.claim)
            clone.identity = identity_of(clone)
        print_table("two clones", {clone.name: clone.identity for clone in clones})
        one, two = (clone.identity for clone in clones)
        self.assertGreater(len(one), 6)
        for item in one.keys() - {RANDOM_SEED, "host name"}:  # no one gives them host names
            self.assertNotEqual(one[item], two[item], item)
        self.follows(clones[0], "sudo prebake status", DONE)
        self.follows(clones[0], "prebake kubelet-config")
        self.follows(clones[0], "prebake kubelet-config --check")
        # Nothing is baked for Docker here.
        self.follows(clones[0], "prebake ecs-config --write", FAILED)
        self.follows(clones[0], "prebake ecs-config --check", FAILED)
        return clones

    def ask(self, node):
        done = node.run_raw("prebake", "status", "--json")
        return done.returncode, json.loads(done.stdout)

    def until_all_say(self, node, code):
        """Waits until status, verify and /readyz agree about the store: 0, 3 (degraded) or 4. Shows
        what the user sees then."""
        def agree():
            stated, status = self.ask(node)
            verified = node.run_raw("prebake", "verify").returncode
            ready, _ = self.asks_readyz(node)
            said = (stated, verified, ready, status["ready"])
            return said == (code, code, 503 if code == NOT_READY else 200, code != NOT_READY)
        wait_until(agree, f"{node.name}: status, verify and /readyz say {code}")
        said = self.follows(node, "prebake status", code)
        self.types(node, "prebake verify", code)
        self.show(f"root@{node.name}:~", "curl localhost:9813/readyz", self.asks_readyz(node)[1])
        if code == DONE:  # what was repaired has left the status
            failed = [repair for repair in self.ask(node)[1]["repairs"] if repair.get("problem")]
            self.assertEqual(failed, [])
            self.assertNotIn("Omitted: ", said)
        return said

    def wait_for_ledger(self, booted, holds):
        wait_until(lambda: holds(self.ledger(booted)), f"the ledger of {booted.name}")

    def a_start_is_a_hit_and_a_failed_one_is_not(self, node):
        self.title("Containers")
        self.types(node, f"{START} broken /no/such/program", FAILED)
        self.assertIn("hello\n", self.types(node, f"{START} good /bin/busybox echo hello"))
        entry = self.until_counted(node, NGINX, starts=1, hits=1)
        self.assertEqual(entry["bytesPulled"], 0)
        self.assertGreater(entry["bytesServed"], LAYER_BYTES)

    def what_breaks_is_repaired(self, node):
        record = json.loads(node.read(RECORD))
        nginx, = (image for image in record["images"] if image["name"] == NGINX)
        remove_snapshot = f"ctr -n k8s.io snapshots rm {nginx['chainId']}"

        self.title("A name is removed")
        self.types(node, f"ctr -n k8s.io images rm {NGINX}")
        self.assertIn("recreated the name", self.until_all_say(node, DONE))

        self.title("A snapshot is removed")
        self.types(node, remove_snapshot)
        self.assertIn("unpacked", self.until_all_say(node, DONE))

        self.title("A layer is removed, then the snapshot that was made of it")
        self.types(node, f"ctr -n k8s.io content rm {nginx['layers'][-1]['digest']}")
        self.assertIn("ContentMissing", self.until_all_say(node, PARTIAL))
        self.types(node, remove_snapshot)
        self.until_all_say(node, NOT_READY)
        registries = self.serve(node)
        repaired = self.types(node, "sudo prebake verify --repair")
        self.assertRegex(repaired.splitlines()[-1], "^ok: .*repaired")
        self.until_all_say(node, DONE)

        self.title("The record is damaged")
        self.types(node, f"echo damaged >{RECORD}")
        self.assertIn("RecordUnreadable", self.until_all_say(node, NOT_READY))
        self.assertIn("bake.json.corrupt",
                      self.follows(node, "sudo prebake bake -f images.txt"))
        self.until_all_say(node, DONE)
        registries.stop()
        # What prebake itself fetched for the repair was not pulled.
        self.assertEqual(self.until_counted(node, NGINX, starts=1, hits=1)["bytesPulled"], 0)

    def after_a_reboot_it_still_knows(self, node):
        self.title("A reboot")
        counts = self.until_counted(node, NGINX, starts=1, hits=1)
        node.reboot()
        self.until_ready(node)
        self.until_all_say(node, DONE)
        self.assertEqual(self.assert_claimed(node), node.claim)
        self.assertEqual(node.read("/etc/machine-id").strip(), node.identity["machine-id"])
        self.assertEqual(self.until_counted(node, NGINX, starts=1), counts)
        pod = self.start_pod(node, "web", NGINX)
        self.assertEqual(self.until_counted(node, NGINX, starts=2, hits=2)["bytesPulled"], 0)
        self.end_pod(node, pod)
        node.power_off()

    def purged_it_leaves_what_the_manual_says(self, node):
        self.title("The purge")
        kubelet = node.properties("kubelet.service", "MainPID")
        pod = self.start_pod(node, "web", NGINX)
        self.assertNotRegex(self.types(node, "apt-get purge -y prebake"), "(?i)error|fail")
        found = self.types(node, "find / -xdev -name '*prebake*'; find /etc/prebake")
        self.assertEqual(set(found.splitlines()), LEFT_BY_PURGE)
        self.types(node, "ls -d /run/prebake", USAGE)
        # Active and without a process, until the next boot: others may require them.
        units = self.types(node, "systemctl list-units --all '*prebake*' --plain --no-legend")
        self.assertEqual({line.split()[0] for line in units.splitlines()},
                         {"prebake-firstboot.service", "prebake-ready.target", "prebake.slice"})
        self.assertEqual(node.properties("kubelet.service", "MainPID"), kubelet)
        self.assertIn(NGINX, self.types(node, "ctr -n k8s.io images ls -q"))
        # The lease that keeps their content ends by itself.
        self.assertIn("containerd.io/gc.expire", self.types(node, "ctr -n k8s.io leases ls"))
        self.assertIn("hello\n", self.types(node, f"{START} good /bin/busybox echo hello"))
        self.end_pod(node, pod)
        node.power_off()


if __name__ == "__main__":
    harness.main()
