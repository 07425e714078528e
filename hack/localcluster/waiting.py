"""Waiting for a condition with a deadline. A condition answers None once it holds, else what it still misses."""

import time
from collections.abc import Callable

from localcluster.errors import ClusterError

_POLL_SECONDS = 0.05


def wait_for(what: str, missing: Callable[[], str | None], *, seconds: float) -> None:
    """Return once `missing()` is None.

    Raises:
        ClusterError: the deadline passed; names `what`, the time and what was missing last.
    """
    deadline = time.monotonic() + seconds
    while (lack := missing()) is not None:
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {seconds:.0f} s; last seen: {lack}")
        time.sleep(_POLL_SECONDS)
