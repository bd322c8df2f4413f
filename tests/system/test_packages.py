#!/usr/bin/python3
"""The packages: their contents, their dependencies, and their installation with dpkg and rpm, in
roots without a running systemd and on running machines. packaging/build has built them.

PREBAKE_UPDATE_GOLDEN=1 rewrites the file lists instead of comparing them.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import unittest

import harness
import machine
from booted import CLAIM, enable
from daemons import ADMIN_PATH, Workspace
from machine import Image, Machine
from packaged import PackagedTest, install_deb, package

GOLDEN = pathlib.Path(__file__).resolve().parent / "packages"
UNITS = ("prebake-firstboot.service", "prebake-hydrate.service", "prebaked.service",
         "prebake-ready.target")
SOCKET = "prebaked.socket"  # enabled by an administrator
CONFIG = "/etc/prebake/prebake.toml"
RECORD = "/var/lib/prebake/bake.json"
MAX_PROGRAM_BYTES = 15_000_000
# Where the program finds the libraries that come with it.
OWN_LIBRARIES = "/usr/lib/prebake"
# Of Amazon Linux 2023 and RHEL 9, the oldest supported systems. GCC_4.2.0: libgcc_s of 2007.
NEWEST_SYMBOLS = {"GLIBC": (2, 34), "GCC": (4, 2, 0), "OPENSSL": (3, 0, 0)}
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libssl.so.3", "libcrypto.so.3",
             "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
ARMED = "/run/prebake/seal-at-shutdown.json"


def run(*command, code=0, epoch=None, **options):
    environment = {"PATH": ADMIN_PATH, "LC_ALL": "C.UTF-8"}
    if epoch:
        environment["SOURCE_DATE_EPOCH"] = str(epoch)
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env=environment, **options)
    if done.returncode != code:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}")
    return done.stdout


def unpacked(deb, directory):
    run("dpkg-deb", "-R", deb, directory)
    return directory


def other_version(version, directory, change=lambda tree: None):
    """The package with another version, after `change` has modified it."""
    tree = unpacked(package(".deb"), directory / version)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    change(tree)
    made = directory / f"{version}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, made)
    return made


class Contents(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.workspace = Workspace()
        cls.addClassCleanup(cls.workspace.remove)
        cls.deb, cls.rpm = package(".deb"), package(".rpm")
        cls.tree = unpacked(cls.deb, cls.workspace.path / "deb")
        cls.program = cls.tree / "usr/bin/prebake"

    def assert_golden(self, name, lines):
        golden = GOLDEN / name
        text = "".join(f"{line}\n" for line in lines)
        if os.environ.get("PREBAKE_UPDATE_GOLDEN"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text)
            self.skipTest(f"{golden} was written, not compared")
        self.assertEqual(text, golden.read_text(), f"see the head of {__file__}")

    # Contents

    def test_files_of_the_deb(self):
        listed = []
        for line in run("dpkg-deb", "-c", self.deb).splitlines():
            mode, owner, _, _, _, name = line.split(None, 5)
            listed.append(f"{mode} {owner} {name.lstrip('.')}")
        self.assert_golden("deb.list", sorted(listed, key=lambda line: line.split()[2]))

    def test_control_of_the_deb(self):
        fields = run("dpkg-deb", "-f", self.deb, "Package", "Architecture", "Section", "Priority",
                     "Depends", "Recommends", "Suggests").splitlines()
        scripts = sorted(path.name for path in (self.tree / "DEBIAN").iterdir())
        self.assert_golden("deb.control", [*fields, *scripts])

    def test_files_of_the_rpm(self):
        shown = run("rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} "
                    "%{FILENAMES} %{FILEFLAGS:fflags}\n]", self.rpm)
        self.assert_golden("rpm.list", [line.rstrip() for line in shown.splitlines()])

    def test_what_the_rpm_requires(self):
        required = run("rpm", "-qp", "--requires", self.rpm).splitlines()
        self.assert_golden("rpm.requires", sorted(set(required)))
        recommended = run("rpm", "-qp", "--recommends", self.rpm).splitlines()
        self.assertEqual(sorted(recommended), ["amazon-ecr-credential-helper", "ca-certificates"])
        text = "\n".join(required)
        for name, newest in NEWEST_SYMBOLS.items():
            for version in re.findall(rf"\({name}_([0-9.]+)\)", text):
                self.assertLessEqual(tuple(map(int, version.split("."))), newest)

    def test_libraries_in_the_program_are_listed_everywhere(self):
        """lint.linked checks that this is all of them."""
        listed = re.findall(r"(?m)^(\S+)  +(\d\S*)  +(\S.*?)  +(\S+) (\S+)$",
                            run(self.program, "version", "--verbose"))
        self.assertGreater(len(listed), 5)
        self.assertNotIn("NOASSERTION", [row[2] for row in listed])
        built_using = run("dpkg-deb", "-f", self.deb, "Built-Using").strip()
        self.assertEqual(set(built_using.split(", ")),
                         {f"{source} (= {version})" for *_, source, version in listed})
        provided = run("rpm", "-qp", "--provides", self.rpm).splitlines()
        self.assertEqual({line for line in provided if line.startswith("bundled(")},
                         {f"bundled({name}) = {version}" for name, version, *_ in listed})
        self.assertNotIn(".so", "".join(provided), "its own library is for nobody else")
        documents = self.tree / "usr/share/doc/prebake"
        self.assertEqual({path.name for path in (documents / "third-party").iterdir()},
                         {f"{name}.gz" for name, *_ in listed})
        self.assert_sbom(json.loads((documents / "prebake.spdx.json").read_text()), listed)

    def assert_sbom(self, sbom, listed):
        self.assertEqual(sbom["spdxVersion"], "SPDX-2.3")
        ours, *others = sbom["packages"]
        self.assertEqual(ours["name"], "prebake")
        self.assertEqual([(package["name"], package["versionInfo"], package["licenseDeclared"])
                          for package in others], [row[:3] for row in listed])
        purls = [package["externalRefs"][0]["referenceLocator"] for package in others]
        for purl, (*_, source, version) in zip(purls, listed):
            self.assertRegex(purl, rf"^pkg:deb/[a-z]+/{re.escape(source)}@"
                             rf"{re.escape(version.replace('+', '%2B'))}\?arch=source$")
        links = [relation["relationshipType"] for relation in sbom["relationships"]]
        self.assertEqual(dict(zip([row[0] for row in listed], links[1:])),
                         {row[0]: "DYNAMIC_LINK" if row[0] == "isa-l" else "STATIC_LINK"
                          for row in listed})
        identifiers = [package["SPDXID"] for package in sbom["packages"]]
        self.assertEqual(len(set(identifiers)), len(identifiers))
        for identifier in identifiers:
            self.assertRegex(identifier, r"^SPDXRef-[a-zA-Z0-9.-]+$")
        self.assertEqual({relation["relatedSpdxElement"] for relation in sbom["relationships"]},
                         set(identifiers))
        created = datetime.datetime.fromisoformat(sbom["creationInfo"]["created"][:-1] + "+00:00")
        self.assertEqual(int(created.timestamp()), int(self.deb_time()))

    def test_both_have_the_same_program_and_the_same_files(self):
        other = self.workspace.path / "rpm"
        other.mkdir()
        run("sh", "-c", 'rpm2cpio "$1" | cpio -idm --quiet', "sh", self.rpm.resolve(), cwd=other)

        def sums(root):
            return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
                    for path in root.rglob("*") if path.is_file()}
        deb, rpm = sums(self.tree), sums(other)
        self.assertIn("usr/bin/prebake", rpm)
        # One has a different path in each family; see packaging/rpm/layout.cmake for the rest.
        debians = {name for name in deb if name.startswith(("DEBIAN/", "usr/share/lintian/"))}
        debians.add("usr/share/doc/prebake/changelog.Debian.gz")
        expected = {name.replace("zsh/vendor-completions", "zsh/site-functions"): value
                    for name, value in deb.items() if name not in debians}
        self.assertEqual(rpm, expected)

    # The program

    def test_the_program_runs_on_every_distribution_that_we_name(self):
        dynamic = run("objdump", "-p", self.program)
        needed = set(re.findall(r"NEEDED\s+(\S+)", dynamic))
        own = {path.name: path for path in (self.tree / OWN_LIBRARIES[1:]).iterdir()}
        self.assertEqual(set(own), {"libisal.so.2"})
        self.assertLessEqual(needed, LIBRARIES | set(own))
        self.assertLessEqual(set(own), needed, "the program uses what comes with it")
        self.assertIn("libcrypto.so.3", needed, "the distribution patches it")
        self.assertEqual(re.findall(r"R(?:UN)?PATH\s+(\S+)", dynamic), [OWN_LIBRARIES])
        symbols = run("objdump", "-T", self.program)
        for name, library in own.items():
            dynamic = run("objdump", "-p", library)
            self.assertRegex(dynamic, rf"SONAME\s+{re.escape(name)}\n")
            self.assertLessEqual(set(re.findall(r"NEEDED\s+(\S+)", dynamic)), LIBRARIES)
            self.assertNotRegex(dynamic, "RPATH|RUNPATH")
            symbols += run("objdump", "-T", library)
        seen = {}
        for name, version in re.findall(r"\b(GLIBC|GCC|OPENSSL|GLIBCXX|CXXABI)_([0-9.]+)", symbols):
            seen.setdefault(name, set()).add(tuple(map(int, version.split("."))))
        newest = {name: max(versions) for name, versions in seen.items()}
        print(f"\nneeds {', '.join(sorted(needed))}\nnewest symbols: " + ", ".join(
            f"{name}_{'.'.join(map(str, version))}" for name, version in sorted(newest.items())))
        self.assertEqual(set(newest), set(NEWEST_SYMBOLS))
        for name, version in newest.items():
            self.assertLessEqual(version, NEWEST_SYMBOLS[name], name)

    def test_the_program_is_small_stripped_and_hardened(self):
        size = self.program.stat().st_size
        print(f"\nprogram {size:,} bytes, deb {self.deb.stat().st_size:,}, "
              f"rpm {self.rpm.stat().st_size:,}")
        self.assertLess(size, MAX_PROGRAM_BYTES)
        self.assertNotIn(".symtab", run("objdump", "-h", self.program))
        headers = run("objdump", "-p", "-f", self.program)
        self.assertIn("DYN (", run("readelf", "-h", self.program), "position independent")
        self.assertIn("RELRO", headers)
        self.assertRegex(headers, r"FLAGS\s+0x0*8\b|BIND_NOW|FLAGS_1\s+0x0*800000[19]")
        self.assertIn("__stack_chk_fail", run("objdump", "-T", self.program))
        self.assertRegex(run("objdump", "-T", self.program), r"__\w+_chk\b")
        version = re.search(r"(?m)^Version: (.*)-\d+$", run("dpkg-deb", "-I", self.deb)
                            .replace("\n ", "\n"))[1]
        self.assertEqual(run(self.program, "--version"), f"prebake {version}\n")

    def test_the_packages_do_not_depend_on_place_and_time(self):
        """.ci/run builds everything twice, in two places; this finds the usual cause earlier."""
        self.assertNotIn(str(machine.TOP).encode(), self.program.read_bytes())
        for suffix, generator in ((".deb", "DEB"), (".rpm", "RPM")):
            with self.subTest(generator):
                again = self.workspace.path / generator
                config = self.deb.parent.parent / "CPackConfig.cmake"
                run("cpack", "--config", config, "-G", generator, "-B", again,
                    epoch=int(self.deb_time()))
                made, = again.glob(f"*{suffix}")
                self.assertEqual(made.name, package(suffix).name)
                self.assertEqual(made.read_bytes(), package(suffix).read_bytes())

    def deb_time(self):
        """The time that packaging/build used for all files."""
        return run("stat", "-c", "%Y", self.tree / "usr/share/doc/prebake/copyright").strip()

    # lintian and rpmlint

    def test_lintian_has_no_findings(self):
        # As root it would warn about running as root.
        said = run("lintian", "--allow-root", "--tag-display-limit", "0",
                   "--fail-on", "error,warning", self.deb)
        self.assertEqual(said, "")

    def test_rpmlint_has_no_findings(self):
        said = run("rpmlint", "-c", machine.TOP / "packaging/rpm/rpmlint.toml", self.rpm)
        self.assertRegex(said, r"1 packages? and 0 specfiles? checked; 0 errors, 0 warnings")


class Roots(unittest.TestCase):
    """The results of dpkg and rpm in a root without a running systemd."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.workspace = Workspace()
        cls.addClassCleanup(cls.workspace.remove)

    def setUp(self):
        name = self.id().rpartition(".")[2]
        self.machine = Machine(self.workspace.path / name, Image((machine.base_root(),)))
        self.addCleanup(self.machine.close)
        self.deb, self.rpm = package(".deb"), package(".rpm")

    def files(self):
        """All files in the root with their contents, without the databases of dpkg and rpm and
        without the files that each run of sysusers writes."""
        found = {}
        for path in self.machine.root.rglob("*"):
            name = "/" + str(path.relative_to(self.machine.root))
            if not re.match(r"/(var/lib/dpkg|root/\.rpmdb|var/log|var/cache|proc|sys|dev|tmp|"
                            r"etc/(group|gshadow)-?|etc/\.pwd\.lock|"
                            r"var/lib/systemd/deb-systemd-helper)(/|$)",
                            name):
                found[name] = (os.readlink(path) if path.is_symlink() else
                               path.read_bytes() if path.is_file() else None)
        return found

    def enabled(self):
        return {unit: subprocess.run(["systemctl", "--root", self.machine.root, "is-enabled", unit],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                     text=True).stdout.strip()
                for unit in UNITS}

    def assert_nothing_happened(self):
        self.assertEqual(self.enabled(), dict.fromkeys(UNITS, "enabled"))
        for path in (CLAIM, RECORD, "/run/prebake"):
            self.assertFalse(self.machine.path(path).exists(), path)
        self.assertIn("\nprebake:", self.machine.read("/etc/group"))
        for directory in ("conf.d", "images.d", "seal.d", "firstboot.d"):
            self.assertTrue(self.machine.path(f"/etc/prebake/{directory}").is_dir(), directory)

    # dpkg

    def test_deb_installed_removed_purged(self):
        before = self.files()
        said = install_deb(self.machine)
        self.assertNotRegex(said, "(?i)error|warning|fail")
        self.assert_nothing_happened()
        self.assertRegex(self.machine.chroot("ldd", "/usr/bin/prebake"),
                         fr"\blibisal\.so\.2 => {OWN_LIBRARIES}/libisal\.so\.2 ")
        self.machine.write(RECORD, "{}")
        self.machine.chroot("dpkg", "--remove", "prebake")
        self.assertFalse(self.machine.path("/usr/bin/prebake").exists())
        for kept in (CONFIG, RECORD):
            self.assertTrue(self.machine.path(kept).exists(), kept)
        self.machine.chroot("dpkg", "--purge", "prebake")
        self.assertEqual(self.files(), before)

    def test_deb_upgraded(self):
        def older(tree):
            (tree / "usr/share/prebake/gone").write_text("of the older version\n")
            (tree / "etc/prebake/prebake.toml").write_text("# as it was\n")
        old = other_version("0.0.9-1", self.workspace.path, older)
        install_deb(self.machine, old)
        run("systemctl", "--root", self.machine.root, "disable", "prebake-ready.target")
        self.machine.write(CONFIG, '[bake]\nparallel_images = 2\n')
        self.machine.write(RECORD, "{}")
        install_deb(self.machine, None, "--force-confold")
        self.assertEqual(self.machine.read(CONFIG), '[bake]\nparallel_images = 2\n')
        self.assertEqual(self.machine.read(RECORD), "{}")
        self.assertFalse(self.machine.path("/usr/share/prebake/gone").exists())
        self.assertEqual(self.enabled(), {**dict.fromkeys(UNITS, "enabled"),
                                          "prebake-ready.target": "disabled"})
        # An unmodified file is updated with the package.
        self.machine.write(CONFIG, "# as it was\n")
        install_deb(self.machine, old, "--force-downgrade", "--force-confnew")
        install_deb(self.machine)
        self.assertIn("[readiness]", self.machine.read(CONFIG))

    def test_deb_with_an_armed_seal_is_not_removed(self):
        install_deb(self.machine)
        self.machine.write(ARMED, "{}")
        with self.assertRaisesRegex(AssertionError, "prebake seal --disarm"):
            self.machine.chroot("dpkg", "--remove", "prebake")
        self.assertTrue(self.machine.path("/usr/bin/prebake").exists())
        self.machine.path(ARMED).unlink()
        self.machine.chroot("dpkg", "--remove", "prebake")

    def test_units_that_were_masked_stay_masked(self):
        run("systemctl", "--root", self.machine.root, "mask", "prebaked.service")
        install_deb(self.machine)
        self.assertEqual(self.enabled(), {**dict.fromkeys(UNITS, "enabled"),
                                          "prebaked.service": "masked"})

    def test_cloud_init_accepts_the_example(self):
        example = machine.TOP / "packaging/cloud-init/user-data.yaml"
        self.machine.write("/tmp/user-data", example.read_text())
        said = self.machine.chroot("cloud-init", "schema", "--config-file", "/tmp/user-data")
        self.assertIn("Valid", said)

    # rpm

    def rpm_run(self, *arguments, code=0):
        # This root has what the package requires, but rpm's database does not list it.
        return run("rpm", "--root", self.machine.root, "--nodeps", "--nosignature", *arguments,
                   code=code)

    def test_rpm_installed_upgraded_erased(self):
        before = self.files()
        self.assertNotRegex(self.rpm_run("-i", self.rpm), "(?i)error|warning|fail")
        self.assert_nothing_happened()
        self.machine.write(CONFIG, "[bake]\nparallel_images = 2\n")
        self.machine.write(RECORD, "{}")
        self.rpm_run("-U", "--force", self.rpm)
        self.assertEqual(self.machine.read(CONFIG), "[bake]\nparallel_images = 2\n")
        self.rpm_run("-e", "prebake")
        self.assertEqual(self.enabled(), dict.fromkeys(UNITS, ""))
        left = {name for name in self.files() if name not in before}
        self.assertEqual(left, {"/etc/prebake", f"{CONFIG}.rpmsave", "/var/lib/prebake", RECORD})

    def test_rpm_upgraded(self):
        build = self.rpm.parent.parent
        run("cpack", "--config", build / "CPackConfig.cmake", "-G", "RPM",
            "-D", "CPACK_PACKAGE_VERSION=0.0.9", "-B", self.workspace.path / "old")
        older, = (self.workspace.path / "old").glob("prebake-0.0.9*.rpm")
        self.rpm_run("-i", older)
        run("systemctl", "--root", self.machine.root, "disable", "prebake-ready.target")
        self.machine.write(CONFIG, "[bake]\nparallel_images = 2\n")
        self.machine.write(RECORD, "{}")
        self.assertNotRegex(self.rpm_run("-U", self.rpm), "(?i)error|fail")
        self.assertEqual(run("rpm", "--root", self.machine.root, "-q", "prebake").strip(),
                         self.rpm.stem)
        self.assertEqual(self.machine.read(CONFIG), "[bake]\nparallel_images = 2\n")
        self.assertEqual(self.machine.read(RECORD), "{}")
        self.assertEqual(self.enabled(), {**dict.fromkeys(UNITS, "enabled"),
                                          "prebake-ready.target": "disabled"})

    def test_rpm_leaves_presets_to_the_administrator(self):
        self.machine.write("/etc/systemd/system-preset/00-site.preset",
                           "disable prebaked.service\n")
        self.rpm_run("-i", self.rpm)
        self.assertEqual(self.enabled(), {**dict.fromkeys(UNITS, "enabled"),
                                          "prebaked.service": "disabled"})

    def test_rpm_with_an_armed_seal_is_not_removed(self):
        self.rpm_run("-i", self.rpm)
        self.machine.write(ARMED, "{}")
        self.assertIn("prebake seal --disarm", self.rpm_run("-e", "prebake", code=1))
        self.assertTrue(self.machine.path("/usr/bin/prebake").exists())


class Running(PackagedTest):
    """The effects on a running machine: on the daemon and on units that wait for it."""

    KUBELET = "[Service]\nExecStart=/bin/sleep infinity\n"

    def setUp(self):
        self.machine = self.make_packaged(self.id().rpartition(".")[2])
        self.machine.write("/etc/systemd/system/kubelet.service", self.KUBELET)
        enable(self.machine, "add-requires", "kubelet.service", "prebake-ready.target")
        self.machine.boot()
        self.machine.run("systemctl", "start", "kubelet.service")
        self.kubelet = self.process_of("kubelet.service")

    def process_of(self, unit):
        """None if it does not run."""
        shown = self.machine.properties(unit, "ActiveState", "MainPID")
        return shown["MainPID"] if shown["ActiveState"] == "active" else None

    def assert_daemon_is_another(self, than):
        self.assertNotIn(self.process_of("prebaked.service"), (None, than))
        self.assertEqual(self.process_of("kubelet.service"), self.kubelet)

    def assert_daemon_has_ended(self):
        self.assertIsNone(self.process_of("prebaked.service"))
        self.assertEqual(self.process_of("kubelet.service"), self.kubelet)

    def assert_socket(self, state):
        """Returns since when systemd has the port."""
        shown = self.machine.properties(SOCKET, "ActiveState", "ActiveEnterTimestampMonotonic")
        self.assertEqual(shown["ActiveState"], state)
        return shown["ActiveEnterTimestampMonotonic"]

    def dpkg(self, *arguments):
        self.assertNotRegex(self.machine.run("dpkg", *arguments), "(?i)error|fail")

    def test_deb_upgraded_removed_purged_and_back(self):
        first = self.process_of("prebaked.service")
        newer = other_version("99.0-1", self.workspace.path)
        for source, name in ((newer, "newer"), (package(".deb"), "this")):
            self.machine.path(f"/root/{name}.deb").write_bytes(source.read_bytes())
        self.dpkg("-i", "/root/newer.deb")
        self.assert_daemon_is_another(first)
        self.assert_socket("inactive")
        # The socket cannot be started while the daemon has the port: an upgrade does that.
        self.machine.run("systemctl", "enable", SOCKET)
        self.dpkg("-i", "/root/newer.deb")
        taken = self.assert_socket("active")
        self.dpkg("-i", "/root/newer.deb")
        self.assertEqual(self.assert_socket("active"), taken, "the port was never free")
        self.assert_daemon_is_another(first)
        self.dpkg("--remove", "prebake")
        self.assert_daemon_has_ended()
        self.assertNotEqual(self.machine.run_raw("test", "-e", "/run/prebake").returncode, 0)
        # The state directory may be a separate disk, which is then emptied.
        self.machine.run("mount", "-t", "tmpfs", "state", "/var/lib/prebake")
        self.machine.run("touch", "/var/lib/prebake/file")
        self.dpkg("--purge", "prebake")
        self.assertEqual(self.machine.run("ls", "-A", "/var/lib/prebake"), "")
        self.assertEqual(self.machine.run("find", "/etc/systemd", "/var/lib/systemd", "-name",
                                          f"{SOCKET}*"), "")
        self.dpkg("-i", "/root/this.deb")
        self.assert_daemon_is_another(first)
        self.machine.power_off()

    def test_scripts_of_the_rpm(self):
        """With the files of the .deb, which are the same: the machine has no rpm."""
        def script(name, packages_after):
            self.machine.write("/root/script", (machine.TOP / "packaging/rpm" / name).read_text())
            self.machine.run("sh", "/root/script", packages_after)
        first = self.process_of("prebaked.service")
        script("post", 2)
        script("preun", 1)
        self.assertEqual(self.process_of("prebaked.service"), first)
        script("postun", 1)
        self.assert_daemon_is_another(first)
        self.machine.run("systemctl", "enable", SOCKET)
        script("postun", 1)
        taken = self.assert_socket("active")
        script("postun", 1)
        self.assertEqual(self.assert_socket("active"), taken, "the port was never free")
        script("preun", 0)
        self.assert_socket("inactive")
        self.assert_daemon_has_ended()
        script("postun", 0)
        self.assertNotEqual(self.machine.run_raw("test", "-e", "/run/prebake").returncode, 0)
        self.machine.power_off()


if __name__ == "__main__":
    harness.main()
