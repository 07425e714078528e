"""One service in a line."""

from dataclasses import dataclass
from datetime import datetime

from tidegate_operator.cli.service import Service
from tidegate_operator.cli.words import age
from tidegate_operator.conditions import READY


@dataclass(frozen=True)
class Row:
    """What a list tells of a service."""

    namespace: str
    name: str
    ready: str
    """True, False or Unknown, as the condition says."""
    phase: str | None
    stable: str | None
    canary: str | None
    weight: int | None
    """The canary's share in percent."""
    pods_ready: int
    """Of stable and canary together."""
    pods_wanted: int
    age: str

    def cells(self, *, everywhere: bool) -> tuple[str, ...]:
        """The row's cells under `columns`."""
        cells = (
            self.name,
            self.ready,
            self.phase or "–",
            self.stable or "–",
            self.canary or "–",
            "–" if self.weight is None else f"{self.weight} %",
            f"{self.pods_ready}/{self.pods_wanted}",
            self.age,
        )
        return (self.namespace, *cells) if everywhere else cells


def columns(*, everywhere: bool) -> tuple[str, ...]:
    """The headings of a list."""
    own = ("NAME", "READY", "PHASE", "STABLE", "CANARY", "WEIGHT", "PODS", "AGE")
    return ("NAMESPACE", *own) if everywhere else own


def row(service: Service, now: datetime) -> Row:
    """What a list tells of `service`."""
    status = service.status
    ready = service.condition(READY)
    running = [routed for routed in (status.stable, status.canary) if routed]
    return Row(
        namespace=service.namespace,
        name=service.name,
        ready=ready.status if ready else "Unknown",
        phase=service.rollout.phase,
        stable=status.stable.revision if status.stable else None,
        canary=status.canary.revision if status.canary else None,
        weight=status.canary.weight if status.canary else None,
        pods_ready=sum(routed.ready_replicas for routed in running),
        pods_wanted=sum(routed.replicas for routed in running),
        age=age(service.created, now),
    )
