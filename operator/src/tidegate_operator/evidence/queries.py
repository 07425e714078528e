"""What Prometheus' answers say of a canary, beside what its callers saw. Pure.

Nothing is known of what a query's number is made of: how many events, how they scatter, whether two in a row are of the
same ones. So there is no chance of an error to keep, and the rule is a plain one: out of bounds in as many answers one
after another as the spec says is a Fail, and in fewer the step waits until it is within. A window without an answer
changes no count: whoever can't be asked speaks neither for nor against anybody.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tidegate_operator.api.analysis_status import AnalysisStatus, QueryOutcome, QueryStatus, Verdict
from tidegate_operator.api.query_spec import QuerySpec
from tidegate_operator.evidence import words
from tidegate_operator.evidence.answers import Answer, NoData, Number, Unanswered
from tidegate_operator.install import Install

Reason = Literal["QueryGaveNoData", "QueryOutOfBounds", "QueryUnanswered", "QueryUndecided", "QueryWithoutData"]

_BY_WEIGHT: Final[tuple[Reason, ...]] = (
    "QueryOutOfBounds",
    "QueryGaveNoData",
    "QueryUndecided",
    "QueryWithoutData",
    "QueryUnanswered",
)
"""Of what several queries lead to the first is told."""

UNSETTLED: Final = frozenset[str]({"QueryUnanswered", "QueryUndecided", "QueryWithoutData"})
"""Why a step waits though there may be requests enough: what becomes of one with too few is no answer to it."""

AGAINST: Final = frozenset[str]({"QueryGaveNoData", "QueryOutOfBounds"})
"""Why a canary is given up by a query."""

_TOLD: Final = 3
"""Queries that a message tells of; the status has them all."""
_LONGEST_MESSAGE: Final = 1024
"""As the status allows."""

_PLACEHOLDER = re.compile(r"\{\{(canary|stable|namespace|service)\}\}")
_LABEL_VALUE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""Of an object's name: nothing that ends a string of PromQL, or means anything in one."""


@dataclass(frozen=True)
class Names:
    """What is put into queries."""

    namespace: str
    service: str
    stable: str
    canary: str


def refusal(namespace: str, install: Install) -> str | None:
    """Why services of a namespace may not have queries, and what to do about it; None if they may."""
    if not install.prometheus_url:
        return "this install names no Prometheus to ask: set the chart's prometheus.url, or drop the queries"
    if install.prometheus_namespaces and namespace not in install.prometheus_namespaces:
        return (
            f"this install lets no service of {namespace} ask Prometheus: add it to the chart's prometheus.namespaces,"
            " or drop the queries"
        )
    return None


def rendered(text: str, names: Names) -> str:
    """`text` with the names that its placeholders stand for.

    ValueError for a name that no object can have: it might be more than a label's value to PromQL.
    """

    def put(found: re.Match[str]) -> str:
        value: str = getattr(names, found[1])
        if not _LABEL_VALUE.fullmatch(value):
            raise ValueError(f"{value!r} is no object's name")
        return value

    return _PLACEHOLDER.sub(put, text)


def judge_queries(
    verdict: AnalysisStatus,
    before: AnalysisStatus | None,
    queries: Sequence[QuerySpec],
    asked: Sequence[str],
    answers: Sequence[Answer],
) -> AnalysisStatus:
    """`verdict`, which led to from what callers saw, or copies, and is no Fail, with what the queries say, too.

    `asked` is each query with names put in, `before` the verdict before in the same step. What the queries leave open
    comes before what the rest does, since it holds whatever the spec says of too few requests.
    """
    known = {told.name: told for told in (before.queries or [] if before is not None else [])}
    found = [
        _counted(query, known.get(query.name), text, answer)
        for query, text, answer in zip(queries, asked, answers, strict=True)
    ]
    reasons = [_reason(query, told) for query, told in zip(queries, found, strict=True)]
    for reason in _BY_WEIGHT:
        meant = [told for told, why in zip(found, reasons, strict=True) if why == reason]
        if meant:
            outcome: Verdict = "Fail" if reason in AGAINST else "Inconclusive"
            message = f"{_listed(meant)}; {verdict.message}"
            return verdict.model_copy(
                update={"verdict": outcome, "reason": reason, "message": _cut(message), "queries": found}
            )
    return verdict.model_copy(update={"message": _cut(f"{verdict.message}; {_listed(found)}"), "queries": found})


def query_words(told: QueryStatus) -> str:
    """What became of a query, in one line."""
    said = f"gave {told.value:.6g}" if told.value is not None else "gave no number"
    why = f": {told.problem}" if told.problem else ""
    row = f", {told.against} of {told.windows} in a row against the canary" if told.against else ""
    return f"query {told.name} {said} ({told.bounds}){row}{why}"


def _counted(query: QuerySpec, before: QueryStatus | None, asked: str, answer: Answer) -> QueryStatus:
    bounds, outcome = _bounds(query), _outcome(query, answer)
    same = before is not None and (before.query, before.bounds) == (asked, bounds)
    against = before.against if before is not None and same else 0
    speaks = _speaks(query, outcome)
    return QueryStatus(
        name=query.name,
        query=asked,
        bounds=bounds,
        outcome=outcome,
        value=answer.value if isinstance(answer, Number) else None,
        problem=None if isinstance(answer, Number) else answer.why,
        against=against + 1 if speaks == "against" else 0 if speaks == "for" else against,
        windows=query.windows,
    )


def _bounds(query: QuerySpec) -> str:
    """What its answer has to keep to, such as "at most 0.05"."""
    if query.min is None:
        return f"at most {query.max:.6g}"
    return f"at least {query.min:.6g}" if query.max is None else f"from {query.min:.6g} to {query.max:.6g}"


def _outcome(query: QuerySpec, answer: Answer) -> QueryOutcome:
    match answer:
        case NoData():
            return "NoData"
        case Unanswered():
            return "Unanswered"
    above = query.max is not None and answer.value > query.max
    below = query.min is not None and answer.value < query.min
    return "OutOfBounds" if above or below else "Within"


def _speaks(query: QuerySpec, outcome: QueryOutcome) -> Literal["for", "against"] | None:
    match outcome:
        case "Within":
            return "for"
        case "OutOfBounds":
            return "against"
        case "NoData" if query.on_no_data != "Hold":
            return "for" if query.on_no_data == "Pass" else "against"
    return None


def _reason(query: QuerySpec, told: QueryStatus) -> Reason | None:
    """Why the canary doesn't pass by this query; None if it does."""
    speaks = _speaks(query, told.outcome)
    if speaks == "for":
        return None
    lost = speaks == "against" and told.against >= query.windows
    match told.outcome:
        case "NoData":
            return "QueryGaveNoData" if lost else "QueryWithoutData"
        case "Unanswered":
            return "QueryUnanswered"
    return "QueryOutOfBounds" if lost else "QueryUndecided"


def _listed(told: Sequence[QueryStatus]) -> str:
    more = f", and {words.count(len(told) - _TOLD, 'other', 'others')} as well" if len(told) > _TOLD else ""
    return "; ".join(map(query_words, told[:_TOLD])) + more


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 1]}…"
