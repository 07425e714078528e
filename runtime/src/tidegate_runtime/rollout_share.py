"""What a process is asked to do for a rollout, by the share that it asks for: hand requests over, and copy them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Self

from tidegate_runtime.handover.handing_over import HandingOver
from tidegate_runtime.service import Service
from tidegate_runtime.shadow.shadowing import Shadowing
from tidegate_runtime.share.document import Share
from tidegate_runtime.share.questions import ShareQuestions


class RolloutShare:
    """Goes by the share that is told at a URL, until `close`."""

    def __init__(self, service: Service, url: str, changed: Callable[[], None]) -> None:
        """`changed` is called when callers are sent elsewhere, or no longer are."""
        self._service = service
        self.shadowing = Shadowing(service)
        self.handing_over = HandingOver(service, changed)
        self._questions = ShareQuestions(url, self._told)
        self._asking = asyncio.create_task(self._questions.run(), name="share")

    @classmethod
    def begun(cls, service: Service, url: str, changed: Callable[[], None]) -> Self | None:
        """None where `url` is "": nothing is handed over or copied."""
        return cls(service, url, changed) if url else None

    @property
    def answers(self) -> Mapping[str, int]:
        """Questions by what came of them."""
        return self._questions.answers

    async def close(self) -> None:
        """Asks, hands over and copies nothing more."""
        self._asking.cancel()
        await asyncio.wait({self._asking})
        await asyncio.gather(self.handing_over.close(), self.shadowing.close())

    def _told(self, share: Share) -> None:
        self._service.connection_seconds = share.connection_seconds
        self.handing_over.told(share)
        self.shadowing.told(share)
