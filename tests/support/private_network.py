"""A network of the test's own: only loopback, and names that the test gives to loopback addresses.

Servers can have the usual ports and the names of real registries, and nothing leaves this machine.
"""

import ipaddress
import itertools
import os
import subprocess
import sys
import tempfile

INSIDE = "PREBAKE_TEST_PRIVATE_NETWORK"
_addresses = itertools.count(int(ipaddress.ip_address("127.0.1.1")))


def enter():
    """Starts this program again in a new network and mount namespace, unless it is in one."""
    if os.environ.pop(INSIDE, None) is None:
        os.execvpe("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv],
                   {**os.environ, INSIDE: "yes"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # The file is in use until this process ends, and then nobody has its name.
    with tempfile.NamedTemporaryFile("w") as hosts:
        hosts.write("127.0.0.1 localhost\n")
        hosts.flush()
        subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)


def name_server(*names):
    """A loopback address of its own, which these names have from now on."""
    address = str(ipaddress.ip_address(next(_addresses)))
    with open("/etc/hosts", "a", encoding="ascii") as hosts:
        hosts.write(f"{address} {' '.join(names)}\n")
    return address


def without_names():
    """A command prefix: the program knows none of the names."""
    return ("unshare", "--mount", "sh", "-c", 'umount /etc/hosts && exec "$@"', "sh")
