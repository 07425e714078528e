"""Whole listings of what is watched: watches don't tell what was deleted while they were down."""

from collections.abc import Iterable, Mapping
from typing import Any

from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.keeping import packed, unpacked
from tidegate_operator.kube.objects import Kind
from tidegate_operator.kube.store import Key, Store

PAGE = 100
"""Objects a request: all kinds are listed at once at a start, and a page once read weighs several times its text."""


async def refresh(
    cluster: Cluster, store: Store, kinds: Mapping[Kind, str], namespaces: Iterable[str] = ()
) -> set[Key]:
    """Bring `store` to what the API server has of `kinds` (with their label selectors); returns what changed.

    Only `namespaces` are looked at; all, if there are none.
    """
    changed: set[Key] = set()
    namespaces = tuple(namespaces)
    for kind, selector in kinds.items():
        parts = [await _list(cluster, path, kind, selector) for path in kind.collections(namespaces)]
        items = (unpacked(content) for found, _ in parts for content in found)
        # Together they tell of no moment later than the earliest.
        changed |= store.replace(kind.name, items, min(version for _, version in parts))
    return changed


async def whole(
    cluster: Cluster, kind: Kind, namespaces: Iterable[str] = (), query: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """The listing of a kind in `namespaces`, or everywhere if there are none: its items as the API server has them.

    Its resourceVersion is the earliest of its parts', so that what is newer than that may be missing.
    """
    parts = [await cluster.get(path, query) for path in kind.collections(namespaces)]
    version = min((part["metadata"]["resourceVersion"] for part in parts), key=int)
    return {"metadata": {"resourceVersion": version}, "items": [item for part in parts for item in part["items"]]}


async def _list(cluster: Cluster, path: str, kind: Kind, selector: str) -> tuple[list[bytes], int]:
    items: list[bytes] = []
    query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
    while True:
        page = await cluster.get(path, query)
        own = {"apiVersion": kind.api_version, "kind": kind.name}
        items += [packed({**item, **own}) for item in page["items"]]
        if not (token := page["metadata"].get("continue")):
            return items, int(page["metadata"]["resourceVersion"])
        query["continue"] = token
