"""The current kubeconfig: a cluster that somebody else made and keeps."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster import command, tools
from localcluster.errors import ClusterError
from localcluster.progress import Progress
from localcluster.provider import Health


@dataclass(frozen=True)
class CurrentCluster:
    """The cluster of `$KUBECONFIG` (its first file), else of `~/.kube/config`."""

    progress: Progress

    def up(self) -> None:
        """Check that it answers; nothing is made."""
        for row in self.status():
            if row.wrong:
                raise ClusterError(f"{row.runs} doesn't answer: {row.wrong}")

    def down(self) -> None:
        """Nothing: it isn't ours to remove."""
        self.progress.say("CLUSTER=current: the cluster isn't ours, it stays")

    def status(self) -> Sequence[Health]:
        """The API server's readiness."""
        kubectl = self.bin() / "kubectl"
        try:
            command.output([kubectl, "--kubeconfig", self.kubeconfig(), "get", "--raw", "/readyz"])
        except ClusterError as failed:
            return [Health("kube-apiserver", str(self.kubeconfig()), str(failed))]
        return [Health("kube-apiserver", str(self.kubeconfig()), None)]

    def kubeconfig(self) -> Path:
        """The file in use."""
        first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
        path = Path(first) if first else Path.home() / ".kube" / "config"
        if not path.is_file():
            raise ClusterError(f"CLUSTER=current, but there is no kubeconfig at {path}: set KUBECONFIG")
        return path

    def bin(self) -> Path:
        """The machine's own kubectl and helm if it has both."""
        return tools.folder(self.progress)

    def load(self, archives: Sequence[Path]) -> None:
        """Not possible in general: the nodes are elsewhere."""
        raise ClusterError(
            f"CLUSTER=current: {', '.join(map(str, archives))} can't be put onto its nodes from here; "
            "push the images to a registry that the cluster pulls from and name them there in the chart's values"
        )
