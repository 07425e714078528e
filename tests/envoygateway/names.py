"""What the tests' Gateway is called, by which names it has a service, and when its proxies have heard of it."""

import time

from lab.pods import Answers, Pods
from lab.service import Service
from lab.storm import BODY

GATEWAY = "public"


def hostname(service: Service, protocol: str) -> str:
    """A service's name at the Gateway for `web` or `rpc`; in the cluster's DNS it stands for the Gateway."""
    return f"{service.name}-{protocol}.{service.namespace}"


def web(service: Service) -> str:
    """Where its model is asked by REST, by the Gateway."""
    return f"http://{hostname(service, 'web')}/v2/models/{service.name}/infer"


def rpc(service: Service) -> str:
    """The same by gRPC; the path is the model's name alone."""
    return f"grpc://{hostname(service, 'rpc')}/{service.name}"


def until_there(pods: Pods, service: Service, revision: str = "") -> None:
    """Wait until the Gateway's proxies bring callers of both kinds to the service, or to one revision of it.

    No status tells that: a route is accepted before they have it. Envoy waits 15 s at most for a cluster that has gone.
    """
    deadline = time.monotonic() + 60
    for url in (web(service), rpc(service)):
        while not _comes(pods.send(url, BODY, count=50), revision):
            assert time.monotonic() < deadline, f"the Gateway's proxies don't bring requests from {url}"


def _comes(answers: Answers, revision: str) -> bool:
    return answers.codes == {"200": 50} and (not revision or revision in answers.versions)
