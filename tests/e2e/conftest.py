"""A cluster with the chart, a namespace with store and client, and a service of its own for each test."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import diagnosis, install
from lab.kubectl import ROOT, Kubectl, Object
from lab.pods import Models, Pods
from lab.service import Service, small

# A name of its own for each run: the one before may still be on its way out.
NAMESPACE = f"tidegate-e2e-{uuid.uuid4().hex[:6]}"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    return Kubectl.of_cluster()


@pytest.fixture(scope="session")
def installed(kubectl: Kubectl) -> None:
    install.chart(kubectl, ROOT / "charts/tidegate/ci/small-values.yaml")


@pytest.fixture(scope="session")
def pods(kubectl: Kubectl, installed: None) -> Iterator[Pods]:
    install.namespace(kubectl, NAMESPACE)
    pods = Pods(kubectl, NAMESPACE, install.runtime_image())
    pods.create()
    yield pods
    kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="session")
def models(pods: Pods) -> Models:
    return Models(pods)


@pytest.fixture
def spec(models: Models) -> Callable[..., Object]:
    def build(version: int = 1, **more: Any) -> Object:
        """A spec that fits a small node, with one canary step at 10 % that waits for approval."""
        return {**small(models.version(version)), **more}

    return build


@pytest.fixture
def service(kubectl: Kubectl, pods: Pods, request: pytest.FixtureRequest) -> Iterator[Service]:
    service = Service(kubectl, NAMESPACE, f"filetype-{next(_numbers)}")
    yield service
    if getattr(request.node, "failed", False):
        folder = Path("artifacts") / "e2e" / request.node.name
        diagnosis.keep(kubectl, (NAMESPACE, install.NAMESPACE), folder)
    service.delete()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    if outcome.get_result().failed:
        item.failed = True  # type: ignore[attr-defined]


@pytest.fixture
def ready(service: Service, spec: Callable[..., Object]) -> Service:
    """A service whose first version serves."""
    service.apply(spec())
    service.until_condition("Ready")
    return service
