"""The one interface behind which the three ways to a cluster stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Health:
    """What one part of the cluster runs, and what is wrong with it (None: nothing)."""

    part: str
    runs: str
    wrong: str | None


class ClusterProvider(Protocol):
    """A way to a cluster. Every method raises `ClusterError` with the next step if it can't."""

    def up(self) -> None:
        """Make the cluster, or what is missing of it; return once pods can run."""
        ...

    def down(self) -> None:
        """Remove it; none is no error."""
        ...

    def status(self) -> Sequence[Health]:
        """The health of every part; empty if there is no cluster."""
        ...

    def kubeconfig(self) -> Path:
        """The kubeconfig file that reaches it."""
        ...

    def bin(self) -> Path:
        """A folder with kubectl and helm."""
        ...

    def load(self, archives: Sequence[Path]) -> None:
        """Make the images in OCI archives known to it, under the names that the archives give."""
        ...
