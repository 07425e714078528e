"""Whether the share of requests that a canary was seen to answer is other than its weight. Pure."""

from math import log, sqrt
from typing import Final

STRICT: Final = 1e-6
"""How likely a share that is as it should be is taken for another one."""


def share_differs(requests_canary: int, requests_stable: int, weight: float) -> bool:
    """Whether the canary's share of the requests differs from `weight` per cent beyond chance.

    Each request is the canary's with chance w = weight / 100, independently. By Bernstein's inequality the canary's
    number of n is off from n·w by t or more with a chance of at most 2·exp(−t² / (2·(n·w·(1−w) + t/3))); the least t
    for which that is `STRICT` is at least 9.6, so that small numbers never differ.
    """
    total, share = requests_canary + requests_stable, weight / 100
    strictness = log(2 / STRICT)
    variance = total * share * (1 - share)
    off = strictness / 3 + sqrt(strictness**2 / 9 + 2 * strictness * variance)
    return abs(requests_canary - total * share) > off
