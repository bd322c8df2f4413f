"""Booted machines with Docker: a real dockerd of a chosen version, and a unit like a package's."""

import json
import shutil

import docker_engine
import machine

# The overlays of dockerd and containerd cannot be on the machine's own overlay.
DISKS = ("/var/lib/docker", "/var/lib/containerd")
# systemd-nspawn forbids the settings of IPv6 that a new interface gets.
NO_NETWORK = ("--network", "none")
UNIT = """\
[Unit]
After=network.target containerd.service
Requires=containerd.service
[Service]
Type=notify
ExecStart=/usr/sbin/dockerd -H unix:///run/docker.sock \\
    --containerd=/run/containerd/containerd.sock
Delegate=yes
KillMode=process
[Install]
WantedBy=multi-user.target
"""


def layer_with_docker(directory, suite):
    """Fills the directory with an engine of one of Debian's suites (docker_engine.py)."""
    home = docker_engine.engine(suite)
    programs = [home / name for name in ("sbin/dockerd", "sbin/docker-proxy", "bin/docker")]
    for program in programs:
        target = directory / "usr" / program.relative_to(home)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, target)
    machine.add_libraries(directory, *programs)
    unit = directory / "usr/lib/systemd/system/docker.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(UNIT)
    return directory


def configure(on, **settings):
    """Writes daemon.json: nothing of a network, and `settings`."""
    on.write("/etc/docker/daemon.json",
             json.dumps({"iptables": False, "ip6tables": False, **settings}))
