"""Rollouts that are judged by what Prometheus says as well, pass by pass."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate_operator.evidence.answers import Answer, NoData, Number, Unanswered
from tidegate_operator.install import Install

from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

NEW_MODEL = {"uri": "https://models.example/churn-2.onnx"}
STEPS = {"steps": [{"weight": 10, "hold": "1m"}, {"weight": 50, "hold": "1m"}]}
QUERY = {"name": "refunds", "query": 'refunds{r="{{canary}}",of="{{stable}}",ns="{{namespace}}"}', "max": 0.05}
IN, OUT, AWAY = Number(0.01), Number(0.2), Unanswered("Prometheus can't be reached")


@pytest.fixture
def asking(operated: OperatedCluster) -> OperatedCluster:
    """A cluster whose install names a Prometheus."""
    operated.install = Install(prometheus_url="http://prometheus.monitoring:9090")
    operated.operator = operated.new_operator()
    return operated


class Trial:
    """A canary at 10 %, whose callers are content."""

    def __init__(self, found: OperatedCluster) -> None:
        self.found = found
        self.asked = f'refunds{{r="{found.revision("canary")}",of="{found.revision("stable")}",ns="ml"}}'

    def says(self, answer: Answer) -> None:
        """What Prometheus says from now on."""
        self.found.prometheus.says[self.asked] = answer

    @property
    def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = self.found.status["rollout"]
        return found


async def a_trial(serving: Serving, rollout: dict[str, Any] | None = None, **analysis: Any) -> Trial:
    judged = {"minRequests": 0, "queries": [QUERY], **analysis}
    found = await serving(rollout={**STEPS, "analysis": judged, **(rollout or {})})
    found.change(model=NEW_MODEL)
    await found.settle()
    return Trial(found)


async def test_a_canary_within_its_bounds_is_promoted(asking: OperatedCluster, serving: Serving) -> None:
    trial = await a_trial(serving)
    trial.says(IN)
    await trial.found.flow(61)
    assert trial.found.status["canary"]["weight"] == 50
    await trial.found.flow(61)
    assert trial.found.condition("RolloutHealthy") == ("True", "Stable")


async def test_a_canary_out_of_bounds_in_three_windows_is_given_up_with_query_value_and_bound(
    asking: OperatedCluster, serving: Serving
) -> None:
    trial = await a_trial(serving)
    trial.says(OUT)
    await trial.found.flow(89)
    assert (trial.rollout["phase"], trial.rollout["analysis"]["reason"]) == ("Progressing", "QueryUndecided")
    await trial.found.flow(2)
    assert trial.found.condition("RolloutHealthy") == ("False", "QueryOutOfBounds")
    (told,) = trial.rollout["analysis"]["queries"]
    assert (told["query"], told["value"], told["bounds"]) == (trial.asked, 0.2, "at most 0.05")
    (event,) = [event for event in trial.found.cluster.events if event["reason"] == "RolloutAborted"]
    assert "query refunds gave 0.2 (at most 0.05), 3 of 3 in a row against the canary" in event["message"]


@pytest.mark.parametrize("then", ["Hold", "Pass", "Fail"])
@pytest.mark.parametrize("answer", [AWAY, NoData("it has no sample"), None], ids=["away", "no data", "not yet"])
async def test_what_prometheus_leaves_open_holds_the_step_whatever_is_said_of_too_few_requests(
    asking: OperatedCluster, serving: Serving, answer: Answer | None, then: str
) -> None:
    trial = await a_trial(serving, onNoData=then)
    if answer is not None:
        trial.says(answer)
    await trial.found.flow(180)
    assert (trial.rollout["phase"], trial.found.status["canary"]["weight"]) == ("Progressing", 10)
    trial.says(IN)
    await trial.found.flow(31)
    assert trial.found.status["canary"]["weight"] == 50


async def test_a_step_without_a_hold_does_not_end_before_prometheus_was_asked(
    asking: OperatedCluster, serving: Serving
) -> None:
    steps = [{"weight": 10, "hold": "0s"}, {"weight": 50, "hold": "1m"}]
    trial = await a_trial(serving, {"steps": steps}, onNoData="Pass")
    assert trial.found.status["canary"]["weight"] == 10
    trial.says(IN)
    await trial.found.flow(31)
    assert trial.found.status["canary"]["weight"] == 50


async def test_a_step_that_waits_says_for_what_and_a_person_may_let_it_go_on(
    asking: OperatedCluster, serving: Serving
) -> None:
    trial = await a_trial(serving)
    trial.says(AWAY)
    await trial.found.flow(70)
    assert "query refunds gave no number (at most 0.05): Prometheus can't be reached" in trial.rollout["message"]
    trial.found.ask("Promote", trial.found.revision("canary"))
    await trial.found.settle()
    assert trial.found.status["canary"]["weight"] == 50


async def test_prometheus_is_asked_once_a_window(asking: OperatedCluster, serving: Serving) -> None:
    trial = await a_trial(serving)
    trial.says(IN)
    await trial.found.flow(59)
    assert len({window for _, window, _ in trial.found.prometheus.asked}) == len(trial.found.prometheus.asked) == 1


async def test_evidence_by_callers_waits_for_no_answer(asking: OperatedCluster, serving: Serving) -> None:
    trial = await a_trial(serving)
    trial.found.callers.restarts[trial.found.revision("canary")] = 1
    await trial.found.flow(31)
    assert trial.rollout["reason"] == "CanaryRestarted"
    assert trial.found.prometheus.asked == []


async def test_each_step_counts_anew(asking: OperatedCluster, serving: Serving) -> None:
    trial = await a_trial(serving, queries=[{**QUERY, "windows": 2}])
    trial.says(IN)
    await trial.found.flow(61)
    trial.says(OUT)
    await trial.found.flow(31)
    assert trial.rollout["analysis"]["queries"][0]["against"] == 1
    await trial.found.flow(30)
    assert trial.rollout["reason"] == "QueryOutOfBounds"


async def test_copies_are_judged_by_queries_too(asking: OperatedCluster, serving: Serving) -> None:
    steps = {"steps": [{"weight": 0, "hold": "1m"}, {"weight": 50, "hold": "1m"}], "shadow": {"percent": 20}}
    trial = await a_trial(serving, steps)
    trial.says(OUT)
    await trial.found.flow(95)
    assert trial.rollout["reason"] == "QueryOutOfBounds"
    assert trial.rollout["analysis"]["copies"]["compared"] == 0


@pytest.mark.parametrize(
    ("install", "told"),
    [
        pytest.param(Install(), "set the chart's prometheus.url", id="no Prometheus"),
        pytest.param(
            Install(prometheus_url="http://p:9090", prometheus_namespaces=("web",)),
            "add it to the chart's prometheus.namespaces",
            id="not for this namespace",
        ),
    ],
)
async def test_queries_that_the_install_does_not_allow_are_refused_by_name(
    operated: OperatedCluster, serving: Serving, install: Install, told: str
) -> None:
    operated.install = install
    operated.operator = operated.new_operator()
    found = await serving(rollout={"analysis": {"queries": [QUERY]}})
    assert found.condition("Stalled") == ("True", "InvalidSpec")
    (message,) = [c["message"] for c in found.status["conditions"] if c["type"] == "Stalled"]
    assert message.startswith("spec.rollout.analysis.queries: ")
    assert told in message
