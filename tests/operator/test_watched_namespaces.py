"""An install that watches some namespaces: what is listed where, and what several listings tell together."""

from collections.abc import Mapping
from typing import Any

import pytest

from tidegate_operator.install import Install
from tidegate_operator.kube import listing
from tidegate_operator.kube.client import ApiServer
from tidegate_operator.kube.objects import SERVICES
from tidegate_operator.kube.store import Key, Store

from .builders import Object, a_service


def at(version: int, namespace: str, name: str) -> Object:
    item = a_service(name=name)
    item["metadata"] |= {"namespace": namespace, "resourceVersion": str(version)}
    return item


class Listed(ApiServer):
    """An API server that has listings, by path, and nothing else."""

    def __init__(self, listings: Mapping[str, tuple[int, list[Object]]]) -> None:
        self._listings = listings

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        version, items = self._listings[path]
        return {"metadata": {"resourceVersion": str(version)}, "items": items}


def listed(namespace: str) -> str:
    return f"/apis/tidegate.dev/v1alpha1/namespaces/{namespace}/inferenceservices"


TWO = Listed({listed("a"): (10, [at(3, "a", "x")]), listed("b"): (12, [at(12, "b", "y")])})


async def test_each_namespace_is_listed_and_no_other() -> None:
    store = Store()
    assert await listing.refresh(TWO, store, {SERVICES: ""}, ("a", "b")) == {Key("a", "x"), Key("b", "y")}
    assert set(store.services()) == {Key("a", "x"), Key("b", "y")}


async def test_without_namespaces_one_listing_tells_of_all() -> None:
    everywhere = Listed({"/apis/tidegate.dev/v1alpha1/inferenceservices": (10, [at(3, "a", "x")])})
    assert await listing.refresh(everywhere, Store(), {SERVICES: ""}) == {Key("a", "x")}
    assert await listing.whole(everywhere, SERVICES) == {
        "metadata": {"resourceVersion": "10"},
        "items": [at(3, "a", "x")],
    }


async def test_what_came_after_the_earliest_of_the_listings_is_not_forgotten() -> None:
    store = Store()
    for known in (at(11, "a", "made after a was listed"), at(5, "b", "deleted before b was listed")):
        store.put(known)
    await listing.refresh(TWO, store, {SERVICES: ""}, ("a", "b"))
    assert set(store.services()) == {Key("a", "x"), Key("a", "made after a was listed"), Key("b", "y")}


async def test_listings_together_are_as_old_as_the_oldest() -> None:
    found = await listing.whole(TWO, SERVICES, ("b", "a"))
    assert found["metadata"]["resourceVersion"] == "10"
    assert [item["metadata"]["name"] for item in found["items"]] == ["y", "x"]


@pytest.mark.parametrize(
    ("told", "watched"),
    [
        (None, ()),
        ("[]", ()),
        ('["ml"]', ("ml", "tidegate-system")),
        ('["vision","tidegate-system","ml"]', ("ml", "tidegate-system", "vision")),
    ],
)
def test_the_routers_are_watched_with_the_namespaces_and_nothing_more(
    told: str | None, watched: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if told is not None:
        monkeypatch.setenv("TIDEGATE_WATCH_NAMESPACES", told)
    assert Install().watched == watched
