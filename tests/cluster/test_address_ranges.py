from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.addresses import Addresses, check, divide, first_free
from localcluster.errors import ClusterError


def net(text: str) -> IPv4Network:
    return IPv4Network(text)


FIRST = Addresses(pods=net("10.64.0.0/17"), services=net("10.64.128.0/18"), link=net("10.64.255.252/30"))


def test_a_machine_without_clusters_gives_the_first_block() -> None:
    assert first_free([net("192.168.1.0/24"), net("172.17.0.0/16")]) == FIRST


def test_the_ends_of_the_link_are_its_two_hosts_and_the_api_has_the_first_service_address() -> None:
    assert FIRST.host == IPv4Address("10.64.255.253")
    assert FIRST.node == IPv4Address("10.64.255.254")
    assert FIRST.api_service == IPv4Address("10.64.128.1")


@pytest.mark.parametrize(
    ("taken", "pods"),
    [
        (["10.64.0.0/17"], "10.65.0.0/17"),
        (["10.64.255.252/30"], "10.65.0.0/17"),
        (["10.64.0.0/15"], "10.66.0.0/17"),
        (["10.65.0.0/16"], "10.64.0.0/17"),
    ],
    ids=["its pods are taken", "only its link is taken", "two blocks are taken", "a later block is taken"],
)
def test_a_second_cluster_gets_the_next_free_block(taken: list[str], pods: str) -> None:
    assert first_free(map(net, taken)).pods == net(pods)


def test_no_free_block_is_told_with_the_way_out() -> None:
    with pytest.raises(ClusterError, match=r"--pod-cidr, --service-cidr and --link-cidr"):
        first_free([net("10.0.0.0/8")])


@given(st.integers(0, 2**16 - 1))
def test_the_ranges_of_a_block_lie_in_it_and_are_disjoint(number: int) -> None:
    block = IPv4Network((number << 16, 16))
    pods, services, link = divide(block).ranges()
    assert all(each.subnet_of(block) for each in (pods, services, link))
    assert not (pods.overlaps(services))
    assert not (pods.overlaps(link))
    assert not (services.overlaps(link))
    check(divide(block), taken=[])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pods": net("10.1.0.0/25")}, r"--pod-cidr 10\.1\.0\.0/25 is too small: at least a /24"),
        ({"link": net("10.1.0.0/31")}, r"--link-cidr 10\.1\.0\.0/31 is too small: at least a /30"),
        ({"services": net("10.64.0.0/24")}, r"--service-cidr 10\.64\.0\.0/24 overlaps --pod-cidr"),
        (
            {"pods": net("192.168.0.0/16")},
            r"--pod-cidr 192\.168\.0\.0/16 overlaps 192\.168\.1\.0/24, which this machine routes",
        ),
    ],
)
def test_unfit_ranges_are_refused_by_the_name_of_their_option(change: dict[str, IPv4Network], said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        check(replace(FIRST, **change), taken=[net("192.168.1.0/24")])
