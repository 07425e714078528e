"""Who is asked what callers saw: the routers, or where those aren't in the way the pods."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.evidence.readings import Calls, Source
from tidegate_operator.install import Install
from tidegate_operator.kube.store import Key, Store
from tidegate_operator.naming import revision_labels
from tidegate_operator.routing.callers import Callers
from tidegate_operator.routing.direct import Direct
from tidegate_operator.routing.gateway import Gateway
from tidegate_operator.routing.plain import PlainService
from tidegate_operator.routing.ways import Ways

from .builders import A, B, a_service
from .fake_cluster import FakeCluster
from .operated_cluster import Routers

KEY = Key("ml", "churn")
COUNTED = 'tidegate_requests_total{model="churn",code="200"} 8\ntidegate_requests_total{model="churn",code="500"} 2\n'
HANDED = f"""
tidegate_handover_percent{{canary="{B}"}} 40
tidegate_handover_requests_total{{model="churn",version="{A}",canary="{B}",by="weight",outcome="answered"}} 3
tidegate_handover_requests_total{{model="churn",version="{A}",canary="{B}",by="weight",outcome="failed"}} 1
tidegate_handover_requests_total{{model="churn",version="{A}",canary="{B}",by="match",outcome="answered"}} 7
tidegate_handover_fallbacks_total{{model="churn",version="{A}",code="200"}} 1
"""


class Counting(Routers):
    """Routers that have counted."""

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]]:
        return {revision: {"router": Calls(5, 1)} for revision in revisions}

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        return False


def callers(provider: ProviderName | None, leaving: ProviderName | None = None) -> Callers:
    store, cluster, install = Store(), FakeCluster(), Install()
    routing = {"provider": provider, "weights": "Exact", "leaving": leaving}
    status = {"stable": {"revision": A}, "canary": {"revision": B}, **({"routing": routing} if provider else {})}
    store.put({**a_service(), "status": status})
    plain, gateway = PlainService(install, store, cluster), Gateway(install, store, cluster)

    async def fetch(url: str) -> str:
        return COUNTED + HANDED

    direct = Direct(install, store, cluster, fetch)
    ways = Ways({"Router": Counting(), "Service": plain, "Gateway": gateway, "Direct": direct}, store)
    for pod in pods():
        store.put(pod)
    return Callers(ways, fetch)


def pods() -> list[dict[str, Any]]:
    running = {"state": {"running": {"startedAt": "2026-11-22T09:59:00Z"}}, "restartCount": 0}
    return [
        {
            "kind": "Pod",
            "metadata": {
                "name": revision,
                "namespace": "ml",
                "uid": revision,
                "resourceVersion": "1",
                "labels": revision_labels("churn", revision),
            },
            "status": {
                "phase": "Running",
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [running],
            },
        }
        for revision in (A, B)
    ]


BY_ROUTERS, BY_PODS = {"router": Calls(5, 1)}, Calls(10, 2)


@pytest.mark.parametrize("provider", [None, "Router", "Service", "Gateway"])
async def test_callers_are_counted_by_the_routers_or_else_by_the_pods(provider: ProviderName | None) -> None:
    found = await callers(provider).read("ml", (A, B), pods())
    routed = provider in (None, "Router")
    assert {name: dict(readings.calls) for name, readings in found.items()} == {
        name: BY_ROUTERS if routed else {f"{name}/0": BY_PODS} for name in (A, B)
    }


async def test_callers_of_both_are_counted_by_the_pods_that_they_come_to_where_those_hand_requests_over() -> None:
    found = await callers("Direct").read("ml", (A, B), pods())
    # Stable answered ten, one of them in the canary's stead; another four were the canary's, one of which it failed.
    counted = {name: dict(readings.calls) for name, readings in found.items()}
    assert counted == {A: {f"{A}/0": Calls(9, 2)}, B: {f"{A}/0": Calls(4, 1)}}
    assert f"{A}/0" in found[B].started, "whoever counts for it is known to have begun when it began"


SHARES: list[tuple[ProviderName | None, bool | None, bool, bool]] = [
    (None, False, True, True),
    ("Service", None, False, False),
    ("Gateway", None, True, False),
    ("Direct", False, True, True),
]


@pytest.mark.parametrize(("provider", "shared", "exact", "matched"), SHARES)
async def test_a_share_is_held_against_its_weight_where_that_means_something(
    provider: ProviderName | None, shared: bool | None, exact: bool, matched: bool
) -> None:
    found = callers(provider)
    assert await found.shared(KEY, {A: 90, B: 10}) is shared
    assert found.exact(KEY, matches=False) is exact
    assert found.exact(KEY, matches=True) is matched


@pytest.mark.parametrize(("provider", "exact"), [("Direct", False), ("Gateway", True), ("Router", True)])
def test_a_share_that_two_ways_draw_is_not_held_against_what_pods_of_stable_have_seen_of_it(
    provider: ProviderName, exact: bool
) -> None:
    assert callers(provider, leaving="Service").exact(KEY, matches=False) is exact
