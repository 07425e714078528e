"""Whether the pods that a service is to have next will find a place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidegate_operator.fit import Inventory, Object
from tidegate_operator.fit.room import room


@dataclass(frozen=True)
class Wanted:
    """The pods that a revision is to have and that have no node yet."""

    revision: str
    pod: Object
    """The spec of each."""
    pods: int
    made: int
    """How many of them exist, and wait."""
    awaited: int
    """How many of them exist, or will, since their Deployment asks for them."""


@dataclass(frozen=True)
class Forecast:
    """What the scheduler will probably do."""

    fits: bool | None
    """None: nobody could look."""
    message: str
    told: bool = False
    """Whether a change is heard of by itself, as of pods that are there and get a node, or nobody could find out."""


PLACED = Forecast(True, "all pods have a place, or will find one")
"""In the same words for both: who looks while pods are being placed isn't told of it."""


def heard_of(wanted: Iterable[Wanted]) -> bool:
    """Whether all of these pods are there or on their way, so that their watch tells when they get a node."""
    return all(each.awaited == each.pods for each in wanted)


def forecast(wanted: Sequence[Wanted], inventory: Inventory, quotas: Iterable[Object]) -> Forecast:
    """Whether `wanted` fit, each revision by itself.

    `inventory` is the whole cluster's, and `quotas` are those of the service's namespace.
    """
    quotas = tuple(quotas)
    for each in wanted:
        found = room(each.pod, inventory, quotas, each.made)
        if found.pods < each.pods:
            more = "a pod" if each.pods == 1 else f"{each.pods} pods"
            why = found.message or f"there is room for {found.pods}"
            return Forecast(False, f"{each.revision} is to have {more} more than run: {why}", heard_of(wanted))
    return PLACED
