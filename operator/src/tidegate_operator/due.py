"""When the next pass over a service is due, if nothing happens before. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from tidegate_operator.api.rollout_spec import RolloutSpec
from tidegate_operator.report import Report
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.shadow import judged_by_copies

ASK_ROUTERS_AGAIN = timedelta(seconds=1)
"""Routers don't tell when they see a pod: they are asked, while it matters."""
LOOK_FOR_ROOM_AGAIN = timedelta(seconds=30)
"""Nor do nodes tell that they have room for pods that aren't there yet."""


def due(
    decision: Decision,
    rollout: RolloutSpec,
    report: Report,
    look: timedelta | None,
    now: datetime,
    moments: Iterable[datetime],
) -> timedelta | None:
    """After how long; None: not before something happens.

    `look` is when providers are to be asked again, and `moments` are times at which more is to be done.
    """
    times = [moment - now for moment in (decision.look_again, *moments) if moment]
    running = (decision.state.stable, decision.state.canary)
    unseen = any(report.workload(name).ready and report.routable.get(name) is not True for name in running if name)
    if unseen or decision.state.weight or judged_by_copies(decision.state, rollout):
        times.append(ASK_ROUTERS_AGAIN)
    if report.forecast.fits is not True and not report.forecast.told:
        times.append(LOOK_FOR_ROOM_AGAIN)
    if look is not None:
        times.append(look)
    return min(times, default=None)
