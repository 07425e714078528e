"""Which addresses no model is fetched from: what answers there knows a node's secrets. Pure."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_TRANSLATED: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
"""NAT64: the last 32 bits are the address of IPv4 that is meant (RFC 6052, 2.1; RFC 8215)."""
_METADATA: Final = (
    ip_network("fd00:ec2::/32"),  # AWS
    ip_network("fd20:ce::254"),  # Google
    ip_network("fd00:c1::a9fe:a9fe"),  # Oracle
    ip_network("100.100.100.200"),  # Alibaba
    ip_network("168.63.129.16"),  # Azure
)
"""Services for the machine alone that clouds have at addresses which aren't link-local."""


def refused_as(text: str) -> str | None:
    """What an address is that is refused, in words; None: it may be asked. A zone (`%eth0`) doesn't count."""
    address = _meant(ip_address(text.partition("%")[0]))
    if address.is_link_local or address.is_multicast:
        return f"{address}, a link-local address"
    if any(address in network for network in _METADATA):
        return f"{address}, a cloud's metadata service"
    return None


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Whom a packet to the address comes to in the end."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address
