"""How kopf watches for us: its streams, nothing written to any object, over a session of ours.

kopf's own handlers would have a task, a queue and five layers for each object that changes; what is done with an event
here takes a tenth of that, so it is taken straight from the streams (ADR 43).
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import aiohttp
import kopf
from kopf._cogs.clients.watching import Bookmark, infinite_watch
from kopf._cogs.structs.references import NamespaceName, Resource

from tidegate_operator import errors
from tidegate_operator.kube.client import load_configuration
from tidegate_operator.kube.listing import PAGE
from tidegate_operator.kube.objects import Kind, Object
from tidegate_operator.kube.pulse import Pulse
from tidegate_operator.kube.sessions import open_session

logger = logging.getLogger(__name__)

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
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.process.ultimate_exiting_timeout = 20
    for kind, selector in selectors.items():
        chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
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
    places: list[NamespaceName | None] = [NamespaceName(name) for name in chosen] or [None]
    how = settings(selectors)
    sessions: list[aiohttp.ClientSession] = []
    following: list[asyncio.Task[None]] = []
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def over(task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not failed.done():
            failed.set_exception(error)

    async def begin(**_: Any) -> None:
        # Within kopf's own context, in which its streams find the session that is logged in, and have it renewed.
        for kind, handler in kinds.items():
            for place in places:
                task = asyncio.create_task(_follow(kind, place, handler, how), name=f"watch of {kind.plural}")
                task.add_done_callback(over)
                following.append(task)

    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login(sessions, pulse))
    kopf.on.startup(registry=registry)(begin)
    operator = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=how,
            clusterwide=not chosen,
            namespaces=chosen,
            standalone=True,
            ready_flag=began,
            stop_flag=stop,
        ),
        name="kopf",
    )
    try:
        await asyncio.wait({operator, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            failed.result()
        operator.result()
    except Exception as error:
        raise WatchFailed(f"the watch ended: {error or type(error).__name__}") from error
    finally:
        failed.cancel()
        for task in (*following, operator):
            task.cancel()
        await asyncio.gather(*following, operator, return_exceptions=True)
        for session in sessions:
            await session.close()


async def _follow(kind: Kind, place: NamespaceName | None, handler: Handler, how: kopf.OperatorSettings) -> None:
    """Hand what is there of a kind, and then all that comes, to `handler`; raises what ends kopf's stream for good."""
    resource = Resource(kind.group, kind.version, kind.plural, kind=kind.name, namespaced=True)
    async for event in infinite_watch(settings=how, resource=resource, namespace=place):
        if isinstance(event, Bookmark) or event["type"] == "BOOKMARK":
            continue
        item = without_managed_fields({"apiVersion": kind.api_version, "kind": kind.name, **event["object"]})
        try:
            await handler(item, event["type"] == "DELETED")
        except Exception:
            # A bug met by one object must not end the watch of all others.
            logger.exception("an event could not be taken in", extra={"kind": kind.name, **_named(item)})


def _named(item: Object) -> dict[str, str]:
    metadata = item["metadata"]
    return {"namespace": metadata.get("namespace", ""), "object": metadata.get("name", "")}


def without_managed_fields(item: Mapping[str, Any]) -> dict[str, Any]:
    """`item` without the bookkeeping of field managers, often its larger half."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return {**item, "metadata": metadata}


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
