"""What a pass found out about a service, besides its decision; the status tells of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidegate_operator.api.status import RoutingStatus
from tidegate_operator.desired.platform_update import PlatformUpdate
from tidegate_operator.fit.forecast import PLACED, Forecast
from tidegate_operator.observed import Failure, Scaling, Workload


@dataclass(frozen=True)
class Report:
    """What a pass found out, besides the decision."""

    workloads: dict[str, Workload]
    routable: dict[str, bool | None]
    scaling: Scaling | None = None
    """What the stable revision's HPA says; None where the number of pods is fixed."""
    update: PlatformUpdate | None = None
    """What this release would make of the stable revision; None if nothing else."""
    forecast: Forecast = PLACED
    """Whether the pods that were decided on will find a place."""
    obstacle: Failure | None = None
    """Why the children could not be made as decided."""
    way: Failure | None = None
    """What, other than pods, stands in the way of requests."""
    canary_way: Failure | None = None
    """The same of a canary's requests alone."""
    routing: RoutingStatus | None = None
    """By which way callers come, where that isn't the bundled router alone."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the models that revisions are held to, as far as that is known."""

    def workload(self, revision: str | None) -> Workload:
        """What is known of `revision`'s pods."""
        return self.workloads.get(revision or "", Workload(revision or ""))


def with_planned(report: Report, planned: Mapping[str, Workload]) -> Report:
    """`report`, with the revisions that are to get a Deployment: told when decided, not again when it is there."""
    return replace(report, workloads={**planned, **report.workloads})


def with_forecast(report: Report, forecast: Forecast) -> Report:
    """`report`, with whether the pods that were decided on will find a place."""
    return replace(report, forecast=forecast)


def with_obstacle(report: Report, obstacle: Failure | None) -> Report:
    """`report`, with why the children could not be made as decided."""
    return replace(report, obstacle=obstacle)


def out_of_patience(report: Report) -> Report:
    """`report`, in which what was tried again and again isn't taken for passing any more."""
    workloads = {
        name: replace(found, failure=replace(found.failure, passing=False))
        if found.failure and found.failure.retried
        else found
        for name, found in report.workloads.items()
    }
    return replace(report, workloads=workloads)
