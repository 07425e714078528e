"""A new version is judged by what its callers see, and goes on, or is taken back, by itself."""

from collections.abc import Callable
from typing import Any

import pytest

from lab import filetype
from lab.kubectl import Kubectl, Object
from lab.pods import Pods
from lab.service import Service, condition

pytestmark = pytest.mark.e2e

BODY = filetype.request(b"import this\n" * 50)
JUDGED: dict[str, Any] = {
    "steps": [{"weight": 20, "hold": "8s"}, {"weight": 50, "hold": "1s"}],
    "scaleDownDelay": "60s",
    "analysis": {"interval": "2s", "minRequests": 50},
}
HELD: dict[str, Any] = {**JUDGED, "steps": [{"weight": 20, "hold": "10m"}]}


@pytest.fixture
def judged(ready: Service, spec: Callable[..., Object]) -> Callable[..., None]:
    """Applies a spec of which the second version is judged."""

    def apply(version: int, **more: Any) -> None:
        ready.apply(spec(version=version, **{"rollout": JUDGED, **more}))

    return apply


def test_a_version_that_is_as_good_is_promoted_step_by_step_without_a_lost_request(
    ready: Service, judged: Callable[..., None], pods: Pods
) -> None:
    stable = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY) as load:
        judged(2)
        seen = ready.until(
            lambda status: status.get("canary", {}).get("observedWeight") is not None, "to be seen by callers"
        )
        assert seen["rollout"]["analysis"]["verdict"] in ("Inconclusive", "Pass")
        status = ready.until(lambda status: status["stable"]["revision"] != stable, "to have promoted", 180)
    assert load.answers.failures == 0, load.answers.failed
    assert status["previous"]["revision"] == stable
    weights = [event["message"] for event in ready.events() if event["reason"] == "CanaryWeighted"]
    assert [message.split(" gets ")[1] for message in weights] == ["20 % of requests", "50 % of requests"]


def test_a_version_that_refuses_what_callers_send_is_taken_back_with_the_numbers(
    ready: Service, judged: Callable[..., None], pods: Pods
) -> None:
    stable = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY):
        judged(1, runtime={"device": "cpu", "limits": {"maxBodyBytes": "16"}})
        status = ready.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be taken back", 120)
    # By stable's own share, or, with fewer than a hundred requests of stable's, by what is allowed at most.
    assert status["rollout"]["reason"] in ("ErrorsIncreased", "ErrorRateExceeded")
    assert (status["stable"]["revision"], status["stable"]["weight"]) == (stable, 100)
    found = condition(status, "RolloutHealthy")
    assert found is not None
    failed = status["rollout"]["analysis"]["canary"]
    assert f"the canary failed {failed['failures']} of {failed['requests']} requests" in found["message"]
    assert pods.send(ready.url, BODY, count=200).versions == {stable: 200}


def test_a_version_whose_container_ends_under_load_is_taken_back_without_a_lost_request(
    ready: Service, judged: Callable[..., None], pods: Pods, kubectl: Kubectl
) -> None:
    stable = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY) as load:
        judged(2, rollout=HELD)
        canary = ready.until_weight(20)["canary"]["revision"]
        ready.until(lambda status: status["rollout"].get("analysis") is not None, "to be judged once")
        end_container(kubectl, ready, canary)
        status = ready.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be taken back", 120)
    # By its end, or by the attempts that it refused meanwhile, whichever is seen first.
    assert status["rollout"]["reason"] in ("CanaryRestarted", "ErrorsIncreased", "ErrorRateExceeded")
    assert status["stable"]["revision"] == stable
    assert load.answers.failures == 0, load.answers.failed


def test_a_version_whose_container_ends_while_nobody_asks_is_taken_back(
    ready: Service, judged: Callable[..., None], kubectl: Kubectl
) -> None:
    stable = ready.status["stable"]["revision"]
    judged(2, rollout=HELD)
    end_container(kubectl, ready, ready.until_weight(20)["canary"]["revision"])
    status = ready.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be taken back", 120)
    assert status["rollout"]["reason"] == "CanaryRestarted"
    assert status["stable"]["revision"] == stable


def test_a_version_that_nobody_asks_waits_for_requests(ready: Service, judged: Callable[..., None]) -> None:
    judged(2)
    status = ready.until(
        lambda status: "requests that the canary has to have answered" in status["rollout"].get("message", ""),
        "to wait for requests",
    )
    assert status["canary"]["weight"] == 20


def test_a_pause_holds_a_version_and_a_rollback_brings_the_old_one_back_at_once(
    ready: Service, judged: Callable[..., None], pods: Pods, kubectl: Kubectl
) -> None:
    stable = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY) as load:
        judged(2)
        canary = ready.until_weight(20)["canary"]["revision"]
        ready.request("Pause", canary, "pause-1")
        assert ready.until_answered("pause-1")["accepted"] is True
        assert ready.until_condition("Reconciling", "False", reason="Paused")["canary"]["revision"] == canary
        ready.request("Promote", canary, "promote-1", full=True)
        ready.until(lambda status: status["stable"]["revision"] == canary, "to have promoted")
        warm = kubectl.names("-n", ready.namespace, "pods", "-l", f"tidegate.dev/revision={stable}")
        ready.request("Rollback", stable, "rollback-1")
        ready.until(lambda status: status["stable"]["revision"] == stable, "to be back", 30)
    assert load.answers.failures == 0, load.answers.failed
    assert kubectl.names("-n", ready.namespace, "pods", "-l", f"tidegate.dev/revision={stable}") == warm
    again = ready.until_condition("RolloutHealthy", "False", reason="RolledBack")
    assert "canary" not in again


def end_container(kubectl: Kubectl, service: Service, revision: str) -> None:
    """Ends the container of a revision's only pod, as a crash that leaves the pod in its place."""
    (pod,) = kubectl.names("-n", service.namespace, "pods", "-l", f"tidegate.dev/revision={revision}")
    killed = "import os, signal; os.kill(1, signal.SIGTERM)"
    kubectl.run("exec", "-n", service.namespace, pod, "-c", "runtime", "--", "python", "-c", killed)
