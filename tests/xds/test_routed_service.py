import json
from typing import Any

import pytest

from tidegate_operator.errors import InvalidSpec
from tidegate_operator.xds import service
from tidegate_operator.xds.catalogue import ROUTES, Catalogue
from tidegate_operator.xds.clusters import service_clusters
from tidegate_operator.xds.routes import virtual_host

A, B, C = "churn-aaaaaaaa", "churn-bbbbbbbb", "churn-cccccccc"


def shares(builders: Any, **status: Any) -> dict[str, int]:
    route = routes(builders.service(1, **status))[-1]
    return {each["name"]: each["weight"] for each in route["route"]["weighted_clusters"]["clusters"]}


def routes(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = virtual_host(service.read(manifest), "cluster.test")["routes"]
    return found


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
    told, *_, weighted = routes(manifest)
    assert [each["weight"] for each in weighted["route"]["weighted_clusters"]["clusters"]] == [90, 10]
    assert json.loads(told["direct_response"]["body"]["inline_string"]) == {A: 90, B: 10}


def test_a_service_without_a_revision_answers_503_itself(builders: Any) -> None:
    told, *_, route = routes(builders.service(1))
    assert route["direct_response"]["status"] == 503
    assert json.loads(told["direct_response"]["body"]["inline_string"]) == {}


@pytest.mark.parametrize(("timeout", "expected"), [("30s", "35s"), ("500ms", "5.5s"), ("10m", "605s")])
def test_the_router_waits_5_s_longer_than_the_runtime(builders: Any, timeout: str, expected: str) -> None:
    route = routes(builders.service(1, stable=A, timeout=timeout))[-1]["route"]
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
    assert "headers" not in host["routes"][0]["match"]
    assert host["request_headers_to_remove"] == ["x-tidegate-hop"]


def test_callers_from_outside_have_a_fourth_name(builders: Any) -> None:
    host = virtual_host(service.read(builders.service(1, stable=A)), "cluster.test", "models.example.com")
    assert host["domains"][3:] == ["churn.ml.models.example.com"]


def test_where_there_are_such_callers_only_who_knows_the_service_is_told_the_weights(builders: Any) -> None:
    host = virtual_host(service.read(builders.service(1, stable=A)), "cluster.test", exposed=True)
    told = host["routes"][0]
    assert told["direct_response"]["status"] == 200
    assert told["match"]["headers"] == [{"name": "x-tidegate-uid", "string_match": {"exact": "uid-of-churn"}}]


def test_every_revision_has_its_clusters_and_only_the_canary_falls_back(builders: Any) -> None:
    read = service.read(builders.service(1, stable=A, canary=(B, 10), retiring=[C]))
    clusters = service_clusters(read, "cluster.test")
    chains = {
        name: cluster["cluster_type"]["typed_config"]["clusters"]
        for name, cluster in clusters.items()
        if "clusters" in cluster.get("cluster_type", {}).get("typed_config", {})
    }
    assert chains == {
        f"ml/{A}": [f"ml/{A}/pods", f"ml/{A}/dns"],
        f"ml/{B}": [f"ml/{B}/pods", f"ml/{B}/dns", f"ml/{B}/fallback", f"ml/{A}/pods", f"ml/{A}/dns"],
        f"ml/{C}": [f"ml/{C}/pods", f"ml/{C}/dns"],
        "ml/churn/match": [f"ml/{B}/pods", f"ml/{B}/dns", f"ml/{A}/pods", f"ml/{A}/dns"],
    }
    assert set(clusters) == set(chains) | {each for chain in chains.values() for each in chain}


def test_a_canarys_fallback_is_to_the_pods_of_stable(builders: Any) -> None:
    read = service.read(builders.service(1, stable=A, canary=(B, 10)))
    fallback = service_clusters(read, "cluster.test")[f"ml/{B}/fallback"]
    assert fallback["eds_cluster_config"]["service_name"] == f"ml/{A}/pods"
    assert fallback["health_checks"][0]["http_health_check"]["path"] == f"/v2/models/churn/versions/{A}/ready"


def test_pods_of_an_own_image_are_asked_where_the_status_says(builders: Any) -> None:
    manifest = builders.service(1, stable=A, canary=(B, 10), retiring=[C])
    for entry in (manifest["status"]["stable"], manifest["status"]["retiring"][0]):
        entry["healthPath"] = "/healthz"
    clusters = service_clusters(service.read(manifest), "cluster.test")
    asked = {
        name: cluster["health_checks"][0]["http_health_check"]["path"]
        for name, cluster in clusters.items()
        if "health_checks" in cluster
    }
    own = f"/v2/models/churn/versions/{B}/ready"
    assert asked == {
        **{f"ml/{revision}/{by}": "/healthz" for revision in (A, C) for by in ("pods", "dns")},
        **{f"ml/{B}/{by}": own for by in ("pods", "dns")},
        f"ml/{B}/fallback": "/healthz",
    }


def test_a_health_path_that_routers_would_not_take_is_not_passed_on(builders: Any) -> None:
    manifest = builders.service(1, stable=A)
    manifest["status"]["stable"]["healthPath"] = "/a b\r\nHost: other"
    with pytest.raises(InvalidSpec):
        service.read(manifest)


STEPS: list[tuple[dict[str, Any], bool, int]] = [
    ({"stable": A}, False, 0),
    ({"stable": A, "rollout": {"match": [{"header": {"x": "y"}}]}}, True, 0),
    ({"stable": A, "canary": (B, 0), "rollout": {"match": [{"header": {"x": "y"}}]}}, True, 0),
    ({"stable": A, "canary": (B, 0), "ready": 1, "rollout": {"match": [{"header": {"x": "y"}}]}}, True, 1),
    ({"stable": A, "canary": (B, 0), "ready": 1}, True, 0),
    ({"stable": A, "canary": (B, 50), "ready": 2, "rollout": {"match": [{"cookie": {"x": "y"}}] * 2}}, True, 2),
    ({"stable": B, "retiring": [A], "rollout": {"match": [{"header": {"x": "y"}}]}}, True, 0),
]


@pytest.mark.parametrize(("status", "known", "count"), STEPS)
def test_a_cluster_for_matches_is_there_before_routes_name_it_and_after(
    builders: Any, status: dict[str, Any], known: bool, count: int
) -> None:
    manifest = builders.service(1, **status)
    assert ("ml/churn/match" in service_clusters(service.read(manifest), "cluster.test")) is known
    assert [route["route"].get("cluster") for route in routes(manifest)[2:-1]] == ["ml/churn/match"] * count


def test_matches_come_before_the_weights_and_say_so(builders: Any) -> None:
    match = {"header": {"x-model": "b", "x-team": "c"}, "cookie": {"tester": "yes"}}
    manifest = builders.service(1, stable=A, canary=(B, 10), ready=1, rollout={"match": [match]})
    *_, matched, weighted = routes(manifest)
    assert matched["match"] == {
        "prefix": "/",
        "headers": [
            {"name": "x-model", "string_match": {"exact": "b"}},
            {"name": "x-team", "string_match": {"exact": "c"}},
        ],
        "cookies": [{"name": "tester", "string_match": {"exact": "yes"}}],
    }
    told = [route["request_headers_to_add"][0] for route in (matched, weighted)]
    assert [each["header"] for each in told] == [
        {"key": "x-tidegate-route", "value": "match"},
        {"key": "x-tidegate-route", "value": "weight"},
    ]
    assert {each["append_action"] for each in told} == {"OVERWRITE_IF_EXISTS_OR_ADD"}
    assert matched["route"]["timeout"] == weighted["route"]["timeout"]


@pytest.mark.parametrize(
    ("sticky", "policy"),
    [
        ({"header": "x-user"}, {"header": {"header_name": "x-user"}}),
        ({"cookie": "user"}, {"cookie": {"name": "user"}}),
    ],
)
def test_a_key_draws_for_all_requests_of_a_caller(builders: Any, sticky: dict[str, str], policy: Any) -> None:
    manifest = builders.service(1, stable=A, canary=(B, 10), rollout={"sticky": sticky})
    route = routes(manifest)[-1]["route"]
    assert route["hash_policy"] == [policy]
    assert route["weighted_clusters"]["use_hash_policy"] is True


@pytest.mark.parametrize(
    "rollout",
    [
        {"match": "everyone"},
        {"match": [{}]},
        {"match": [{"query": {"a": "b"}}]},
        {"match": [{"header": {"x-model": "a\nb"}}]},
        {"match": [{"header": {"x model": "a"}}]},
        {"match": [{"cookie": {"tester": ""}}]},
        {"sticky": {}},
        {"sticky": {"header": "x-user", "cookie": "user"}},
        {"sticky": {"address": True}},
        ["what"],
    ],
)
def test_what_a_spec_says_in_an_unknown_way_leaves_the_weights_in_force(builders: Any, rollout: Any) -> None:
    manifest = builders.service(1, stable=A, canary=(B, 10), ready=1)
    manifest["spec"]["rollout"] = rollout
    read = service.read(manifest)
    assert (read.matches, read.sticky, read.canary_weight) == ((), None, 10)
    assert read.unread
    assert "spec.rollout" in read.unread


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
        (("metadata", "uid"), ""),
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


def test_a_service_that_does_not_ask_for_grpc_has_no_clusters_for_it_and_says_so(builders: Any) -> None:
    plain = service.read(builders.service(1, stable=A, canary=(B, 10)))
    assert not [name for name in service_clusters(plain, "cluster.test") if "/grpc" in name]
    _, refusal, _ = virtual_host(plain, "cluster.test")["routes"]
    assert refusal["match"] == {"prefix": "/", "grpc": {}}
    assert "spec.routing.grpc" in refusal["direct_response"]["body"]["inline_string"]


def test_grpc_goes_by_the_same_conditions_and_weights_to_clusters_of_its_own(builders: Any) -> None:
    rollout = {"match": [{"header": {"x-model": "canary"}}], "sticky": {"header": "x-user"}}
    manifest = builders.service(1, stable=A, canary=(B, 10), ready=1, rollout=rollout, grpc=True)
    _, stream_match, stream, match, weighted, http_match, http = routes(manifest)
    assert [each["match"].get("grpc") for each in (stream_match, stream, match, weighted)] == [{}] * 4
    assert [each["match"].get("grpc") for each in (http_match, http)] == [None] * 2
    assert match["match"] == {**http_match["match"], "grpc": {}}
    assert match["route"] == {**http_match["route"], "cluster": "ml/churn/grpc/match"}
    clusters = [{**each, "name": each["name"] + "/grpc"} for each in http["route"]["weighted_clusters"]["clusters"]]
    shares = {**http["route"]["weighted_clusters"], "clusters": clusters}
    assert weighted["route"] == {**http["route"], "weighted_clusters": shares}
    patience = {"timeout": "0s", "idle_timeout": "3600s"}
    assert stream["route"] == {**weighted["route"], **patience}
    assert stream_match["route"] == {**match["route"], **patience}
    assert "prefix" not in stream["match"]


def test_every_cluster_has_its_counterpart_for_grpc(builders: Any) -> None:
    rollout = {"match": [{"header": {"x-model": "canary"}}]}
    manifest = builders.service(1, stable=A, canary=(B, 10), retiring=[C], rollout=rollout, grpc=True)
    clusters = service_clusters(service.read(manifest), "cluster.test")
    http = {name for name in clusters if "/grpc" not in name}
    assert len(http) == 11
    for name in http:
        head = "/".join(name.split("/")[:2])
        assert head + "/grpc" + name.removeprefix(head) in clusters
    assert len(clusters) == 22


@pytest.mark.parametrize("grpc", ["true", 1, None, {"port": 1}])
def test_what_is_not_true_does_not_ask_for_grpc(builders: Any, grpc: Any) -> None:
    manifest = builders.service(1, stable=A)
    manifest["spec"]["routing"] = {"grpc": grpc}
    assert not service.read(manifest).grpc


WAYS: list[tuple[str, dict[str, Any] | None, bool]] = [
    ("Router", None, True),
    ("Gateway", {"provider": "Gateway"}, True),
    ("Service", None, True),
    ("Service", {"provider": "Service"}, False),
    ("Service", {"provider": "Router", "coming": "Service"}, True),
    ("Service", {"provider": "Service", "leaving": "Router"}, True),
    ("Service", {"provider": "Service", "leaving": "Gateway"}, True),
    ("Router", {"provider": "Service"}, True),
    ("Router", {"provider": "Service", "coming": "Router"}, True),
]


@pytest.mark.parametrize(("provider", "routing", "expected"), WAYS)
def test_the_routers_know_a_service_as_long_as_anybody_may_come_by_them(
    builders: Any, provider: str, routing: dict[str, Any] | None, expected: bool
) -> None:
    manifest = builders.service(1, stable=A, provider=provider, routing=routing)
    assert service.read(manifest).by_router is expected
    catalogue = Catalogue("cluster.test")
    catalogue.see_service(manifest)
    catalogue.publish()
    told = json.loads(catalogue.view(ROUTES).body)["resources"][0]["virtual_hosts"]
    assert len(told) == expected
