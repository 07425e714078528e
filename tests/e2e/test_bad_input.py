"""Bad specs are refused by the API server itself, with the field's path: schema and CEL, no webhook."""

import subprocess
from collections.abc import Iterator

import httpx2
import pytest

from lab.kubectl import Kubectl
from lab.specs.accepted import ACCEPTED
from lab.specs.parts import Object, with_model
from lab.specs.refused import BAD_NAMES, REFUSED, tells

SERVICES = "/apis/tidegate.dev/v1alpha1/namespaces/default/inferenceservices"
AS_KUBECTL_ASKS = {"dryRun": "All", "fieldValidation": "Strict"}

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture(scope="module")
def api(kubectl: Kubectl) -> Iterator[httpx2.Client]:
    """The API server, by one kubectl for all specs: its start takes longer than an answer."""
    command, environment = kubectl.command("proxy", "--port=0"), kubectl.process_environment
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        address = proxy.stdout.readline().split()[-1]
        with httpx2.Client(base_url=f"http://{address}", timeout=30) as client:
            yield client
        proxy.kill()


def submit(api: httpx2.Client, spec: Object, name: str = "churn") -> tuple[int, str]:
    """The status of the answer, and what it says."""
    manifest = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": spec,
    }
    answer = api.post(SERVICES, params=AS_KUBECTL_ASKS, json=manifest)
    return answer.status_code, answer.json().get("message", "")


@pytest.mark.parametrize(("spec", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_the_api_server_refuses(api: httpx2.Client, spec: Object, told: str) -> None:
    status, said = submit(api, spec)
    assert status in (400, 422)
    assert tells(said, told), said


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_the_api_server_refuses_a_name(api: httpx2.Client, name: str) -> None:
    status, said = submit(api, with_model(), name)
    assert status == 422
    assert "metadata.name must" in said


@pytest.mark.parametrize("which", ACCEPTED)
def test_the_api_server_accepts(api: httpx2.Client, which: str) -> None:
    name = "x" * 45 if which == "the longest name" else "churn"
    assert submit(api, ACCEPTED[which], name) == (201, "")
