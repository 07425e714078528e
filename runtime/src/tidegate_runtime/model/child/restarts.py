"""When an engine's process that has ended is started again. Pure."""

from typing import Final

LONGEST_DELAY_SECONDS: Final = 30.0

MAX_FAILED_LOADS: Final = 3
"""So many processes in a row that end while they load the model are the model's fault, or the device's."""


def restart_delay(crashes: int) -> float:
    """Seconds to wait after the `crashes`-th crash in a row: 0, 1, 2, 4, … 30."""
    return 0.0 if crashes <= 1 else min(LONGEST_DELAY_SECONDS, 2.0 ** min(crashes - 2, 10))


def in_a_row(crashes: int, served_seconds: float) -> int:
    """The count with one crash more; one that comes after `LONGEST_DELAY_SECONDS` of service begins a new row."""
    return 1 if served_seconds >= LONGEST_DELAY_SECONDS else crashes + 1
