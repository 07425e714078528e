"""`status.rollout.analysis` of an InferenceService: what its canary is judged on."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tidegate_operator.api.schema import StatusModel

Verdict = Literal["Pass", "Fail", "Inconclusive"]
QueryOutcome = Literal["Within", "OutOfBounds", "NoData", "Unanswered"]
Evidence = Annotated[list[float], Field(max_length=32)]


class Sample(StatusModel):
    """What one revision's callers saw in the current step."""

    requests: int = 0
    """Requests answered, or failed."""
    failures: int = 0
    """Those that failed."""
    timed: int = 0
    """Requests whose times were compared: one of each batch."""
    slow: int = 0
    """Those of them that took longer than the p95 that is allowed."""
    p95_ms: int | None = None
    """Their 95th percentile in milliseconds."""


class CopySample(StatusModel):
    """What became of the copies of stable's requests in the current step."""

    compared: int = 0
    """Copies whose answers were compared with stable's."""
    diverged: int = 0
    """Those whose answers differed."""
    failed: int = 0
    """Copies that the canary answered with an error, or not in time."""
    dropped: int = 0
    """Copies that weren't sent, or refused for load: they tell nothing."""


class QueryStatus(StatusModel):
    """What Prometheus said to one of the analysis' queries."""

    name: Annotated[str, Field(max_length=32)]
    """The query's."""
    query: Annotated[str, Field(max_length=8192)]
    """What was asked, with names put in."""
    bounds: Annotated[str, Field(max_length=64)]
    """What the answer has to keep to."""
    outcome: QueryOutcome
    """Whether it does. NoData: it has no number. Unanswered: Prometheus can't be asked, or doesn't take the query."""
    value: float | None = None
    """The answer; left out where there is none."""
    problem: Annotated[str, Field(max_length=512)] | None = None
    """Why there is none."""
    against: int = 0
    """How many answers one after another counted against the canary in the current step."""
    windows: int = 1
    """How many of them there have to be until it is aborted."""


class AnalysisStatus(StatusModel):
    """What the canary is judged on, in the current step."""

    verdict: Verdict
    """Pass: nothing speaks against it. Fail: it is worse than allowed. Inconclusive: too few requests so far."""
    reason: Annotated[str, Field(max_length=64)]
    """Why, in one CamelCase word; API."""
    message: Annotated[str, Field(max_length=1024)]
    """Why, with the numbers and how many requests they come from."""
    at: datetime
    """When it was judged last."""
    canary: Sample
    """What the canary's callers saw."""
    stable: Sample
    """What the stable revision's callers saw in the same time."""
    slow_after_ms: Annotated[float, Field(ge=0)] | None = None
    """The time above which a request counts as slow; None until stable's own p95 is known."""
    error_evidence: Evidence | None = None
    """That the canary fails more than it may: the logarithm of the wealth of each bet on it."""
    p95_evidence: Evidence | None = None
    """That more than 5 in 100 of the canary's requests are slow: the logarithm of the wealth of each bet on it."""
    copies: CopySample | None = None
    """What became of copies, where the step is judged by them."""
    divergence_evidence: Evidence | None = None
    """That more of the canary's answers differ from stable's than may: the logarithm of the wealth of each bet."""
    queries: Annotated[list[QueryStatus], Field(max_length=10)] | None = None
    """What Prometheus said to the analysis' queries, where there are any."""
