"""Bad specs are refused by the API server itself, with the field's path: schema and CEL, no webhook."""

import json

import pytest

from lab.kubectl import Failed, Kubectl
from lab.specs.accepted import ACCEPTED
from lab.specs.parts import Object, with_model
from lab.specs.refused import BAD_NAMES, REFUSED, tells

NAMESPACE = "default"

pytestmark = pytest.mark.usefixtures("installed")


def submit(kubectl: Kubectl, spec: Object, name: str = "churn") -> str:
    metadata = {"name": name, "namespace": NAMESPACE}
    manifest = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata, "spec": spec}
    return kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))


@pytest.mark.parametrize(("spec", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_the_api_server_refuses(kubectl: Kubectl, spec: Object, told: str) -> None:
    with pytest.raises(Failed) as refusal:
        submit(kubectl, spec)
    assert tells(str(refusal.value), told), refusal.value


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_the_api_server_refuses_a_name(kubectl: Kubectl, name: str) -> None:
    with pytest.raises(Failed, match=r"metadata\.name must"):
        submit(kubectl, with_model(), name)


@pytest.mark.parametrize("which", ACCEPTED)
def test_the_api_server_accepts(kubectl: Kubectl, which: str) -> None:
    name = "x" * 45 if which == "the longest name" else "churn"
    assert "created" in submit(kubectl, ACCEPTED[which], name)
