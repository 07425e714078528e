"""A rollout goes on where it stood, and loses no request, though Tidegate's processes end in each of its phases."""

from collections.abc import Callable

import pytest

from lab import filetype
from lab.kubectl import Kubectl, Object
from lab.pods import Pods
from lab.service import Service

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

BODY = filetype.request(b"fn main() {}\n" * 50)
STEPS = [{"weight": 10, "hold": "3s"}, {"weight": 50, "hold": "1s", "approval": "Manual"}]


def end(kubectl: Kubectl, process: str) -> None:
    """End a process's pods at once, as a node that is cut off does."""
    label = f"app.kubernetes.io/name=tidegate-{process}"
    kubectl.run("delete", "-n", "tidegate-system", "pods", "-l", label, "--force", "--grace-period=0")


@pytest.mark.parametrize("provider", ["Router", "Direct"])
def test_a_rollout_outlives_each_process_in_each_phase(
    service: Service, spec: Callable[..., Object], pods: Pods, kubectl: Kubectl, provider: str
) -> None:
    routing = {"provider": provider}
    # A p95 says nothing where pods and callers share two cores and processes are killed beside them.
    analysis = {"interval": "1s", "minRequests": 50, "maxP95Increase": "9999%"}
    rollout = {"steps": STEPS, "scaleDownDelay": "10s", "analysis": analysis}
    service.apply(spec(routing=routing))
    stable = service.until_condition("Ready")["stable"]["revision"]
    with pods.load(service.url, BODY) as load:
        service.apply(spec(version=2, rollout=rollout, routing=routing))
        service.until(lambda status: status["rollout"]["phase"] == "Preparing", "to prepare its canary")
        end(kubectl, "controller")
        canary = service.until_weight(10, 120)["canary"]["revision"]
        end(kubectl, "xds")
        end(kubectl, "controller")
        service.until_weight(50, 120)
        end(kubectl, "xds")
        end(kubectl, "metrics-adapter")
        service.until(lambda status: status["rollout"]["phase"] == "AwaitingApproval", "to ask a person", 120)
        end(kubectl, "controller")
        service.request("Promote", canary, "promote-1")
        answer = service.until_answered("promote-1", 60)
        assert answer["accepted"] is True
        status = service.until(lambda status: status["stable"]["revision"] == canary, "to have promoted", 120)
    assert load.answers.failures == 0, load.answers.failed
    assert status["previous"]["revision"] == stable
    assert load.answers.versions.keys() == {stable, canary}


def test_an_abort_is_carried_out_by_the_controller_that_comes_after(
    ready: Service, spec: Callable[..., Object], pods: Pods, kubectl: Kubectl
) -> None:
    stable = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY) as load:
        ready.apply(spec(version=2))
        canary = ready.until_weight(10)["canary"]["revision"]
        end(kubectl, "controller")
        ready.request("Abort", canary, "abort-1")
        ready.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be aborted", 60)
    assert load.answers.failures == 0, load.answers.failed
    assert pods.send(ready.url, BODY, count=200).versions == {stable: 200}
