"""Writes are counted by kind and verb; reads aren't."""

import pytest
from prometheus_client import CollectorRegistry

from tidegate_operator import errors
from tidegate_operator.controller.counting import Counted
from tidegate_operator.controller.metrics import ControllerMetrics

from .fake_cluster import FakeCluster

PATH = "/api/v1/namespaces/ml/services/churn"
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn", "namespace": "ml"}}


async def test_each_verb_is_counted_for_its_kind_whatever_comes_of_it() -> None:
    registry = CollectorRegistry()
    counted = Counted(FakeCluster(), ControllerMetrics(registry).writes)
    await counted.apply(PATH, SERVICE, "m")
    await counted.apply(PATH, SERVICE, "m")
    found = await counted.get(PATH)
    await counted.replace(f"{PATH}/status", {**found, "status": {}})
    await counted.create("/api/v1/namespaces/ml/events", {"kind": "Event"})
    await counted.delete(PATH)
    with pytest.raises(errors.NotFound):
        await counted.delete(PATH)

    def written(kind: str, verb: str) -> float | None:
        return registry.get_sample_value("tidegate_controller_writes_total", {"kind": kind, "verb": verb})

    assert written("Service", "apply") == 2
    assert written("Service", "replace") == 1
    assert written("Event", "create") == 1
    assert written("Service", "delete") == 2
    assert written("Service", "get") is None
