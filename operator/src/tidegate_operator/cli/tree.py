"""A service's status as a tree: what is true, who gets which share, and what the rollout waits for."""

from datetime import datetime
from typing import Final

from rich.text import Text
from rich.tree import Tree

from tidegate_operator.api.analysis_status import AnalysisStatus, CopySample, Sample
from tidegate_operator.api.status import AnsweredRequest, Condition, RoutedRevision, RoutingStatus
from tidegate_operator.cli.service import Service
from tidegate_operator.cli.sparkline import Seen, Series, sparkline
from tidegate_operator.cli.words import age, count, percent, plain, short, span, step_of
from tidegate_operator.conditions import PLATFORM_UPDATE_AVAILABLE, RECONCILING, SCALING_ACTIVE, STALLED
from tidegate_operator.evidence.queries import query_words

GOOD: Final = "green"
BAD: Final = "red"
BUSY: Final = "yellow"
DIM: Final = "dim"
_ABNORMAL = frozenset({RECONCILING, STALLED, PLATFORM_UPDATE_AVAILABLE})
_VERDICTS = {"Pass": GOOD, "Fail": BAD, "Inconclusive": BUSY}


def tree(service: Service, now: datetime, seen: Seen | None = None) -> Tree:
    """The tree of `service`, with graphs of what was `seen` before."""
    head = Text.assemble((service.name, "bold"), (f"  {service.namespace}", DIM))
    for url in filter(None, (service.status.url, service.status.external_url)):
        head.append(f"  {plain(url)}")
    root = Tree(head, guide_style=DIM)
    if not service.seen:
        behind = f"the controller hasn't looked at generation {service.generation} yet; what follows is older"
        root.add(Text(behind, BUSY))
    for condition in service.status.conditions:
        root.add(_condition(condition, now))
    if service.status.routing:
        root.add(_routing(service.status.routing))
    _revisions(root, service, now, seen)
    _rollout(root, service, now)
    return root


def _condition(condition: Condition, now: datetime) -> Text:
    style = _style(condition)
    mark = "●" if condition.status == "True" else "○"
    line = Text.assemble((f"{mark} ", style), (f"{condition.type} ", "bold"), (f"{condition.status} ", style))
    line.append(f"{condition.reason} for {age(condition.last_transition_time, now)}", DIM)
    if style != GOOD:
        line.append(f"  {plain(condition.message)}")
    return line


def _style(condition: Condition) -> str:
    if condition.status == "Unknown":
        return BUSY
    if condition.type == SCALING_ACTIVE and condition.reason == "FixedReplicas":
        return DIM
    if condition.type in _ABNORMAL:
        wrong = BAD if condition.type == STALLED else BUSY
        return wrong if condition.status == "True" else GOOD
    return GOOD if condition.status == "True" else BAD


def _routing(routing: RoutingStatus) -> Text:
    settled = not (routing.coming or routing.leaving)
    line = Text.assemble(("routing  ", "bold"), (routing.provider, GOOD if settled else BUSY))
    return line.append(f"  {plain(routing.message)}") if routing.message else line


def _revisions(root: Tree, service: Service, now: datetime, seen: Seen | None) -> None:
    status = service.status
    for role, routed in (("stable", status.stable), ("canary", status.canary)):
        if routed is None:
            continue
        branch = root.add(_routed(role, routed))
        series = seen.of(routed.revision) if seen else None
        if series:
            _graphs(branch, series)
    for retiring in status.retiring or []:
        left = span(retiring.until - now)
        root.add(Text.assemble(("retiring  ", "bold"), retiring.revision, (f"  pods go in {left}", DIM)))
    if status.previous:
        line = Text.assemble(("previous  ", "bold"), status.previous.revision)
        if status.previous.model_sha256:
            line.append(f"  model {short(status.previous.model_sha256)}", DIM)
        root.add(line)


def _routed(role: str, routed: RoutedRevision) -> Text:
    line = Text.assemble((f"{role}  ", "bold"), f"{routed.revision}  ", (f"{routed.weight} %", "bold"))
    if routed.observed_weight is not None:
        line.append(f"  seen {routed.observed_weight:g} %")
    pods = GOOD if routed.ready_replicas >= routed.replicas else BUSY
    line.append(f"  {routed.ready_replicas}/{routed.replicas} ready", pods)
    if routed.p95_ms is not None:
        line.append(f"  p95 {routed.p95_ms} ms")
    if routed.model_sha256:
        line.append(f"  model {short(routed.model_sha256)}", DIM)
    if routed.preview_url:
        line.append(f"  {plain(routed.preview_url)}", DIM)
    return line


def _graphs(branch: Tree, series: Series) -> None:
    share, p95, failed = series.share[-1], series.p95[-1], series.errors[-1]
    rows = (
        ("share ", sparkline(series.share, 100), None if share is None else f"{share:g} %"),
        ("p95   ", sparkline(series.p95), None if p95 is None else f"{p95:g} ms"),
        ("errors", sparkline(series.errors), None if failed is None else f"{failed:.2g} %"),
    )
    for name, bars, latest in rows:
        if bars.strip():
            branch.add(Text.assemble((f"{name} ", DIM), (bars, "cyan"), f" {latest or ''}"))


def _rollout(root: Tree, service: Service, now: datetime) -> None:
    rollout = service.rollout
    if rollout.phase is None:
        return
    style = BAD if rollout.phase == "Aborted" else GOOD if rollout.phase == "Stable" else BUSY
    line = Text.assemble(("rollout  ", "bold"), (rollout.phase, style))
    if rollout.step is not None:
        line.append(f"  {step_of(rollout.step, rollout.steps)}")
    if rollout.since:
        line.append(f"  for {age(rollout.since, now)}", DIM)
    branch = root.add(line)
    if rollout.message:
        branch.add(Text(plain(rollout.message)))
    if rollout.analysis:
        _analysis(branch, rollout.analysis, now)
    answered = rollout.last_request
    if answered:
        branch.add(_answered(answered, now))
    if rollout.request and (answered is None or answered.id != rollout.request.id):
        asked = f"{rollout.request.action} {rollout.request.revision}"
        branch.add(Text(f"request {asked} isn't answered yet (id {plain(rollout.request.id)})", BUSY))


def _analysis(branch: Tree, analysis: AnalysisStatus, now: datetime) -> None:
    line = Text.assemble(("analysis  ", "bold"), (analysis.verdict, _VERDICTS[analysis.verdict]))
    line.append(f"  {age(analysis.at, now)} ago", DIM)
    line.append(f"  {plain(analysis.message)}")
    judged = branch.add(line)
    if analysis.copies is not None:
        judged.add(Text.assemble(("copies  ", DIM), copies_words(analysis.copies)))
    else:
        for role, sample in (("canary", analysis.canary), ("stable", analysis.stable)):
            judged.add(Text.assemble((f"{role}  ", DIM), sample_words(sample, analysis.slow_after_ms)))
    for query in analysis.queries or []:
        style = GOOD if query.outcome == "Within" else BAD if query.outcome == "OutOfBounds" else BUSY
        judged.add(Text(plain(query_words(query)), style))


def sample_words(sample: Sample, slow_after_ms: float | None) -> str:
    """What callers of one revision saw, with the counts that it rests on."""
    told = f"{count(sample.requests)} requests, {count(sample.failures)} failed"
    if sample.requests:
        told += f" ({percent(sample.failures, sample.requests)})"
    if not sample.timed or slow_after_ms is None:
        return told
    slow = f"{count(sample.slow)} of {count(sample.timed)} above {slow_after_ms:g} ms"
    return f"{told}; {slow} ({percent(sample.slow, sample.timed)})"


def copies_words(copies: CopySample) -> str:
    """What became of copies, with the counts that it rests on."""
    told = f"{count(copies.compared)} compared, {count(copies.diverged)} differed"
    if copies.compared:
        told += f" ({percent(copies.diverged, copies.compared)})"
    return f"{told}; {count(copies.failed)} failed, {count(copies.dropped)} dropped"


def _answered(answered: AnsweredRequest, now: datetime) -> Text:
    verdict, style = ("accepted", GOOD) if answered.accepted else ("refused", BAD)
    line = Text.assemble(("last request  ", "bold"), f"{answered.action} {answered.revision} ", (verdict, style))
    line.append(f" {age(answered.time, now)} ago: ", DIM)
    line.append(plain(answered.message))
    return line
