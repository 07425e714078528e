"""How kopf watches for us: events only, nothing written to any object, over a session of ours."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import aiohttp
import kopf

from tidegate_operator import errors
from tidegate_operator.kube.client import load_configuration
from tidegate_operator.kube.listing import PAGE
from tidegate_operator.kube.objects import Kind, Object
from tidegate_operator.kube.pulse import Pulse
from tidegate_operator.kube.sessions import open_session

Handler = Callable[[Object, bool], Awaitable[None]]
"""Takes in an object's version, and whether it was deleted."""

Login = Callable[..., Awaitable[kopf.AiohttpSession]]
"""Gives kopf a session."""

SILENCE_SECONDS = 70.0
"""A watch that says nothing for so long is asked anew: API servers send bookmarks each minute."""
LOGIN_SECONDS = 5.0
"""Between two logins at least: refused credentials are read again, and may be the same."""


class WatchFailed(errors.OperatorError):
    """kopf gave up watching; its own error is the cause."""


class _Pauses:
    """Pauses between requests that fail, in seconds, without an end: to give up would help nobody."""

    def __iter__(self) -> Iterator[float]:
        growing = itertools.chain((0.25, 0.5, 1.0), itertools.repeat(2.0))
        return (pause * random.uniform(0.75, 1.5) for pause in growing)


class _NoMemory(kopf.DiffBaseStorage):
    """Keeps kopf from copying every object for a comparison that only its other handlers would read."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of an object is compared."""
        return cast(kopf.BodyEssence, {})

    def fetch(self, **_: Any) -> None:
        """Nothing was there before."""

    def store(self, **_: Any) -> None:
        """Nothing is written."""


def settings(selectors: Mapping[Kind, str]) -> kopf.OperatorSettings:
    """Settings for a watcher that survives sick API servers; `selectors` narrow a kind's watch at the server."""
    chosen = kopf.OperatorSettings()
    # Eight watches asked anew every quarter of an hour are few calls; one that is dead is noticed otherwise.
    chosen.watching.server_timeout = 900
    chosen.watching.client_timeout = 960
    chosen.watching.connect_timeout = 10
    chosen.watching.chunk_size = PAGE
    chosen.watching.reconnect_backoff = 1.0
    chosen.watching.inactivity_timeout = SILENCE_SECONDS
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 5
    chosen.networking.error_backoffs = _Pauses()
    chosen.networking.enforce_retry_after = True
    # A task for each object that an event came for, until then.
    chosen.queueing.idle_timeout = 0.5
    chosen.queueing.exit_timeout = 10
    chosen.posting.enabled = False
    chosen.persistence.diffbase_storage = _NoMemory()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.process.ultimate_exiting_timeout = 20
    for kind, selector in selectors.items():
        chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return chosen


def registry(kinds: Mapping[Kind, Handler], login: Login) -> kopf.OperatorRegistry:
    """A registry that hands every event of `kinds` to their handlers, without managed fields."""
    chosen = kopf.OperatorRegistry()
    kopf.on.login(registry=chosen)(login)
    for kind, handler in kinds.items():
        kopf.on.event(kind.group, kind.version, kind.plural, registry=chosen)(_forward(kind, handler))
    return chosen


async def watch(
    kinds: Mapping[Kind, Handler],
    selectors: Mapping[Kind, str],
    *,
    namespaces: Iterable[str] = (),
    began: asyncio.Event | None = None,
    stop: asyncio.Event | None = None,
    pulse: Pulse | None = None,
) -> None:
    """Watch `kinds` until `stop` is set, or a signal comes; in all namespaces if none are given.

    `began` is set once kopf has taken over the process's signals; `pulse` is told of every request. Raises WatchFailed
    when kopf gives up, as it does on any watch error but "410 Gone" and on what it can't read: then all is to begin
    anew, with listings.
    """
    chosen = tuple(namespaces)
    sessions: list[aiohttp.ClientSession] = []
    try:
        await kopf.operator(
            registry=registry(kinds, _login(sessions, pulse)),
            settings=settings(selectors),
            clusterwide=not chosen,
            namespaces=chosen,
            standalone=True,
            ready_flag=began,
            stop_flag=stop,
        )
    except Exception as error:
        raise WatchFailed(f"the watch ended: {error or type(error).__name__}") from error
    finally:
        for session in sessions:
            await session.close()


def without_managed_fields(item: Mapping[str, Any]) -> dict[str, Any]:
    """`item` without the bookkeeping of field managers, often its larger half."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return {**item, "metadata": metadata}


def _forward(kind: Kind, handler: Handler) -> Callable[..., Awaitable[None]]:
    async def forward(event: Any, **_: Any) -> None:
        item = without_managed_fields({"apiVersion": kind.api_version, "kind": kind.name, **event["object"]})
        await handler(item, event["type"] == "DELETED")
        _lighten(event["object"])

    return forward


def _lighten(item: dict[str, Any]) -> None:
    """Take from an object what only its handler reads: kopf holds it for a while, thousands of them after a start."""
    for key in [key for key in item if key not in ("apiVersion", "kind", "metadata")]:
        del item[key]
    item["metadata"].pop("managedFields", None)


def _login(sessions: list[aiohttp.ClientSession], pulse: Pulse | None) -> Login:
    """Gives kopf sessions like that of our own calls, which are kept in `sessions`; kopf doesn't always close them."""
    before = float("-inf")

    async def login(**_: Any) -> kopf.AiohttpSession:
        nonlocal before
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, before + LOGIN_SECONDS - loop.time()))
        before = loop.time()
        configuration = await load_configuration()
        traces = [pulse.trace()] if pulse else []
        session = open_session(configuration, limit=0, timeout=aiohttp.ClientTimeout(), traces=traces)
        sessions[:] = [*(each for each in sessions if not each.closed), session]
        return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

    return login
