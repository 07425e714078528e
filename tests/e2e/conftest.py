"""A cluster with the chart, a namespace with store and client, and a service of its own for each test."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import diagnosis, install
from lab.faults import Faults
from lab.kubectl import ROOT, Kubectl, Object
from lab.pods import Models, Pods
from lab.service import Service, small
from localcluster.files import locked

# A name of its own for each run: the one before may still be on its way out.
NAMESPACE = f"tidegate-e2e-{uuid.uuid4().hex[:6]}"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def installed(kubectl: Kubectl) -> None:
    # Test processes side by side would meet in helm, which refuses the second one.
    with locked(ROOT / "artifacts", lambda: None):
        install.chart(kubectl, ROOT / "charts/tidegate/ci/small-values.yaml")


@pytest.fixture(scope="session")
def pods(kubectl: Kubectl, installed: None) -> Iterator[Pods]:
    install.namespace(kubectl, NAMESPACE)
    pods = Pods(kubectl, NAMESPACE, install.runtime_image())
    pods.create()
    yield pods
    kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="session")
def faults(kubectl: Kubectl, installed: None) -> Iterator[Faults]:
    faults = Faults(kubectl, f"{NAMESPACE}-node", install.runtime_image())
    faults.create()
    yield faults
    kubectl.run("delete", "namespace", faults.namespace, "--wait=false")


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


@pytest.fixture
def ready(service: Service, spec: Callable[..., Object]) -> Service:
    """A service whose first version serves."""
    service.apply(spec())
    service.until_condition("Ready")
    return service
