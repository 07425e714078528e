"""A newer release, or another image of the runtime, changes no running pod: told, and rolled out when asked for."""

from collections.abc import Awaitable, Callable
from typing import Any

from tidegate_operator.install import Install
from tidegate_operator.kube.objects import RECORD

from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

MANUAL = {"steps": [{"weight": 10, "hold": "0s"}], "approval": "Manual", "scaleDownDelay": "5m"}
NEWER = Install(runtime_image_cuda="tidegate.dev/runtime-cuda:next")


async def a_newer_release(serving: Serving, **spec: Any) -> OperatedCluster:
    """A service that an older release rendered, under an operator of the next one."""
    found = await serving(rollout=MANUAL, **spec)
    found.install = NEWER
    found.operator = found.new_operator()
    await found.settle()
    return found


def image(found: OperatedCluster, revision: str) -> str:
    template = found.cluster.of_kind("Deployment")[revision]["spec"]["template"]
    told: str = template["spec"]["containers"][0]["image"]
    return told


async def test_a_newer_release_changes_no_running_pod_and_says_what_it_would_change(serving: Serving) -> None:
    found = await serving(rollout=MANUAL)
    assert found.condition("PlatformUpdateAvailable") == ("False", "UpToDate")
    before = found.cluster.of_kind("Deployment")
    found.install = NEWER
    found.operator = found.new_operator()
    await found.settle()
    assert found.cluster.of_kind("Deployment") == before
    assert found.condition("PlatformUpdateAvailable") == ("True", "TemplateDiffers")
    (told,) = [c["message"] for c in found.status["conditions"] if c["type"] == "PlatformUpdateAvailable"]
    assert "containers[0].image: tidegate.dev/runtime-cuda:dev → tidegate.dev/runtime-cuda:next" in told
    assert found.condition("Reconciling") == ("False", "Settled")


async def test_an_update_rolls_the_difference_out_as_a_canary(serving: Serving) -> None:
    found = await a_newer_release(serving)
    old = found.revision("stable")
    found.ask("Update", old)
    await found.settle()
    new = found.revision("canary")
    assert (found.status["canary"]["weight"], found.status["rollout"]["phase"]) == (10, "AwaitingApproval")
    assert (image(found, old), image(found, new)) == ("tidegate.dev/runtime-cuda:dev", "tidegate.dev/runtime-cuda:next")
    found.ask("Promote", new, "2")
    await found.settle()
    assert found.revision("stable") == new
    assert found.status["previous"]["revision"] == old
    assert found.condition("PlatformUpdateAvailable") == ("False", "UpToDate")
    found.operator = found.new_operator()
    found.cluster.writes.clear()
    await found.settle()
    assert (found.revision("stable"), "canary" in found.status) == (new, False)


async def test_an_update_goes_on_though_the_operator_is_killed_before_its_record_is_made(serving: Serving) -> None:
    found = await a_newer_release(serving)
    found.ask("Update", found.revision("stable"))
    await found.operator.look()
    found.cluster.kill_at = len(found.cluster.writes) + 1  # The decision is in the status, and nothing else is done.
    await found.settle()
    assert found.status["rollout"]["lastRequest"]["accepted"] is True
    assert image(found, found.revision("canary")) == "tidegate.dev/runtime-cuda:next"


async def test_an_update_that_was_aborted_leaves_stable_and_can_be_asked_for_again(serving: Serving) -> None:
    found = await a_newer_release(serving)
    old = found.revision("stable")
    found.ask("Update", old)
    await found.settle()
    new = found.revision("canary")
    found.ask("Abort", new, "2")
    await found.settle()
    assert (found.revision("stable"), "canary" in found.status) == (old, False)
    assert found.condition("Ready") == ("True", "Serving")
    found.ask("Update", old, "3")
    await found.settle()
    assert found.revision("canary") == new


async def test_an_edit_of_the_spec_is_rendered_by_the_newer_release(serving: Serving) -> None:
    found = await a_newer_release(serving)
    found.change(model={"uri": "https://models.example/churn-2.onnx"})
    await found.settle()
    assert image(found, found.revision("canary")) == "tidegate.dev/runtime-cuda:next"


async def test_a_spec_that_is_back_comes_back_as_it_was_updated(serving: Serving) -> None:
    found = await a_newer_release(serving)
    model = dict(found.service["spec"]["model"])
    found.ask("Update", found.revision("stable"))
    await found.settle()
    new = found.revision("canary")
    found.ask("Promote", new, "2")
    await found.settle()
    found.change(model={"uri": "https://models.example/churn-2.onnx"})
    await found.settle()
    found.change(model=model)
    await found.settle()
    assert (found.revision("stable"), "canary" in found.status) == (new, False)


async def test_a_record_that_this_release_cannot_read_is_no_update(serving: Serving) -> None:
    found = await serving(rollout=MANUAL)
    path = RECORD.path("ml", found.revision("stable"))
    found.cluster.edit(path, lambda item: item["data"]["content"].update(field_of_the_future=1))
    found.install = NEWER
    found.operator = found.new_operator()
    await found.operator.look()
    await found.operator.reconcile(found.now)
    assert found.condition("PlatformUpdateAvailable") == ("False", "UpToDate")
