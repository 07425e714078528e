"""A new version answers copies of what callers ask the old one, and only one that answers alike gets callers."""

from collections.abc import Callable
from typing import Any

import pytest

from lab import filetype
from lab.kubectl import Object
from lab.pods import Pods
from lab.service import Service, condition

pytestmark = pytest.mark.e2e

BODY = filetype.request(b"import this\n" * 50)
SHADOWED: dict[str, Any] = {
    "steps": [{"weight": 0, "hold": "8s"}, {"weight": 50, "hold": "1s"}],
    "shadow": {"percent": 100},
    "scaleDownDelay": "60s",
    "analysis": {"interval": "2s", "minRequests": 50},
}


def copies(status: Object) -> Object:
    """What is known of them; nothing, where the step isn't judged yet."""
    found: Object = status["rollout"].get("analysis", {}).get("copies", {})
    return found


def test_a_version_that_answers_alike_gets_callers_after_it_answered_copies(
    ready: Service, spec: Callable[..., Object], pods: Pods
) -> None:
    stable = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY) as load:
        ready.apply(spec(version=2, rollout=SHADOWED))
        seen = ready.until(lambda status: copies(status).get("compared", 0) >= 50, "to have compared answers", 120)
        assert (seen["canary"]["weight"], copies(seen)["diverged"]) == (0, 0)
        status = ready.until(lambda status: status["stable"]["revision"] != stable, "to have promoted", 180)
    assert load.answers.failures == 0, load.answers.failed
    assert status["previous"]["revision"] == stable


def test_a_version_that_answers_otherwise_is_taken_back_before_it_has_a_caller(
    ready: Service, spec: Callable[..., Object], models: Any, pods: Pods
) -> None:
    stable = ready.status["stable"]["revision"]
    contrary = models.file("contrary.onnx", filetype.contrary())
    with pods.load(ready.url, BODY) as load:
        ready.apply(spec(model=contrary, rollout=SHADOWED))
        status = ready.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be taken back", 120)
    assert status["rollout"]["reason"] == "AnswersDiverged"
    found = condition(status, "RolloutHealthy")
    assert found is not None
    diverged, compared = copies(status)["diverged"], copies(status)["compared"]
    assert f"{diverged} of {compared} answers" in found["message"]
    assert load.answers.failures == 0, load.answers.failed
    assert set(load.answers.versions) == {stable}
