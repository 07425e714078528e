"""Install, upgrade, uninstall and install again, on an API server without nodes."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from lab.kubectl import Failed, Kubectl
from tidegate_operator.api.spec import InferenceServiceSpec

from .rendering import CHART, NAMESPACE

pytestmark = pytest.mark.e2e

CRD = "inferenceservices.tidegate.dev"
WHERE = ("--namespace", NAMESPACE)


def notes(kubectl: Kubectl) -> str:
    return kubectl.run("get", "notes", "tidegate", *WHERE, program="helm")


def test_the_notes_show_a_service_that_the_api_server_takes(release: Kubectl) -> None:
    told = notes(release)
    shown = yaml.safe_load(told.split("<<EOF\n")[1].split("  EOF")[0])
    InferenceServiceSpec.model_validate(shown["spec"])
    release.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(shown))
    assert f"http://churn.{shown['metadata']['namespace']}.svc.cluster.local" in told


def test_the_notes_say_what_was_turned_off(release: Kubectl) -> None:
    assert "statusPolicy.install is off" not in notes(release)
    words = ("upgrade", "tidegate", str(CHART), *WHERE, "--set", "statusPolicy.install=false,models.allowHttp=true")
    release.run(*words, program="helm")
    assert "statusPolicy.install is off" in notes(release)
    assert "models.allowHttp is on" in notes(release)
    with pytest.raises(Failed, match="not found"):
        release.get("validatingadmissionpolicy", "tidegate-status")


def test_an_upgrade_brings_the_crd_and_an_uninstall_leaves_it(release: Kubectl, tmp_path: Path) -> None:
    service = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "churn", "namespace": "default"},
        "spec": {"model": {"uri": "https://models.example/churn.onnx"}},
    }
    release.apply(service)
    newer = tmp_path / "tidegate"
    shutil.copytree(CHART, newer)
    crd = newer / "files/crd.yaml"
    text = crd.read_text()
    crd.write_text(text.replace("description: A model, served with a latency promise.", "description: newer"))
    assert crd.read_text() != text

    release.run("upgrade", "tidegate", str(newer), *WHERE, program="helm")
    (version,) = release.get("crd", CRD)["spec"]["versions"]
    assert version["schema"]["openAPIV3Schema"]["description"] == "newer"

    release.run("uninstall", "tidegate", *WHERE, program="helm")
    assert release.names("-n", "default", "isv") == ["inferenceservice.tidegate.dev/churn"]
    left = release.names("-n", NAMESPACE, "deployments,services,configmaps,serviceaccounts,roles,networkpolicies")
    assert not [name for name in left if "tidegate" in name]

    release.run("install", "tidegate", str(CHART), *WHERE, program="helm")
    (version,) = release.get("crd", CRD)["spec"]["versions"]
    assert version["schema"]["openAPIV3Schema"]["description"] != "newer"
    assert release.names("-n", "default", "isv") == ["inferenceservice.tidegate.dev/churn"]
