"""Requests go by what is told of the share: whose are handed over, to which pods, and what is counted."""

import logging
import random
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from tidegate_runtime.handover.choice import Choice
from tidegate_runtime.handover.figures import HandoverFigures
from tidegate_runtime.handover.handing import Handing
from tidegate_runtime.handover.pods import Connect, Pods
from tidegate_runtime.histogram import Histogram
from tidegate_runtime.naming import READY_PATH
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.share.client import Asking, HttpClient
from tidegate_runtime.share.document import Handover, Share, Target

logger = logging.getLogger(__name__)


class HandingOver:
    """One process' requests that are another revision's to answer. Called from the event loop."""

    def __init__(
        self, service: Service, changed: Callable[[], None] = lambda: None, connect: Connect | None = None
    ) -> None:
        """`changed` is called when callers are sent elsewhere, or no longer are; `connect` makes a connection."""
        self._service = service
        self._changed = changed
        self._draw = random.Random()
        self._pods = Pods(connect or _connect, self._ready_path, self._draw)
        self._canary = ""
        self._figures: dict[tuple[str, str], HandoverFigures] = {}
        self._fallbacks: dict[tuple[str, str], dict[int, int]] = {}
        self.handover: Handover | None = None
        """What is handed over now, and to whom."""

    @property
    def reachable(self) -> int | None:
        """How many of the pods take requests; None as long as none has been asked."""
        return self._pods.reachable

    def told(self, share: Share) -> None:
        """The share is this from here on."""
        handover = share.handover
        if handover == self.handover:
            return
        self.handover = handover
        if handover is not None and handover.revision != self._canary:
            # What the last canary's requests came to can be read until there is another, and its name's series end.
            self._canary, self._figures = handover.revision, {}
        if handover is None:
            self._pods.to(())
        else:
            self._pods.to(handover.targets, handover.revision)
        self._service.hand_over(self._handing)
        leaving = handover is not None and handover.leaving
        if leaving is not self._service.leaving:
            self._service.leave(leaving)
            self._changed()
        percent, canary = (handover.percent, handover.revision) if handover is not None else (0, "")
        logger.info("share", extra={"handover_percent": percent, "canary": canary, "leaving": leaving})

    def figures(self) -> list[HandoverFigures]:
        """Of each model whose requests are handed over to the canary that there is, or was last."""
        return list(self._figures.values())

    async def close(self) -> None:
        """Hands nothing more over."""
        self.told(Share(""))
        await self._pods.close()

    def _ready_path(self, revision: str) -> bytes:
        """Where a pod tells that it serves this very revision: an address may have gone to another service's pod.

        With tenants that is told to these alone; then it is where any pod tells that it is ready.
        """
        names = self._service.names() if self._service.guard is None else []
        path = (
            f"/v2/models/{quote(names[0], safe='')}/versions/{quote(revision, safe='')}/ready" if names else READY_PATH
        )
        return path.encode()

    def _handing(self, model: ServedModel) -> Handing | None:
        handover = self.handover
        if handover is None or model.version == handover.revision:
            return None
        key = (model.name, model.version)
        figures = self._figures.get(key)
        if figures is None:
            figures = self._figures[key] = HandoverFigures(*key, handover.revision, self._fallbacks.setdefault(key, {}))
        # Of none that a canary had first: one that hangs would soon be given all of the time by it.
        own = partial(p95_seconds, model.metrics.evidence_seconds)
        choice, service = Choice(handover, self._draw.random), self._service
        return Handing(choice, self._pods, figures, own, handover.timeout_seconds, lambda: service.draining)


def p95_seconds(durations: Histogram) -> float:
    """The bound that 95 of 100 are within; the largest one, of those that are beyond all, and 0 of none."""
    left = sum(durations.counts) * 0.95
    for bound, count in zip(durations.bounds, durations.counts, strict=False):
        if left <= 0:
            return 0.0
        left -= count
        if left <= 0:
            return bound
    return durations.bounds[-1]


def _connect(target: Target) -> Asking:
    return HttpClient(target.host, target.port)
