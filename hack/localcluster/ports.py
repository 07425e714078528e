"""Ports for servers that tests and measurements start."""

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

PORTS: Final = range(12000, 30000)
"""Below those that Linux gives to connections (from 32768 on) and Kubernetes to nodes (from 30000 on), and above its
components' own: whoever picks one of them has it, though its server takes a while to start."""


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """So many ports that nobody has at that address, each another; "" is all of them.

    No process of this user gets one of them again before all `PORTS` have had their turn.
    """
    turn = Path(tempfile.gettempdir()) / f"tidegate-ports-{os.getuid()}"
    with turn.open("a+") as told, contextlib.ExitStack() as held:
        fcntl.flock(told, fcntl.LOCK_EX)
        told.seek(0)
        at, found = int(told.read() or 0), list[int]()
        for step in range(len(PORTS)):
            port = PORTS[(at + step) % len(PORTS)]
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server((host, port)))
                found.append(port)
            if len(found) == count:
                told.truncate(0)
                told.write(str(at + step + 1))
                return found
    raise OSError(f"of the ports {PORTS.start} to {PORTS.stop - 1}, fewer than {count} are free")
