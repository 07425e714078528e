"""When an engine's process that has ended is started again. Pure."""

from typing import Final

LONGEST_DELAY_SECONDS: Final = 30.0

MAX_FAILED_LOADS: Final = 3
"""So many processes in a row that end while they load the model are the model's fault, or the device's."""

LEAST_PATIENCE_SECONDS: Final = 60.0
PATIENCE_FACTOR: Final = 3.0
"""A load again does less than the first, which proved and measured the model; the machine may be busier."""


def load_patience(first_seconds: float) -> float:
    """Seconds that a process may take to load the model again, where the first that did took `first_seconds`."""
    return max(LEAST_PATIENCE_SECONDS, PATIENCE_FACTOR * first_seconds)


def restart_delay(crashes: int) -> float:
    """Seconds to wait after the `crashes`-th crash in a row: 0, 1, 2, 4, … 30."""
    return 0.0 if crashes <= 1 else min(LONGEST_DELAY_SECONDS, 2.0 ** min(crashes - 2, 10))


def in_a_row(crashes: int, served_seconds: float) -> int:
    """The count with one crash more; one that comes after `LONGEST_DELAY_SECONDS` of service begins a new row."""
    return 1 if served_seconds >= LONGEST_DELAY_SECONDS else crashes + 1
