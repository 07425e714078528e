"""`spec.rollout`: how a new revision takes over from the stable one."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_operator.api.match_spec import Matches, StickySpec
from tidegate_operator.api.query_spec import Queries
from tidegate_operator.api.schema import ApiModel, Duration, Percent, PositiveDuration, at_most, rules

Approval = Literal["Automatic", "Manual"]


class StepSpec(ApiModel):
    """One step of a rollout."""

    weight: Annotated[int, Field(ge=0, le=100)]
    """The canary's share of requests in percent. 0: its pods run and answer under status.canary.previewUrl,
    and copies by rollout.shadow, alone."""
    hold: Annotated[Duration, at_most("168h")] = "2m"
    """How long the step lasts at least."""
    approval: Approval | None = None
    """Whether this step waits for status.rollout.request after its hold. Left out: as rollout.approval says."""


StepWeights = Annotated[
    list[StepSpec],
    Field(
        min_length=1,
        max_length=20,
        json_schema_extra=rules(
            ("self.map(s, s.weight).isSorted()", "weights must ascend from step to step"),
            ("self.all(s, self.exists_one(t, t.weight == s.weight))", "each weight may occur once"),
        ),
    ),
]


class AnalysisSpec(ApiModel):
    """What the canary is judged on: the errors and times that callers saw, beside those of the stable revision."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "size(self.queries) == 0 || duration(self.interval) >= duration('10s')",
                "interval must be at least 10s where there are queries: Prometheus has nothing new before",
            ),
        )
    )

    interval: Annotated[PositiveDuration, at_most("1h")] = "30s"
    """How often it is judged."""
    min_requests: Annotated[int, Field(ge=0, le=1_000_000)] = 200
    """Requests that the canary has to have answered in a step before it may pass; in one with copies, answers that were
    compared. 0: none."""
    max_error_increase: Percent = "1%"
    """By how much the canary's share of failed requests may be above stable's."""
    max_p95_increase: Annotated[str, Field(max_length=5, pattern=r"^[0-9]{1,4}%$")] = "20%"
    """By how much the canary's p95 may be above stable's."""
    min_p95_increase: Annotated[Duration, at_most("1h")] = "2ms"
    """The least by which a p95 counts as increased, whatever share of stable's that is: a request that waits for a busy
    processor takes some milliseconds longer in any pod. 0ms: by maxP95Increase alone."""
    max_error_rate: Percent | None = None
    """The share of requests that the canary may fail, whatever stable does."""
    max_p95: Annotated[PositiveDuration, at_most("1h")] | None = None
    """The canary's p95 at most, whatever stable's is."""
    on_no_data: Literal["Hold", "Pass", "Fail"] = "Hold"
    """What to do when a step's hold is over without minRequests. Hold: wait for more. Pass: go on. Fail: abort."""
    queries: Queries = Field(default=[])
    """What else it is judged on, by the Prometheus that the install names; asked at each look, of steps with weight or
    with copies."""


class ShadowSpec(ApiModel):
    """Copies of stable's requests that the canary answers, too, while it has weight 0; its answers reach nobody."""

    percent: Annotated[int, Field(ge=1, le=100)]
    """The share of stable's good answers that the canary's are compared with."""
    compare: Literal["Values", "ArgMax"] = "Values"
    """When two answers differ. Values: if any number does beyond its type's tolerance, as fits the same model exported,
    quantised or run otherwise. ArgMax: only if in any row the largest value is in another column, as fits a classifier
    that was trained anew; outputs without such columns as by Values."""
    max_divergence: Percent = "1%"
    """The share of the canary's answers that may differ from stable's."""


class RolloutSpec(ApiModel):
    """How a new revision takes over from the stable one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.shadow) || self.steps.exists(s, s.weight == 0)",
                "shadow is for steps of weight 0, of which there are none: begin steps with {weight: 0, hold: 10m}, or"
                " drop shadow",
            ),
            (
                "!has(self.surge) || !has(self.surgeGpus)",
                "surge counts pods and surgeGpus GPUs, for the same limit: drop one of them",
            ),
        )
    )

    steps: StepWeights = Field(
        default=[StepSpec(weight=5, hold="2m"), StepSpec(weight=25, hold="5m"), StepSpec(weight=50, hold="5m")]
    )
    """The canary's shares, ascending; after the last one it is promoted."""
    approval: Approval = "Automatic"
    """Automatic: a step ends when its hold is over and the canary passed its analysis. Manual: a step waits for
    status.rollout.request as well."""
    paused: bool = False
    """Whether the canary stays where it is. A pause stops progress, never a rollback."""
    analysis: AnalysisSpec = AnalysisSpec()
    """What the canary is judged on."""
    match: Matches = Field(default=[])
    """A/B tests: requests that any of these fits go to the canary whatever its weight, as long as it has a ready pod.
    They are no evidence for or against it."""
    sticky: StickySpec | None = None
    """By which key a caller stays with one revision while the weights stay: the share is then one of keys, not of
    requests, and a request without the key is drawn on its own. Left out: each request is drawn on its own."""
    shadow: ShadowSpec | None = None
    """What is copied to the canary in steps of weight 0, which then pass only if its answers are as stable's. Left out:
    nothing, and such steps pass without evidence."""
    progress_deadline: Annotated[PositiveDuration, at_most("168h")] = "1h"
    """How long a canary may take to get ready for a step, or to collect its evidence, before it is aborted; time in
    which it waits for a person, or for pods beyond maxReplicas and surge, doesn't count."""
    surge: Annotated[int, Field(ge=0, le=100)] | None = None
    """Pods beyond scaling.maxReplicas that a rollout may use; what becomes of a step that needs more says whenFull.
    Left out: as many as the step needs, or with whenFull Yield 1."""
    surge_gpus: Annotated[int, Field(ge=0, le=1600)] | None = None
    """The same in GPUs: how many it may use beyond those of scaling.maxReplicas pods of the stable revision. Instead of
    surge, where a pod holds several, or the new revision's hold another number of them."""
    when_full: Literal["Wait", "Yield"] = "Wait"
    """What becomes of a step that needs more pods than maxReplicas and surge allow. Wait: it holds until somebody
    changes something. Yield: stable gives pods up to it, as far as its load allows, and gets them back if the canary
    loses its share; as the canary's get ready its weight rises to what they carry."""
    scale_down_delay: Annotated[Duration, at_most("168h")] = "10m"
    """How long the old stable's pods stay after a promotion, so that a rollback to it takes no time."""
    history_limit: Annotated[int, Field(ge=1, le=50)] = 10
    """How many revisions that don't run are remembered, to be rolled back to."""
