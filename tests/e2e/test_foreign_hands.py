"""What others do to a service's objects, and what they find in them."""

import json
from collections.abc import Callable

import pytest

from lab.kubectl import Kubectl, Object
from lab.service import Service

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_a_manifest_differs_from_nothing_before_in_and_after_a_rollout(
    way: tuple[str, ...], service: Service, spec: Callable[..., Object], kubectl: Kubectl
) -> None:
    def applied(version: int) -> str:
        manifest = json.dumps(
            {
                "apiVersion": "tidegate.dev/v1alpha1",
                "kind": "InferenceService",
                "metadata": {"name": service.name, "namespace": service.namespace},
                "spec": spec(version=version),
            }
        )
        kubectl.run("apply", *way, "-f", "-", stdin=manifest)
        return manifest

    def difference(manifest: str) -> str:
        # It would end with 1, and say what differs.
        return kubectl.run("diff", *way, "-f", "-", stdin=manifest)

    first = applied(1)
    service.until_condition("Ready")
    assert difference(first) == ""
    second = applied(2)
    canary = service.until_weight(10)["canary"]["revision"]
    assert difference(second) == ""
    service.request("Promote", canary, "promote-1")
    service.until(lambda status: status["stable"]["revision"] == canary, "to have promoted")
    assert difference(second) == ""


def test_a_field_that_someone_sets_is_set_back_and_who_insists_is_told_of(ready: Service, kubectl: Kubectl) -> None:
    budget = ("-n", ready.namespace, "pdb", ready.status["stable"]["revision"])
    told = f"PodDisruptionBudget {budget[-1]}: .spec.maxUnavailable, set by kubectl-patch"
    for _ in range(2):
        kubectl.run("patch", *budget, "--type=merge", "-p", '{"spec": {"maxUnavailable": 2}}')
        kubectl.wait(lambda item: item["spec"]["maxUnavailable"] == 1, budget, for_what="to be set back", seconds=30)
    stalled = ready.until_condition("Stalled", "True", reason="FieldsContested")
    (message,) = [found["message"] for found in stalled["conditions"] if found["type"] == "Stalled"]
    assert message == told
    assert told in " ".join(event["message"] for event in ready.events() if event["reason"] == "ChildSetBack")
    # It is quiet for longer than the pause.
    ready.until_condition("Stalled", "False")
    ready.until_condition("Ready")
