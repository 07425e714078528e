"""Ports for servers that tests and measurements start."""

import contextlib
import socket


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """So many ports that nobody has at that address now, each another; "" is all of them.

    All are held until the last one is found. Whoever wants them has to be quick: they are free again then.
    """
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]
