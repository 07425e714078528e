"""When the children of each service were there, as watches tell it."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from lab.kubectl import Failed, Object
from scale.client import Client

KINDS = {
    "Deployment": "/apis/apps/v1/deployments",
    "ControllerRevision": "/apis/apps/v1/controllerrevisions",
    "Service": "/api/v1/services",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
}
CHILDREN = {"Deployment": 1, "ControllerRevision": 1, "Service": 2, "PodDisruptionBudget": 1}
"""How many of each kind a service has that isn't scaled."""

_SELECTOR = "app.kubernetes.io/managed-by=tidegate"
_SERVICE = "tidegate.dev/service"

Place = tuple[str, str]
"""A service's namespace and name."""


@dataclass
class Family:
    """The children of one service: when each was first seen, and its generation last, by kind and name."""

    seen: dict[tuple[str, str], float] = field(default_factory=dict)
    generations: dict[tuple[str, str], int] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[str]:
        """Names, in the order in which they appeared."""
        return [name for found, name in self.seen if found == kind]

    @property
    def complete(self) -> bool:
        """Whether there is all that a first revision needs."""
        return all(len(self.of_kind(kind)) >= count for kind, count in CHILDREN.items())


class Following:
    """The families of all services."""

    def __init__(self) -> None:
        self.families: defaultdict[Place, Family] = defaultdict(Family)
        self.last_event = 0.0
        self._changed = asyncio.Condition()

    async def until(self, reached: Callable[[], bool], what: str, seconds: float = 60) -> float:
        """The loop's time at which `reached` held first, after an event; raises Failed after `seconds`."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(reached)
        except TimeoutError:
            raise Failed(f"not within {seconds:g} s: {what}") from None
        return self.last_event

    async def follow(self, client: Client, kind: str, path: str) -> None:
        """Take in what a watch tells, until cancelled."""
        async for event in client.events(path, _SELECTOR):
            self.last_event = asyncio.get_running_loop().time()
            self._take(kind, event)
            async with self._changed:
                self._changed.notify_all()

    def _take(self, kind: str, event: Object) -> None:
        metadata = event["object"]["metadata"]
        place = (metadata["namespace"], metadata["labels"][_SERVICE])
        family, child = self.families[place], (kind, metadata["name"])
        if event["type"] == "DELETED":
            family.seen.pop(child, None)
            return
        family.seen.setdefault(child, self.last_event)
        family.generations[child] = metadata.get("generation", 0)


@contextlib.asynccontextmanager
async def following(client: Client) -> AsyncIterator[Following]:
    """Watches that run during the block."""
    found = Following()
    tasks = [asyncio.create_task(found.follow(client, kind, path)) for kind, path in KINDS.items()]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
