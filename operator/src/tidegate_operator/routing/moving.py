"""By which way callers come while a service goes over from one provider to another, so that no request is lost. Pure.

The new way is built beside the old one. Callers are sent by it once it has been seen to work for a while, and the old
one stays until nobody can still be sent there: names are remembered, and connections kept.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tidegate_operator.api.routing_spec import ProviderName
from tidegate_operator.api.status import MESSAGE_LENGTH, RoutingStatus

SETTLE: Final = timedelta(seconds=5)
"""How long the new way is seen to work first: nodes hear of a Service's address a moment later than the API server."""
LEAVE: Final = timedelta(minutes=10)
"""How long the old way stays: DNS answers are kept for seconds to minutes, connections for as long as callers like."""


@dataclass(frozen=True)
class Move:
    """Which ways there are."""

    now: ProviderName
    """By which callers are sent."""
    coming: ProviderName | None = None
    """The one to go over to."""
    since: datetime | None = None
    """Since when that is seen to work."""
    leaving: ProviderName | None = None
    """The one before, for those who still use it."""
    until: datetime | None = None

    @property
    def present(self) -> tuple[ProviderName, ...]:
        """All ways that have to be there, each once."""
        return tuple(dict.fromkeys(way for way in (self.now, self.coming, self.leaving) if way))


def remembered(status: RoutingStatus | None, wanted: ProviderName, *, fresh: bool) -> Move:
    """The move as `status` has it; a service without one is `fresh`, and takes what it wants, or came by the router."""
    if status is None:
        return Move(wanted if fresh else "Router")
    return Move(status.provider, status.coming, status.coming_since, status.leaving, status.leaving_until)


def following(move: Move, wanted: ProviderName, *, works: bool, now: datetime) -> Move:
    """The move after a look at what is wanted; `works` tells whether that way would bring requests to stable's pods."""
    if move.leaving and move.until and move.until <= now:
        move = replace(move, leaving=None, until=None)
    if wanted == move.now:
        return replace(move, coming=None, since=None)
    if move.coming != wanted or not works:
        return replace(move, coming=wanted, since=None)
    since = move.since or now
    if now - since < SETTLE or move.leaving not in (None, wanted):
        return replace(move, since=since)
    return Move(wanted, leaving=move.now, until=now + LEAVE)


def told(move: Move, *, exact: bool, hindrance: str | None = None) -> RoutingStatus | None:
    """What the status says of it; None of the bundled router where nothing else is, or was lately.

    `hindrance` is why the way that is coming doesn't work yet.
    """
    if move == Move("Router"):
        return None
    return RoutingStatus(
        provider=move.now,
        weights="Exact" if exact else "Approximate",
        message=_message(move, exact, hindrance)[:MESSAGE_LENGTH],
        coming=move.coming,
        coming_since=move.since,
        leaving=move.leaving,
        leaving_until=move.until,
    )


def _message(move: Move, exact: bool, hindrance: str | None) -> str:
    said = [] if exact else ["weights are approximate: a revision's share follows its part of the pods, by connections"]
    if move.coming:
        seen = "is seen to work" if move.since else "is built beside it" + (f": {hindrance}" if hindrance else "")
        said.append(f"going over to {move.coming}, which {seen}")
    if move.leaving:
        said.append(f"{move.leaving} stays for callers who still use it")
    return "; ".join(said) or f"callers come by {move.now}"
