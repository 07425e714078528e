from typing import Any

import pytest

from tidegate_operator.errors import InvalidSpec
from tidegate_operator.xds import service
from tidegate_operator.xds.clusters import service_clusters
from tidegate_operator.xds.routes import virtual_host

A, B, C = "churn-aaaaaaaa", "churn-bbbbbbbb", "churn-cccccccc"


def shares(builders: Any, **status: Any) -> dict[str, int]:
    host = virtual_host(service.read(builders.service(1, **status)), "cluster.test")
    (route,) = host["routes"]
    return {each["name"]: each["weight"] for each in route["route"]["weighted_clusters"]["clusters"]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"stable": A}, {f"ml/{A}": 100}),
        ({"stable": A, "canary": (B, 0)}, {f"ml/{A}": 100}),
        ({"stable": A, "canary": (B, 10)}, {f"ml/{A}": 90, f"ml/{B}": 10}),
        ({"stable": A, "canary": (B, 100)}, {f"ml/{B}": 100}),
        ({"stable": A, "retiring": [C]}, {f"ml/{A}": 100}),
    ],
    ids=["stable alone", "canary without weight", "canary with weight", "canary with all", "retiring gets none"],
)
def test_requests_are_shared_by_the_status(builders: Any, status: Any, expected: dict[str, int]) -> None:
    assert shares(builders, **status) == expected


def test_weights_that_do_not_sum_to_100_still_leave_the_rest_to_stable(builders: Any) -> None:
    manifest = builders.service(1, stable=A, canary=(B, 10))
    manifest["status"]["stable"]["weight"] = 55
    host = virtual_host(service.read(manifest), "cluster.test")
    weights = [each["weight"] for each in host["routes"][0]["route"]["weighted_clusters"]["clusters"]]
    assert weights == [90, 10]


def test_a_service_without_a_revision_answers_503_itself(builders: Any) -> None:
    (route,) = virtual_host(service.read(builders.service(1)), "cluster.test")["routes"]
    assert route["direct_response"]["status"] == 503


@pytest.mark.parametrize(("timeout", "expected"), [("30s", "35s"), ("500ms", "5.5s"), ("10m", "605s")])
def test_the_router_waits_5_s_longer_than_the_runtime(builders: Any, timeout: str, expected: str) -> None:
    host = virtual_host(service.read(builders.service(1, stable=A, timeout=timeout)), "cluster.test")
    route = host["routes"][0]["route"]
    assert (route["timeout"], route["idle_timeout"]) == (expected, expected)


def test_a_service_without_a_timeout_has_30_s(builders: Any) -> None:
    manifest = builders.service(1, stable=A)
    del manifest["status"]["stable"]["timeout"]
    assert service.read(manifest).timeout_seconds == 30


@pytest.mark.parametrize(("stables", "canarys", "expected"), [("2m", "5s", 120), ("5s", "2m", 120)])
def test_a_canary_that_gives_up_sooner_does_not_take_stables_requests_along(
    builders: Any, stables: str, canarys: str, expected: float
) -> None:
    manifest = builders.service(1, stable=A, canary=(B, 10), timeout=stables)
    manifest["status"]["canary"]["timeout"] = canarys
    assert service.read(manifest).timeout_seconds == expected


def test_a_service_goes_by_three_names(builders: Any) -> None:
    host = virtual_host(service.read(builders.service(1, stable=A)), "cluster.test")
    assert host["domains"] == ["churn.ml", "churn.ml.svc", "churn.ml.svc.cluster.test"]


def test_every_revision_has_three_clusters_and_only_the_canary_falls_back(builders: Any) -> None:
    read = service.read(builders.service(1, stable=A, canary=(B, 10), retiring=[C]))
    clusters = service_clusters(read, "cluster.test")
    chains = {
        name: cluster["cluster_type"]["typed_config"]["clusters"]
        for name, cluster in clusters.items()
        if name.count("/") == 1
    }
    assert chains == {
        f"ml/{A}": [f"ml/{A}/pods", f"ml/{A}/dns"],
        f"ml/{B}": [f"ml/{B}/pods", f"ml/{B}/dns", f"ml/{A}/pods", f"ml/{A}/dns"],
        f"ml/{C}": [f"ml/{C}/pods", f"ml/{C}/dns"],
    }
    assert set(clusters) == set(chains) | {each for chain in chains.values() for each in chain}


def test_a_revision_keeps_its_clusters_when_it_is_aborted_or_retires(builders: Any) -> None:
    """A cluster that changed would be made anew, and forget which of its pods are healthy."""
    steps: list[dict[str, Any]] = [
        {"stable": A, "canary": (B, 10)},
        {"stable": A, "canary": (B, 0)},
        {"stable": B, "retiring": [A]},
    ]
    rendered = [service_clusters(service.read(builders.service(1, **step)), "cluster.test") for step in steps]
    for name in (f"ml/{A}/pods", f"ml/{A}/dns", f"ml/{B}/pods", f"ml/{B}/dns"):
        assert rendered[0][name] == rendered[1][name] == rendered[2][name]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "name"), "churn.v2"),
        (("status", "stable", "revision"), "a/b"),
        (("status", "canary", "weight"), 101),
        (("status", "canary", "weight"), "many"),
        (("status", "stable", "timeout"), "soon"),
    ],
)
def test_an_object_that_the_routers_would_refuse_is_invalid(builders: Any, path: tuple[str, ...], value: Any) -> None:
    manifest = builders.service(1, stable=A, canary=(B, 10))
    parent = manifest
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value
    with pytest.raises(InvalidSpec, match=path[-1] if value != "soon" else "soon"):
        service.read(manifest)
