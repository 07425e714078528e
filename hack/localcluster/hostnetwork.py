"""What the host's own network gets for a cluster: a link, two routes, an nftables table, and forwarding.

All but forwarding goes with the link or the table. Forwarding is shared with other clusters: the first that needs it
records what was there, the last to go restores it.
"""

import json
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from localcluster import command
from localcluster.addresses import Addresses
from localcluster.errors import ClusterError
from localcluster.settings import Settings

_PREFIX = "tg-"
_FORWARDING_BEFORE = Path("/run/tidegate-forwarding-before.json")


@dataclass(frozen=True)
class WayOut:
    """The interface of the host's default route, and its MTU in bytes."""

    device: str
    mtu: int


def link_name(settings: Settings) -> str:
    """The host's end of the cluster's link."""
    return f"{_PREFIX}{settings.digest}"


def routed() -> tuple[IPv4Network, ...]:
    """Every network that the host routes, its default route left out."""
    routes = json.loads(command.output(["ip", "-j", "-4", "route"]))
    return tuple(IPv4Network(route["dst"], strict=False) for route in routes if route["dst"] != "default")


def way_out() -> WayOut | None:
    """The default route's interface; None on a machine without one."""
    routes = json.loads(command.output(["ip", "-j", "-4", "route", "show", "default"]))
    if not routes:
        return None
    device = routes[0]["dev"]
    return WayOut(device, _links()[device])


def masquerade(table: str, link: str, addresses: Addresses) -> str:
    """The commands for nft: what leaves the cluster through another interface takes that interface's address."""
    return f"""
        table ip {table} {{}}
        delete table ip {table}
        table ip {table} {{
            chain postrouting {{
                type nat hook postrouting priority srcnat; policy accept;
                ip saddr {{ {addresses.pods}, {addresses.link} }} oifname != "{link}" masquerade
            }}
        }}"""


def connect(settings: Settings, init: int) -> None:
    """Link the host to the network namespace of the process `init`, with routes both ways and a way out."""
    link, addresses, out = link_name(settings), settings.addresses, way_out()
    mtu = str(out.mtu if out else 1500)
    length = addresses.link.prefixlen
    inside = ["nsenter", "--target", str(init), "--net", "--"]
    for words in (
        ["ip", "link", "add", link, "mtu", mtu, "type", "veth", "peer", "name", "eth0", "mtu", mtu, "netns", str(init)],
        ["ip", "address", "add", f"{addresses.host}/{length}", "dev", link],
        ["ip", "link", "set", link, "up"],
        [*inside, "ip", "link", "set", "lo", "up"],
        [*inside, "ip", "address", "add", f"{addresses.node}/{length}", "dev", "eth0"],
        [*inside, "ip", "link", "set", "eth0", "up"],
        [*inside, "ip", "route", "add", "default", "via", str(addresses.host)],
        [*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
        ["ip", "route", "add", str(addresses.pods), "via", str(addresses.node), "dev", link],
        ["ip", "route", "add", str(addresses.services), "via", str(addresses.node), "dev", link],
    ):
        command.output(words)
    command.output(["nft", "-f", "-"], stdin=masquerade(_table(settings), link, addresses))
    _forwarding(link).write_text("1")
    if out:
        _forward(out.device)


def disconnect(settings: Settings) -> None:
    """Take away all that `connect` made; what is gone already is no error."""
    link, table = link_name(settings), _table(settings)
    try:
        if link in _links():
            command.output(["ip", "link", "delete", link])
    except ClusterError:
        # The kernel takes a dead namespace's links away by itself, perhaps just now.
        if link in _links():
            raise
    command.output(["nft", "-f", "-"], stdin=f"table ip {table} {{}}\ndelete table ip {table}")
    if not any(name.startswith(_PREFIX) for name in _links()):
        _restore_forwarding()


def _links() -> dict[str, int]:
    """The host's interfaces, each with its MTU in bytes."""
    return {link["ifname"]: link["mtu"] for link in json.loads(command.output(["ip", "-j", "link"]))}


def _table(settings: Settings) -> str:
    return f"tidegate_{settings.digest}"


def _forwarding(device: str) -> Path:
    return Path(f"/proc/sys/net/ipv4/conf/{device}/forwarding")


def _forward(device: str) -> None:
    before = _forwarding(device).read_text().strip()
    if before == "1":
        return
    recorded = json.loads(_FORWARDING_BEFORE.read_text()) if _FORWARDING_BEFORE.exists() else {}
    _FORWARDING_BEFORE.write_text(json.dumps({device: before} | recorded))
    _forwarding(device).write_text("1")


def _restore_forwarding() -> None:
    if not _FORWARDING_BEFORE.exists():
        return
    for device, before in json.loads(_FORWARDING_BEFORE.read_text()).items():
        if _forwarding(device).exists():
            _forwarding(device).write_text(before)
    _FORWARDING_BEFORE.unlink()
