"""What is kept of objects: all that is read, as bytes, and a copy for each reader."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_operator.desired import revision
from tidegate_operator.install import Install
from tidegate_operator.kube.keeping import kept, packed, unpacked
from tidegate_operator.kube.store import Key, Store, reference_of
from tidegate_operator.revisions import revision_of

from .builders import a_service, a_spec

METADATA = {"name": "churn", "namespace": "ml", "resourceVersion": "7", "labels": {"tidegate.dev/service": "churn"}}

SPEC = a_spec()
RECORD = revision.record(a_service(), revision_of("churn", SPEC), SPEC, Install(), 1)

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


@given(spec=JSON, status=JSON)
def test_what_was_packed_is_read_as_it_was(spec: Any, status: Any) -> None:
    item = {"apiVersion": "v1", "kind": "Service", "metadata": METADATA, "spec": spec, "status": status}
    found = unpacked(packed(item))
    assert found == item
    assert json.dumps(found) == json.dumps(item)


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="unmarshallable"):
        packed({"kind": "Service", "metadata": METADATA, "spec": object()})


def test_a_reader_who_changes_an_object_changes_nobody_elses() -> None:
    store = Store()
    item = {"kind": "Service", "metadata": METADATA, "spec": {"ports": [80]}}
    store.put(item)
    for found in (store.get(reference_of(item)), *store.of_kind("Service"), *store.children(Key("ml", "churn"))):
        assert found is not None
        found["spec"]["ports"].append(81)
    assert store.get(reference_of(item)) == item


def test_a_kept_object_weighs_no_more_than_its_text() -> None:
    store = Store()
    text = json.dumps({**RECORD, "metadata": {**RECORD["metadata"], "resourceVersion": "7"}})
    tracemalloc.start()
    try:
        for number in range(200):
            store.put(json.loads(text.replace("churn", f"churn-{number}")))
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A reference, an entry and its place in three tables.
    assert kept_bytes / 200 < len(text) + 1000
