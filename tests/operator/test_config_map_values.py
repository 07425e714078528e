"""What a spec takes from ConfigMaps is kept with its revision: no later change reaches pods unasked."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate_operator import errors
from tidegate_operator.desired.config_maps import filled, named_in
from tidegate_operator.kube.objects import CONFIG_MAP

from .builders import Object, a_spec
from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

RUNTIME = {"environment": [{"name": "LEVEL", "configMap": {"name": "settings", "key": "level"}}]}
ROLLOUT = {"steps": [{"weight": 10, "hold": "0s"}], "approval": "Manual", "scaleDownDelay": "1s"}
PATH = CONFIG_MAP.path("ml", "settings")


def a_config_map(level: str) -> Object:
    metadata = {"name": "settings", "namespace": "ml"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"level": level}}


def level(found: OperatedCluster, revision: str) -> str:
    """The variable's value in a revision's pods."""
    template = found.cluster.of_kind("Deployment")[revision]["spec"]["template"]
    (value,) = [entry["value"] for entry in template["spec"]["containers"][0]["env"] if entry["name"] == "LEVEL"]
    told: str = value
    return told


def change_level(found: OperatedCluster, value: str) -> None:
    found.cluster.edit(PATH, lambda item: item["data"].update(level=value))


@pytest.fixture
async def served(operated: OperatedCluster, serving: Serving) -> OperatedCluster:
    """A service that serves, with level 1."""
    operated.cluster.put(a_config_map("1"))
    return await serving(runtime=RUNTIME, rollout=ROLLOUT)


async def test_pods_have_the_value_itself(served: OperatedCluster) -> None:
    assert level(served, served.revision("stable")) == "1"


async def test_a_change_reaches_no_pod_and_is_told(served: OperatedCluster) -> None:
    before = served.cluster.of_kind("Deployment")
    change_level(served, "2")
    await served.settle()
    assert served.cluster.of_kind("Deployment") == before
    assert served.condition("PlatformUpdateAvailable") == ("True", "TemplateDiffers")
    (told,) = [c["message"] for c in served.status["conditions"] if c["type"] == "PlatformUpdateAvailable"]
    assert "value: 1 → 2" in told
    assert served.condition("Reconciling") == ("False", "Settled")


async def test_a_change_is_rolled_out_by_an_update_and_taken_back_by_a_rollback(served: OperatedCluster) -> None:
    old = served.revision("stable")
    change_level(served, "2")
    served.ask("Update", old)
    await served.settle()
    new = served.revision("canary")
    assert (level(served, old), level(served, new)) == ("1", "2")
    served.ask("Promote", new, "2")
    await served.settle()
    assert served.condition("PlatformUpdateAvailable") == ("False", "UpToDate")
    served.cluster.remove(PATH)
    served.ask("Rollback", old, "3")
    await served.settle()
    assert (served.revision("stable"), level(served, old)) == (old, "1")
    assert served.condition("Ready") == ("True", "Serving")


async def test_another_model_takes_the_value_that_there_is_by_then(served: OperatedCluster) -> None:
    change_level(served, "2")
    served.change(model={"uri": "https://models.example/churn-2.onnx"})
    await served.settle()
    assert (level(served, served.revision("stable")), level(served, served.revision("canary"))) == ("1", "2")


async def test_a_value_that_is_gone_is_not_missed_by_what_runs(served: OperatedCluster) -> None:
    served.cluster.remove(PATH)
    served.operator = served.new_operator()
    await served.settle()
    assert served.condition("Ready") == ("True", "Serving")
    assert served.condition("Stalled") == ("False", "Progressing")
    assert served.condition("PlatformUpdateAvailable") == ("False", "UpToDate")


async def test_a_new_service_waits_for_its_value(serving: Serving) -> None:
    found = await serving(runtime=RUNTIME, rollout=ROLLOUT)
    assert found.condition("Stalled") == ("True", "InvalidSpec")
    (told,) = [c["message"] for c in found.status["conditions"] if c["type"] == "Stalled"]
    assert told == "spec.runtime.environment, LEVEL: there is no ConfigMap settings in the namespace: create it"
    assert found.replicas == {}
    found.cluster.put(a_config_map("1"))
    await found.operator.look()
    outcome = await found.operator.reconcile(found.now)
    await found.settle()
    assert outcome.due is None or outcome.due.total_seconds() <= 5
    assert found.condition("Ready") == ("True", "Serving")


async def test_a_missing_value_leaves_what_runs_and_is_looked_for_again(served: OperatedCluster) -> None:
    environment = [{"name": "LEVEL", "configMap": {"name": "settings", "key": "depth"}}]
    served.change(runtime={"environment": environment})
    await served.operator.look()
    outcome = await served.operator.reconcile(served.now)
    assert outcome.due is not None
    assert outcome.due.total_seconds() <= 5
    assert served.condition("Stalled") == ("True", "InvalidSpec")
    assert set(served.replicas) == {served.revision("stable")}
    served.cluster.edit(PATH, lambda item: item["data"].update(depth="3"))
    await served.settle()
    assert level(served, served.revision("canary")) == "3"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "there is no ConfigMap settings in the namespace: create it"),
        ({"depth": "1"}, "ConfigMap settings has no level: add it, or name another key"),
        ({"level": "x" * 4097}, "has 4097 characters, and 4096 is the limit: shorten it"),
    ],
)
def test_a_value_that_cannot_be_taken_is_told_by_its_place(data: dict[str, str] | None, told: str) -> None:
    with pytest.raises(errors.InvalidSpec) as refused:
        filled(a_spec(runtime=RUNTIME), {"settings": data})
    assert str(refused.value).startswith("spec.runtime.environment, LEVEL: ")
    assert str(refused.value).endswith(told)


@pytest.mark.parametrize("value", ["", "x" * 4096, "two\nlines", "$(PATH)"])
def test_any_other_value_is_taken_as_it_is(value: str) -> None:
    (variable,) = filled(a_spec(runtime=RUNTIME), {"settings": {"level": value}}).runtime.environment
    assert (variable.value, variable.config_map) == (value, None)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({}, set()),
        ({"runtime": {"device": "cpu"}}, set()),
        ({"runtime": {"environment": [{"name": "A", "value": "b"}]}}, set()),
        ({"runtime": RUNTIME}, {"settings"}),
    ],
)
def test_the_config_maps_of_a_spec_are_those_that_it_names(content: dict[str, Any], names: set[str]) -> None:
    assert named_in(content) == names
