"""Who may write what of a status: an API server with the chart's policy, and no controller that would interfere."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab.kubectl import Failed, Kubectl, Object
from localcluster.waiting import wait_for

from .rendering import NAMESPACE, of_kind, render

pytestmark = pytest.mark.e2e

CONTROLLER = f"system:serviceaccount:{NAMESPACE}:tidegate-controller"
ANA = "ana"
"""May patch and update the status of InferenceServices in `ml`, as whoever promotes has to."""
PATH = "/apis/tidegate.dev/v1alpha1/namespaces/ml/inferenceservices"
STATUS: Object = {
    "observedGeneration": 1,
    "url": "http://churn.ml.svc.cluster.local",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Serving",
            "message": "churn-6f3c9d1a answers",
            "lastTransitionTime": "2026-11-22T10:00:00Z",
            "observedGeneration": 1,
        }
    ],
    "stable": {"revision": "churn-6f3c9d1a", "weight": 90, "replicas": 3, "readyReplicas": 3, "observedWeight": 89.7},
    "canary": {"revision": "churn-a81e0213", "weight": 10, "replicas": 1, "readyReplicas": 1, "observedWeight": 10},
    "rollout": {
        "phase": "AwaitingApproval",
        "step": 0,
        "steps": 3,
        "since": "2026-11-22T10:00:00Z",
        "request": {"action": "Promote", "revision": "churn-a81e0213", "id": "1"},
        "lastRequest": {
            "id": "1",
            "action": "Promote",
            "revision": "churn-a81e0213",
            "accepted": False,
            "message": "not yet",
            "time": "2026-11-22T10:00:00Z",
        },
    },
}
ABORT = {"action": "Abort", "revision": "churn-a81e0213", "id": "2"}


def patch(kubectl: Kubectl, status: Any, *, name: str = "churn", user: str | None = ANA) -> None:
    """Patch a status without keeping the result; raises Failed with what the API server said if it refused."""
    who = (f"--as={user}",) if user else ()
    words = ("-n", "ml", "patch", "isv", name, "--subresource=status", "--type=merge", "--dry-run=server")
    kubectl.run(*words, *who, "-p", json.dumps({"status": status}))


def put(kubectl: Kubectl, item: Object, *, user: str = ANA) -> None:
    """Replace a status, as `kubectl edit` and the controller do."""
    path = f"{PATH}/{item['metadata']['name']}/status"
    kubectl.run("replace", f"--as={user}", "--raw", path, "-f", "-", stdin=json.dumps(item))


@pytest.fixture(scope="module")
def guarded(release: Kubectl) -> Kubectl:
    """An API server that enforces the policy, a service with a status and one without, and who may promote."""
    release.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml"}})
    for name in ("churn", "fresh"):
        spec = {"model": {"uri": "https://models.example/churn.onnx"}}
        metadata = {"name": name, "namespace": "ml"}
        release.apply(
            {"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata, "spec": spec}
        )
    rights = ("--verb=get,patch,update", "--resource=inferenceservices/status,inferenceservices")
    release.run("-n", "ml", "create", "role", "promoter", *rights)
    release.run("-n", "ml", "create", "rolebinding", "promoter", "--role=promoter", f"--user={ANA}")
    put(release, {**release.get("-n", "ml", "isv", "churn"), "status": STATUS}, user=CONTROLLER)

    def not_enforced() -> str | None:
        try:
            patch(release, {"url": "http://elsewhere"})
        except Failed as refused:
            return None if "tidegate-status" in str(refused) else str(refused)
        return "the policy isn't in force yet"

    wait_for("the policy", not_enforced, seconds=60)
    return release


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"rollout": {"request": ABORT}}, id="another request"),
        pytest.param({"rollout": {"request": None}}, id="no request"),
        pytest.param({"rollout": {"request": STATUS["rollout"]["request"]}}, id="the same request"),
    ],
)
def test_a_request_may_be_written(guarded: Kubectl, status: Object) -> None:
    patch(guarded, status)


def test_a_request_may_be_written_before_there_is_a_status(guarded: Kubectl) -> None:
    patch(guarded, {"rollout": {"request": ABORT}}, name="fresh")


def test_a_request_may_be_written_by_replacing_the_whole_as_kubectl_edit_does(guarded: Kubectl) -> None:
    item = guarded.get("-n", "ml", "isv", "churn")
    item["status"]["rollout"]["request"] = ABORT
    put(guarded, item)
    assert guarded.get("-n", "ml", "isv", "churn")["status"]["rollout"]["request"] == ABORT


@pytest.mark.parametrize(
    ("status", "named"),
    [
        ({"canary": {"weight": 100}}, "status.canary"),
        ({"canary": None}, "status.canary"),
        ({"previous": {"revision": "churn-0b77e1d4"}}, "status.previous"),
        ({"conditions": []}, "status.conditions"),
        ({"observedGeneration": 99}, "status.observedGeneration"),
        ({"rollout": {"phase": "Stable"}}, "status.rollout.phase"),
        ({"rollout": {"rejected": ["a81e0213"]}}, "status.rollout.rejected"),
        ({"rollout": {"lastRequest": None}}, "status.rollout.lastRequest"),
        ({"rollout": None}, "status.rollout.phase"),
        ({"rollout": {"request": ABORT}, "stable": {"weight": 0}}, "status.stable"),
        (None, "status.url"),
    ],
)
def test_nothing_else_may_be_written_and_the_refusal_names_it(guarded: Kubectl, status: Any, named: str) -> None:
    with pytest.raises(Failed) as refused:
        patch(guarded, status)
    assert "only status.rollout.request may be written" in str(refused.value)
    assert named in str(refused.value)


@pytest.mark.parametrize("name", ["churn", "fresh"])
def test_not_even_an_administrator_may(guarded: Kubectl, name: str) -> None:
    with pytest.raises(Failed, match=r"would change status\.url"):
        patch(guarded, {"url": "http://elsewhere"}, name=name, user=None)


def test_the_controller_may_write_all_of_it(guarded: Kubectl) -> None:
    item = guarded.get("-n", "ml", "isv", "churn")
    item["status"]["stable"]["weight"], item["status"]["canary"]["weight"] = 75, 25
    item["status"]["rollout"] |= {"phase": "Progressing", "step": 1}
    put(guarded, item, user=CONTROLLER)
    status = guarded.get("-n", "ml", "isv", "churn")["status"]
    assert (status["canary"]["weight"], status["rollout"]["phase"]) == (25, "Progressing")


def test_the_spec_is_not_the_policys_business(guarded: Kubectl) -> None:
    change = json.dumps({"spec": {"rollout": {"paused": True}}})
    guarded.run("-n", "ml", "patch", "isv", "churn", f"--as={ANA}", "--type=merge", "--dry-run=server", "-p", change)


def test_the_api_server_finds_nothing_to_warn_of(guarded: Kubectl) -> None:
    policy = guarded.get("validatingadmissionpolicy", "tidegate-status")
    assert not policy.get("status", {}).get("typeChecking", {}).get("expressionWarnings")


V1 = "admissionregistration.k8s.io/v1"


@pytest.mark.parametrize(
    ("arguments", "installed"),
    [
        # helm template knows group versions alone, unless told of kinds.
        ((), True),
        (("--api-versions", f"{V1}/ValidatingWebhookConfiguration"), False),
        (
            (
                *("--api-versions", f"{V1}/ValidatingWebhookConfiguration"),
                *("--api-versions", f"{V1}/ValidatingAdmissionPolicy"),
            ),
            True,
        ),
        (("--set", "statusPolicy.install=false"), False),
    ],
)
def test_it_is_installed_where_the_api_server_has_such_policies(
    helm: Path, arguments: tuple[str, ...], installed: bool
) -> None:
    objects = render(helm, *arguments)
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        assert len(list(of_kind(objects, kind))) == int(installed)
