"""The store ends equal whatever the order in which watches, listings and answers tell a history."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.kube.store import Key, Reference, Store, key_of

NAMES = ("a", "b", "c")


def a_service_child(name: str, version: int, service: str | None = "churn", kind: str = "Deployment") -> dict[str, Any]:
    labels = {"tidegate.dev/service": service} if service else {}
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": "ml", "resourceVersion": str(version), "labels": labels},
    }


@dataclass(frozen=True)
class Told:
    """One message about the history."""

    verb: str
    kind: str
    version: int
    items: tuple[dict[str, Any], ...]

    def to(self, store: Store) -> None:
        match self.verb:
            case "put":
                store.put(self.items[0])
            case "remove":
                store.remove(self.items[0])
            case "list":
                store.replace(self.kind, self.items, self.version)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Told], dict[Reference, dict[str, Any]]]:
    """All that could be told of a history of two kinds, listings at any moment included, and how it ends."""
    live: dict[Reference, dict[str, Any]] = {}
    told: list[Told] = []
    changes = draw(
        st.lists(
            st.tuples(st.sampled_from(["Deployment", "Pod"]), st.sampled_from(NAMES), st.booleans(), st.booleans()),
            max_size=12,
        )
    )
    for version, (kind, name, deleted, listed) in enumerate(changes, start=1):
        reference = Reference(kind, "ml", name)
        item = a_service_child(name, version, draw(st.sampled_from(["churn", "fraud"])), kind)
        if deleted and reference in live:
            del live[reference]
            told.append(Told("remove", kind, version, (item,)))
        else:
            live[reference] = item
            told.append(Told("put", kind, version, (item,)))
        if listed:
            items = tuple(found for known, found in live.items() if known.kind == kind)
            told.append(Told("list", kind, version, items))
    return told, live


@given(history=histories(), data=st.data())
def test_any_order_and_any_repetition_end_equal(
    history: tuple[list[Told], dict[Reference, dict[str, Any]]], data: st.DataObject
) -> None:
    told, live = history
    store = Store()
    again = data.draw(st.lists(st.sampled_from(told), max_size=5)) if told else []
    for message in data.draw(st.permutations([*told, *again])):
        message.to(store)
    assert {ref: item for kind in ("Deployment", "Pod") for item in store.of_kind(kind) for ref in [_ref(item)]} == live
    for service in ("churn", "fraud"):
        expected = {ref for ref, item in live.items() if key_of(item) == Key("ml", service)}
        assert {_ref(item) for item in store.children(Key("ml", service))} == expected


def _ref(item: Mapping[str, Any]) -> Reference:
    return Reference(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])


def test_what_is_not_in_a_listing_is_gone_and_its_service_is_told() -> None:
    store = Store()
    store.put(a_service_child("a", 3))
    store.put(a_service_child("b", 9, service="fraud"))
    assert store.replace("Deployment", [], 5) == {Key("ml", "churn")}
    assert store.get(Reference("Deployment", "ml", "a")) is None
    assert store.get(Reference("Deployment", "ml", "b")) is not None


def test_a_version_told_again_is_no_news() -> None:
    store = Store()
    assert store.put(a_service_child("a", 3))
    assert not store.put(a_service_child("a", 3))
    assert store.remove(a_service_child("a", 4))
    assert not store.remove(a_service_child("a", 4))


def test_an_object_that_comes_back_is_news() -> None:
    store = Store()
    store.put(a_service_child("a", 3))
    store.remove(a_service_child("a", 4))
    assert not store.put(a_service_child("a", 3))
    assert store.put(a_service_child("a", 5))


def test_an_object_without_our_label_belongs_to_no_service() -> None:
    assert key_of(a_service_child("a", 1, service=None)) is None
