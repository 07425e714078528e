import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.kubectl import ROOT, Kubectl
from localcluster import binaries
from localcluster.controlplane import control_plane
from localcluster.progress import Progress

from .rendering import CHART, NAMESPACE, Object, render


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # Unit tests run while the binaries are made, which on a machine without them takes longer than a test may.
        if "helm" in getattr(item, "fixturenames", ()) and item.get_closest_marker("e2e") is None:
            raise pytest.UsageError(f"{item.nodeid} needs helm: mark it e2e")


@pytest.fixture(scope="session")
def helm() -> Path:
    """The helm of the cluster that is up, else the upstream one: these tests need no cluster."""
    told = subprocess.run([ROOT / "hack/cluster", "bin"], capture_output=True, text=True, check=False)
    return (Path(told.stdout.strip()) if told.returncode == 0 else binaries.ensure(Progress())) / "helm"


@pytest.fixture(scope="session")
def rendered(helm: Path) -> list[Object]:
    return render(helm)


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """An API server of one's own, without nodes or controllers, whatever cluster there is."""
    upstream = binaries.ensure(Progress())
    with control_plane(upstream, tmp_path_factory.mktemp("control-plane")) as kubeconfig:
        yield Kubectl(upstream, kubeconfig)


@pytest.fixture(scope="module")
def release(api_server: Kubectl) -> Kubectl:
    """The same, with the chart installed; none of its pods ever run."""
    words = ("install", "tidegate", str(CHART), "--namespace", NAMESPACE, "--create-namespace")
    api_server.run(*words, program="helm")
    api_server.run("wait", "crd/inferenceservices.tidegate.dev", "--for=condition=Established", "--timeout=60s")
    return api_server
