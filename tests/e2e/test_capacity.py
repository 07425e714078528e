"""Pods that find no GPU are told of, with what is missing, before and while they wait."""

from collections.abc import Callable

import pytest

from lab.kubectl import Kubectl, Object
from lab.service import Service, condition

pytestmark = pytest.mark.e2e

GPU = "nvidia.com/gpu"


def test_a_canary_that_finds_no_gpu_says_what_is_missing_and_stable_goes_on(
    ready: Service, spec: Callable[..., Object], kubectl: Kubectl
) -> None:
    assert ready.until_condition("CapacityAvailable", reason="Fits")
    (node,) = kubectl.get("nodes")["items"]
    offered = int(node["status"]["allocatable"][GPU])
    gpus = {"gpu": {"resource": GPU, "count": offered}}
    resources = {"requests": {"cpu": "50m", "memory": "512Mi"}}
    ready.apply(spec(resources={**resources, "gpu": {"resource": GPU, "count": offered + 1}}))
    status = ready.until_condition("CapacityAvailable", "False", reason="NoRoom")
    told = condition(status, "CapacityAvailable")
    assert told is not None
    assert told["message"].endswith(f"no node has {offered + 1} free {GPU} (0 of {offered} in use on 1 node)")
    serving = condition(status, "Ready")
    assert serving is not None
    assert serving["status"] == "True"
    ready.apply(spec(resources={**resources, **gpus}))
    status = ready.until_condition("CapacityAvailable", reason="Fits")
    ready.until(lambda status: status["canary"]["readyReplicas"] == 1, "to have a canary on the node's GPUs")
