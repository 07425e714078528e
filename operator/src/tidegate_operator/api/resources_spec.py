"""`spec.resources`: what one pod needs."""

from typing import Annotated

from pydantic import ConfigDict, Field

from tidegate_operator.api.schema import ApiModel, Cpu, Memory, ObjectName, rules

NVIDIA_GPU = "nvidia.com/gpu"


class GpuSpec(ApiModel):
    """The accelerators of one pod: a number of an extended resource, or what a ResourceClaimTemplate asks for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                # The API server writes the defaults before it looks at rules, so they can't be told from left out.
                f"!has(self.claimTemplate) || (self.count == 1 && self.resource == '{NVIDIA_GPU}')",
                "claimTemplate already says which devices a pod gets and how many: drop resource and count,"
                " or drop claimTemplate",
            ),
        )
    )

    count: Annotated[int, Field(ge=1, le=16)] = 1
    """How many of resource."""
    resource: Annotated[
        str,
        Field(
            max_length=100,
            pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\.[a-z]+/[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$",
            json_schema_extra=rules(
                (
                    "!self.matches('(^|[.])kubernetes[.]io/')",
                    "must not be of kubernetes.io, which holds no accelerator: name the resource as the node"
                    " advertises it, such as nvidia.com/gpu, nvidia.com/mig-1g.10gb or amd.com/gpu",
                ),
            ),
        ),
    ] = NVIDIA_GPU
    """The extended resource's name, as the node advertises it."""
    claim_template: ObjectName | None = None
    """A ResourceClaimTemplate (resource.k8s.io/v1, Kubernetes 1.34) of the same namespace, instead of resource and
    count: each pod gets a ResourceClaim made from it."""


class RequestsSpec(ApiModel):
    """What one pod asks of its node."""

    cpu: Cpu = "1"
    """Processors."""
    memory: Memory = "2Gi"
    """Memory, also the pod's limit."""


class ResourcesSpec(ApiModel):
    """What one pod needs."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.sharedMemory) || quantity(self.sharedMemory).compareTo(quantity(self.requests.memory)) < 0",
                "sharedMemory is part of requests.memory, which is also the pod's limit: lower it, or raise"
                " requests.memory",
            ),
        )
    )

    gpu: GpuSpec | None = None
    """Accelerators. Left out: one nvidia.com/gpu where runtime.device is cuda, else none."""
    requests: RequestsSpec = RequestsSpec()
    """Processors and memory."""
    shared_memory: Memory | None = None
    """Size of a volume in memory at the runtime's /dev/shm. What lies in it counts against requests.memory, as all that
    the pod holds in memory does. Left out: what the node's container runtime gives, 64Mi as a rule."""
