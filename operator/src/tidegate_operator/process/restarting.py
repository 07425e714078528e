"""Begins a process's work anew in the same process, where that is the way out."""

import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 1.0, 15.0
LASTED_SECONDS = 60.0
"""What has run for so long begins with short pauses again."""


def run(
    work: Callable[[], Coroutine[Any, Any, None]],
    again: type[Exception],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run `work` in a loop of its own, and anew whenever it raises `again`; any other error is raised.

    A kubelet would restart the process as well, but later each time, up to five minutes.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        begun = clock()
        try:
            return uvloop.run(work())
        except again as error:
            if clock() - begun >= LASTED_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            logger.warning("begins anew", extra={"error": str(error), "cause": repr(error.__cause__), "seconds": pause})
        # Replicas that met the same trouble don't come back all at once.
        sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LAST_PAUSE_SECONDS)
