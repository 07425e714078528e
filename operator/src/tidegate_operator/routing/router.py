"""The bundled Envoy, to which every service's name leads, and what its pods say, asked over HTTP."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tidegate_operator import naming
from tidegate_operator.desired import Manifest
from tidegate_operator.evidence.readings import Calls, Source
from tidegate_operator.install import Install
from tidegate_operator.kube.objects import ENDPOINT_SLICE, Object
from tidegate_operator.kube.store import Reference, Store
from tidegate_operator.rollout.state import RolloutState
from tidegate_operator.routing.figures import FILTER, calls_of, figures_of
from tidegate_operator.routing.provider import Outlook, Subject
from tidegate_operator.routing.sources import Growing, Start, start_of

logger = logging.getLogger(__name__)

FRESH_SECONDS = 0.5
"""How long one look at the routers serves all services that ask."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""What is read of a router's answer: 20 times the statistics of a thousand services in a rollout."""

_TIMEOUT = aiohttp.ClientTimeout(total=2)


@dataclass(frozen=True)
class View:
    """What one router said at one moment."""

    healthy: Mapping[str, int] = field(default_factory=dict)
    """Healthy pods by `<namespace>/<revision>`."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Its counters since it started."""


@dataclass(frozen=True)
class Look:
    """What all ready routers said."""

    views: Mapping[Source, View] = field(default_factory=dict)
    complete: bool = False
    """Whether each of them could be asked: one that doesn't answer us may well answer callers."""


@dataclass
class _Known:
    """What is remembered of the router at an address."""

    start: Start
    counters: Growing = field(default_factory=Growing)


class Router:
    """`Provider` by the router's pods, which are asked over their administration port."""

    def __init__(
        self,
        install: Install,
        store: Store,
        session: aiohttp.ClientSession,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._install = install
        self._store = store
        self._session = session
        self._clock = clock
        self._looking: asyncio.Future[Look] | None = None
        self._looked_at = 0.0
        self._known: dict[str, _Known] = {}

    def host(self, subject: Subject) -> str:
        """See `Provider.host`."""
        return naming.router_host(self._install.namespace, self._install.cluster_domain)

    def manifests(self, subject: Subject, state: RolloutState, *, canary_ready: bool) -> tuple[Manifest, ...]:
        """See `Provider.manifests`: what it needs to know it reads from statuses."""
        return ()

    async def outlook(self, subject: Subject, revisions: Iterable[str]) -> Outlook:
        """See `Provider.outlook`."""
        return Outlook(await self.routable(subject.live["metadata"]["namespace"], revisions))

    async def routable(self, namespace: str, revisions: Iterable[str]) -> dict[str, bool | None]:
        """Whether every ready router has a healthy pod of each of `revisions`; None if they can't be asked."""
        look = await self._look()
        return {revision: healthy_everywhere(look, f"{namespace}/{revision}") for revision in revisions}

    async def calls(self, namespace: str, revisions: Iterable[str]) -> dict[str, dict[Source, Calls]]:
        """See `Provider.calls`."""
        views = (await self._look()).views
        return {
            revision: {source: calls_of(view.counts, f"{namespace}/{revision}") for source, view in views.items()}
            for revision in revisions
        }

    async def accepted(self, namespace: str, service: str, weights: Mapping[str, int]) -> bool | None:
        """See `Provider.accepted`: every ready router has to say so itself."""
        wanted = {revision: weight for revision, weight in weights.items() if weight}
        addresses = self._addresses()
        told = await asyncio.gather(
            *(self._weights(address, namespace, service) for address in addresses), return_exceptions=True
        )
        answers = [answer for answer in map(_unless_failed, addresses, told) if answer is not None]
        if any(answer != wanted for answer in answers):
            return False
        return True if answers and len(answers) == len(addresses) else None

    async def _look(self) -> Look:
        loop = asyncio.get_running_loop()
        if self._looking is None or loop.time() - self._looked_at > FRESH_SECONDS:
            self._looked_at = loop.time()
            self._looking = asyncio.ensure_future(self._ask_all())
        return await asyncio.shield(self._looking)

    async def _ask_all(self) -> Look:
        addresses = self._addresses()
        told = await asyncio.gather(*(self._ask(address) for address in addresses), return_exceptions=True)
        answers = [answer for answer in map(_unless_failed, addresses, told) if answer is not None]
        self._known = {address: known for address, known in self._known.items() if address in addresses}
        return Look(dict(answers), complete=bool(answers) and len(answers) == len(addresses))

    async def _ask(self, address: str) -> tuple[Source, View]:
        url = f"http://{_host(address)}:{naming.ADMIN_PORT}/stats"
        query = {"format": "json", "usedonly": "", "filter": FILTER}
        async with self._session.get(url, params=query, timeout=_TIMEOUT) as response:
            response.raise_for_status()
            told = figures_of(await _json(response))
        known = self._known.get(address)
        moment = asyncio.get_running_loop().time()
        start = start_of(known.start if known else None, told.uptime, moment, self._clock())
        if known is None or start.moment != known.start.moment:
            known = self._known[address] = _Known(start)
        known.start = start
        return start.source(address), View(told.healthy, known.counters.add(told.counts))

    async def _weights(self, address: str, namespace: str, service: str) -> Any:
        url = f"http://{_host(address)}:{naming.DATA_PORT}{naming.WEIGHTS_PATH}"
        headers = {"Host": f"{service}.{namespace}"}
        if live := self._store.get(Reference(naming.KIND, namespace, service)):
            headers[naming.UID_HEADER] = live["metadata"]["uid"]
        async with self._session.get(url, headers=headers, timeout=_TIMEOUT) as response:
            return await _json(response)

    def _addresses(self) -> list[str]:
        return sorted(router_addresses(self._store.of_kind(ENDPOINT_SLICE.name), self._install.namespace))


def healthy_everywhere(look: Look, revision: str) -> bool | None:
    """Whether every router has a healthy pod of `<namespace>/<revision>`; None unless all of them could be asked."""
    return all(view.healthy.get(revision, 0) > 0 for view in look.views.values()) if look.complete else None


def router_addresses(slices: Iterable[Object], namespace: str) -> set[str]:
    """The addresses of the ready router pods in `namespace`."""
    return {
        endpoint["addresses"][0]
        for found in slices
        if found["metadata"]["namespace"] == namespace
        for endpoint in found.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready")
    }


def _unless_failed(address: str, answer: Any) -> Any:
    """`answer`, or None for one of the errors that mean that a router can't be asked; others are raised."""
    match answer:
        case aiohttp.ClientError() | TimeoutError() | ValueError():
            why = str(answer) or type(answer).__name__
            logger.warning("a router can't be asked", extra={"address": address, "error": why})
            return None
        case BaseException():
            raise answer
    return answer


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


async def _json(response: aiohttp.ClientResponse) -> Any:
    """The answer's JSON; ValueError if it isn't that, or too long."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
    return json.loads(body)
