"""A service's revisions, from the records that there are."""

import pytest

from tidegate_operator.cli.revision_history import history

from .builders import A, B, C, Object, a_service, at_ten, resting

D = "churn-dddddddd"
MODEL = {"uri": "https://models.example/v1.onnx"}


def a_record(revision: str, number: int, **content: object) -> Object:
    return {
        "metadata": {"name": revision, "creationTimestamp": "2026-11-20T10:00:00Z"},
        "revision": number,
        "data": {"content": {"model": MODEL, **content}},
    }


def test_the_newest_revision_comes_first_whatever_the_order_of_the_records() -> None:
    entries = history(a_service(at_ten()), [a_record(B, 10), a_record(C, 2), a_record(A, 9)])
    assert [(entry.number, entry.revision) for entry in entries] == [(10, B), (9, A), (2, C)]


def test_each_revision_is_told_with_what_became_of_it() -> None:
    status = {
        **at_ten(rejected=["dddddddd"]),
        "previous": {"revision": C},
        "retiring": [
            {"revision": C, "until": "2026-11-22T10:00:00Z"},
            {"revision": "churn-eeeeeeee", "until": "2026-11-22T10:00:00Z"},
        ],
    }
    names = (A, B, C, D, "churn-eeeeeeee", "churn-ffffffff")
    entries = history(a_service(status), [a_record(name, number) for number, name in enumerate(names)])
    assert {entry.revision: entry.state for entry in entries} == {
        A: "stable",
        B: "canary",
        C: "previous",
        D: "rejected",
        "churn-eeeeeeee": "retiring",
        "churn-ffffffff": "kept",
    }


def test_a_digest_that_the_spec_does_not_name_is_the_one_that_the_status_tells() -> None:
    status = at_ten()
    status["stable"]["modelSha256"], status["canary"]["modelSha256"] = "11" * 32, "22" * 32
    status["previous"] = {"revision": C, "modelSha256": "33" * 32}
    promised = {"model": {**MODEL, "sha256": "ab" * 32}}
    records = [a_record(D, 1), a_record(C, 2), a_record(A, 3, **promised), a_record(B, 4)]
    told = {entry.revision: entry.sha256 for entry in history(a_service(status), records)}
    assert told == {B: "22" * 32, A: "ab" * 32, C: "33" * 32, D: None}


CHANGES: dict[str, tuple[Object, Object, tuple[str, ...]]] = {
    "another model": (
        {},
        {"model": {"uri": "https://models.example/v2.onnx", "sha256": "ab" * 32}},
        (
            f"model.sha256: none → {'ab' * 32}",
            "model.uri: https://models.example/v1.onnx → https://models.example/v2.onnx",
        ),
    ),
    "a default is named by its value": (
        {},
        {"runtime": {"timeout": "2s"}},
        ("runtime.timeout: 30s → 2s",),
    ),
    "back to the default": (
        {"resources": {"requests": {"memory": "4Gi"}}},
        {},
        ("resources.requests.memory: 4Gi → 2Gi",),
    ),
    "what an older release wrote and this one can't read": (
        {},
        {"sharding": {"ways": 2}},
        ("sharding.ways: none → 2",),
    ),
}


@pytest.mark.parametrize(("before", "after", "changes"), CHANGES.values(), ids=CHANGES.keys())
def test_a_revision_is_told_by_what_it_changed(before: Object, after: Object, changes: tuple[str, ...]) -> None:
    newest, oldest = history(a_service(resting()), [a_record(A, 1, **before), a_record(B, 2, **after)])
    assert set(changes) <= set(newest.changes)
    assert oldest.changes == ()


def test_a_revision_of_another_release_alone_says_so() -> None:
    newest, _ = history(a_service(resting()), [a_record(A, 1), a_record(B, 2)])
    assert newest.changes == ("the same spec, with what another release of Tidegate, or a ConfigMap, makes of it",)


def test_the_model_is_told_as_the_spec_named_it() -> None:
    (entry,) = history(a_service(resting()), [a_record(A, 1, model={**MODEL, "sha256": "ab" * 32})])
    assert (entry.uri, entry.sha256) == (MODEL["uri"], "ab" * 32)
