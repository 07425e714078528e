"""What holds a service, from its object and those around it: each finding with its evidence and the way on."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from tidegate_operator.cli.explanation import controller, gates, obstacles, pods, routes
from tidegate_operator.cli.explanation.case import Case
from tidegate_operator.cli.explanation.finding import Finding
from tidegate_operator.cli.service import Object, understand

__all__ = ["Finding", "explain"]

_RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    controller.not_running,
    controller.behind,
    controller.unanswered,
    obstacles.invalid_spec,
    obstacles.not_owned,
    obstacles.refused,
    obstacles.contested,
    gates.aborted,
    pods.not_ready,
    routes.stable_not_routed,
    routes.way_not_working,
    routes.way_not_coming,
    routes.stable_cant_hand_over,
    routes.canary_not_routed,
    obstacles.capacity,
    gates.paused_by_spec,
    gates.paused_by_request,
    gates.approval,
    gates.hold,
    gates.sample,
    routes.share_differs,
    obstacles.autoscaler,
)
"""What makes the rest moot comes first."""


def explain(live: Object, children: Iterable[Object], now: datetime, install: str = "tidegate-system") -> list[Finding]:
    """What holds the InferenceService `live`; nothing if it is where its spec wants it.

    `children` are its objects (Deployments, pods, autoscalers) and, if it could be read, the controller's Lease, which
    is in namespace `install`. Raises `errors.InvalidSpec` if this release can't read the status.
    """
    case = Case(understand(live), tuple(children), now, install)
    return [finding for rule in _RULES for finding in rule(case)]
