"""What is kept of objects: all that is read, in texts that they share."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.kube import keeping
from tidegate_operator.kube.keeping import kept

METADATA = {"name": "churn", "namespace": "ml", "resourceVersion": "7", "labels": {"tidegate.dev/service": "churn"}}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(spec=JSON, status=JSON)
def test_all_else_is_kept_as_it_is(spec: Any, status: Any) -> None:
    item = {"apiVersion": "v1", "kind": "Service", "metadata": METADATA, "spec": spec, "status": status}
    assert kept(item) == item


def test_managed_fields_and_what_a_pod_runs_are_not_kept() -> None:
    metadata = {**METADATA, "managedFields": [{"manager": "m"}]}
    found = kept({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": {"phase": "Pending"}})
    assert found == {"apiVersion": "v1", "kind": "Pod", "metadata": METADATA, "status": {"phase": "Pending"}}


def test_objects_that_were_read_apart_share_their_texts() -> None:
    text = json.dumps({"kind": "Service", "metadata": METADATA, "spec": {"type": "a long enough value"}})
    one, other = kept(json.loads(text)), kept(json.loads(text))
    assert one["spec"]["type"] is other["spec"]["type"]
    assert next(iter(one["spec"])) is next(iter(other["spec"]))


def test_texts_that_are_gone_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "TEXTS", 100)
    for number in range(1000):
        kept({"kind": "Service", "metadata": {**METADATA, "uid": f"uid-{number}"}})
    assert len(keeping._texts) <= 120
