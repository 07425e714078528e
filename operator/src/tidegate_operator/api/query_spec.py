"""`spec.rollout.analysis.queries`: what Prometheus says of a canary, and has to."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_operator.api.schema import ApiModel, rules

_QUERY = r"^([^{]|[{][{](canary|stable|namespace|service)[}][}]|[{][^{])*$"

Bound = Annotated[float, Field(allow_inf_nan=False)]


class QuerySpec(ApiModel):
    """A question to the install's Prometheus, and the bounds of its answer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.max) || has(self.min)", "needs max or min, or both: what the answer has to keep to"),
            ("!has(self.max) || !has(self.min) || self.min <= self.max", "min is above max: lower it, or raise max"),
        )
    )

    name: Annotated[str, Field(max_length=32, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
    """What it is called in verdicts and in the status."""
    query: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            pattern=r"^[^\x00]*$",
            json_schema_extra=rules(
                (
                    rf"self.matches('{_QUERY}')",
                    "{{canary}}, {{stable}}, {{namespace}} and {{service}} are put in, and nothing else: write one of"
                    " them, or put a space between two braces",
                ),
            ),
        ),
    ]
    """PromQL that gives one number: a scalar, or one sample, as by sum or max. {{canary}} and {{stable}} are put in as
    the revisions' names, {{namespace}} and {{service}} as the service's own."""
    max: Bound | None = None
    """What it may be at most."""
    min: Bound | None = None
    """What it has to be at least."""
    windows: Annotated[int, Field(ge=1, le=20)] = 3
    """How many answers one after another have to be out of bounds until the canary is aborted. One holds the step."""
    on_no_data: Literal["Hold", "Pass", "Fail"] = "Hold"
    """What to make of an answer without a sample, or whose number is none (NaN, Inf). Hold: the step waits for another.
    Pass: as if it were within bounds. Fail: as if it were out of them. Without an answer the step waits, whatever this
    says."""


Queries = Annotated[
    list[QuerySpec],
    Field(
        max_length=10,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]
