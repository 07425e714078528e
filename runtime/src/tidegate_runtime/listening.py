"""Sockets that listen, for one process or for several that inherit them."""

import socket


def listener(host: str, port: int, what: str = "", backlog: int | None = None) -> socket.socket:
    """A socket that is bound and listens. Raises `OSError`, naming `what` it is for, if the port can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog, dualstack_ipv6=host == "::")
    except OSError as error:
        raise OSError(f"can't listen on {host} port {port}{what}: {error.strerror}") from None
