"""A new version takes over by exact shares, and only as it is told."""

import math
from collections.abc import Callable

import pytest

from lab import filetype
from lab.kubectl import Kubectl, Object
from lab.pods import Pods
from lab.service import Service

pytestmark = pytest.mark.e2e

BODY = filetype.request(b"import this\n" * 50)


@pytest.fixture
def canary(ready: Service, spec: Callable[..., Object]) -> Service:
    """A service whose second version has 10 % of the requests."""
    ready.apply(spec(version=2))
    ready.until_weight(10)
    return ready


def test_a_canary_at_10_percent_gets_10_percent_of_the_requests(canary: Service, pods: Pods) -> None:
    revision = canary.status["canary"]["revision"]
    answers = pods.send(canary.url, BODY, count=2500, concurrency=8)
    assert answers.codes == {"200": 2500}, answers.failed
    # The binomial 99.9999 % interval around 10 % of 2,500: 4.9 standard deviations.
    margin = 4.9 * math.sqrt(0.1 * 0.9 / 2500)
    assert abs(answers.share(revision) - 0.1) <= margin


def test_promoting_through_the_status_moves_all_requests_and_no_pod(
    canary: Service, pods: Pods, kubectl: Kubectl
) -> None:
    revision = canary.status["canary"]["revision"]
    label = f"tidegate.dev/revision={revision}"
    before = kubectl.names("-n", canary.namespace, "pods", "-l", label)
    with pods.load(canary.url, BODY) as load:
        canary.request("Promote", revision, "promote-1")
        assert canary.until_answered("promote-1")["accepted"] is True
        canary.until(lambda status: status["stable"]["revision"] == revision, "to have promoted")
        canary.until(lambda status: "retiring" not in status, "to have removed the old stable's pods")
    assert load.answers.failures == 0, load.answers.failed
    after = pods.send(canary.url, BODY, count=200)
    assert after.versions == {revision: 200}
    assert kubectl.names("-n", canary.namespace, "pods", "-l", label) == before
    assert canary.until_condition("Ready", reason="Serving")["rollout"]["phase"] == "Stable"


def test_aborting_takes_all_requests_from_the_canary_at_once_and_for_good(
    canary: Service, pods: Pods, spec: Callable[..., Object]
) -> None:
    revision, stable = canary.status["canary"]["revision"], canary.status["stable"]["revision"]
    canary.request("Abort", revision, "abort-1")
    assert canary.until_answered("abort-1")["accepted"] is True
    status = canary.until(lambda status: status["rollout"]["phase"] == "Aborted", "to be aborted")
    assert "canary" not in status
    assert status["stable"]["weight"] == 100
    # Both routers hear of it presently; then not one request more.
    assert any(pods.send(canary.url, BODY, count=50).versions == {stable: 50} for _ in range(10))
    assert pods.send(canary.url, BODY, count=500).versions == {stable: 500}
    # Another generation that asks for the same revision.
    canary.apply(spec(version=2, scaling={"slo": {"p95": "1s"}}))
    again = canary.until_condition("RolloutHealthy", "False", reason="AbortedByRequest")
    assert "canary" not in again


def test_a_request_that_names_another_revision_is_refused_and_told_so(canary: Service) -> None:
    stable = canary.status["stable"]["revision"]
    canary.request("Promote", stable, "wrong-1")
    answer = canary.until_answered("wrong-1")
    assert answer["accepted"] is False
    assert f"{stable} is not the canary" in answer["message"]
    assert canary.status["canary"]["weight"] == 10


@pytest.mark.alone
def test_a_controller_killed_in_the_middle_of_a_rollout_goes_on_from_the_status(
    canary: Service, pods: Pods, kubectl: Kubectl
) -> None:
    revision = canary.status["canary"]["revision"]
    with pods.load(canary.url, BODY) as load:
        kubectl.run(
            *("delete", "pods", "-n", "tidegate-system", "-l", "app.kubernetes.io/name=tidegate-controller"),
            *("--grace-period=0", "--force"),
        )
        canary.request("Promote", revision, "after-kill")
        assert canary.until_answered("after-kill", seconds=90)["accepted"] is True
        canary.until(lambda status: status["stable"]["revision"] == revision, "to have promoted")
    assert load.answers.failures == 0, load.answers.failed


def test_a_third_version_replaces_a_canary_that_is_under_way(
    canary: Service, pods: Pods, spec: Callable[..., Object]
) -> None:
    second, stable = canary.status["canary"]["revision"], canary.status["stable"]["revision"]
    with pods.load(canary.url, BODY) as load:
        canary.apply(spec(version=3))
        status = canary.until(
            lambda status: (
                status.get("canary", {}).get("revision") not in (None, second) and status["canary"]["weight"] == 10
            ),
            "to have the third version at 10 %",
        )
    assert status["stable"]["revision"] == stable
    assert load.answers.failures == 0, load.answers.failed
