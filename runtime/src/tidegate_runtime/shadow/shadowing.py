"""Copies go by what is told of the share: whose requests are tapped, where copies are sent, and what is counted."""

import logging
import random
from collections.abc import Callable

from tidegate_runtime.naming import ShadowOutcome
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.shadow.copies import Waiting
from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.shadow.sending import Sending
from tidegate_runtime.shadow.tap import Tap
from tidegate_runtime.share.client import Asking, HttpClient
from tidegate_runtime.share.document import Shadow, Share, Target

logger = logging.getLogger(__name__)


class Shadowing:
    """One process' copies. Called from the event loop."""

    def __init__(self, service: Service, connect: Callable[[Target], Asking] | None = None) -> None:
        """`connect` makes a connection to a pod, over HTTP unless it is given."""
        self._service = service
        self._waiting = Waiting()
        self._sending = Sending(self._waiting, connect or _connect)
        self._draw = random.Random()
        self._canary = ""
        self._figures: dict[tuple[str, str], ShadowFigures] = {}
        self.shadow: Shadow | None = None
        """What is copied now, and to whom."""

    def told(self, share: Share) -> None:
        """The share is this from here on."""
        shadow = share.shadow
        if shadow == self.shadow:
            return
        self.shadow = shadow
        if shadow is None or shadow.revision != self._canary:
            for copy in self._waiting.clear():
                copy.figures.count(ShadowOutcome.DROPPED)
        if shadow is not None and shadow.revision != self._canary:
            # What the last canary's copies came to can be read until there is another.
            self._canary, self._figures = shadow.revision, {}
        self._sending.to(shadow.targets if shadow is not None else ())
        self._service.tap(self._tap)
        percent, canary = (shadow.percent, shadow.revision) if shadow is not None else (0, "")
        logger.info("share", extra={"shadow_percent": percent, "canary": canary})

    def figures(self) -> list[ShadowFigures]:
        """Of each model that has copies sent to the canary that there is, or was last."""
        return list(self._figures.values())

    async def close(self) -> None:
        """Copies nothing more."""
        self.told(Share(""))
        await self._sending.close()

    def _tap(self, model: ServedModel) -> Tap | None:
        shadow = self.shadow
        if shadow is None or model.version == shadow.revision:
            return None
        key = (model.name, model.version)
        figures = self._figures.get(key)
        if figures is None:
            figures = self._figures[key] = ShadowFigures(*key, shadow.revision)
        return Tap(model, shadow.percent, figures, self._waiting, self._draw)


def _connect(target: Target) -> Asking:
    return HttpClient(target.host, target.port)
