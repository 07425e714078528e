"""What a service's pods tell of the requests that they answered, asked over their administration port."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import aiohttp

from tidegate_operator import naming
from tidegate_operator.evidence.page import calls_of, times_of
from tidegate_operator.evidence.readings import Calls, Readings, Source, Times
from tidegate_operator.exposition import Malformed
from tidegate_operator.process.pages import Fetch, page_url

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 2.0
"""Per pod, from connecting to the last byte."""
CONCURRENCY: Final = 32
"""Pods asked at once for one service: of hundreds that don't answer, the last is given up within half a minute."""

Object = Mapping[str, Any]


class _Pod(NamedTuple):
    revision: str
    source: Source
    address: str | None
    restarts: int
    started: datetime | None


class _Page(NamedTuple):
    times: Times | None
    calls: Calls | None


async def read_pods(fetch: Fetch, pods: Iterable[Object], *, counting: bool = False) -> dict[str, Readings]:
    """What the pods tell now, by revision. One that doesn't answer, or not as it should, isn't a source.

    `pods` are objects of Kubernetes; those without a revision's label are passed over. What they count of requests and
    failures is read where nobody else does, `counting`.
    """
    known = [found for pod in pods if (found := _known(pod)) is not None]
    slots = asyncio.Semaphore(CONCURRENCY)
    answers = await asyncio.gather(*(_ask(fetch, pod, slots, counting) for pod in known))
    pages = {pod.source: page for pod, page in zip(known, answers, strict=True) if page is not None}
    told = {source: page.times for source, page in pages.items() if page.times is not None}
    counted = {source: page.calls for source, page in pages.items() if page.calls is not None}
    readings = {}
    for revision in {pod.revision for pod in known}:
        own = [pod for pod in known if pod.revision == revision]
        readings[revision] = Readings(
            calls={pod.source: counted[pod.source] for pod in own if pod.source in counted},
            times={pod.source: told[pod.source] for pod in own if pod.source in told},
            restarts=sum(pod.restarts for pod in own),
            started={pod.source: pod.started for pod in own if pod.started is not None},
        )
    return readings


async def _ask(fetch: Fetch, pod: _Pod, slots: asyncio.Semaphore, counting: bool) -> _Page | None:
    if pod.address is None:
        return None
    async with slots:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                page = await fetch(page_url(pod.address))
            return _Page(times_of(page), calls_of(page) if counting else None)
        except (TimeoutError, aiohttp.ClientError, OSError, Malformed) as error:
            why = str(error) or type(error).__name__
            logger.warning("a pod can't be asked", extra={"address": pod.address, "error": why})
            return None


def _known(pod: Object) -> _Pod | None:
    metadata, status = pod["metadata"], pod.get("status", {})
    revision = metadata.get("labels", {}).get(naming.REVISION_LABEL)
    if revision is None:
        return None
    containers = status.get("containerStatuses", [])
    restarts = sum(container.get("restartCount", 0) for container in containers)
    running = [container.get("state", {}).get("running", {}).get("startedAt") for container in containers]
    # What isn't running has nobody who would answer; its address may be another pod's by now.
    up = bool(running) and None not in running and status.get("phase") == "Running"
    return _Pod(
        revision=revision,
        # Counts begin anew with a container, so who counts after a restart is another one.
        source=f"{metadata['uid']}/{restarts}",
        address=status.get("podIP") if up else None,
        restarts=restarts,
        started=min(datetime.fromisoformat(each) for each in running) if up else None,
    )
