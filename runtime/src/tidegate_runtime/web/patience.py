"""How slowly a client may send a body and read an answer. Pure."""

from typing import Final

MIN_BYTES_PER_SECOND: Final = 1024
"""On average; less is taken for a client that wants to hold what it is given, not to use it."""

BODY_SECONDS: Final = 30.0
"""What a body may take beyond its time at that rate, and how long nothing of it may come."""

STALL_SECONDS: Final = 30.0
"""How often it is looked at who reads."""


def body_late_at(began: float, received: int, now: float) -> float:
    """When a body is late of which so many bytes came since it `began`, the last of them `now`."""
    return min(now, began + received / MIN_BYTES_PER_SECOND) + BODY_SECONDS


def reads(before: int, left: int) -> bool:
    """Whether a client reads that had `before` bytes to read a while ago, and has `left` bytes now."""
    return before - left >= MIN_BYTES_PER_SECOND * STALL_SECONDS
