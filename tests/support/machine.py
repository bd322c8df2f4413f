"""Machines that boot: a root with prebake, and systemd as PID 1 under systemd-nspawn.

Needs root, systemd-nspawn and debootstrap, but not systemd as the init system of this machine.
Each machine gets a private view of a pure cgroup2 tree and is not registered anywhere. It has its
own network with only loopback and the address of the metadata service, and its own
/sys/class/dmi.

Roots are layers of an overlay, so copying a machine that is powered off is as cheap as a snapshot.
"""

import contextlib
import ctypes
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent import futures

from daemons import ADMIN_PATH, mounts_below, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]
BOOT_DEADLINE = 600  # seconds; a limit for hangs. A machine with one slow processor boots in 60
IMDS = "169.254.169.254"

BASE_FORM = 2  # change it when base_root() builds something else from the same packages
PACKAGES = ("systemd", "systemd-sysv", "dbus", "openssh-server", "cloud-init", "chrony", "nvme-cli",
            "open-iscsi", "iproute2", "procps", "containerd", "runc",
            "python3-cffi-backend")  # of cloud-init; debootstrap does not resolve "provides"

CLONE_NEWNET = 0x40000000
REBOOT = 133  # exit status of systemd-nspawn if a machine with --keep-unit reboots


# The base root ----------------------------------------------------------------------------------


def base_root():
    """A new installation of this machine's distribution, created once and kept below build/.

    It is the same distribution because a test build of prebake needs its libraries.
    """
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    made_of = repr((BASE_FORM, codename, platform.machine(), PACKAGES))
    key = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    home = TOP / "build" / "machines"
    home.mkdir(parents=True, exist_ok=True)
    root = home / f"{codename}-{key}"
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests at the same time create it only once
        if not root.exists():
            _install_base(home / "unfinished", codename)
            (home / "unfinished").rename(root)
    return root


def _install_base(directory, codename):
    shutil.rmtree(directory, ignore_errors=True)
    print(f"installing a base root of {codename}, once", flush=True)
    _run("debootstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), codename, directory,
         _mirror(codename))
    for archive in (directory / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    for of_this_machine in ("etc/hostname", "etc/resolv.conf"):
        (directory / of_this_machine).unlink(missing_ok=True)
    # Disabled, unless a test enables it.
    _run("systemctl", "--root", directory, "disable", "containerd.service")


def _mirror(codename):
    """The mirror from which this machine's apt gets the suite."""
    sources = _run("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)",
                   "Created-By: Packages").splitlines()
    for line in sources:
        release, component, uri = line.split()
        if (release, component) == (codename, "main"):
            return uri
    raise AssertionError(f"apt has no source of {codename} main: {sources}")


def layer_with_prebake(directory, program):
    """A layer with the files of the package: the executable, units, preset, tmpfiles."""
    def install(source, target, mode=0o644):
        target = directory / target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(mode)

    install(program, "usr/bin/prebake", 0o755)
    places = {".service": "system", ".target": "system", ".preset": "system-preset",
              ".conf": "../tmpfiles.d", ".sysusers": "../sysusers.d"}
    for source in sorted((TOP / "systemd").iterdir()):
        if source.suffix in places:
            name = source.name.replace(".sysusers", ".conf")
            install(source, f"usr/lib/systemd/{places[source.suffix]}/{name}")
    add_libraries(directory, program)
    return directory


def add_libraries(directory, *programs):
    """Adds to a layer what dynamically linked programs of this machine need, such as a test build.
    Libraries that the base already has are the same."""
    base = base_root()
    libraries = subprocess.run(["ldd", *programs], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True).stdout
    for path in set(re.findall(r"=> (/\S+)", libraries)):
        usual = pathlib.Path("usr/lib", f"{platform.machine()}-linux-gnu", os.path.basename(path))
        if not (base / usual).exists():
            (directory / usual).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, directory / usual)
            (directory / usual).chmod(0o755)


# Networks ---------------------------------------------------------------------------------------


class Network:
    """A network namespace with loopback, and a listening socket in it that we serve."""

    def __init__(self):
        self.namespace = None
        self.listener = None
        # unshare(2) affects the calling thread, and so ends with it.
        thread = threading.Thread(target=self._create)
        thread.start()
        thread.join()
        if self.listener is None:
            raise AssertionError("cannot create a network namespace")

    def _create(self):
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        self.namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "address", "add", f"{IMDS}/32", "dev", "lo")
        listener = socket.create_server((IMDS, 80), backlog=64)
        self.listener = listener

    @property
    def path(self):
        """For nsenter(1) of other processes."""
        return f"/proc/{os.getpid()}/fd/{self.namespace}"

    def call(self, function, *arguments):
        """Calls the function in this network and returns its result."""
        def enter():
            if ctypes.CDLL(None, use_errno=True).setns(self.namespace, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns(CLONE_NEWNET)")
        # setns(2) also affects only the calling thread.
        with futures.ThreadPoolExecutor(max_workers=1, initializer=enter) as inside:
            return inside.submit(function, *arguments).result()

    def close(self):
        self.listener.close()
        os.close(self.namespace)


# Machines ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Image:
    """The layers of a root, topmost first, and the contents of further disks: mount point ->
    directory."""
    layers: tuple
    disks: dict = dataclasses.field(default_factory=dict)

    def with_layer(self, directory):
        return dataclasses.replace(self, layers=(directory, *self.layers))


@dataclasses.dataclass(frozen=True)
class Firmware:
    """Files in /sys/class/dmi/id of a machine; name -> contents."""
    files: dict

    @classmethod
    def of_nitro(cls, instance_id, uuid):
        return cls({"sys_vendor": "Amazon EC2", "board_vendor": "Amazon EC2",
                    "product_name": "m5.large", "product_version": "", "product_serial": uuid,
                    "product_uuid": uuid, "board_asset_tag": instance_id,
                    "chassis_asset_tag": "Amazon EC2", "bios_vendor": "Amazon EC2"})


class Machine:
    """A machine created from an image. `root` is its file system, which tests can read and write,
    even while the machine runs. `disks` are mount points of empty disks, unless the image has a
    disk for them. (containerd cannot mount its overlay on the root, which is an overlay.)"""

    def __init__(self, directory, image, firmware=Firmware({}), disks=()):
        self.directory = directory
        self.root = directory / "root"
        self.network = Network()
        self._image = image
        self._firmware = firmware
        self._process = None
        self._leader = None
        self._boots = 0
        for name in ("root", "changes", "work"):
            (directory / name).mkdir(parents=True)
        self._mount()
        self._disks = {place: self._make_disk(place) for place in {*image.disks, *disks}}
        self._make_class_directory()

    def _mount(self):
        lower = ":".join(map(str, self._image.layers))
        _run("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={self.directory}/changes,"
             f"workdir={self.directory}/work", "prebake-test", self.root)

    def _make_disk(self, place):
        disk = self.directory / f"disk{place.replace('/', '-')}"
        if place in self._image.disks:
            _run("cp", "-a", "--reflink=auto", self._image.disks[place], disk)
        else:
            disk.mkdir()
        self.path(place).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", disk, self.path(place))
        return disk

    def _make_class_directory(self):
        """/sys/class of the machine: its own firmware, its own network devices."""
        dmi = self.directory / "class/dmi/id"
        dmi.mkdir(parents=True)
        for name, contents in self._firmware.files.items():
            (dmi / name).write_text(contents + "\n")
        (self.directory / "class/net").symlink_to("../devices/virtual/net")

    @property
    def name(self):
        return self.directory.name

    @property
    def console(self):
        return self.directory / f"console-{self._boots}.log"

    # Power

    def boot(self, expected="running"):
        """Waits until the boot has ended in the state `expected`; None: in any state."""
        self.power_on()
        return self.await_boot(expected)

    def await_boot(self, expected="running"):
        state = wait_until(self._state_after_boot, f"{self.name} has booted", BOOT_DEADLINE)
        if expected and state != expected:
            failed = self.run("systemctl", "--failed", "--no-legend", "--plain", check=False)
            raise AssertionError(f"{self.name} is {state}, not {expected}:\n{failed}\n"
                                 + self.run("journalctl", "-b", "-p", "notice", check=False))
        return self

    def power_on(self):
        if self._process:
            raise AssertionError(f"{self.name} runs")
        self.powered_on_at = time.time()
        self._boots += 1
        group = f"prebake-boot-{os.getpid()}-{self.name}"
        start = """
            set -eu
            group=/sys/fs/cgroup/$1; shift
            mount -t cgroup2 prebake-test /sys/fs/cgroup
            mount -t tmpfs prebake-test /run
            mkdir "$group"
            echo $$ >"$group/cgroup.procs"
            export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
            # If the test is killed: on TERM nspawn halts the machine, KILL would leave it running.
            exec setpriv --pdeathsig TERM systemd-nspawn "$@"
        """
        nspawn = ["--boot", "--directory", self.root, "--machine", self.name,
                  # The default of a cloud's kernel.
                  "--hostname", "localhost",
                  "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off",
                  "--timezone=off", "--console=read-only", "--setenv=SYSTEMD_COLORS=0",
                  # No --private-network: nspawn would then hide our mount at /sys/class.
                  # All: runc creates devices and mounts, and a keyring for each container.
                  "--capability=all", "--system-call-filter=add_key keyctl bpf",
                  f"--bind-ro={self.directory}/class:/sys/class"]
        uuid = self._firmware.files.get("product_uuid")
        if uuid:  # on Nitro systemd uses it as the machine-id
            nspawn.append(f"--uuid={uuid}")
        # Each program of this chain replaces the previous one, so this is systemd-nspawn's PID.
        chain = ["nsenter", f"--net=/proc/self/fd/{self.network.namespace}",
                 "unshare", "--mount", "sh", "-c", start, "sh", group, *nspawn]
        with open(self.console, "wb") as out:
            self._process = subprocess.Popen(
                list(map(str, chain)), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, pass_fds=[self.network.namespace],
                env={"PATH": ADMIN_PATH})
        self._leader = wait_until(self._find_leader, f"systemd of {self.name} starts")

    def _find_leader(self):
        self._check_runs()
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(entry.name)
                name, rest = (entry / "stat").read_text().rsplit(")", 1)
                if name.endswith("(systemd") and int(rest.split()[1]) == self._process.pid:
                    return pid
        return None

    def _state_after_boot(self):
        self._check_runs()
        state = self.run("systemctl", "is-system-running", check=False).strip()
        return state if state in ("running", "degraded", "maintenance") else None

    def _check_runs(self):
        if self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self._process.returncode}:\n"
                                 + self.console_text()[-4000:])

    def power_off(self):
        self._go_down("poweroff", 0)

    def reboot(self, **options):
        self._go_down("reboot", REBOOT)
        return self.boot(**options)

    def _go_down(self, verb, expected):
        self.run("systemctl", "--no-block", verb)
        self._await_down(verb, expected)

    def await_power_off(self):
        """Waits until the machine, which is shutting down, is off."""
        self._await_down("poweroff", 0)

    def _await_down(self, verb, expected):
        code = self._process.wait(BOOT_DEADLINE)
        self._tidy()
        if code != expected:
            raise AssertionError(f"{verb} of {self.name} ended with {code}:\n"
                                 + self.console_text()[-4000:])

    def pull_the_plug(self):
        if self._process:
            if self._leader and self._process.poll() is None:
                os.kill(self._leader, signal.SIGKILL)  # and with it all processes of the machine
            else:
                self._process.kill()
            self._process.wait(BOOT_DEADLINE)
            self._tidy()

    def _tidy(self):
        group = f"/sys/fs/cgroup/prebake-boot-{os.getpid()}-{self.name}"
        tidy = f"mount -t cgroup2 t /sys/fs/cgroup && find {group} -depth -type d -delete"
        wait_until(lambda: subprocess.run(["unshare", "--mount", "sh", "-c", tidy],
                                          stderr=subprocess.DEVNULL).returncode == 0,
                   f"no process of {self.name} is left")
        self._process = self._leader = None

    def image(self):
        """A copy of the machine, like a snapshot. The machine must be off."""
        if self._process:
            raise AssertionError(f"{self.name} runs")
        snapshot = self.directory / f"snapshot-{len(list(self.directory.glob('snapshot-*')))}"
        snapshot.mkdir()

        def copy(source, name):
            # -a: in an upper directory whiteouts are devices, and opaque directories have an
            # attribute
            _run("cp", "-a", "--reflink=auto", source, snapshot / name)
            return snapshot / name

        disks = {place: copy(disk, disk.name) for place, disk in self._disks.items()}
        changes = copy(self.directory / "changes", "changes")
        return dataclasses.replace(self._image.with_layer(changes), disks=disks)

    def close(self):
        self.pull_the_plug()
        for point in mounts_below(self.root):
            subprocess.run(["umount", "-l", point], check=False)
        self.network.close()

    # Inside

    def run(self, *command, check=True, timeout=BOOT_DEADLINE):
        """The stdout of a command in the machine, with stderr if it may fail."""
        done = self.run_raw(*command, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {' '.join(map(str, command))}: exit code "
                                 f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def chroot(self, *command):
        """Runs a command in the root of the machine, which is off, as an image build does."""
        if self._process:
            raise AssertionError(f"{self.name} runs")
        return _run("chroot", self.root, *command)

    @property
    def seen_from_outside(self):
        """The root of the running machine with its mounts and sockets."""
        return pathlib.Path(f"/proc/{self._leader}/root")

    def run_raw(self, *command, timeout=BOOT_DEADLINE):
        return subprocess.run(
            ["nsenter", "--target", str(self._leader), "--all", "env", "-i", f"PATH={ADMIN_PATH}",
             "HOME=/root", "LANG=C.UTF-8", *map(str, command)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=timeout)

    def properties(self, unit, *names):
        """Properties of a unit, as text."""
        shown = self.run("systemctl", "show", unit, "-p", ",".join(names))
        return dict(line.split("=", 1) for line in shown.splitlines())

    def begun_at(self, unit):
        """When systemd began to start the unit, in microseconds of PID 1's clock; 0: never."""
        return self._stamp(unit, "InactiveExitTimestampMonotonic")

    def ended_at(self, unit):
        """When the unit was started, in microseconds of the same clock."""
        return self._stamp(unit, "ActiveEnterTimestampMonotonic")

    def _stamp(self, unit, name):
        return int(self.properties(unit, name)[name])

    def journal(self, unit):
        return self.run("journalctl", "-b", "-o", "cat", "-u", unit)

    def console_text(self):
        return self.console.read_text(errors="replace")

    def log_of_systemd(self):
        """The journals of all boots and the consoles, which have systemd's messages before and
        after the journal runs."""
        consoles = sorted(self.directory.glob("console-*.log"))
        journal = self.run("journalctl", "-o", "cat") if self._process else ""
        return "".join(console.read_text(errors="replace") for console in consoles) + journal

    # Files

    def path(self, inside):
        return self.root / str(inside).lstrip("/")

    def write(self, inside, contents, mode=0o644):
        path = self.path(inside)
        # An absolute link of the machine leads to the files of this one.
        where = path.parent.resolve()
        if not where.is_relative_to(self.root.resolve()):
            raise AssertionError(f"{inside} of {self.name} leads out of it: {where}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()  # such as the alias of a unit
        if isinstance(contents, bytes):
            path.write_bytes(contents)
        else:
            path.write_text(contents)
        path.chmod(mode)
        return path

    def read(self, inside):
        return self.path(inside).read_text()

    def files_with(self, needles):
        """Paths of the machine's files in which one of `needles` (text) occurs."""
        given = self.directory / "needles"
        given.write_text("\n".join(needles) + "\n")
        found = subprocess.run(["grep", "-rlaF", "--devices=skip", "-f", given, "."], cwd=self.root,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={"PATH": ADMIN_PATH, "LC_ALL": "C"})
        if found.returncode > 1 or found.stderr:
            raise AssertionError(f"grep: {found.stderr}")
        return [line[1:] for line in found.stdout.splitlines()]


def _run(*command):
    environment = {**os.environ, "PATH": ADMIN_PATH, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=environment)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n"
                             + done.stdout[-4000:])
    return done.stdout
