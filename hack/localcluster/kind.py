"""kind, where a Docker engine runs. Written to its documentation; never run by its authors."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import command, gpus, tools
from localcluster.errors import ClusterError
from localcluster.progress import Progress
from localcluster.provider import Health
from localcluster.record import Wishes

_DEFAULT_GPUS = 2
_DEFAULT_HPA_SYNC_SECONDS = 5


def docker_answers() -> bool:
    """Whether a Docker engine runs and may be used."""
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=5, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def configuration(wishes: Wishes) -> dict[str, Any]:
    """The configuration: ranges as wished, quick HPA syncs in the form of either of kubeadm's API versions."""
    flag, value = "horizontal-pod-autoscaler-sync-period", f"{wishes.hpa_sync_seconds or _DEFAULT_HPA_SYNC_SECONDS}s"
    arguments: dict[str, Any] = {"v1beta3": {flag: value}, "v1beta4": [{"name": flag, "value": value}]}
    patches = [
        {
            "apiVersion": f"kubeadm.k8s.io/{version}",
            "kind": "ClusterConfiguration",
            "controllerManager": {"extraArgs": extra},
        }
        for version, extra in arguments.items()
    ]
    ranges = {"podSubnet": wishes.pods, "serviceSubnet": wishes.services}
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {key: str(network) for key, network in ranges.items() if network},
        "kubeadmConfigPatches": [json.dumps(patch) for patch in patches],
    }


@dataclass(frozen=True)
class KindCluster:
    """A kind cluster; only its kubeconfig lies in the folder."""

    name: str
    folder: Path
    wishes: Wishes
    progress: Progress

    def up(self) -> None:
        """Create it if it isn't there; tell its nodes their GPUs."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.name not in self._clusters():
            text = json.dumps(configuration(self.wishes))
            self.progress.say(f"kind create cluster --name {self.name}")
            create = ["create", "cluster", "--name", self.name, "--kubeconfig", str(self._path), "--wait", "5m"]
            self._kind(*create, "--config", "-", stdin=text)
        self._kind("export", "kubeconfig", "--name", self.name, "--kubeconfig", str(self._path))
        count = self.wishes.gpus if self.wishes.gpus is not None else _DEFAULT_GPUS
        nodes = self._kubectl("get", "nodes", "-o", "name").split()
        self._kubectl(*gpus.kubectl_patch(count), *nodes)

    def down(self) -> None:
        """Delete it."""
        self._kind("delete", "cluster", "--name", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self) -> Sequence[Health]:
        """The API server's readiness."""
        if self.name not in self._clusters():
            return ()
        try:
            self._kubectl("get", "--raw", "/readyz")
        except ClusterError as failed:
            return [Health("kube-apiserver", f"kind {self.name}", str(failed))]
        return [Health("kube-apiserver", f"kind {self.name}", None)]

    def kubeconfig(self) -> Path:
        """The file that kind wrote for us."""
        return self._path

    def bin(self) -> Path:
        """The machine's own kubectl and helm if it has both."""
        return tools.folder(self.progress)

    def load(self, archives: Sequence[Path]) -> None:
        """Hand the archives to kind's nodes."""
        for archive in archives:
            self._kind("load", "image-archive", str(archive), "--name", self.name)

    @property
    def _path(self) -> Path:
        return self.folder / "kubeconfig"

    def _clusters(self) -> list[str]:
        return self._kind("get", "clusters").split()

    def _kind(self, *words: str, stdin: str | None = None) -> str:
        if not shutil.which("kind"):
            raise ClusterError("CLUSTER=kind needs the program kind: https://kind.sigs.k8s.io/docs/user/quick-start/")
        return command.output(["kind", *words], stdin=stdin)

    def _kubectl(self, *words: str) -> str:
        return command.output([self.bin() / "kubectl", "--kubeconfig", self._path, *words])
