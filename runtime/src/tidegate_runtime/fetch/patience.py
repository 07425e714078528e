"""How slowly a host may send: no slower than clients may send to the servers."""

from typing import Final

from tidegate_runtime.timed_response import LateAt, TimedResponse

MIN_BYTES_PER_SECOND: Final = 1024
"""On average. Below that a model of 100 MB takes more than a day."""
SILENCE_SECONDS: Final = 30.0
"""What an answer may take beyond its time at that rate, and how long nothing of it may come."""


def late_at(began: float, received: int, now: float) -> float:
    """When an answer is late of which so many bytes have come since it was asked for, the last of them `now`."""
    return min(now, began + received / MIN_BYTES_PER_SECOND) + SILENCE_SECONDS


class PatientResponse(TimedResponse):
    """An answer that goes on as long as it comes fast enough."""

    @staticmethod
    def rule(seconds: float | None) -> LateAt:
        """When it is late."""
        return late_at
