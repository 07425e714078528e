"""`spec.resources`: what one pod needs."""

from typing import Annotated

from pydantic import Field

from tidegate_operator.api.schema import ApiModel, Cpu, Memory


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
