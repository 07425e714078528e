"""The ways of routing by name, and which of them a service has: one most of the time, two while it goes over."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tidegate_operator import naming
from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.api.status import InferenceServiceStatus, RoutingStatus
from tidegate_operator.desired import Manifest
from tidegate_operator.desired.entrance import entrance
from tidegate_operator.kube.store import Key, Reference, Store
from tidegate_operator.observed import Failure
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.routing import moving
from tidegate_operator.routing.abilities import ABILITIES, Abilities
from tidegate_operator.routing.moving import Move
from tidegate_operator.routing.provider import Outlook, Provider, Subject

LOOK_AGAIN = timedelta(seconds=30)
"""Nothing tells of routes that a Gateway gives up: they are looked at."""
LOOK_SOON = timedelta(seconds=1)
"""The same while a service goes over."""


@dataclass(frozen=True)
class Look:
    """What a pass has seen of a service's ways."""

    outlook: Outlook
    """Of the way by which callers come."""
    move: Move
    hindrance: Failure | None = None
    """Why the way that they are to go over to doesn't work yet, where that is known."""

    @property
    def told(self) -> RoutingStatus | None:
        """What the status says of it."""
        hindrance = self.hindrance.message if self.hindrance else None
        return moving.told(self.move, exact=ABILITIES[self.move.now].exact, hindrance=hindrance)

    def due(self, now: datetime) -> timedelta | None:
        """After how long to look again."""
        if self.move.coming:
            return LOOK_SOON
        left = self.move.until - now if self.move.until else None
        again = LOOK_AGAIN if self.move.now == "Gateway" else None
        return min((each for each in (left, again) if each is not None), default=None)


class Ways:
    """Providers by name."""

    def __init__(self, providers: Mapping[ProviderName, Provider], store: Store) -> None:
        self._providers = providers
        self._store = store

    async def look(
        self, subject: Subject, before: InferenceServiceStatus, ready: Iterable[str], now: datetime, *, stay: bool
    ) -> Look:
        """What would become of requests to the revisions that are `ready`; `stay` where the spec isn't followed."""
        names, wanted = tuple(ready), subject.spec.routing.provider
        move = moving.remembered(before.routing, wanted, fresh=before.stable is None)
        wanted = move.now if stay else wanted
        asked = tuple(dict.fromkeys((*move.present, wanted)))
        outlooks = await asyncio.gather(*(self._outlook(way, subject, names) for way in asked))
        found = dict(zip(asked, outlooks, strict=True))
        stable = before.stable.revision if before.stable else ""
        hindrance = found[wanted].obstacle or found[wanted].canary_obstacle
        works = hindrance is None and found[wanted].routable.get(stable) is True
        if works and wanted != move.now:
            works = await self._shares(wanted, subject, before)
        after = moving.following(move, wanted, works=works, now=now)
        return Look(found[after.now], after, hindrance if after.coming else None)

    def manifests(
        self, subject: Subject, move: Move, state: RolloutState, *, canary_ready: bool
    ) -> tuple[Manifest, ...]:
        """The objects of all ways that have to be there, and the one under the service's own name."""
        parts = (self._providers[way].manifests(subject, state, canary_ready=canary_ready) for way in move.present)
        front = entrance(subject.live, self._providers[move.now].host(subject))
        return (front, *(manifest for part in parts for manifest in part))

    def of(self, key: Key) -> tuple[Provider, Abilities]:
        """The way by which callers come to a service, as its status has it, and what that can do."""
        routing = self._routing(key)
        name: ProviderName = routing.get("provider", "Router")
        return self._providers[name], ABILITIES[name]

    def counts_all(self, key: Key) -> bool:
        """Whether whoever counts a service's requests has seen all of them before they were shared.

        Pods of stable haven't, while some still come by a way that has drawn the canary's already.
        """
        routing = self._routing(key)
        return routing.get("provider") != "Direct" or not routing.get("leaving")

    def _routing(self, key: Key) -> Mapping[str, Any]:
        live = self._store.get(Reference(naming.KIND, key.namespace, key.name))
        return ((live or {}).get("status") or {}).get("routing") or {}

    async def _shares(self, way: ProviderName, subject: Subject, before: InferenceServiceStatus) -> bool:
        metadata, shares = subject.live["metadata"], (before.stable, before.canary)
        weights = {routed.revision: routed.weight for routed in shares if routed}
        return await self._providers[way].accepted(metadata["namespace"], metadata["name"], weights) is not False

    async def _outlook(self, way: ProviderName, subject: Subject, ready: tuple[str, ...]) -> Outlook:
        # Routes are to be read though nothing is ready: what they wait for is told at once.
        if not ready and way != "Gateway":
            return Outlook({})
        return await self._providers[way].outlook(subject, ready)
