"""What people do to a running service costs no request."""

import pytest

from lab import filetype
from lab.kubectl import Kubectl
from lab.pods import Pods
from lab.service import Service

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

BODY = filetype.request(b"fn main() {}\n" * 50)


def restart(kubectl: Kubectl, namespace: str, deployment: str, label: str) -> None:
    """Restart a Deployment's pods one after another, and wait until the old ones are gone."""
    of = ("-n", namespace)
    before = kubectl.names(*of, "pods", "-l", label)
    kubectl.run("rollout", "restart", *of, f"deployment/{deployment}")
    kubectl.run("rollout", "status", *of, f"deployment/{deployment}", "--timeout=180s")
    kubectl.run("wait", *of, *before, "--for=delete", "--timeout=120s")


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection each"])
def test_a_rolling_restart_under_constant_load_loses_no_request(
    keep_alive: bool, ready: Service, pods: Pods, kubectl: Kubectl
) -> None:
    revision = ready.status["stable"]["revision"]
    with pods.load(ready.url, BODY, keep_alive=keep_alive) as load:
        restart(kubectl, ready.namespace, revision, f"tidegate.dev/revision={revision}")
    assert load.answers.failures == 0, load.answers.failed
    assert load.answers.codes.keys() == {"200"}


def test_a_rolling_restart_of_the_routers_under_constant_load_loses_no_request(
    ready: Service, pods: Pods, kubectl: Kubectl
) -> None:
    with pods.load(ready.url, BODY) as load:
        restart(kubectl, "tidegate-system", "tidegate-router", "app.kubernetes.io/name=tidegate-router")
    assert load.answers.failures == 0, load.answers.failed


def test_without_controller_and_xds_the_routers_go_on(ready: Service, pods: Pods, kubectl: Kubectl) -> None:
    processes = ("tidegate-controller", "tidegate-xds")
    try:
        for name in processes:
            kubectl.run("scale", "-n", "tidegate-system", f"deployment/{name}", "--replicas=0")
        for name in processes:
            label = f"app.kubernetes.io/name={name}"
            kubectl.run("wait", "-n", "tidegate-system", "pods", "-l", label, "--for=delete", "--timeout=60s")
        assert pods.send(ready.url, BODY, count=300).codes == {"200": 300}
    finally:
        for name in processes:
            kubectl.run("scale", "-n", "tidegate-system", f"deployment/{name}", "--replicas=1")
            kubectl.run("rollout", "status", "-n", "tidegate-system", f"deployment/{name}", "--timeout=90s")
