"""How fast connections get old, so that those that were made together don't end together."""

import random
from typing import Final

SPREAD: Final = 0.2
"""By which part a connection gets old faster, or slower, than others."""


def ageing() -> float:
    """A connection's own: how many seconds older each second makes it."""
    return random.uniform(1 - SPREAD, 1 + SPREAD)
