"""The address ranges of a cluster: pure arithmetic on networks."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from localcluster.errors import ClusterError

# One /16 for each cluster out of a block that neither Docker, kind nor the usual home routers hand out.
_BLOCK = IPv4Network("10.64.0.0/12")


@dataclass(frozen=True)
class Addresses:
    """Three disjoint ranges: of the pods, of the Services, and of the link between host and node (a /30 or wider)."""

    pods: IPv4Network
    services: IPv4Network
    link: IPv4Network

    @property
    def host(self) -> IPv4Address:
        """The host's end of the link; the node's gateway."""
        return self.link[1]

    @property
    def node(self) -> IPv4Address:
        """The node's end of the link; the API server, the kubelet and the cluster's DNS answer here."""
        return self.link[2]

    @property
    def api_service(self) -> IPv4Address:
        """ClusterIP of the `kubernetes` Service: the API server always takes the first of the range."""
        return self.services[1]

    def ranges(self) -> tuple[IPv4Network, IPv4Network, IPv4Network]:
        """Pods, Services, link."""
        return (self.pods, self.services, self.link)


def divide(block: IPv4Network) -> Addresses:
    """The ranges within a /16: its lower half for pods, the next quarter for Services, its last /30 for the link."""
    lower, upper = block.subnets(prefixlen_diff=1)
    services, rest = upper.subnets(prefixlen_diff=1)
    return Addresses(pods=lower, services=services, link=IPv4Network((rest[-4], 30)))


def first_free(taken: Iterable[IPv4Network]) -> Addresses:
    """The ranges in the first /16 of 10.64.0.0/12 that overlaps nothing taken.

    Raises:
        ClusterError: every /16 is taken.
    """
    taken = tuple(taken)
    for block in _BLOCK.subnets(new_prefix=16):
        if not any(block.overlaps(network) for network in taken):
            return divide(block)
    raise ClusterError(
        f"every /16 of {_BLOCK} is routed on this machine already: give free ranges with "
        "--pod-cidr, --service-cidr and --link-cidr, or take a cluster down"
    )


def check(addresses: Addresses, taken: Iterable[IPv4Network]) -> None:
    """Refuse ranges that are too small, overlap each other or are routed on this machine already.

    Raises:
        ClusterError: names the option, the range and what it meets.
    """
    named = dict(zip(("--pod-cidr", "--service-cidr", "--link-cidr"), addresses.ranges(), strict=True))
    for (option, network), widest in zip(named.items(), (24, 24, 30), strict=True):
        if network.prefixlen > widest:
            raise ClusterError(f"{option} {network} is too small: at least a /{widest} is needed")
    seen: dict[str, IPv4Network] = {}
    for option, network in named.items():
        for other, earlier in seen.items():
            if network.overlaps(earlier):
                raise ClusterError(f"{option} {network} overlaps {other} {earlier}: choose disjoint ranges")
        for route in taken:
            if network.overlaps(route):
                raise ClusterError(
                    f"{option} {network} overlaps {route}, which this machine routes: choose another range"
                )
        seen[option] = network
