"""The event loop comes first where it shares a processor with the engine: it has little to do, and clients wait."""

import os
import sys
from contextlib import suppress
from threading import get_native_id
from typing import Final

NICENESS: Final = 5
"""A third of the loop's weight: enough for the loop to be run as soon as it wakes, and while it is flooded with what it
has to refuse the engine still has a quarter of the processor; less beside several front ends, which don't give way."""


def give_way() -> None:
    """Lets the thread that calls it, and the threads and processes it starts, come after those that didn't.

    Among those of one control group, a pod's, alone; Linux counts the others by group.
    """
    if sys.platform == "linux":  # Elsewhere a priority is the whole process's.
        thread = get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
