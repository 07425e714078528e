"""Whole listings of what is watched: watches don't tell what was deleted while they were down."""

from collections.abc import Mapping
from typing import Any

from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import Kind
from tidegate_operator.kube.store import Key, Store
from tidegate_operator.kube.watching import without_managed_fields

PAGE = 500
"""Objects a request."""


async def refresh(cluster: Cluster, store: Store, kinds: Mapping[Kind, str]) -> set[Key]:
    """Bring `store` to what the API server has of `kinds` (with their label selectors); returns what changed."""
    changed: set[Key] = set()
    for kind, selector in kinds.items():
        items, version = await _list(cluster, kind, selector)
        changed |= store.replace(kind.name, items, version)
    return changed


async def _list(cluster: Cluster, kind: Kind, selector: str) -> tuple[list[dict[str, Any]], int]:
    items: list[dict[str, Any]] = []
    query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
    while True:
        page = await cluster.get(kind.collection(), query)
        own = {"apiVersion": kind.api_version, "kind": kind.name}
        items += [without_managed_fields({**item, **own}) for item in page["items"]]
        if not (token := page["metadata"].get("continue")):
            return items, int(page["metadata"]["resourceVersion"])
        query["continue"] = token
