"""Where a server listens."""

import socket


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; `::` is IPv6 and IPv4. Raises OSError where it can't be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")
