"""Commands with the network really off: a network namespace that has nothing but the loopback.

``python -m tests.support.no_network COMMAND …`` is what runs inside; `without_network` starts it.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41
# Mounts too, so that a test can have a small disk of its own.
SPACE = ["unshare", "--net", "--mount"]


def loopback_up():
    """Notebooks talk to their kernels over the loopback, which starts switched off."""
    import fcntl
    import socket
    import struct

    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP_AND_RUNNING))


@cache
def why_not():
    """Why no command can run without a network here; empty where one can."""
    if not shutil.which("unshare"):
        return "no unshare (util-linux) here"
    done = subprocess.run([*SPACE, "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"no network namespaces here: {done.stderr.strip()}"


def without_network(*command):
    """The words of a command that runs `command` without a network."""
    return [*SPACE, sys.executable, str(Path(__file__)), *map(str, command)]


if __name__ == "__main__":
    loopback_up()
    os.execvp(sys.argv[1], sys.argv[1:])
