"""Callers by gRPC, and services that go over from one way of routing to another."""

from collections.abc import Callable

import pytest

from lab import filetype
from lab.kubectl import Kubectl, Object
from lab.pods import Pods
from lab.service import Service

pytestmark = pytest.mark.e2e

BODY = filetype.request(b"fn main() {}\n" * 50)

# ModelReady by hand: a message with the name, and back one with `ready`.
CALLER = """
import sys, grpc
host, model, count = sys.argv[1:]
ask = bytes([10, len(model)]) + model.encode()
with grpc.insecure_channel(host) as channel:
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
    futures = [call.future(ask, timeout=20, wait_for_ready=True) for _ in range(int(count))]
    print(sum(future.result() == bytes([8, 1]) for future in futures))
"""


def calls(kubectl: Kubectl, service: Service, count: int, port: int = 8081) -> int:
    """How many of so many calls at once, from a pod of the cluster, found the model ready."""
    host = f"{service.name}.{service.namespace}:{port}"
    words = ("exec", "-n", service.namespace, "deploy/client", "--", "python3", "-c", CALLER)
    return int(kubectl.run(*words, host, service.name, str(count)))


@pytest.mark.parametrize("provider", ["Router", "Service"])
def test_callers_by_grpc_reach_the_service_by_its_own_name(
    provider: str, service: Service, spec: Callable[..., Object], kubectl: Kubectl
) -> None:
    service.apply(spec(routing={"provider": provider, "grpc": True}))
    service.until_condition("Ready")
    assert calls(kubectl, service, 200) == 200
    if provider == "Router":
        assert calls(kubectl, service, 10, port=80) == 10


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection each"])
def test_a_service_that_leaves_the_router_and_comes_back_loses_no_request(
    keep_alive: bool, ready: Service, spec: Callable[..., Object], pods: Pods
) -> None:
    with pods.load(ready.url, BODY, keep_alive=keep_alive) as load:
        for provider in ("Service", "Router"):
            ready.apply(spec(routing={"provider": provider}))

            def over(status: Object, provider: str = provider) -> bool:
                return bool((status.get("routing") or {}).get("provider", "Router") == provider)

            ready.until(over, f"to be routed by {provider}")
            assert pods.send(ready.url, BODY, count=200, keep_alive=False).codes == {"200": 200}
    assert load.answers.failures == 0, load.answers.failed
    assert load.answers.codes.keys() == {"200"}
