"""Machines on which prebake is installed from its package, with containerd and a minimal kubelet.

Environment, besides what booted.py reads:
  PREBAKE_PACKAGES     directory with the .deb and the .rpm of packaging/build (required)
  PREBAKE_CRI_CLIENT   the executable of tests/system/cri_client (required)
"""

import json
import os
import pathlib
import shutil
import subprocess
import urllib.request

import harness
import machine
import oci_image
from booted import BootTest, enable
from daemons import CAP_SYS_RESOURCE, has_capability, wait_until
from docker_registry import DockerRegistry
from machine import Image

STORE = "/var/lib/containerd"
SANDBOX = "registry.k8s.io/pause:3.6"  # the default of containerd 1.6
CONTAINERD_CONFIG = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = {restrict}
  # If this machine has its controllers in cgroup v1, the test machines have none.
  disable_cgroup = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"
"""
SLEEP = ["/bin/busybox", "sleep", "1000000"]


def package(suffix):
    found = sorted(pathlib.Path(os.environ["PREBAKE_PACKAGES"]).glob(f"prebake*{suffix}"))
    if len(found) != 1:
        raise AssertionError(f"not one {suffix} in $PREBAKE_PACKAGES, but {found}: packaging/build")
    return found[0]


def install_deb(off, deb=None, *options):
    """Installs like an image build: dpkg in a chroot without systemd. Returns the output."""
    shutil.copyfile(deb or package(".deb"), off.path("/tmp/prebake.deb"))
    try:
        return off.chroot("dpkg", *options, "-i", "/tmp/prebake.deb")
    finally:
        off.path("/tmp/prebake.deb").unlink()


class PackagedTest(BootTest):
    """The image of these machines has no prebake: each test installs what it needs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bare = Image((machine.base_root(),))
        cls.cri_program = os.path.abspath(os.environ["PREBAKE_CRI_CLIENT"])

    @classmethod
    def make_packaged(cls, name, containerd=True, **options):
        """A make_node() with the package installed."""
        made = cls.make_node(name, containerd, **options)
        # The firmware of EC2 implies a metadata service. How long to wait for a missing one:
        made.write("/etc/prebake/conf.d/test.toml", '[firstboot]\nmetadata_timeout = "3s"\n')
        install_deb(made)
        return made

    @classmethod
    def make_node(cls, name, containerd=True, **options):
        """A machine that is off, without the package, and containerd's data on a separate disk. No
        cloud-init: it would dominate the boot time that the tests measure."""
        made = cls.make_machine(name, image=cls.bare, disks=(STORE,), **options)
        made.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
        made.write("/etc/cloud/cloud-init.disabled", "")
        made.write("/etc/containerd/config.toml", CONTAINERD_CONFIG.format(
            restrict="false" if has_capability(CAP_SYS_RESOURCE) else "true"))
        enable(made, "mask", "nvmf-autoconnect.service")  # a container has no NVMe
        if containerd:
            enable(made, "enable", "containerd.service")
        return made

    @classmethod
    def make_clone(cls, name, image):
        """A machine of a baked image that is off. It has no metadata service and only loopback;
        the firmware identifies it."""
        made = cls.make_machine(name, image=image, imds=False)
        # Normally written by the network configuration, which is missing here. CRI copies it.
        made.write("/etc/resolv.conf", "")
        return made

    # The builder

    @classmethod
    def registry_in(cls, booted):
        """A docker-registry on the loopback interface of the machine. The caller must stop() it."""
        registry = DockerRegistry(booted.directory / "registry",
                                  ("nsenter", f"--net={booted.network.path}", "--"))
        cls.addClassCleanup(registry.stop)
        return registry

    @staticmethod
    def push(booted, registry, repository, *layers, tag="1.0"):
        """Pushes a busybox that sleeps, with more layers; returns its reference."""
        image = oci_image.image([oci_image.busybox_layer(), *layers], command=SLEEP)
        return booted.network.call(registry.push, repository, image, tag)

    @staticmethod
    def write_list(booted, *tables):
        """The list for `systemctl start prebake-bake`: (reference, keys) each."""
        booted.write("/etc/prebake/images.d/test.toml", harness.image_tables(*tables))

    # The node

    def status(self, booted, *options, code=None):
        """Without a code: of a node on which all is well, but that Debian's containerd may ignore
        pins."""
        done = booted.run_raw("prebake", "status", "--json", *options)
        said = done.stdout + done.stderr
        if code is not None:
            self.assertEqual(done.returncode, code, said)
            return json.loads(done.stdout)
        status = json.loads(done.stdout)
        not_true = [(item["type"], item["reason"])
                    for item in status["conditions"]
                    if item["status"] not in ("True", "NotApplicable")]
        self.assertIn(not_true, ([], [("ImagesPinned", "PinsIgnored")]), said)
        self.assertEqual(done.returncode, 0, said)
        return status

    def until_ready(self, booted):
        return self.status(booted, "--wait=60")

    @staticmethod
    def condition(status, name):
        found, = (item for item in status["conditions"] if item["type"] == name)
        return found

    @staticmethod
    def ledger(booted):
        """Reads it over loopback TCP, as SSM's port forwarding does."""
        def get():
            with urllib.request.urlopen("http://localhost:9813/v1/ledger", timeout=300) as answer:
                return json.load(answer)
        return booted.network.call(get)

    def until_counted(self, booted, image, **counts):
        """Waits until the ledger has these counts for the image; returns the complete entry."""
        def entry():
            images = self.ledger(booted).get("images", [])
            found = [item for item in images if item["name"] == image]
            if found and all(int(found[0][key]) == value for key, value in counts.items()):
                return found[0]
            return None
        return wait_until(entry, f"the ledger of {booted.name} has {counts} for {image}")

    def cri(self, booted, verb, *arguments):
        socket = booted.seen_from_outside / "run/containerd/containerd.sock"
        command = [self.cri_program, socket, verb, *arguments]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def start_pod(self, booted, name, image):
        """Like the kubelet: starts a sandbox, and a container of the image in it."""
        socket = booted.seen_from_outside / "run/containerd/containerd.sock"
        wait_until(lambda: subprocess.run([self.cri_program, socket, "ready"],
                                          stderr=subprocess.DEVNULL).returncode == 0, "CRI serves")
        pod = self.cri(booted, "pod", name)
        self.cri(booted, "container", pod, name, image, *SLEEP)
        return pod

    def end_pod(self, booted, pod):
        """Stops the pods as a kubelet does before a shutdown; otherwise systemd would wait 90 s
        for them."""
        self.cri(booted, "remove-pod", pod)
