"""What people do to a running service costs no request."""

import pytest

from lab import filetype
from lab.kubectl import Kubectl
from lab.pods import Pods
from lab.service import Service

pytestmark = pytest.mark.e2e

BODY = filetype.request(b"fn main() {}\n" * 50)


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection each"])
def test_a_rolling_restart_under_constant_load_loses_no_request(
    keep_alive: bool, ready: Service, pods: Pods, kubectl: Kubectl
) -> None:
    revision = ready.status["stable"]["revision"]
    load = pods.start(ready.url, BODY, seconds=35, concurrency=4, keep_alive=keep_alive)
    deployment = f"deployment/{revision}"
    kubectl.run("rollout", "restart", "-n", ready.namespace, deployment)
    kubectl.run("rollout", "status", "-n", ready.namespace, deployment, "--timeout=60s")
    answers = load.result()
    assert answers.failures == 0, answers.failed
    assert answers.codes.keys() == {"200"}


def test_a_rolling_restart_of_the_routers_under_constant_load_loses_no_request(
    ready: Service, pods: Pods, kubectl: Kubectl
) -> None:
    load = pods.start(ready.url, BODY, seconds=45, concurrency=4)
    routers = ("-n", "tidegate-system", "deployment/tidegate-router")
    kubectl.run("rollout", "restart", *routers)
    kubectl.run("rollout", "status", *routers, "--timeout=120s")
    answers = load.result()
    assert answers.failures == 0, answers.failed


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
