"""`spec` of an InferenceService. Its schema, defaults and CEL rules are the CRD's; nothing else writes it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_operator.api.scaling_behavior import ScalingBehavior
from tidegate_operator.api.schema import (
    ApiModel,
    Cpu,
    Duration,
    IntOrDuration,
    Memory,
    PositiveDuration,
    Size,
    at_most,
    rules,
)

ModelUri = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^(https?|pvc)://[!-~]+$",
        json_schema_extra=rules(
            ("!self.contains('..') && !self.lowerAscii().contains('%2e')", "must not contain '..', plain or encoded"),
            (r"!self.contains('\\')", "must not contain a backslash"),
            ("!self.matches('^https?://[^/]*@')", "must not carry credentials before the host"),
            (
                "!self.startsWith('http') || self.matches('^https?://[^/?#]+/.+$')",
                "must be https://<host>/<path>",
            ),
            (
                "!self.lowerAscii().matches('^https?://(localhost[:/]|127[.]|169[.]254[.]|0[.x]|[[](::|fe80:))')",
                "must not name the pod itself or a link-local address",
            ),
            (
                "!self.startsWith('pvc://') || self.matches('^pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.+$')",
                "must be pvc://<claim>/<path>, a PersistentVolumeClaim of the same namespace",
            ),
        ),
    ),
]


class ModelSpec(ApiModel):
    """What to serve."""

    uri: ModelUri
    """Where the ONNX model is: https://host/path, http://host/path where the install allows it, or pvc://claim/path."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The file's SHA-256 in hex; a pod whose file differs doesn't start."""


class BatchingSpec(ApiModel):
    """How requests are put together into one run of the model."""

    max_batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    """Rows in one run at most."""
    max_delay: Annotated[Duration, at_most("10s")] = "5ms"
    """How long a request may wait for others; never while the engine is idle."""


class LimitsSpec(ApiModel):
    """What one pod takes on before it refuses."""

    queue_size: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Requests waiting at most; the next one is answered 429."""
    max_body_bytes: Size = "64Mi"
    """Bytes of a request's body at most; a larger one is answered 413."""


class RuntimeSpec(ApiModel):
    """How the model is run."""

    device: Literal["cuda", "cpu"] = "cuda"
    """Where the model runs. Without the device a pod doesn't start: there is no silent fallback."""
    batching: BatchingSpec = BatchingSpec()
    """How requests are batched."""
    limits: LimitsSpec = LimitsSpec()
    """What one pod takes on before it refuses."""
    timeout: Annotated[PositiveDuration, at_most("1h")] = "30s"
    """From a request's last byte to its answer; then 504."""


class GpuSpec(ApiModel):
    """The accelerators of one pod."""

    count: Annotated[int, Field(ge=1, le=16)] = 1
    """How many."""
    resource: Annotated[str, Field(max_length=100, pattern=r"^[a-z0-9.-]+\.[a-z]+/[a-z0-9.-]+$")] = "nvidia.com/gpu"
    """The extended resource's name, as the node advertises it."""


class RequestsSpec(ApiModel):
    """What one pod asks of its node."""

    cpu: Cpu = "1"
    """Processors."""
    memory: Memory = "2Gi"
    """Memory, also the pod's limit."""


class ResourcesSpec(ApiModel):
    """What one pod needs."""

    gpu: GpuSpec | None = None
    """Accelerators. Left out: one nvidia.com/gpu where runtime.device is cuda, else none."""
    requests: RequestsSpec = RequestsSpec()
    """Processors and memory."""


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
                "minReplicas must not be above maxReplicas",
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


class RoutingSpec(ApiModel):
    """How requests reach the pods."""

    provider: Literal["Router"] = "Router"
    """Router: the bundled Envoy."""


class InferenceServiceSpec(ApiModel):
    """What a team asks for."""

    model: ModelSpec
    """What to serve."""
    runtime: RuntimeSpec = RuntimeSpec()
    """How the model is run."""
    resources: ResourcesSpec = ResourcesSpec()
    """What one pod needs."""
    scaling: ScalingSpec = ScalingSpec()
    """How many pods, and when more."""
    rollout: RolloutSpec = RolloutSpec()
    """How a new revision takes over."""
    routing: RoutingSpec = RoutingSpec()
    """How requests reach the pods."""
