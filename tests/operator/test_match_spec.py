"""Whose requests a canary gets: what the spec takes and refuses."""

from typing import Any

import pytest
from pydantic import ValidationError

from tidegate_operator.api.rollout_spec import RolloutSpec

TAKEN: list[dict[str, Any]] = [
    {},
    {"match": [{"header": {"x-model": "canary"}}]},
    {"match": [{"cookie": {"tester": "yes"}}, {"header": {"a": "b", "c": "d"}, "cookie": {"E.f": "g"}}]},
    {"match": [{"header": {f"x-{n}": "v"}} for n in range(8)]},
    {"sticky": {"header": "x-user"}},
    {"sticky": {"cookie": "user"}},
]


@pytest.mark.parametrize("rollout", TAKEN)
def test_a_spec_takes(rollout: dict[str, Any]) -> None:
    assert RolloutSpec.model_validate(rollout).model_dump(exclude_unset=True, exclude_none=True) == rollout


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"match": [{"header": {}}]}, "at least 1"),
    ({"match": [{"header": {f"x-{n}": "v" for n in range(5)}}]}, "at most 4"),
    ({"match": [{"header": {"X-Model": "v"}}]}, "lower-case"),
    ({"match": [{"header": {"x-model\n": "v"}}]}, "lower-case"),
    ({"match": [{"header": {"x-model": "a\nb"}}]}, "pattern"),
    ({"match": [{"header": {"x-model": "v" * 257}}]}, "at most 256"),
    ({"match": [{"cookie": {"a=b": "v"}}]}, "cookie's name"),
    ({"match": [{"cookie": {"tester": "a;b"}}]}, "pattern"),
    ({"match": [{"query": {"a": "b"}}]}, "not permitted"),
    ({"match": [{"header": {"a": "b"}}] * 9}, "at most 8"),
    ({"sticky": {"header": "x user"}}, "pattern"),
]


@pytest.mark.parametrize(("rollout", "told"), REFUSED)
def test_a_spec_refuses(rollout: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        RolloutSpec.model_validate(rollout)
