"""Users' ConfigMaps, read one by one: a watch would hold those of everybody in memory."""

from collections.abc import Iterable, Mapping

from tidegate_operator import errors
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import CONFIG_MAP


async def read(cluster: Cluster, namespace: str, names: Iterable[str]) -> dict[str, Mapping[str, str] | None]:
    """The data of ConfigMaps by their names; None of one that isn't there. Raises errors.ApiError."""
    found: dict[str, Mapping[str, str] | None] = {}
    for name in names:
        try:
            found[name] = (await cluster.get(CONFIG_MAP.path(namespace, name))).get("data") or {}
        except errors.NotFound:
            found[name] = None
    return found
