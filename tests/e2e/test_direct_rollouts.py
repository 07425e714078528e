"""Without a proxy: stable's pods hand a new version's share over to it, and no caller sees what it fails."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from lab.kubectl import Kubectl, Object
from lab.pods import Load, Pods
from lab.service import Service
from lab.storm import BODY, PAUSE_SECONDS, specification

pytestmark = pytest.mark.e2e

DIRECT = {"provider": "Direct", "grpc": True}

Build = Callable[..., Object]


@pytest.fixture
def version(pods: Pods) -> Build:
    """The spec of a version of a small model, which stays at 30 % for `hold`."""

    def build(number: int, *, hold: str = "5s", routing: Object = DIRECT) -> Object:
        spec = specification(pods, number)
        # A p95 of a millisecond doubles where pods and callers share two cores.
        analysis = {"interval": "2s", "minRequests": 50, "maxP95Increase": "9999%"}
        rollout = {"steps": [{"weight": 30, "hold": hold}], "scaleDownDelay": "1s", "analysis": analysis}
        return {**spec, "rollout": rollout, "routing": routing}

    return build


@pytest.fixture
def direct(service: Service, version: Build) -> Service:
    """A service whose callers come to its pods."""
    service.apply(version(1))
    service.until_condition("Ready")
    return service


@contextlib.contextmanager
def callers(pods: Pods, service: Service) -> Iterator[tuple[Load, ...]]:
    """Callers by REST, with kept connections and with one for each request, and by gRPC; none is to lose a request."""
    with (
        pods.load(service.url, BODY, concurrency=3, pause=PAUSE_SECONDS) as kept,
        pods.load(service.url, BODY, concurrency=1, pause=PAUSE_SECONDS, keep_alive=False) as anew,
        pods.load(service.grpc_url, BODY, concurrency=2, pause=PAUSE_SECONDS) as grpc,
    ):
        yield kept, anew, grpc
    for load in (kept, anew, grpc):
        assert load.answers.failures == 0, load.answers.failed
        assert load.answers.codes.keys() == {"200"}


def test_a_version_gets_its_share_and_then_all_requests_by_rest_and_grpc_without_a_lost_one(
    direct: Service, version: Build, pods: Pods
) -> None:
    stable = direct.status["stable"]["revision"]
    with callers(pods, direct) as loads:
        direct.apply(version(2))
        seen = direct.until(
            lambda status: status.get("canary", {}).get("observedWeight") is not None, "to be seen by callers", 120
        )
        canary = seen["canary"]["revision"]
        status = direct.until(lambda status: status["stable"]["revision"] == canary, "to have promoted", 180)
        # All pods hear of it presently; then whoever comes to one of the old revision is answered by the new one.
        assert any(pods.send(direct.url, BODY, count=50).versions == {canary: 50} for _ in range(10))
        assert pods.send(direct.url, BODY, count=200).versions == {canary: 200}
        direct.until(lambda status: "retiring" not in status, "to have removed the old stable's pods", 120)
    assert status["previous"]["revision"] == stable
    for load in loads:
        assert load.answers.versions.keys() == {stable, canary}


def test_a_version_that_crashes_under_load_is_taken_back_and_no_caller_sees_it(
    direct: Service, version: Build, pods: Pods, kubectl: Kubectl
) -> None:
    stable = direct.status["stable"]["revision"]
    with callers(pods, direct) as loads:
        direct.apply(version(2, hold="10m"))
        canary = direct.until_weight(30, 120)["canary"]["revision"]
        direct.until(lambda status: status["rollout"].get("analysis") is not None, "to be judged once")
        crash(kubectl, direct, canary)
        status = direct.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be taken back", 120)
    # By its end, or by the requests that it failed meanwhile, whichever is seen first.
    assert status["rollout"]["reason"] in ("CanaryRestarted", "ErrorsIncreased", "ErrorRateExceeded")
    assert status["stable"]["revision"] == stable
    for load in loads:
        assert load.answers.versions.keys() == {stable, canary}


def test_a_service_leaves_the_router_for_its_pods_and_loses_no_request(
    service: Service, version: Build, pods: Pods
) -> None:
    service.apply(version(1, routing={"grpc": True}))
    service.until_condition("Ready")
    with callers(pods, service):
        service.apply(version(1))
        service.until(lambda status: status.get("routing", {}).get("provider") == "Direct", "to be routed by its pods")
        assert pods.send(service.url, BODY, count=200, keep_alive=False).codes == {"200": 200}


def crash(kubectl: Kubectl, service: Service, revision: str) -> None:
    """Ends the container of a revision's only pod at once, with whatever it was about to answer."""
    (pod,) = kubectl.names("-n", service.namespace, "pods", "-l", f"tidegate.dev/revision={revision}")
    # From within its own namespace the first process takes no SIGKILL, but it does from a limit that it is over.
    over = "import resource; resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))"
    kubectl.run("exec", "-n", service.namespace, pod, "-c", "runtime", "--", "python", "-c", over)
