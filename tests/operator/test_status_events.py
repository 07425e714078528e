"""Which changes of the status are worth an Event."""

from typing import Any

from tidegate_operator.api.status import InferenceServiceStatus, RoutedRevision
from tidegate_operator.conditions import Fact, Truth, settle
from tidegate_operator.events import Event, decision_of, events_of
from tidegate_operator.rollout.requests import Ruling, answer

from .builders import NOW, A, B, a_request

NOTHING = InferenceServiceStatus()


def a_status(phase: str = "Stable", *facts: Fact, weight: int | None = None, **rollout: Any) -> InferenceServiceStatus:
    return InferenceServiceStatus.model_validate(
        {
            "stable": {"revision": A, "weight": 100 - (weight or 0)},
            "canary": None if weight is None else {"revision": B, "weight": weight},
            "rollout": {"phase": phase, "message": "m", **rollout},
            "conditions": settle([], facts, 1, NOW),
        }
    )


def ready(status: Truth, reason: str = "R", message: str = "m") -> Fact:
    return Fact("Ready", status, reason, message)


def loaded(status: Truth, reason: str = "R", message: str = "m") -> Fact:
    return Fact("ModelLoaded", status, reason, message)


def test_a_status_that_stays_is_worth_none() -> None:
    status = a_status("Progressing", ready("False"), loaded("False"), weight=10)
    assert events_of(status, status) == []


def test_a_new_service_is_worth_one() -> None:
    assert events_of(NOTHING, a_status("Initial")) == [Event("Normal", "RevisionCreated", "m")]


def test_a_weight_is_worth_one() -> None:
    before, now = a_status("Preparing", weight=0), a_status("Progressing", weight=10)
    assert events_of(before, now) == [Event("Normal", "CanaryWeighted", "m")]


def test_other_words_for_the_same_decision_are_worth_none() -> None:
    before, now = a_status("Preparing", weight=0), a_status("Preparing", weight=0, message="0 of 2 pods")
    assert events_of(before, now) == []


def test_more_pods_are_worth_none() -> None:
    now = a_status().model_copy(update={"stable": RoutedRevision(revision=A, weight=100, replicas=5)})
    assert events_of(a_status(), now) == []


def test_an_abort_is_told_with_the_request_that_asked_for_it() -> None:
    answered = answer(a_request("Abort"), Ruling(True, "no more requests"), NOW)
    now = a_status("Aborted", lastRequest=answered.dump())
    assert events_of(a_status("Progressing", weight=10), now) == [
        Event("Normal", "RequestAccepted", f"Abort {B}: no more requests"),
        Event("Warning", "RolloutAborted", "m"),
    ]


def test_a_refusal_is_a_warning() -> None:
    now = a_status(lastRequest=answer(a_request(), Ruling(False, "there is no canary"), NOW).dump())
    assert events_of(a_status(), now) == [Event("Warning", "RequestRefused", f"Promote {B}: there is no canary")]


def test_a_service_that_is_no_longer_ready_is_a_warning() -> None:
    before, now = a_status("Stable", ready("True")), a_status("Stable", ready("False", "NoReadyPod", "no pod"))
    assert events_of(before, now) == [Event("Warning", "NoReadyPod", "no pod")]


def test_a_service_that_was_never_ready_is_no_warning() -> None:
    assert events_of(a_status("Initial"), a_status("Initial", ready("False"))) == []


def test_a_model_that_can_not_be_loaded_is_a_warning_for_each_reason() -> None:
    first, second = loaded("False", "ModelUnreachable", "503"), loaded("False", "DigestMismatch", "got 77aa")
    assert events_of(a_status(), a_status("Stable", first)) == [Event("Warning", "ModelUnreachable", "503")]
    assert events_of(a_status("Stable", first), a_status("Stable", second)) == [
        Event("Warning", "DigestMismatch", "got 77aa")
    ]


def test_a_back_off_that_grows_is_not_worth_one_each_time() -> None:
    before = a_status("Stable", loaded("False", "ImagePullBackOff", "back-off 10s"))
    now = a_status("Stable", loaded("False", "ImagePullBackOff", "back-off 20s"))
    assert events_of(before, now) == []


def test_a_decision_is_told_with_where_it_comes_from_and_leads_to() -> None:
    before = a_status("Preparing", weight=0, step=0)
    now = a_status("Progressing", weight=10, step=0)
    assert decision_of(before, now) == {
        "revision": B,
        "weight": 10,
        "from": "Preparing",
        "to": "Progressing",
        "step": 0,
        "reason": "CanaryWeighted",
        "why": "m",
    }


def test_the_first_decision_comes_from_nowhere() -> None:
    told = decision_of(NOTHING, a_status("Initial"))
    assert told is not None
    assert (told["from"], told["to"], told["revision"], told["weight"]) == (None, "Initial", A, 100)


def test_the_reason_for_which_a_canary_was_given_up_is_told() -> None:
    told = decision_of(a_status("Progressing", weight=10), a_status("Aborted", reason="ErrorsIncreased"))
    assert told is not None
    assert (told["reason"], told["revision"], told["weight"]) == ("ErrorsIncreased", A, 100)


def test_a_request_that_is_refused_is_a_decision() -> None:
    answered = answer(a_request("Abort"), Ruling(False, "no canary"), NOW)
    told = decision_of(a_status("Stable"), a_status("Stable", lastRequest=answered.dump()))
    assert told is not None
    assert told["request"] == {"id": "1", "action": "Abort", "accepted": False}


def test_what_decides_nothing_is_not_told() -> None:
    before, now = (
        a_status("Preparing", weight=0),
        a_status("Preparing", ready("False"), weight=0, message="0 of 2 pods"),
    )
    assert decision_of(before, now) is None
