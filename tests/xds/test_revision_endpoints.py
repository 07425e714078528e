from typing import Any

import pytest

from tidegate_operator.xds import endpoints, names

A = "churn-aaaaaaaa"


def slice_of(*ready: Any, family: str = "IPv4", port: int = 8080, addresses: list[str] | None = None) -> dict[str, Any]:
    """Endpoints 10.0.0.1, 10.0.0.2, … with these conditions."""
    told = addresses or [f"10.0.0.{number}" for number, _ in enumerate(ready, 1)]
    return {
        "metadata": {"namespace": "ml", "name": "s", "labels": {"tidegate.dev/revision": A}},
        "addressType": family,
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [address], "conditions": each} for address, each in zip(told, ready, strict=True)],
    }


def hosts(*manifests: dict[str, Any]) -> list[tuple[str, int]]:
    slices = [found for manifest in manifests if (found := endpoints.read(manifest))]
    assignment = endpoints.assignment("ml", A, slices)
    assert assignment["cluster_name"] == f"ml/{A}/pods"
    addresses = [
        each["endpoint"]["address"]["socket_address"]
        for locality in assignment["endpoints"]
        for each in locality["lb_endpoints"]
    ]
    return [(address["address"], address["port_value"]) for address in addresses]


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({"ready": True}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": None}, True),
        ({}, True),
        (None, True),
    ],
    ids=["ready", "not ready", "terminating but serving", "unknown", "no condition", "no conditions"],
)
def test_only_ready_endpoints_are_told(conditions: Any, told: bool) -> None:
    assert hosts(slice_of(conditions)) == ([("10.0.0.1", 8080)] if told else [])


def test_endpoints_of_all_slices_are_told_once_and_in_order() -> None:
    ready = {"ready": True}
    one = slice_of(ready, ready, addresses=["10.0.0.3", "10.0.0.1"])
    other = slice_of(ready, ready, addresses=["10.0.0.2", "10.0.0.1"])
    assert hosts(one, other) == [("10.0.0.1", 8080), ("10.0.0.2", 8080), ("10.0.0.3", 8080)]


def test_a_pod_of_a_dual_stack_service_is_told_by_one_address() -> None:
    ready = {"ready": True}
    six = slice_of(ready, family="IPv6", addresses=["fd00::1"])
    assert hosts(six, slice_of(ready)) == [("10.0.0.1", 8080)]
    assert hosts(six, slice_of({"ready": False})) == [("fd00::1", 8080)]


def test_slices_of_other_kinds_are_left_out() -> None:
    assert endpoints.read(slice_of({}, family="FQDN", addresses=["example.org"])) is None
    foreign = slice_of({})
    del foreign["metadata"]["labels"]
    assert endpoints.read(foreign) is None


def test_null_lists_are_empty_lists() -> None:
    manifest = {**slice_of({}), "endpoints": None, "ports": None}
    assert hosts(manifest) == []


def test_endpoints_carry_their_revision_and_one_healthy_pod_is_enough() -> None:
    found = endpoints.read(slice_of({}))
    assert found is not None
    assignment = endpoints.assignment("ml", A, [found])
    (endpoint,) = assignment["endpoints"][0]["lb_endpoints"]
    assert endpoint["metadata"] == {"filter_metadata": {"tidegate": {"revision": A}}}
    assert assignment["policy"]["overprovisioning_factor"] >= 100 * 1000, "1 of 1,000 pods carries 100 %"


def test_a_port_for_grpc_is_checked_by_the_one_for_http() -> None:
    manifest = slice_of({"ready": True}, port=8080)
    manifest["ports"].append({"name": "grpc", "port": 8081})
    found = endpoints.read(manifest)
    assert found is not None
    assignment = endpoints.assignment("ml", A, [found], names.GRPC)
    assert assignment["cluster_name"] == f"ml/{A}/grpc/pods"
    (host,) = assignment["endpoints"][0]["lb_endpoints"]
    assert host["endpoint"] == {
        "address": {"socket_address": {"address": "10.0.0.1", "port_value": 8081}},
        "health_check_config": {"port_value": 8080},
    }
    assert host["metadata"] == {"filter_metadata": {"tidegate": {"revision": A}}}


def test_without_a_port_for_grpc_nobody_is_told_for_it() -> None:
    found = endpoints.read(slice_of({"ready": True}))
    assert found is not None
    assert endpoints.assignment("ml", A, [found], names.GRPC)["endpoints"] == []
