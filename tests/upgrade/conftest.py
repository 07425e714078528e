"""A cluster with the last release, from which it is brought to this tree."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import diagnosis, install
from lab.kubectl import ROOT, Kubectl
from lab.pods import Pods

from .journey import SMALL, Journey, make

NAMESPACE = f"tidegate-upgrade-{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="session")
def last_release(kubectl: Kubectl) -> Path:
    """The last release's tree; what the cluster has installed is made from it."""
    told = subprocess.run([ROOT / "hack/release", "tree"], capture_output=True, text=True, check=True)
    tree = Path(told.stdout.strip())
    install.remove(kubectl)
    install.chart(kubectl, tree / SMALL, tree=tree)
    return tree


@pytest.fixture(scope="session")
def pods(kubectl: Kubectl, last_release: Path, request: pytest.FixtureRequest) -> Iterator[Pods]:
    install.namespace(kubectl, NAMESPACE)
    pods = Pods(kubectl, NAMESPACE, install.runtime_image())
    pods.create()
    yield pods
    if request.session.testsfailed:
        diagnosis.keep(kubectl, (NAMESPACE, install.NAMESPACE), Path("artifacts/upgrade"))
    kubectl.run("delete", "isv", "--all", "-n", NAMESPACE)
    kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="session")
def upgraded(kubectl: Kubectl, pods: Pods) -> Journey:
    return make(kubectl, pods)
