#!/usr/bin/python3
"""Nodes on which something changed after the bake: each reports what is missing and boots."""

import shutil

import harness
import oci_image
from booted import enable
from daemons import wait_until
from packaged import SANDBOX, STORE, PackagedTest

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
FIRST_BOOT, ONLINE, DAEMON = ("prebake-firstboot.service", "prebake-online.service",
                              "prebaked.service")
NEXT_STEP = "systemctl reset-failed prebake-firstboot && systemctl start prebake-firstboot"


class AdverseBoots(PackagedTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.baked = None

    def baked_image(self):
        """The image of a builder with one image and the sandbox image; created once."""
        cls = type(self)
        if cls.baked is None:
            builder = self.make_packaged("builder")
            registry = self.registry_in(builder)
            cls.reference = self.push(builder, registry, "shop/web",
                                      oci_image.layer([oci_image.file("etc/shop", "open\n")]))
            pause = self.push(builder, registry, "pause", tag="3.6")
            self.write_list(builder, (cls.reference, {}), (pause, {"aliases": [SANDBOX]}))
            builder.boot()
            builder.run("systemctl", "start", "prebake-bake")
            builder.run("prebake", "seal", "--yes")
            builder.power_off()
            cls.baked, cls.registry_of_builder = builder.image(), registry
            registry.stop()
        return cls.baked

    def clone(self):
        return self.make_clone(self.id().rpartition(".")[2], self.baked_image())

    def said_by(self, machine, code):
        done = machine.run_raw("prebake", "status")
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        print(f"\n{self.id().rpartition('.')[2]}:\n{done.stdout}", flush=True)
        return done.stdout

    # containerd

    def test_containerd_is_absent_then_stopped_then_running(self):
        machine = self.make_packaged("absent", containerd=False)
        hidden = machine.path("/usr/bin/containerd.hidden")
        machine.path("/usr/bin/containerd").rename(hidden)
        unit = machine.path("/lib/systemd/system/containerd.service")
        unit.rename(hidden.with_suffix(".service"))
        machine.boot()
        self.assertIn("ContainerdServing", self.said_by(machine, 4).splitlines()[0])
        machine.write("/etc/prebake/images.d/list.txt", "127.0.0.1:1/shop/web:1.0\n")
        self.assertNotEqual(machine.run_raw("systemctl", "start", "prebake-bake").returncode, 0)
        self.assertIn("/run/containerd/containerd.sock", machine.journal("prebake-bake.service"))
        hidden.rename(machine.path("/usr/bin/containerd"))
        hidden.with_suffix(".service").rename(unit)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", "containerd")
        # Nothing was baked, so no unit waits.
        self.until_ready(machine)
        self.assertIn(f"CRI will pull its sandbox image {SANDBOX}",
                      self.condition(self.status(machine), "ImagesPresent")["message"])
        machine.run("systemctl", "stop", "containerd")
        self.assertIn("ContainerdServing", self.said_by(machine, 4).splitlines()[0])

    # Its data

    def test_the_data_moved_to_another_disk(self):
        """As nodeadm does with instance stores, before it starts containerd."""
        machine = self.clone()
        enable(machine, "disable", "containerd.service")
        machine.boot()
        machine.run("sh", "-ec", f"mkdir /run/disk; mount -t tmpfs other /run/disk; "
                    f"cp -a {STORE}/. /run/disk; mount --bind /run/disk {STORE}")
        machine.run("systemctl", "start", "containerd")
        self.until_ready(machine)
        self.start_pod(machine, "web", self.reference)
        self.until_counted(machine, self.reference, starts=1, hits=1)

    def test_the_data_are_gone(self):
        """An empty disk is mounted over them, or they were removed."""
        machine = self.clone()
        for entry in machine.path(STORE).iterdir():
            shutil.rmtree(entry)
        machine.boot()
        # The daemon may still be trying to repair them.
        wait_until(lambda: machine.run("prebake", "status", check=False).startswith(
            "NOT READY  ImagesPresent: none of the 2 baked images"), "it has found that out")
        text = self.said_by(machine, 4)
        for told in (self.reference, STORE, "another disk is mounted there", "prebake bake"):
            self.assertIn(told, text)

    # Disks

    def test_etc_is_read_only(self):
        machine = self.clone()
        machine.write("/etc/systemd/system/read-only-etc.service",
                      "[Unit]\nDefaultDependencies=no\nBefore=prebake-firstboot.service\n"
                      "After=local-fs.target\n[Service]\nType=oneshot\n"
                      "ExecStart=/bin/mount --bind /etc /etc\n"
                      "ExecStart=/bin/mount -o remount,bind,ro /etc\n"
                      "[Install]\nWantedBy=sysinit.target\n")
        enable(machine, "enable", "read-only-etc.service")
        machine.boot(expected=None)
        said = machine.journal(FIRST_BOOT)
        print(f"\nread-only /etc:\n{said}", flush=True)
        self.assertRegex(said, "/etc/.*[Rr]ead-only file system")
        machine.run("systemctl", "is-active", DAEMON, "ssh.service")
        self.assertIn("IdentityClaimed", self.said_by(machine, 4))

    def test_var_is_full(self):
        machine = self.clone()
        machine.write("/usr/local/bin/fill", """\
#!/bin/sh -e
mkdir /run/state
cp -a /var/lib/prebake/. /run/state
mount -t tmpfs -o size=128k,mode=755 full /var/lib/prebake
cp -a /run/state/. /var/lib/prebake
while head -c 512 /dev/zero >>/var/lib/prebake/filler; do continue; done
""", 0o755)
        machine.write("/etc/systemd/system/full.service", """\
[Unit]
DefaultDependencies=no
Before=prebake-firstboot.service
After=local-fs.target
[Service]
Type=oneshot
ExecStart=/usr/local/bin/fill
[Install]
WantedBy=sysinit.target
""")
        enable(machine, "enable", "full.service")
        machine.boot(expected=None)
        said = machine.journal(FIRST_BOOT)
        print(f"\nfull /var/lib/prebake:\n{said}", flush=True)
        self.assertIn("No space left on device", said)
        self.assertIn("/var/lib/prebake", said)
        machine.run("systemctl", "is-active", DAEMON, "ssh.service")
        self.assertIn(NEXT_STEP, self.said_by(machine, 4))
        # With free space the same boot can complete, and the claim was not half written.
        machine.run("rm", "/var/lib/prebake/filler")
        machine.run("mount", "-o", "remount,size=1m", "/var/lib/prebake")
        machine.run("sh", "-ec", NEXT_STEP)
        machine.run("systemctl", "start", "prebake-online")
        self.until_ready(machine)

    # Time

    def test_the_clock_says_1970(self):
        """The clock is not set yet: the claim succeeds, and the certificate is valid when the clock
        is set."""
        machine = self.clone()
        machine.write("/etc/prebake/conf.d/tls.toml", '[firstboot]\ntls_key = "/etc/host.key"\n'
                      'tls_certificate = "/etc/host.crt"\n')
        shutil.copyfile(FAKETIME, machine.path("/usr/lib/libfaketime.so.1"))
        for unit in (FIRST_BOOT, ONLINE, DAEMON):
            machine.write(f"/etc/systemd/system/{unit}.d/1970.conf",
                          "[Service]\nEnvironment=LD_PRELOAD=/usr/lib/libfaketime.so.1\n"
                          'Environment="FAKETIME=@1970-01-01 00:01:00" FAKETIME_NO_CACHE=1\n')
        machine.boot()
        claim = self.assert_claimed(machine)
        self.assertTrue(claim["claimedAt"].startswith("1970-01-01"), claim)
        self.until_ready(machine)
        dates = machine.run("openssl", "x509", "-in", "/etc/host.crt", "-noout", "-checkend",
                            "86400", check=False)
        self.assertIn("will not expire", dates)
        pod = self.start_pod(machine, "web", self.reference)
        self.until_counted(machine, self.reference, starts=1, hits=1)
        self.end_pod(machine, pod)
        print(machine.run("prebake", "status", check=False))
        # Then the clock is set, and everything continues.
        for unit in (FIRST_BOOT, ONLINE, DAEMON):
            machine.path(f"/etc/systemd/system/{unit}.d/1970.conf").unlink()
        machine.reboot()
        self.assertEqual(self.assert_claimed(machine), claim)
        self.until_ready(machine)
        self.until_counted(machine, self.reference, starts=1, hits=1)


if __name__ == "__main__":
    harness.main()
