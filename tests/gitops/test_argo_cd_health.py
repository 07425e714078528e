"""health.lua, run by Lua: the table of docs/gitops.md, and what the table leaves out."""

import pytest

from tidegate_operator.observed import Failure

from .argo_cd import health
from .page import table
from .situations import SITUATIONS, Situation, an_object, pods

CANARY = "churn-bbbbbbbb"


@pytest.mark.parametrize("happens", SITUATIONS)
def test_argo_cd_shows(happens: str) -> None:
    assert health(SITUATIONS[happens])[0] == table()[happens].argo_cd


def test_the_page_has_the_situations_that_are_tried() -> None:
    assert list(table()) == list(SITUATIONS)


def test_the_message_says_what_a_person_needs_to_know() -> None:
    assert health(SITUATIONS["a canary's model is not the one that was promised"]) == (
        "Degraded",
        f"{CANARY}: got 77aa",
    )
    assert health(SITUATIONS["a canary waits for a person"]) == ("Suspended", "what it waits for")
    assert health(SITUATIONS["a new object that the controller hasn't seen"]) == (
        "Progressing",
        "the controller has not seen it yet",
    )


def test_a_pause_without_a_canary_holds_nothing() -> None:
    serves = Situation("Stable").object
    serves["spec"] = {**serves["spec"], "rollout": {"paused": True}}
    assert health(serves)[0] == "Healthy"


def test_a_pause_hides_no_failure() -> None:
    failing = pods(CANARY, 1, 0, Failure("DigestMismatch", "got 77aa"))
    assert health(Situation("Paused", canary=failing).object)[0] == "Degraded"


@pytest.mark.parametrize("status", [{}, {"conditions": []}, {"observedGeneration": 7}, {"rollout": {}}])
def test_half_a_status_is_progress(status: dict[str, object]) -> None:
    assert health(an_object(status))[0] == "Progressing"
