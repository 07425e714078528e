"""Which pods are told to hand requests over, to whom, how many, and when that changes."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.xds import service, share
from tidegate_operator.xds.catalogue import ROUTES, Catalogue
from tidegate_operator.xds.share import MAX_TARGETS

A, B, C, D = "churn-aaaaaaaa", "churn-bbbbbbbb", "churn-cccccccc", "churn-dddddddd"
DIRECT = {"provider": "Direct", "weights": "Exact"}


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue("cluster.test")


def pods(*numbers: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(address=f"10.0.{number // 256}.{number % 256}", port=8080) for number in numbers]


def see(catalogue: Catalogue, builders: Any, version: int, **parts: Any) -> set[Any]:
    """A service whose callers come to stable's pods, unless `parts` say otherwise; the topics that change by it."""
    told = {"stable": A, "provider": "Direct", "routing": DIRECT, **parts}
    catalogue.see_service(builders.service(version, **told))
    return catalogue.publish()


def told(catalogue: Catalogue, revision: str = A) -> Any:
    return json.loads(catalogue.view(("share", f"ml/{revision}")).body)


def handed(catalogue: Catalogue, revision: str = A) -> Any:
    return told(catalogue, revision)["handover"]


def test_stables_pods_hand_the_canarys_share_over(catalogue: Catalogue, builders: Any) -> None:
    catalogue.see_slice(builders.slice(6, B, pods(5, 6)))
    assert ("share", f"ml/{A}") in see(catalogue, builders, 7, canary=(B, 10))
    document = told(catalogue)
    assert document.pop("revision").startswith("7.")
    assert document == {
        "version": 1,
        "shadow": None,
        "handover": {
            "percent": 10,
            "revision": B,
            "targets": ["10.0.0.5:8080", "10.0.0.6:8080"],
            "leaving": False,
            "timeoutSeconds": 30,
            "match": [],
            "sticky": None,
        },
        "connectionSeconds": 300,
    }
    assert handed(catalogue, B) is None, "the canary answers what it gets"


def test_they_hear_of_a_canary_without_weight_and_of_copies_in_one_document(
    catalogue: Catalogue, builders: Any
) -> None:
    catalogue.see_slice(builders.slice(6, B, pods(5)))
    see(catalogue, builders, 7, canary=(B, 0), rollout={"shadow": {"percent": 20}})
    document = told(catalogue)
    assert document["shadow"] == {"percent": 20, "revision": B, "targets": ["10.0.0.5:8080"]}
    assert (document["handover"]["percent"], document["handover"]["targets"]) == (0, ["10.0.0.5:8080"])


def test_a_pod_of_an_earlier_release_finds_what_it_knows_where_it_was(catalogue: Catalogue, builders: Any) -> None:
    """It reads `version`, `revision` and `shadow`, and passes over what else there is."""
    see(catalogue, builders, 7, canary=(B, 0), rollout={"shadow": {"percent": 20}})
    known = {name: told(catalogue)[name] for name in ("version", "revision", "shadow")}
    see(catalogue, builders, 7, canary=(B, 0), rollout={"shadow": {"percent": 20}}, provider="Router", routing=None)
    router = told(catalogue)
    assert (known["version"], known["shadow"]) == (1, router["shadow"])
    assert router["handover"] is None


def test_whose_requests_a_canary_gets_is_told_with_its_share(catalogue: Catalogue, builders: Any) -> None:
    rollout = {
        "match": [{"header": {"x-a": "1"}, "cookie": {"c": "2"}}, {"header": {"x-b": "3"}}],
        "sticky": {"header": "x-user"},
    }
    see(catalogue, builders, 7, canary=(B, 10), rollout=rollout)
    found = handed(catalogue)
    assert found["match"] == [{"header": {"x-a": "1"}, "cookie": {"c": "2"}}, {"header": {"x-b": "3"}, "cookie": {}}]
    assert found["sticky"] == {"header": "x-user"}
    see(catalogue, builders, 8, canary=(B, 10), rollout={"sticky": {"cookie": "user"}})
    assert handed(catalogue)["sticky"] == {"cookie": "user"}
    # What can't be read is left out, and the share stays.
    see(catalogue, builders, 9, canary=(B, 10), rollout={"match": [{"query": {"a": "b"}}]})
    assert (handed(catalogue)["percent"], handed(catalogue)["match"]) == (10, [])


def test_a_revision_that_retires_hands_all_over_to_stable(catalogue: Catalogue, builders: Any) -> None:
    catalogue.see_slice(builders.slice(5, A, pods(1)))
    catalogue.see_slice(builders.slice(6, B, pods(2)))
    see(catalogue, builders, 7, stable=B, canary=(C, 5), retiring=[A, D])
    all_of_it = {"percent": 100, "revision": B, "targets": ["10.0.0.2:8080"], "leaving": True, "timeoutSeconds": 30}
    for revision in (A, D):
        assert handed(catalogue, revision) == {**all_of_it, "match": [], "sticky": None}
    assert (handed(catalogue, B)["revision"], handed(catalogue, B)["leaving"]) == (C, False)
    see(catalogue, builders, 8, stable=B)
    assert handed(catalogue, A) is None


def test_a_pod_is_told_of_no_more_others_than_it_takes(catalogue: Catalogue, builders: Any) -> None:
    catalogue.see_slice(builders.slice(6, B, pods(*range(1, 400))))
    see(catalogue, builders, 7, canary=(B, 10))
    assert len(handed(catalogue)["targets"]) == MAX_TARGETS == 256


WAYS: list[tuple[str, dict[str, Any] | None, bool]] = [
    ("Direct", None, True),
    ("Direct", DIRECT, True),
    ("Direct", {"provider": "Router", "coming": "Direct"}, True),
    ("Router", {"provider": "Router", "leaving": "Direct"}, True),
    ("Router", {"provider": "Direct", "coming": "Router"}, True),
    ("Direct", {"provider": "Router", "coming": "Gateway"}, False),
    ("Router", None, False),
    ("Service", {"provider": "Service"}, False),
]


@pytest.mark.parametrize(
    ("provider", "routing", "seconds"),
    [
        ("Direct", None, 300),
        ("Direct", DIRECT, 300),
        ("Service", {"provider": "Service"}, 300),
        ("Router", {"provider": "Router", "leaving": "Service"}, 300),
        ("Router", None, None),
        ("Gateway", {"provider": "Gateway"}, None),
    ],
)
def test_connections_get_old_where_nothing_stands_between_callers_and_pods(
    catalogue: Catalogue, builders: Any, provider: str, routing: dict[str, Any] | None, seconds: int | None
) -> None:
    see(catalogue, builders, 7, provider=provider, routing=routing)
    assert told(catalogue).get("connectionSeconds") == seconds
    assert handed(catalogue) is None
    # Pods of the same revision are told so for as long as it is stable.
    see(catalogue, builders, 8, stable=B, provider=provider, routing=routing)
    assert "connectionSeconds" not in told(catalogue)


@pytest.mark.parametrize(("provider", "routing", "expected"), WAYS)
def test_requests_are_handed_over_as_long_as_callers_may_come_to_stables_pods_alone(
    catalogue: Catalogue, builders: Any, provider: str, routing: dict[str, Any] | None, expected: bool
) -> None:
    see(catalogue, builders, 7, canary=(B, 10), retiring=[C], provider=provider, routing=routing)
    assert (handed(catalogue) is not None) is expected
    assert (handed(catalogue, C) is not None) is expected


def test_the_routers_are_told_nothing_of_a_service_that_they_bring_nobody_to(
    catalogue: Catalogue, builders: Any
) -> None:
    see(catalogue, builders, 7, canary=(B, 10))
    (routes,) = json.loads(catalogue.view(ROUTES).body)["resources"]
    assert routes["virtual_hosts"] == []
    see(catalogue, builders, 8, canary=(B, 10), routing={**DIRECT, "leaving": "Router"})
    (routes,) = json.loads(catalogue.view(ROUTES).body)["resources"]
    assert [host["name"] for host in routes["virtual_hosts"]] == ["ml/churn"]


def test_a_change_is_told_to_those_whom_it_concerns(catalogue: Catalogue, builders: Any) -> None:
    see(catalogue, builders, 7, canary=(B, 10))
    catalogue.see_slice(builders.slice(8, B, pods(5)))
    assert catalogue.publish() >= {("share", f"ml/{A}")}
    # Where stable's own pods are is of no concern to them.
    catalogue.see_slice(builders.slice(9, A, pods(1)))
    assert not [topic for topic in catalogue.publish() if topic[0] == "share"]
    assert see(catalogue, builders, 10, canary=(B, 50)) == {("share", f"ml/{A}")}
    # The new stable's pods hear how old connections get there.
    assert see(catalogue, builders, 11, stable=B, retiring=[A]) == {("share", f"ml/{A}"), ("share", f"ml/{B}")}
    assert told(catalogue)["revision"].startswith("11.")
    catalogue.lose_service(builders.service(12))
    assert catalogue.publish() == {("share", f"ml/{A}"), ("share", f"ml/{B}")}
    assert handed(catalogue) is None


NAMES = st.sampled_from([A, B, C, D])


@given(
    stable=st.none() | NAMES,
    canary=st.none() | st.tuples(NAMES, st.integers(0, 100)),
    retiring=st.lists(NAMES, max_size=4, unique=True),
    direct=st.booleans(),
    copied=st.integers(0, 100),
)
def test_each_pod_is_told_one_thing_and_none_to_hand_over_to_its_own_revision(
    stable: str | None, canary: tuple[str, int] | None, retiring: list[str], direct: bool, copied: int
) -> None:
    if canary and canary[0] == stable:
        canary = None
    manifest = {
        "metadata": {"namespace": "ml", "name": "churn", "uid": "u", "resourceVersion": "1"},
        "spec": {"rollout": {"shadow": {"percent": copied}}},
        "status": {
            "stable": {"revision": stable} if stable else None,
            "canary": {"revision": canary[0], "weight": canary[1]} if canary else None,
            "retiring": [{"revision": revision} for revision in retiring],
            "routing": DIRECT if direct else None,
        },
    }
    shares = share.read(manifest, service.read(manifest))
    assert len({one.revision for one in shares}) == len(shares)
    for one in shares:
        assert one.target != one.revision
        if one.handover is None:
            assert one.copied or (direct and one.target is None and one.connection_seconds)
            continue
        assert direct
        if one.handover.leaving:
            assert (one.target, one.handover.percent, one.copied) == (stable, 100, 0)
        else:
            assert canary is not None
            assert (one.revision, one.target, one.handover.percent) == (stable, *canary)
            assert not (one.copied and one.handover.percent)
