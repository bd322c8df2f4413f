#!/usr/bin/python3
"""packaging/ansible as users run it: ansible-playbook over SSH against a booted Debian that has
containerd, but no prebake and no package mirror.
"""

import hashlib
import json
import re
import subprocess

import docker_engine
import docker_machine
import harness
import machine
from booted import enable
from daemons import ADMIN_PATH
from packaged import CONTAINERD_CONFIG, STORE, PackagedTest, package

EXAMPLE = machine.TOP / "packaging/ansible"
LIST = "/etc/prebake/images.d/50-ansible.toml"
CONFIG = "/etc/prebake/conf.d/50-ansible.toml"
RECORD = "/var/lib/prebake/bake.json"


class Play:
    """The result of a run of ansible-playbook."""

    def __init__(self, done):
        self.code = done.returncode
        self.output = done.stdout
        recap = re.search(r"(?m)^builder +: (.*)$", done.stdout)
        if not recap:
            raise AssertionError(f"exit code {self.code} without a recap:\n{self.output}")
        self.counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", recap[1])}


class Ansible(PackagedTest):
    disks = (STORE,)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = cls.workspace.path / "home"
        cls.home.mkdir()
        cls.key = cls.home / "key"
        cls.control = cls.home / "control"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", cls.key], check=True)

    @classmethod
    def make_bare(cls):
        bare = cls.make_machine("builder", image=cls.bare, disks=cls.disks, imds=False)
        bare.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
        bare.write("/etc/resolv.conf", "")
        bare.write("/etc/cloud/cloud-init.disabled", "")
        bare.write("/etc/containerd/config.toml", CONTAINERD_CONFIG.format(restrict="true"))
        bare.write("/root/.ssh/authorized_keys", cls.key.with_suffix(".pub").read_text(), 0o600)
        enable(bare, "mask", "nvmf-autoconnect.service")  # a container has no NVMe
        enable(bare, "disable", "containerd.service")  # the role starts it
        return bare

    def play(self, images, *options, code=0, **variables):
        """Runs bake.yml in the network of the builder, where sshd listens on loopback."""
        deb = package(".deb")
        variables = {"prebake_images": images, "prebake_package": str(deb),
                     "prebake_package_sha256": hashlib.sha256(deb.read_bytes()).hexdigest(),
                     "prebake_install_recommends": False,
                     "prebake_config": {"bake": {"parallel_downloads": 2, "sandbox": "never"}},
                     **variables}
        inventory = self.home / "inventory"
        inventory.write_text("builder ansible_host=127.0.0.1 ansible_user=root "
                             "ansible_python_interpreter=/usr/bin/python3\n")
        # One connection for a play, as by Ansible's default. It is closed afterwards.
        ssh = (f"-F /dev/null -o ControlMaster=auto -o ControlPersist=300 "
               f"-o ControlPath={self.control} -o UserKnownHostsFile=/dev/null "
               "-o StrictHostKeyChecking=no -o LogLevel=ERROR")
        command = ["nsenter", f"--net={self.builder.network.path}", "--", "ansible-playbook",
                   "-i", inventory, "--private-key", self.key, "-e", json.dumps(variables),
                   *options, EXAMPLE / "bake.yml"]
        try:
            done = subprocess.run(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=machine.BOOT_DEADLINE,
                env={"PATH": ADMIN_PATH, "HOME": str(self.home), "LC_ALL": "C.UTF-8",
                     "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "ANSIBLE_SSH_ARGS": ssh})
        finally:
            subprocess.run(["ssh", "-F", "/dev/null", "-o", f"ControlPath={self.control}",
                            "-O", "exit", "builder"], stderr=subprocess.DEVNULL, check=False)
        result = Play(done)
        self.assertEqual(result.code, code, result.output)
        return result

    def baked(self):
        return {image["name"]: image for image in json.loads(self.builder.read(RECORD))["images"]}

    def test_story(self):
        self.builder = self.make_bare()
        self.registry = self.registry_in(self.builder)
        self.web = self.push(self.builder, self.registry, "shop/web")
        self.builder.boot()
        self.a_check_of_a_bare_machine_changes_nothing()
        self.another_package_is_not_installed()
        self.without_a_mirror_the_recommended_package_is_missed()
        self.the_first_run_installs_and_bakes()
        self.the_second_run_changes_nothing()
        self.an_image_that_is_added_is_baked_alone()
        self.a_wrong_reference_fails_the_play()
        self.a_wrong_key_is_refused_before_it_counts()
        self.the_last_run_leaves_a_sealed_machine()

    def a_check_of_a_bare_machine_changes_nothing(self):
        self.play([self.web], "--check")
        for path in ("/usr/bin/prebake", "/etc/prebake", "/var/cache/prebake.deb"):
            self.assertFalse(self.builder.path(path).exists(), path)

    def another_package_is_not_installed(self):
        for wrong in ("", "0" * 64):
            play = self.play([self.web], code=2, prebake_package_sha256=wrong)
            self.assertRegex(play.output, "was not installed: +its SHA-256 is [0-9a-f]{64}, and")
            for path in ("/usr/bin/prebake", "/var/cache/prebake.deb"):
                self.assertFalse(self.builder.path(path).exists(), path)

    def without_a_mirror_the_recommended_package_is_missed(self):
        play = self.play([self.web], code=2, prebake_install_recommends=True)
        self.assertIn("amazon-ecr-credential-helper", play.output)
        for path in ("/usr/bin/prebake", "/var/cache/prebake.deb"):
            self.assertFalse(self.builder.path(path).exists(), path)

    def the_first_run_installs_and_bakes(self):
        play = self.play([self.web])
        # The package (copied, installed), two files, containerd, the bake, the daemon's restart.
        self.assertEqual(play.counts["changed"], 7, play.output)
        self.assertEqual(list(self.baked()), [self.web])
        self.assertIn("parallel_downloads = 2\n", self.builder.read(CONFIG))
        self.builder.run("prebake", "verify", "--deep")

    def the_second_run_changes_nothing(self):
        before = self.baked()
        # The command line passes text: "false" must not be treated as true.
        for options in (("-e", "prebake_seal=false"), ("--check",)):
            play = self.play([self.web], *options)
            self.assertEqual(play.counts["changed"], 0, play.output)
        self.assertEqual(self.baked(), before)

    def an_image_that_is_added_is_baked_alone(self):
        cart = self.push(self.builder, self.registry, "shop/cart")
        before = self.baked()
        self.images = [self.web, {"ref": cart, "aliases": ["example.com/mirror/cart:1"]}]
        play = self.play(self.images)
        self.assertEqual(play.counts["changed"], 2, play.output)  # the list and the bake
        self.assertIn(f"baked: {cart}", play.output)
        after = self.baked()
        self.assertEqual(after[self.web], before[self.web])
        self.assertEqual(set(after) - set(before), {cart})
        self.builder.run("prebake", "verify", "--deep")
        names = self.builder.run("ctr", "-n", "k8s.io", "images", "ls", "-q").split()
        self.assertIn("example.com/mirror/cart:1", names)
        self.assertEqual(self.play(self.images).counts["changed"], 0)

    def a_wrong_reference_fails_the_play(self):
        wrong = self.web.replace("shop/web", "shop/wbe")
        play = self.play([*self.images, wrong], code=2)
        self.assertEqual(play.counts["failed"], 1, play.output)
        self.assertRegex(play.output, f"(?m)^fatal: .*{re.escape(wrong)}: FAILED")
        self.assertNotIn(wrong, self.baked())

    def a_wrong_key_is_refused_before_it_counts(self):
        before = self.builder.read(CONFIG)
        play = self.play(self.images, code=2, prebake_config={"bake": {"paralel_downloads": 2}})
        self.assertRegex(play.output, "unknown key .*paralel_downloads")
        self.assertEqual(self.builder.read(CONFIG), before)

    def the_last_run_leaves_a_sealed_machine(self):
        play = self.play(self.images, "-e", "prebake_seal=true")
        self.assertEqual(play.counts["unreachable"], 0, play.output)
        self.builder.await_power_off()
        self.assertEqual(self.claim_of(self.builder)["state"], "SEALED",
                         self.builder.console_text())
        self.assertEqual(self.check_sealed(self.builder), [])
        for path in ("/root/.ssh/authorized_keys", "/root/.ansible/tmp", "/var/cache/prebake.deb"):
            self.assertFalse(self.builder.path(path).exists(), path)
        self.assertEqual(len(self.baked()), 2)


class AnsibleForDocker(Ansible):
    """A Docker host without a kubelet. dockerd keeps its images in overlay2, and does not run."""
    disks = docker_machine.DISKS

    def test_story(self):
        self.builder = self.make_bare()
        self.registry = self.registry_in(self.builder)
        self.web = self.push(self.builder, self.registry, "shop/web")
        self.builder.boot()
        play = self.play([self.web], prebake_config={"bake": {"runtime": "docker"},
                                                     "docker": {"start": True}})
        self.assertIn(f"baked: {self.web}", play.output)
        active = self.builder.run_raw("systemctl", "is-active", "docker.service", "docker.socket")
        self.assertEqual(active.stdout, "inactive\ninactive\n", "stopped, as they were found")
        self.builder.run("systemctl", "start", "docker.service")
        said = self.builder.run("docker", "run", "--rm", *docker_machine.NO_NETWORK, "--pull",
                                "never", self.web, "/bin/busybox", "echo", "it runs")
        self.assertEqual(said, "it runs\n")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bare = cls.bare.with_layer(docker_machine.layer_with_docker(
            cls.workspace.path / "docker", docker_engine.INSTALLED))

    @classmethod
    def make_bare(cls):
        bare = super().make_bare()
        docker_machine.configure(bare)
        return bare


if __name__ == "__main__":
    harness.main()
