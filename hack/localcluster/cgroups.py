"""The control groups below which a cluster's pods live, in every hierarchy of cgroup v1 and v2."""

from collections.abc import Iterable
from pathlib import Path

from localcluster.errors import ClusterError

_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


def hierarchies(mounts: str) -> tuple[Path, ...]:
    """Mount points of control groups, v1's and v2's, in the text of /proc/mounts. Some machines have both."""
    rows = [line.split() for line in mounts.splitlines()]
    return tuple(Path(row[1]) for row in rows if row[2] in ("cgroup", "cgroup2"))


def create(name: str) -> None:
    """Make the group in every hierarchy; on v2 let it and the root hand the kubelet's controllers down.

    Raises:
        ClusterError: v2 doesn't hand them down here.
    """
    for hierarchy in _here():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        if (hierarchy / "cgroup.controllers").exists():
            _hand_down(hierarchy)
            _hand_down(group)


def remove(name: str) -> str | None:
    """Remove the group and all below it; what still holds one (its path), or None if all are gone."""
    for hierarchy in _here():
        top = hierarchy / name
        groups = [top, *(path for path in top.rglob("*") if path.is_dir())] if top.is_dir() else []
        for group in sorted(groups, key=lambda path: len(path.parts), reverse=True):
            try:
                group.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return f"{group} still has processes"
    return None


def _here() -> Iterable[Path]:
    return hierarchies(Path("/proc/mounts").read_text())


def _hand_down(group: Path) -> None:
    switch = group / "cgroup.subtree_control"
    wanted = set(_V2_CONTROLLERS) & set((group / "cgroup.controllers").read_text().split())
    for controller in sorted(wanted - set(switch.read_text().split())):
        try:
            switch.write_text(f"+{controller}")
        except OSError as refused:
            raise ClusterError(
                f"{switch} refuses +{controller} ({refused}): within a container, move its processes to a group "
                "below first, or run on the machine itself"
            ) from None
