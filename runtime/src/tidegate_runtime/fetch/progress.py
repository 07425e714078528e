"""When to say how far a transfer is, and what. Pure but for the clock that is passed in and the log line."""

import logging
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

STEP_PERCENT: Final = 10
STEP_SECONDS: Final = 10.0
LEAST_SECONDS: Final = 1.0


class Progress:
    """Logs at each tenth of the whole, at most once a second, and every ten seconds where it is slow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.restart(None)

    def restart(self, total: int | None) -> None:
        """From zero, with `total` bytes to come if that is known."""
        self._total = total
        self._started = self._said = self._clock()
        self._said_percent = 0

    def advance(self, received: int) -> None:
        """So many bytes are there."""
        now = self._clock()
        percent = 100 * received // self._total if self._total else 0
        silent = now - self._said
        tenth = percent // STEP_PERCENT > self._said_percent // STEP_PERCENT
        if silent < LEAST_SECONDS or not (tenth or silent >= STEP_SECONDS):
            return
        self._said, self._said_percent = now, percent
        fields: dict[str, object] = {"bytes": received, "bytes_per_second": round(received / (now - self._started))}
        if self._total:
            fields |= {"total_bytes": self._total, "percent": percent}
        logger.info("fetching", extra=fields)
