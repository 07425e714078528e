"""Whether what is waited for has come, from one status."""

import pytest

from tidegate_operator.cli.waiting import outlook

from .builders import Object, a_condition, a_service, at_ten, resting

STALLED = a_condition("Stalled", "True", "InvalidSpec", "spec.model.uri: http:// is not allowed")
NOT_STALLED = a_condition("Stalled", "False", "Progressing")

ROLLOUTS: dict[str, tuple[Object, int, str, str]] = {
    "serves all requests": (resting(), 1, "reached", "churn-aaaaaaaa serves all requests"),
    "the status is older than the spec": (
        resting(),
        2,
        "under way",
        "the controller hasn't looked at generation 2 yet",
    ),
    "given up": (resting("Aborted", message="was aborted"), 1, "failed", "was aborted"),
    "a canary holds": (at_ten(phase="Progressing", message="holds"), 1, "under way", "Progressing: holds"),
    "a person is waited for": (at_ten(message="waits"), 1, "under way", "AwaitingApproval: waits"),
    "rolling back": (at_ten(phase="RollingBack", message="goes back"), 1, "under way", "RollingBack: goes back"),
    "nothing decided": ({}, 1, "under way", "Initial: nothing was decided yet"),
    "stalled": (
        {**resting(), "conditions": [STALLED]},
        1,
        "failed",
        "InvalidSpec: spec.model.uri: http:// is not allowed",
    ),
    "not stalled": ({**resting(), "conditions": [NOT_STALLED]}, 1, "reached", "churn-aaaaaaaa serves all requests"),
}


@pytest.mark.parametrize(("status", "generation", "state", "message"), ROLLOUTS.values(), ids=ROLLOUTS.keys())
def test_the_wait_for_a_rollout(status: Object, generation: int, state: str, message: str) -> None:
    found = outlook(a_service(status, generation=generation), "rollout")
    assert (found.state, found.message) == (state, message)


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([], "under way"),
        ([a_condition()], "reached"),
        ([a_condition(truth="False", reason="NoReadyPod")], "under way"),
        ([a_condition(truth="Unknown", reason="RouterUnreachable")], "under way"),
        ([a_condition(truth="False"), STALLED], "failed"),
    ],
)
def test_the_wait_for_a_ready_service(conditions: list[Object], state: str) -> None:
    # A service is ready while its canary is on trial.
    assert outlook(a_service({**at_ten(), "conditions": conditions}), "ready").state == state
