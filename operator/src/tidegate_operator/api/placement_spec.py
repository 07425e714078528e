"""`spec.placement`: which nodes a pod may run on, and how it gets there."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_operator.api.schema import ApiModel, ObjectName, rules

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_KEY = rf"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_NAME}$"
_KEY_LENGTH = 317
"""A prefix of 253 characters, a slash, and a name of 63."""
_CONTROL_PLANE = [f"node-role.kubernetes.io/{role}" for role in ("control-plane", "master", "etcd")]
"""Labels and taints of nodes that are no place for workloads; written out, a list of CEL."""

LabelValue = Annotated[str, Field(max_length=63, pattern=rf"^({_NAME})?$")]

NodeSelector = Annotated[
    dict[str, LabelValue],
    Field(
        max_length=16,
        json_schema_extra=rules(
            (
                # A schema can bound a map's values, not its keys.
                f"self.all(k, k.size() <= {_KEY_LENGTH} && k.matches('{_KEY}'))",
                f"keys must be labels' keys of at most {_KEY_LENGTH} characters, such as topology.kubernetes.io/zone",
            ),
            (
                f"!self.exists(k, k in {_CONTROL_PLANE})",
                "must not choose control-plane nodes: choose labels of nodes that are there for workloads",
            ),
        ),
    ),
]


class TolerationSpec(ApiModel):
    """A taint that doesn't keep pods away, as a pod's `tolerations` have it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.operator == 'Equal') == has(self.value)",
                "value goes with operator Equal, and with it alone: set value, or operator: Exists",
            ),
            (
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds goes with effect NoExecute alone: set it, or drop tolerationSeconds",
            ),
        )
    )

    key: Annotated[
        str,
        Field(
            max_length=_KEY_LENGTH,
            pattern=_KEY,
            json_schema_extra=rules(
                (
                    f"!(self in {_CONTROL_PLANE})",
                    "must not tolerate control-plane nodes: name a taint of nodes that are there for workloads",
                ),
            ),
        ),
    ]
    """The taint's key; there is no toleration of all taints."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Equal: the taint's value is value. Exists: whatever its value is."""
    value: LabelValue | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect. Left out: each."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Seconds that a running pod stays beside a NoExecute taint. Left out: for good."""


class PlacementSpec(ApiModel):
    """Which nodes a pod may run on, and how it gets there."""

    node_selector: NodeSelector = Field(default={})
    """Labels that a node has to have, all of them."""
    tolerations: Annotated[list[TolerationSpec], Field(max_length=16)] = Field(default=[])
    """Taints that don't keep pods away."""
    topology_spread: Literal["zone", "hostname", "both"] = "both"
    """What a revision's pods are spread over, as evenly as may be; where it can't be, they start all the same."""
    runtime_class: ObjectName | None = None
    """The RuntimeClass of its pods, such as nvidia. Left out: the cluster's default."""
    priority_class: (
        Annotated[
            ObjectName,
            Field(
                json_schema_extra=rules(
                    (
                        "!self.startsWith('system-')",
                        "must not be one of Kubernetes' own system-* classes: name a PriorityClass for workloads",
                    ),
                )
            ),
        ]
        | None
    ) = None
    """The PriorityClass of its pods. Left out: the cluster's default."""
    image_pull_secrets: Annotated[
        list[ObjectName], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = Field(default=[])
    """Secrets of the same namespace by which nodes pull the runtime's image."""
