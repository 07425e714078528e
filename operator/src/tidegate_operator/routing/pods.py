"""What a service's pods tell of the requests that they answered, asked over their administration port."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

import aiohttp

from tidegate_operator import naming
from tidegate_operator.evidence.page import calls_of, copies_of, times_of
from tidegate_operator.evidence.readings import NO_COPIES, Calls, Copies, Readings, Source, Times
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


class _Told(NamedTuple):
    times: Times | None
    copies: Mapping[str, Copies] | None
    calls: Calls | None

    @classmethod
    def by(cls, page: str, *, counting: bool) -> Self:
        return cls(times_of(page), copies_of(page), calls_of(page) if counting else None)


async def read_pods(fetch: Fetch, pods: Iterable[Object], *, counting: bool = False) -> dict[str, Readings]:
    """What the pods tell now, by revision. One that doesn't answer, or not as it should, isn't a source.

    `pods` are objects of Kubernetes; those without a revision's label are passed over. What they count of requests and
    failures is read where nobody else does, `counting`.
    """
    known = [found for pod in pods if (found := _known(pod)) is not None]
    slots = asyncio.Semaphore(CONCURRENCY)
    answers = await asyncio.gather(*(_ask(fetch, pod, slots, counting) for pod in known))
    told = {pod: answer for pod, answer in zip(known, answers, strict=True) if answer is not None}
    return {revision: _readings(revision, known, told) for revision in {pod.revision for pod in known}}


def _readings(revision: str, known: Iterable[_Pod], told: Mapping[_Pod, _Told]) -> Readings:
    own = [pod for pod in known if pod.revision == revision]
    others = {pod.source: answer.copies for pod, answer in told.items() if pod.revision != revision}
    copying = {source: copies for source, copies in others.items() if copies is not None}
    times = {pod.source: told[pod].times for pod in own if pod in told}
    calls = {pod.source: told[pod].calls for pod in own if pod in told}
    return Readings(
        calls={source: counted for source, counted in calls.items() if counted is not None},
        times={source: counted for source, counted in times.items() if counted is not None},
        restarts=sum(pod.restarts for pod in own),
        started={pod.source: pod.started for pod in known if pod.started is not None},
        copies={source: copies.get(revision, NO_COPIES) for source, copies in copying.items()},
        mute=0 if copying else len(others),
    )


async def _ask(fetch: Fetch, pod: _Pod, slots: asyncio.Semaphore, counting: bool) -> _Told | None:
    if pod.address is None:
        return None
    async with slots:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return _Told.by(await fetch(page_url(pod.address)), counting=counting)
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
