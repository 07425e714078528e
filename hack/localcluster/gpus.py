"""Pretended GPUs: a node that says it has them, so that requests and quotas are real without a device."""

import json
from collections.abc import Mapping
from typing import Any

RESOURCE = "nvidia.com/gpu"


def status_patch(count: int | None, resource: str = RESOURCE) -> Mapping[str, Any]:
    """Merge patch of a node's status subresource; None takes the resource away.

    The kubelet keeps resources that it doesn't know.
    """
    told = None if count is None else str(count)
    return {"status": {kind: {resource: told} for kind in ("capacity", "allocatable")}}


def kubectl_patch(count: int | None, resource: str = RESOURCE) -> list[str]:
    """The same as kubectl's words, for all nodes that follow them."""
    return ["patch", "--subresource=status", "--type=merge", "-p", json.dumps(status_patch(count, resource))]
