"""The behavior of an autoscaling/v2 HorizontalPodAutoscaler, field for field, passed through as it is."""

from typing import Annotated, Literal

from pydantic import Field

from tidegate_operator.api.schema import ApiModel


class ScalingPolicy(ApiModel):
    """How much may change in a period."""

    type: Literal["Pods", "Percent"]
    """What value counts."""
    value: Annotated[int, Field(ge=1, le=100_000)]
    """Pods, or percent of the current ones."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)]
    """The period in seconds."""


class ScalingRules(ApiModel):
    """One direction's rules."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Seconds whose recommendations are considered before a change."""
    select_policy: Literal["Max", "Min", "Disabled"] | None = None
    """Which of the policies counts."""
    policies: Annotated[list[ScalingPolicy], Field(max_length=10)] | None = None
    """The policies."""
    tolerance: Annotated[str, Field(pattern=r"^(0|0?\.[0-9]{1,6}|[0-9]{1,3}m|1)$")] | None = None
    """The ratio to the target within which nothing changes, such as 0.1."""


class ScalingBehavior(ApiModel):
    """How fast replicas may follow the metrics."""

    scale_up: ScalingRules | None = None
    """Rules for more replicas."""
    scale_down: ScalingRules | None = None
    """Rules for fewer replicas."""
