"""How much work a model is offered, told to its metrics once in a while."""

from math import inf
from typing import Final

from tidegate_runtime.metrics import ModelMetrics

OFFER_SECONDS: Final = 0.1
"""How often the metrics are told what was offered: it is read as a sum over seconds."""


class Offers:
    """Tells `metrics` of engine seconds that were offered."""

    def __init__(self, metrics: ModelMetrics) -> None:
        self._metrics = metrics
        self._told = 0.0
        self._told_at = -inf

    def note(self, offered_seconds: float, now: float) -> None:
        """So much was offered in all until `now`."""
        if now - self._told_at >= OFFER_SECONDS:
            self._told_at = now
            self._metrics.offer(offered_seconds - self._told, now)
            self._told = offered_seconds
