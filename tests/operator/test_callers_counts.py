"""Who is asked what callers saw: the routers, or where those aren't in the way the pods."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.evidence.readings import Calls, Source
from tidegate_operator.install import Install
from tidegate_operator.kube.store import Key, Store
from tidegate_operator.routing.callers import Callers
from tidegate_operator.routing.gateway import Gateway
from tidegate_operator.routing.plain import PlainService
from tidegate_operator.routing.ways import Ways

from .builders import A, B, a_service
from .fake_cluster import FakeCluster
from .operated_cluster import Routers

KEY = Key("ml", "churn")
COUNTED = 'tidegate_requests_total{model="churn",code="200"} 8\ntidegate_requests_total{model="churn",code="500"} 2\n'


class Counting(Routers):
    """Routers that have counted."""

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]]:
        return {revision: {"router": Calls(5, 1)} for revision in revisions}

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        return False


def callers(provider: ProviderName | None) -> Callers:
    store, cluster, install = Store(), FakeCluster(), Install()
    routing = {"provider": provider, "weights": "Exact"}
    store.put({**a_service(), "status": {"routing": routing} if provider else {}})
    plain, gateway = PlainService(install, store, cluster), Gateway(install, store, cluster)
    ways = Ways({"Router": Counting(), "Service": plain, "Gateway": gateway}, store)

    async def fetch(url: str) -> str:
        return COUNTED

    return Callers(ways, fetch)


def pods() -> list[dict[str, Any]]:
    running = {"state": {"running": {"startedAt": "2026-11-22T09:59:00Z"}}, "restartCount": 0}
    return [
        {
            "metadata": {"uid": revision, "labels": {"tidegate.dev/revision": revision}},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [running]},
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


SHARES: list[tuple[ProviderName | None, bool | None, bool, bool]] = [
    (None, False, True, True),
    ("Service", None, False, False),
    ("Gateway", None, True, False),
]


@pytest.mark.parametrize(("provider", "shared", "exact", "matched"), SHARES)
async def test_a_share_is_held_against_its_weight_where_that_means_something(
    provider: ProviderName | None, shared: bool | None, exact: bool, matched: bool
) -> None:
    found = callers(provider)
    assert await found.shared(KEY, {A: 90, B: 10}) is shared
    assert found.exact(KEY, matches=False) is exact
    assert found.exact(KEY, matches=True) is matched
