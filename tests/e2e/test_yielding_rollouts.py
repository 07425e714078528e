"""Where there are few GPUs, stable gives up pods to a new version, and whoever looks at the model notices nothing."""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest

from lab.kubectl import Kubectl, Object
from lab.pods import Pods
from lab.service import Service, condition
from lab.storm import BODY, PAUSE_SECONDS, specification
from localcluster import gpus

pytestmark = pytest.mark.e2e

_numbers = itertools.count(1)

Offer = Callable[[int], Object]
Build = Callable[..., Object]


@pytest.fixture
def offered(kubectl: Kubectl, service: Service, worker_id: str) -> Iterator[Offer]:
    """Has the node offer so many GPUs of a kind that only this test's pods ask for; gives what one pod asks."""
    (node,) = kubectl.names("nodes")
    kind = f"{worker_id}-{next(_numbers)}.example.com/gpu"

    def tell(count: int | None) -> None:
        kubectl.run(*gpus.kubectl_patch(count, kind), node)

    def offer(count: int) -> Object:
        tell(count)
        return {"resource": kind, "count": 1}

    yield offer
    service.delete()
    tell(None)


@pytest.fixture
def version(pods: Pods) -> Build:
    """The spec of a version of a small model whose pods hold a GPU each."""

    def build(number: int, gpu: Object, scaling: Object, rollout: Object) -> Object:
        spec = specification(pods, number)
        spec["resources"]["gpu"] = gpu
        # A p95 of a millisecond doubles where pods and callers share two cores.
        analysis = {"interval": "2s", "minRequests": 20, "maxP95Increase": "9999%"}
        return {**spec, "scaling": scaling, "rollout": {"scaleDownDelay": "1s", "analysis": analysis, **rollout}}

    return build


@contextlib.contextmanager
def callers(pods: Pods, service: Service) -> Iterator[None]:
    """Callers by REST and gRPC who lose no request."""
    with (
        pods.load(service.url, BODY, concurrency=3, pause=PAUSE_SECONDS) as rest,
        pods.load(service.grpc_url, BODY, concurrency=2, pause=PAUSE_SECONDS) as grpc,
    ):
        yield
    for load in (rest, grpc):
        assert load.answers.failures == 0, load.answers.failed
        assert load.answers.codes.keys() == {"200"}


def replicas(kubectl: Kubectl, service: Service) -> dict[str, int]:
    """The pods that each revision is to have."""
    found = kubectl.get("-n", service.namespace, "deployments", "-l", f"tidegate.dev/service={service.name}")["items"]
    return {item["metadata"]["name"]: item["spec"]["replicas"] for item in found}


def test_two_pods_of_a_gpu_each_are_renewed_with_one_gpu_more_once_stable_may_yield(
    service: Service, version: Build, offered: Offer, pods: Pods, kubectl: Kubectl
) -> None:
    gpu, scaling = offered(3), {"minReplicas": 2}
    rollout = {"steps": [{"weight": 50, "hold": "1s"}], "surgeGpus": 1}
    service.apply(version(0, gpu, scaling, rollout))
    stable = service.until_condition("Ready")["stable"]["revision"]
    seen: list[dict[str, int]] = []

    def renewed(status: Object) -> bool:
        seen.append(replicas(kubectl, service))
        return bool(status["stable"]["revision"] != stable and "retiring" not in status)

    with callers(pods, service):
        service.apply(version(1, gpu, scaling, rollout))
        status = service.until_condition("RolloutHealthy", "False", reason="CapacityExceeded", seconds=120)
        canary = status["canary"]["revision"]
        assert (status["canary"]["weight"], status["rollout"]["message"]) == (
            50,
            "100 % needs 2 canary pods beside 2 stable ones, 4 GPUs together, and scaling.maxReplicas 2 × 1"
            " + rollout.surgeGpus 1 allow 3: raise rollout.surgeGpus to 2",
        )
        assert replicas(kubectl, service) == {stable: 2, canary: 1}
        service.apply(version(1, gpu, scaling, {**rollout, "whenFull": "Yield"}))
        status = service.until(renewed, "to run on the same GPUs", 180)
    assert status["stable"]["revision"] == canary
    assert service.until_condition("Ready")["stable"]["readyReplicas"] == 2
    assert max(sum(found.values()) for found in seen) == 3, seen
    assert {stable: 1, canary: 2} in seen


def test_an_abort_brings_back_the_pods_that_stable_gave_up(
    service: Service, version: Build, offered: Offer, pods: Pods, kubectl: Kubectl
) -> None:
    gpu, scaling = offered(4), {"minReplicas": 3}
    # Two of three pods carry 66 %.
    steps = [{"weight": 33, "hold": "1s"}, {"weight": 66, "hold": "10m"}]
    rollout = {"steps": steps, "surgeGpus": 1, "whenFull": "Yield"}
    service.apply(version(0, gpu, scaling, rollout))
    stable = service.until_condition("Ready")["stable"]["revision"]
    with callers(pods, service):
        service.apply(version(1, gpu, scaling, rollout))
        status = service.until_weight(66, 180)
        canary = status["canary"]["revision"]
        assert replicas(kubectl, service) == {stable: 2, canary: 2}
        assert status["rollout"]["whole"] == 3
        service.request("Abort", canary, "no")
        status = service.until(
            lambda status: status["rollout"]["phase"] == "Aborted" and status["stable"]["readyReplicas"] == 3,
            "to have all of its pods again",
            120,
        )
    assert status["stable"]["revision"] == stable
    left = ("-l", f"tidegate.dev/revision={canary}")
    kubectl.run("wait", "-n", service.namespace, "pods", *left, "--for=delete", "--timeout=90s")
    assert replicas(kubectl, service) == {stable: 3}


def test_without_a_gpu_more_a_version_waits_until_the_autoscaler_gives_one_up(
    service: Service, version: Build, offered: Offer, pods: Pods, kubectl: Kubectl
) -> None:
    gpu = offered(2)
    rollout = {"steps": [{"weight": 50, "hold": "1s"}], "surgeGpus": 0, "whenFull": "Yield"}

    def scaling(least: int, settle_seconds: int) -> Object:
        settle = {"stabilizationWindowSeconds": settle_seconds}
        metrics = [{"type": "QueueDepth", "target": 100}]
        return {"minReplicas": least, "maxReplicas": 2, "metrics": metrics, "behavior": {"scaleDown": settle}}

    service.apply(version(0, gpu, {"minReplicas": 2}, rollout))
    stable = service.until_condition("Ready")["stable"]["revision"]
    assert replicas(kubectl, service) == {stable: 2}
    with callers(pods, service):
        service.apply(version(1, gpu, scaling(1, 3600), rollout))
        status = service.until_condition("RolloutHealthy", "Unknown", reason="StableBusy")
        told = condition(status, "RolloutHealthy")
        assert told is not None
        assert told["message"].endswith("or wait until stable's load lets its autoscaler give up 1 of 2 pods")
        assert replicas(kubectl, service)[stable] == 2
        service.apply(version(1, gpu, scaling(1, 0), rollout))
        status = service.until(
            lambda status: status["stable"]["revision"] != stable and "retiring" not in status, "to be renewed", 240
        )
    assert sum(replicas(kubectl, service).values()) <= 2
