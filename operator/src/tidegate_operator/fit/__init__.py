"""Whether the cluster has room for more pods like a revision's and, where it has none, what is missing; pure.

It looks at what the scheduler looks at, as far as Tidegate's pods use it: what nodes offer and pods ask for, the node
selector, taints, and the namespace's quotas. It doesn't see devices of ResourceClaims, where volumes are, what a
RuntimeClass adds, nor LimitRanges: a forecast for people, which the scheduler alone makes true.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Object = Mapping[str, Any]
Amounts = Mapping[str, Fraction]


@dataclass(frozen=True)
class Inventory:
    """The nodes of the cluster, and what their pods ask for, by the node's name."""

    nodes: Sequence[Object]
    used: Mapping[str, Amounts]


@dataclass(frozen=True)
class Room:
    """How many more pods fit."""

    pods: int
    message: str = ""
    """Where none does: what is missing, and where."""
