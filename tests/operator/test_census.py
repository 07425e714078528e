"""What nodes offer and pods ask for is listed page by page, kept for a while, and asked for once for all."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tidegate_operator.errors import ApiError, Forbidden, Unavailable
from tidegate_operator.kube import census as census_module
from tidegate_operator.kube.census import KEPT_SECONDS, LONG_KEPT_SECONDS, Census

from .builders import Object

NODES, PODS, QUOTAS = "/api/v1/nodes", "/api/v1/pods", "/api/v1/namespaces/ml/resourcequotas"


class Api:
    """An API server that hands out each listing in pages of two."""

    def __init__(self) -> None:
        self.items: dict[str, list[Object]] = {NODES: [], PODS: [], QUOTAS: []}
        self.failure: ApiError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        self.asked.append((path, dict(query or {})))
        await self.gate.wait()
        if self.failure:
            raise self.failure
        begin = int((query or {}).get("continue", "0"))
        items, end = self.items[path], begin + 2
        return {"metadata": {"continue": str(end) if end < len(items) else ""}, "items": items[begin:end]}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a census writes nothing, and calls {name}")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_pod(node: str, gpus: str) -> Object:
    return {"spec": {"nodeName": node, "containers": [{"resources": {"requests": {"nvidia.com/gpu": gpus}}}]}}


async def test_all_pages_count() -> None:
    api = Api()
    api.items[NODES] = [{"metadata": {"name": f"n{number}"}} for number in range(5)]
    api.items[PODS] = [*[a_pod("n1", "2")] * 3, a_pod("n2", "1"), a_pod("", "7")]
    found = await Census(api, Clock()).inventory()
    assert [node["metadata"]["name"] for node in found.nodes] == ["n0", "n1", "n2", "n3", "n4"]
    assert {name: dict(used) for name, used in found.used.items()} == {
        "n1": {"nvidia.com/gpu": 6, "pods": 3},
        "n2": {"nvidia.com/gpu": 1, "pods": 1},
    }
    (query, *_) = [query for path, query in api.asked if path == PODS]
    assert query["fieldSelector"] == "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"


async def test_who_asks_at_once_is_told_from_one_listing() -> None:
    api, clock = Api(), Clock()
    census = Census(api, clock)
    found = await asyncio.gather(*(census.inventory() for _ in range(9)), *(census.quotas("ml") for _ in range(9)))
    assert len({id(each) for each in found}) == 2
    assert sorted(path for path, _ in api.asked) == sorted([NODES, PODS, QUOTAS])


async def test_a_listing_is_told_until_it_is_old() -> None:
    api, clock = Api(), Clock()
    census = Census(api, clock)
    first = await census.inventory(), await census.quotas("ml")
    api.items[NODES] = [{"metadata": {"name": "n1"}}]
    api.items[QUOTAS] = [{"metadata": {"name": "q"}}]
    clock.now += KEPT_SECONDS - 1
    assert (await census.inventory(), await census.quotas("ml")) == first
    clock.now += 1
    assert len((await census.inventory()).nodes) == len(await census.quotas("ml")) == 1


async def test_who_hears_of_changes_otherwise_is_told_what_is_older() -> None:
    api, clock = Api(), Clock()
    census = Census(api, clock)
    first = await census.inventory(), await census.quotas("ml")
    api.items[NODES] = [{"metadata": {"name": "n1"}}]
    api.items[QUOTAS] = [{"metadata": {"name": "q"}}]
    clock.now += LONG_KEPT_SECONDS - 1
    long = LONG_KEPT_SECONDS
    assert (await census.inventory(long), await census.quotas("ml", long)) == first
    assert len((await census.inventory()).nodes) == len(await census.quotas("ml")) == 1


async def test_a_refusal_isnt_told_for_longer_to_who_bears_old_news() -> None:
    api, clock = Api(), Clock()
    api.failure = Forbidden("nodes is forbidden", 403)
    census = Census(api, clock)
    with pytest.raises(Forbidden):
        await census.inventory(LONG_KEPT_SECONDS)
    api.failure = None
    clock.now += KEPT_SECONDS
    assert (await census.inventory(LONG_KEPT_SECONDS)).nodes == []


async def test_a_refusal_is_told_to_all_and_tried_again_later() -> None:
    api, clock = Api(), Clock()
    api.failure = Forbidden("nodes is forbidden", 403)
    census = Census(api, clock)
    for _ in range(3):
        with pytest.raises(Forbidden, match="nodes is forbidden"):
            await census.inventory()
    assert len(api.asked) == 1
    api.failure = None
    clock.now += KEPT_SECONDS
    assert (await census.inventory()).nodes == []


async def test_nobody_stands_behind_a_slow_listing_and_what_it_brings_is_told_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(census_module, "PATIENCE_SECONDS", 0.001)
    api, clock = Api(), Clock()
    api.items[NODES] = [{"metadata": {"name": "n1"}}]
    api.gate.clear()
    census = Census(api, clock)
    for _ in range(3):
        with pytest.raises(Unavailable, match="still being listed"):
            await census.inventory()
    monkeypatch.undo()
    api.gate.set()
    assert len((await census.inventory()).nodes) == 1
    assert sorted(path for path, _ in api.asked) == [NODES, PODS]
