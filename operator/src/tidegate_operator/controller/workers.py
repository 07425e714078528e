"""Workers: take a due InferenceService, run a pass, and decide when the next one is due."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from tidegate_operator import errors
from tidegate_operator.controller.keyqueue import LAST_RETRY_SECONDS, KeyQueue
from tidegate_operator.controller.metrics import ControllerMetrics
from tidegate_operator.kube.fence import LostLeadership
from tidegate_operator.kube.store import Key
from tidegate_operator.reconcile import Outcome

logger = logging.getLogger(__name__)

WORKERS = 16
RESYNC_SECONDS = 300.0
"""How long a service is left alone at most; a fifth more or less, so that not all come at once."""


UNAVAILABLE_RETRY_SECONDS = 15.0
"""The longest pause where the API server, not the service, is the trouble: it is over for all services at once."""


class Passes(Protocol):
    """What runs a pass; `reconcile.Reconciler` does."""

    async def reconcile(self, key: Key, now: datetime) -> Outcome:
        """See `reconcile.Reconciler.reconcile`."""
        ...


class Workers:
    """Runs passes over the keys of `queue`, one at a time for each key."""

    def __init__(
        self, queue: KeyQueue[Key], passes: Passes, clock: Callable[[], datetime], metrics: ControllerMetrics
    ) -> None:
        self._queue = queue
        self._passes = passes
        self._clock = clock
        self._metrics = metrics

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"worker {number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._attempt(key)
            finally:
                self._queue.done(key)

    async def _attempt(self, key: Key) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        about = {"namespace": key.namespace, "service": key.name}
        try:
            passed = await self._passes.reconcile(key, self._clock())
        except LostLeadership:
            raise
        except errors.Conflict as error:
            # Somebody changed an object since it was read; the watch tells of it presently.
            self._queue.retry(key)
            outcome = self._failed("conflict", error)
        except errors.OperatorError as error:
            unavailable = isinstance(error, errors.Unavailable)
            pause = self._queue.retry(key, UNAVAILABLE_RETRY_SECONDS if unavailable else LAST_RETRY_SECONDS)
            logger.warning("a pass failed", extra={**about, "error": str(error), "retry_seconds": pause})
            outcome = self._failed("error", error)
        except Exception as error:
            # A bug met by one object must not stop the passes of all others.
            pause = self._queue.retry(key)
            logger.exception("a pass crashed", extra={**about, "retry_seconds": pause})
            outcome = self._failed("crash", error)
        else:
            outcome = "ok"
            self._queue.succeeded(key)
            if passed.gone:
                self._queue.forget(key)
            else:
                resync = RESYNC_SECONDS * random.uniform(0.8, 1.2)
                # Also where it waits for a time that is far off, such as when pods are to go: what no watch tells of
                # may change before.
                self._queue.add_after(key, resync if passed.due is None else min(resync, passed.due.total_seconds()))
        self._metrics.passes.labels(outcome).inc()
        self._metrics.pass_seconds.observe(loop.time() - begun)

    def _failed(self, outcome: str, error: Exception) -> str:
        self._metrics.errors.labels(type(error).__name__).inc()
        return outcome
