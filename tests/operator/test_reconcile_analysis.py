"""Rollouts that are judged by what callers see, pass by pass."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tidegate_operator.evidence.buckets import BOUNDS_SECONDS, index_of
from tidegate_operator.evidence.readings import NO_COPIES, Calls, Copies, Readings, Times

from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

STEPS = {"steps": [{"weight": 10, "hold": "1m"}, {"weight": 50, "hold": "1m"}], "scaleDownDelay": "5m"}
NEW_MODEL = {"uri": "https://models.example/churn-2.onnx"}


SHADOWED = {"steps": [{"weight": 0, "hold": "1m"}, {"weight": 50, "hold": "1m"}], "shadow": {"percent": 20}}


class Traffic:
    """Callers of a service whose revisions fail some of their requests, seen by one router since it started."""

    def __init__(self, found: OperatedCluster) -> None:
        self.found = found
        self.calls: dict[str, Calls] = {}

    async def flow(self, seconds: int, *, failing: float = 0.0, at_canary: bool = True) -> None:
        """A hundred requests a second by the weights there are, with passes as they fall due."""
        for _ in range(seconds):
            status = self.found.status
            weight = status["canary"]["weight"] if "canary" in status else 0
            self._count(status["stable"]["revision"], 100 - weight, 0.0)
            if weight and at_canary:
                self._count(status["canary"]["revision"], weight, failing)
            self.found.now += timedelta(seconds=1)
            await self.found.settle()

    def _count(self, revision: str, requests: int, failing: float) -> None:
        before = self.calls.get(revision, Calls())
        failures = round((before.requests + requests) * failing)
        self.calls[revision] = Calls(before.requests + requests, max(before.failures, failures))
        # Nearly all take 20 ms, and six in a hundred twice as long.
        slow = 6 * self.calls[revision].requests // 100
        counts = [0] * (len(BOUNDS_SECONDS) + 1)
        counts[index_of(0.020)], counts[index_of(0.040)] = self.calls[revision].requests - slow, slow
        self.found.callers.sees[revision] = Readings(
            calls={"router": self.calls[revision]}, times={"pod": Times(tuple(counts))}
        )


async def a_canary(serving: Serving, **analysis: Any) -> tuple[OperatedCluster, Traffic]:
    """A service with a canary at 10 %, a second after it got there."""
    found = await serving(rollout={**STEPS, "analysis": analysis})
    traffic = Traffic(found)
    await traffic.flow(2)
    found.change(model=NEW_MODEL)
    await found.settle()
    await traffic.flow(1)
    assert found.status["canary"]["weight"] == 10
    return found, traffic


async def test_a_canary_that_fails_no_request_is_promoted_step_by_step(serving: Serving) -> None:
    found, traffic = await a_canary(serving, minRequests=200)
    new = found.revision("canary")
    await traffic.flow(30)
    analysis = found.status["rollout"]["analysis"]
    assert (analysis["verdict"], analysis["canary"]["requests"]) == ("Pass", 300)
    assert found.status["canary"]["observedWeight"] == 10.0
    await traffic.flow(40)
    assert found.status["canary"]["weight"] == 50
    await traffic.flow(65)
    assert found.revision("stable") == new
    assert found.condition("RolloutHealthy") == ("True", "Stable")


async def test_a_canary_that_fails_more_is_given_up_with_the_numbers_that_say_so(serving: Serving) -> None:
    found, traffic = await a_canary(serving)
    old = found.revision("stable")
    await traffic.flow(35, failing=0.2)
    assert (found.revision("stable"), "canary" in found.status) == (old, False)
    assert found.condition("RolloutHealthy") == ("False", "ErrorsIncreased")
    (told,) = [c["message"] for c in found.status["conditions"] if c["type"] == "RolloutHealthy"]
    assert "the canary failed 60 of 300 requests" in told
    warnings = [event for event in found.cluster.events if event["reason"] == "RolloutAborted"]
    assert "60 of 300 requests" in warnings[0]["message"]
    assert warnings[0]["type"] == "Warning"


async def test_a_canary_that_nobody_asks_waits_and_says_for_what(serving: Serving) -> None:
    found, traffic = await a_canary(serving)
    await traffic.flow(200, at_canary=False)
    assert found.status["canary"]["weight"] == 10
    assert "of 200 requests that the canary has to have answered" in found.status["rollout"]["message"]
    assert found.status["rollout"]["analysis"]["reason"] == "TooFewRequests"


async def test_a_share_that_is_other_than_the_weight_holds_the_step(serving: Serving) -> None:
    found, traffic = await a_canary(serving, minRequests=0)
    await traffic.flow(100, at_canary=False)
    assert found.status["canary"]["weight"] == 10
    assert found.status["rollout"]["analysis"]["reason"] == "ShareDiffers"


async def test_a_router_that_shares_otherwise_holds_the_step(serving: Serving) -> None:
    found, traffic = await a_canary(serving)
    found.callers.share = False
    await traffic.flow(100)
    assert found.status["canary"]["weight"] == 10
    assert found.status["rollout"]["analysis"]["reason"] == "RoutesDiffer"
    found.callers.share = True
    await traffic.flow(40)
    assert found.status["canary"]["weight"] == 50


async def test_a_restarted_operator_goes_on_from_the_verdict_in_the_status(serving: Serving) -> None:
    found, traffic = await a_canary(serving)
    await traffic.flow(31)
    before = found.status["rollout"]["analysis"]
    found.operator = found.new_operator()
    await traffic.flow(25)
    assert found.status["rollout"]["analysis"] == before
    await traffic.flow(10)
    assert found.status["canary"]["weight"] == 50


async def test_a_verdict_that_could_not_be_written_is_given_anew_with_all_of_its_window(serving: Serving) -> None:
    found, traffic = await a_canary(serving)
    await traffic.flow(28)
    found.now += timedelta(seconds=5)
    # Somebody writes while the pass looks around, so that its write is a conflict.
    found.routers.when_asked = lambda: found.ask("Resume", found.revision("canary"), "meanwhile")
    await found.operator.look()
    with pytest.raises(Exception, match="modified"):
        await found.operator.reconcile(found.now)
    found.routers.when_asked = lambda: None
    await found.settle()
    assert found.status["rollout"]["analysis"]["canary"]["requests"] == 290


async def test_a_canary_at_rest_between_two_looks_makes_no_write(serving: Serving) -> None:
    found, traffic = await a_canary(serving)
    await traffic.flow(31)
    found.cluster.writes.clear()
    await traffic.flow(10)
    assert found.cluster.writes == []


async def test_a_canary_whose_only_pod_ended_is_given_up_when_it_is_back(serving: Serving) -> None:
    found, traffic = await a_canary(serving)
    canary = found.revision("canary")
    await traffic.flow(5)
    found.failing.add(canary)
    found.callers.restarts[canary] = 1
    await traffic.flow(2)
    assert (found.status["canary"]["weight"], found.status["rollout"]["phase"]) == (0, "Preparing")
    found.failing.clear()
    await traffic.flow(35)
    assert found.status["rollout"]["reason"] == "CanaryRestarted"


async def test_a_canary_whose_only_pod_ended_is_given_up_though_it_never_comes_back(serving: Serving) -> None:
    found, traffic = await a_canary(serving)
    canary = found.revision("canary")
    await traffic.flow(5)
    found.failing.add(canary)
    found.callers.restarts[canary] = 1
    await traffic.flow(35)
    assert found.status["rollout"]["reason"] == "CanaryRestarted"
    assert "canary" not in found.status


async def a_shadowed_canary(serving: Serving, **rollout: Any) -> OperatedCluster:
    """A service with a canary at its step of weight 0."""
    found = await serving(rollout={**SHADOWED, **rollout})
    found.change(model=NEW_MODEL)
    await found.settle()
    assert found.status["rollout"]["phase"] == "Progressing"
    assert found.status["canary"]["weight"] == 0
    return found


async def copied(found: OperatedCluster, seconds: int, *, diverging: int = 0, failing: int = 0, mute: int = 0) -> None:
    """Ten copies a second by one of stable's pods, with passes as they fall due."""
    canary = found.revision("canary")
    for _ in range(seconds):
        if found.status.get("canary", {}).get("revision") != canary:
            return
        alike, diverged, moved, failed, dropped = found.callers.sees.get(canary, Readings()).copies.get(
            "pod", NO_COPIES
        )
        now = Copies(alike + 10 - diverging - failing, diverged + diverging, moved, failed + failing, dropped + 1)
        found.callers.sees[canary] = Readings(copies={} if mute else {"pod": now}, mute=mute)
        found.now += timedelta(seconds=1)
        await found.settle()


async def test_a_canary_that_answers_copies_as_stable_does_gets_its_first_requests(serving: Serving) -> None:
    found = await a_shadowed_canary(serving)
    await copied(found, 31)
    analysis = found.status["rollout"]["analysis"]
    assert (analysis["verdict"], analysis["reason"]) == ("Pass", "AnswersAlike")
    assert analysis["copies"] == {"compared": 300, "diverged": 0, "failed": 0, "dropped": 30}
    assert found.status["canary"]["weight"] == 0
    await copied(found, 35)
    assert found.status["canary"]["weight"] == 50


async def test_a_canary_whose_answers_to_copies_differ_is_given_up_before_it_has_a_caller(serving: Serving) -> None:
    found = await a_shadowed_canary(serving)
    await copied(found, 35, diverging=2)
    assert found.status["rollout"]["phase"] == "Aborted"
    assert found.condition("RolloutHealthy") == ("False", "AnswersDiverged")
    (told,) = [c["message"] for c in found.status["conditions"] if c["type"] == "RolloutHealthy"]
    assert "60 of 300 answers (20 %) differed from stable's" in told


async def test_a_canary_that_fails_copies_is_given_up(serving: Serving) -> None:
    found = await a_shadowed_canary(serving)
    await copied(found, 35, failing=2)
    assert found.status["rollout"]["reason"] == "CopiesFailed"


async def test_a_step_whose_stable_cannot_copy_waits_and_says_what_to_do(serving: Serving) -> None:
    found = await a_shadowed_canary(serving)
    await copied(found, 100, mute=1)
    assert found.status["canary"]["weight"] == 0
    assert found.status["rollout"]["analysis"]["reason"] == "StableCantCopy"
    assert "Promote goes on without" in found.status["rollout"]["message"]
    found.ask("Promote", found.revision("canary"))
    await found.settle()
    assert found.status["canary"]["weight"] == 50


async def test_a_step_of_weight_0_without_copies_asked_for_is_not_judged(serving: Serving) -> None:
    found = await a_shadowed_canary(serving, shadow=None)
    await copied(found, 40, diverging=10)
    assert found.status["rollout"].get("analysis") is None
    await copied(found, 30)
    assert found.status["canary"]["weight"] == 50
