"""Whether a live object holds what a manifest declares."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.kube.containment import contains

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("live", "declared", "held"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"b": 2}, {"a": 1}, False),
        ({"a": 2}, {"a": 1}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"ports": [{"port": 80, "protocol": "TCP"}]}, {"ports": [{"port": 80}]}, True),
        ({"ports": [{"port": 80}, {"port": 81}]}, {"ports": [{"port": 80}]}, False),
        ({"ports": [{"port": 81}, {"port": 80}]}, {"ports": [{"port": 80}, {"port": 81}]}, False),
        ({}, {"hostNetwork": False, "emptyDir": {}, "value": "", "args": []}, True),
        ({}, {"cpu": "1"}, False),
        ({"cpu": "1"}, {"cpu": "1000m"}, False),
        ({"flag": 1}, {"flag": True}, False),
        ({"spec": "text"}, {"spec": {}}, False),
    ],
)
def test_what_is_declared_has_to_be_there_as_it_is(live: Any, declared: Any, held: bool) -> None:
    assert contains(live, declared) is held


@given(TREES)
def test_everything_holds_itself(tree: Any) -> None:
    assert contains(tree, tree)
