"""`spec.rollout`: how a new revision takes over from the stable one."""

from typing import Annotated, Literal

from pydantic import Field

from tidegate_operator.api.schema import ApiModel, Duration, at_most, rules


class StepSpec(ApiModel):
    """One step of a rollout."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """The canary's share of requests in percent."""
    hold: Annotated[Duration, at_most("168h")] = "2m"
    """How long the step lasts at least."""


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


class RolloutSpec(ApiModel):
    """How a new revision takes over from the stable one."""

    steps: StepWeights = Field(
        default=[StepSpec(weight=5, hold="2m"), StepSpec(weight=25, hold="5m"), StepSpec(weight=50, hold="5m")]
    )
    """The canary's shares, ascending; after the last one it is promoted."""
    approval: Literal["Automatic", "Manual"] = "Automatic"
    """Automatic: a step ends when its hold is over and the canary was ready throughout. Manual: a step waits for
    status.rollout.request as well."""
    surge: Annotated[int, Field(ge=0, le=100)] | None = None
    """Pods beyond scaling.maxReplicas that a rollout may use; a step that needs more holds and says so. Left out: as
    many as the step needs."""
    scale_down_delay: Annotated[Duration, at_most("168h")] = "10m"
    """How long the old stable's pods stay after a promotion."""
