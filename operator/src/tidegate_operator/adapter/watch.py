"""Watches pods and InferenceServices into the fleet."""

import asyncio

from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.kube import watching
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import POD, SERVICES, Object
from tidegate_operator.naming import CHILDREN_SELECTOR

SYNC_SECONDS = 60.0
"""How long the first listing may take; then the process ends, and is started again."""


async def run(fleet: Fleet, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Watch until `stop` is set or kopf gives up; `ready` is set once kopf has taken over the process's signals."""

    async def on_pod(item: Object, deleted: bool) -> None:
        fleet.see_pod(item, deleted=deleted)

    async def on_service(item: Object, deleted: bool) -> None:
        fleet.see_service(item, deleted=deleted)

    handlers = {POD: on_pod, SERVICES: on_service}
    await watching.watch(handlers, {POD: CHILDREN_SELECTOR}, began=ready, stop=stop)


async def synced(fleet: Fleet, cluster: Cluster) -> bool:
    """Whether the fleet knows all that the API server lists; kopf doesn't tell when its first listing is over."""
    pods = await cluster.get(POD.collection(), {"labelSelector": CHILDREN_SELECTOR})
    services = await cluster.get(SERVICES.collection())
    return not fleet.lacks(pods["items"], services["items"])
