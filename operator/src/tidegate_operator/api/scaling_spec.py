"""`spec.scaling`: how many pods, and when more."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_operator.api.scaling_behavior import ScalingBehavior
from tidegate_operator.api.schema import ApiModel, IntOrDuration, PositiveDuration, at_most, rules


class SloSpec(ApiModel):
    """What callers are promised."""

    p95: Annotated[PositiveDuration, at_most("1h")]
    """95 of 100 requests are answered within this time."""


class MetricSpec(ApiModel):
    """One signal to scale on."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.type != 'QueueDepth' || (type(self.target) == int && self.target >= 1)",
                "target of QueueDepth must be a number of requests, at least 1",
            ),
            (
                "self.type != 'P95' || (type(self.target) == string && self.target.matches('^[1-9][0-9]{0,5}(ms|s)$'))",
                "target of P95 must be a duration such as 120ms",
            ),
        )
    )

    type: Literal["QueueDepth", "P95"]
    """QueueDepth: requests waiting per pod. P95: the revision's 95th percentile of latency."""
    target: IntOrDuration
    """The value to keep to: requests for QueueDepth, a duration for P95."""


class ScalingSpec(ApiModel):
    """How many pods, and when more."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "minReplicas must not be above maxReplicas: lower the one, or raise the other",
            ),
            (
                "!has(self.metrics) || (has(self.maxReplicas) && self.maxReplicas > self.minReplicas)",
                "metrics need a maxReplicas above minReplicas: set it, or drop metrics",
            ),
            (
                "!has(self.behavior) || (has(self.maxReplicas) && self.maxReplicas > self.minReplicas)",
                "behavior needs a maxReplicas above minReplicas: set it, or drop behavior",
            ),
        )
    )

    min_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Pods at least."""
    max_replicas: Annotated[int, Field(ge=1, le=100)] | None = None
    """Pods at most, both revisions together. Left out: always minReplicas, no autoscaling."""
    slo: SloSpec | None = None
    """The promise that metrics are derived from where they are left out."""
    metrics: (
        Annotated[
            list[MetricSpec],
            Field(
                min_length=1,
                max_length=2,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
            ),
        ]
        | None
    ) = None
    """What to scale on. Left out: QueueDepth 8, and P95 at slo.p95 where there is one."""
    behavior: ScalingBehavior | None = None
    """The HorizontalPodAutoscaler's behavior, passed through whole."""
