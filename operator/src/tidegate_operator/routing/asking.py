"""Pods that can be asked over their administration port, and so many of them at once."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar

import aiohttp

from tidegate_operator import naming
from tidegate_operator.evidence.readings import Source
from tidegate_operator.exposition import Malformed
from tidegate_operator.process.pages import Fetch, evidence_url, page_url

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 2.0
"""Per pod, from connecting to the last byte."""
CONCURRENCY: Final = 32
"""Pods asked at once for one service: of hundreds that don't answer, the last is given up within half a minute."""

Object = Mapping[str, Any]
T = TypeVar("T")


class Pod(NamedTuple):
    """A revision's pod, as whoever asks it needs to know it."""

    revision: str
    source: Source
    """Who counts: counts begin anew with a container, so who counts after a restart is another one."""
    address: str | None
    """None: what isn't running has nobody who would answer, and its address may be another pod's by now."""
    restarts: int
    """Containers that ended and were started again."""
    started: datetime | None
    tells: bool
    """Whether it is to be asked at all: what serves may be an image of the user's own."""
    ending: bool
    """Whether it was told to end: it answers for as long as it has requests, and then no more."""


def known(pods: Iterable[Object]) -> list[Pod]:
    """Those of `pods`, objects of Kubernetes, that belong to a revision."""
    return [found for pod in pods if (found := _known(pod)) is not None]


async def ask(fetch: Fetch, pods: Iterable[Pod], read: Callable[[str], T]) -> dict[Pod, T]:
    """What `read` makes of each pod's page. One that doesn't answer, or not as it should, is left out.

    `read` may raise Malformed.
    """
    asked = list(pods)
    slots = asyncio.Semaphore(CONCURRENCY)
    answers = await asyncio.gather(*(_ask(fetch, pod, slots, read) for pod in asked))
    return {pod: answer[0] for pod, answer in zip(asked, answers, strict=True) if answer is not None}


async def _ask(fetch: Fetch, pod: Pod, slots: asyncio.Semaphore, read: Callable[[str], T]) -> tuple[T] | None:
    if pod.address is None or not pod.tells:
        return None
    async with slots:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return (read(await _page(fetch, pod.address)),)
        except (TimeoutError, aiohttp.ClientError, OSError, Malformed) as error:
            why = str(error) or type(error).__name__
            level = logging.DEBUG if pod.ending else logging.WARNING
            logger.log(level, "a pod can't be asked", extra={"address": pod.address, "error": why})
            return None


async def _page(fetch: Fetch, address: str) -> str:
    """A pod's evidence; of one that an earlier release made, whose metrics have all of it, these."""
    try:
        return await fetch(evidence_url(address))
    except aiohttp.ClientResponseError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return await fetch(page_url(address))


def _known(pod: Object) -> Pod | None:
    metadata, status = pod["metadata"], pod.get("status", {})
    labels = metadata.get("labels", {})
    revision = labels.get(naming.REVISION_LABEL)
    if revision is None:
        return None
    containers = status.get("containerStatuses", [])
    restarts = sum(container.get("restartCount", 0) for container in containers)
    running = [container.get("state", {}).get("running", {}).get("startedAt") for container in containers]
    up = bool(running) and None not in running and status.get("phase") == "Running"
    return Pod(
        revision=revision,
        source=f"{metadata['uid']}/{restarts}",
        address=status.get("podIP") if up else None,
        restarts=restarts,
        started=min(datetime.fromisoformat(each) for each in running) if up else None,
        tells=naming.tells_metrics(labels),
        ending="deletionTimestamp" in metadata,
    )
