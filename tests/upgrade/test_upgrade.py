"""An upgrade from the last release changes nothing that runs; what runs goes on, and follows when it is asked to."""

from pathlib import Path
from typing import Any

from lab import install
from lab.kubectl import Kubectl, Object
from lab.service import condition, small

from .journey import BODY, Journey, running

JUDGED: dict[str, Any] = {
    "steps": [{"weight": 50, "hold": "12s"}],
    "analysis": {"interval": "2s", "minRequests": 50},
    "scaleDownDelay": "60s",
}


def test_no_pod_changes_and_no_request_is_lost(upgraded: Journey) -> None:
    assert len(upgraded.before) == 3
    assert upgraded.after == upgraded.before
    for answers in upgraded.answers:
        assert answers.failures == 0, answers.failed
        assert answers.codes.keys() == {"200"}


def test_what_an_update_would_change_is_told(upgraded: Journey, last_release: Path) -> None:
    for service in (upgraded.plain, upgraded.trial):
        found = condition(service.status, "PlatformUpdateAvailable")
        assert found is not None
        assert f"image: {install.runtime_image(last_release)} → {install.runtime_image()}" in found["message"]


def test_pods_of_the_last_release_are_scaled_on(upgraded: Journey) -> None:
    upgraded.plain.until_condition("ScalingActive")


def test_a_canary_that_was_under_way_is_told_that_its_pods_tell_no_times(upgraded: Journey) -> None:
    trial, canary = upgraded.trial, upgraded.trial.status["canary"]
    asked = small(upgraded.models.version(2))
    trial.apply({**asked, "rollout": {**asked["rollout"], "analysis": {"interval": "2s", "minRequests": 20}}})
    with upgraded.pods.load(trial.url, BODY, concurrency=2):
        status = trial.until(
            lambda status: status["rollout"].get("analysis", {}).get("reason") == "TooFewTimes", "to be judged"
        )
    assert (status["canary"]["revision"], status["canary"]["weight"]) == (canary["revision"], 10)
    assert status["rollout"]["phase"] == "AwaitingApproval"


def test_a_canary_that_was_under_way_is_promoted_with_its_pods(upgraded: Journey, kubectl: Kubectl) -> None:
    trial, canary = upgraded.trial, upgraded.trial.status["canary"]["revision"]
    with upgraded.pods.load(trial.url, BODY, concurrency=2) as load:
        trial.request("Promote", canary, "promote-1")
        trial.until(lambda status: status["stable"]["revision"] == canary, "to have promoted")
    assert load.answers.failures == 0, load.answers.failed
    own = {name: pod for name, pod in upgraded.before.items() if name.startswith(canary)}
    assert {name: pod for name, pod in running(kubectl, trial.namespace).items() if name.startswith(canary)} == own


def test_a_new_model_beside_pods_of_the_last_release_is_judged_by_what_these_tell(upgraded: Journey) -> None:
    trial, stable = upgraded.trial, upgraded.trial.status["stable"]["revision"]
    with upgraded.pods.load(trial.url, BODY, concurrency=2) as load:
        trial.apply({**small(upgraded.models.version(3)), "rollout": JUDGED})
        judged = trial.until(
            lambda status: status["rollout"].get("analysis", {}).get("verdict") == "Pass", "to be judged", 120
        )
        trial.until(lambda status: status["stable"]["revision"] != stable, "to have promoted")
    assert load.answers.failures == 0, load.answers.failed
    assert "no p95 to hold the canary's against is known" in judged["rollout"]["analysis"]["message"]


def test_an_update_rolls_this_release_out_by_a_canary(upgraded: Journey, kubectl: Kubectl) -> None:
    plain, old = upgraded.plain, upgraded.plain.status["stable"]["revision"]
    with upgraded.pods.load(plain.url, BODY, concurrency=2) as load:
        plain.request("Update", old, "update-1")
        assert plain.until_answered("update-1")["accepted"] is True
        new = plain.until_weight(10)["canary"]["revision"]
        assert images(kubectl, plain.namespace, new) == {install.runtime_image()}
        plain.request("Promote", new, "update-2")
        plain.until(lambda status: status["stable"]["revision"] == new, "to have promoted")
    assert load.answers.failures == 0, load.answers.failed
    plain.until_condition("PlatformUpdateAvailable", "False", reason="UpToDate")


def images(kubectl: Kubectl, namespace: str, revision: str) -> set[str]:
    """The images of a revision's pods."""
    found: list[Object] = kubectl.get("-n", namespace, "pods", "-l", f"tidegate.dev/revision={revision}")["items"]
    return {container["image"] for pod in found for container in pod["spec"]["containers"]}
