"""Findings as people read them."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from tidegate_operator.cli.explanation.finding import Finding
from tidegate_operator.cli.service import Service
from tidegate_operator.cli.words import age, plain, step_of


def readable(service: Service, findings: Sequence[Finding], now: datetime) -> RenderableType:
    """What holds `service`, or that nothing does."""
    if not findings:
        message = service.rollout.message or "nothing was decided yet"
        return Text.assemble((service.name, "bold"), f": nothing holds it: {plain(message)}")
    return Group(_head(service), *(part for finding in findings for part in _finding(finding, now)))


def _head(service: Service) -> Text:
    rollout, canary = service.rollout, service.status.canary
    head = Text.assemble((service.name, "bold"), f": {rollout.phase or 'not looked at yet'}")
    if rollout.step is not None:
        head.append(f", {step_of(rollout.step, rollout.steps)}")
    if canary:
        head.append(f", {canary.revision} at {canary.weight} %")
    return head


def _finding(finding: Finding, now: datetime) -> Iterator[RenderableType]:
    yield Text()
    line = Text.assemble((finding.hold, "yellow"), "  ", (finding.reason, "bold"))
    if finding.since:
        line.append(f"  for {age(finding.since, now)}", "dim")
    yield line
    yield Padding(Text(plain(finding.message)), (0, 0, 0, 2), expand=False)
    for evidence in finding.evidence:
        yield Padding(Text(f"· {plain(evidence)}"), (0, 0, 0, 2), expand=False)
    # A command is for copying: no terminal's edge may break it.
    yield Text(f"  $ {finding.command}", "cyan", no_wrap=True, overflow="ignore")
