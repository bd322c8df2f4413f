"""Booted machines with Docker: dockerd of one of Debian's packages, with its units."""

import json
import shutil

import docker_engine
import machine

# The overlays of dockerd and containerd cannot be on the machine's own overlay.
DISKS = ("/var/lib/docker", "/var/lib/containerd")
# systemd-nspawn forbids the settings of IPv6 that a new interface gets.
NO_NETWORK = ("--network", "none")


def layer_with_docker(directory, suite):
    """Fills the directory with an engine of one of Debian's suites (docker_engine.py)."""
    home = docker_engine.engine(suite)
    programs = [home / name for name in ("sbin/dockerd", "sbin/docker-proxy", "bin/docker")]
    for program in programs:
        target = directory / "usr" / program.relative_to(home)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, target)
    machine.add_libraries(directory, *programs)
    # The package's units, whose socket starts dockerd for its first client.
    units = directory / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for name in ("docker.service", "docker.socket"):
        shutil.copy(home / "lib/systemd/system" / name, units)
    return directory


def configure(on, **settings):
    """As the package's installation, with a daemon.json: nothing of a network, and `settings`."""
    on.chroot("groupadd", "--system", "docker")
    on.write("/etc/docker/daemon.json",
             json.dumps({"iptables": False, "ip6tables": False, **settings}))
