"""A model that can't be served gets no request, and the service says why and what to do."""

from collections.abc import Callable

import pytest

from lab import filetype
from lab.kubectl import Object
from lab.pods import Pods
from lab.service import Service, condition

pytestmark = pytest.mark.e2e

BODY = filetype.request(b"SELECT 1;\n" * 50)


def bad_models(pods: Pods) -> dict[str, Object]:
    """What may be wrong with a model, by the reason that is told."""
    html = pods.put("not-a-model.onnx", b"<!doctype html><title>Sign in</title>")
    good = pods.put("filetype-1.onnx", filetype.model())
    missing = good.replace("filetype-1", "nowhere")
    return {
        "ModelNotFound": {"uri": missing},
        "ModelInvalid": {"uri": html},
        "DigestMismatch": {"uri": good, "sha256": "0" * 64},
    }


@pytest.mark.parametrize("reason", ["ModelNotFound", "ModelInvalid", "DigestMismatch"])
def test_a_bad_second_version_leaves_stable_serving(
    reason: str, ready: Service, pods: Pods, spec: Callable[..., Object]
) -> None:
    stable = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY) as load:
        ready.apply({**spec(), "model": bad_models(pods)[reason]})
        status = ready.until_condition("ModelLoaded", "False", reason=reason)
    assert status["canary"]["weight"] == 0
    loaded, serving = condition(status, "ModelLoaded"), condition(status, "Ready")
    assert loaded is not None
    assert serving is not None
    assert status["canary"]["revision"] in loaded["message"]
    assert serving["status"] == "True"
    assert load.answers.failures == 0, load.answers.failed
    assert set(load.answers.versions) == {stable}


def test_a_bad_first_version_is_replaced_at_once_by_a_good_one(
    service: Service, pods: Pods, spec: Callable[..., Object]
) -> None:
    service.apply({**spec(), "model": bad_models(pods)["ModelNotFound"]})
    status = service.until_condition("ModelLoaded", "False", reason="ModelNotFound")
    serving = condition(status, "Ready")
    assert serving is not None
    assert serving["status"] == "False"
    service.apply(spec())
    status = service.until_condition("Ready")
    assert "canary" not in status
    answers = pods.send(service.url, BODY, count=20)
    assert answers.codes == {"200": 20}, answers.failed
