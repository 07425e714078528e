"""The node: PID, mount and network namespaces of its own, held by one init process.

A cluster's every process lives in them, so ending the init makes the kernel end all others, and with them go their
mounts, interfaces, routes, sysctls and packet filters. Nothing has to be found by name and undone, and clusters
can't meet.

Inside, the cluster's folder is `STATE` and the binaries are in `BIN`, however long their paths are outside; `/run`,
`/var/lib` and `/var/log` are the node's own.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from localcluster import cgroups, command, hostnetwork, processes
from localcluster.addresses import check
from localcluster.files import write
from localcluster.packages import INIT, SEARCH_PATH
from localcluster.settings import Settings
from localcluster.waiting import wait_for

STATE = Path("/run/tidegate/state")
BIN = Path("/run/tidegate/bin")

# What the kubelet wants of the whole machine's kernel. It is shown these as set and leaves the machine's as they are.
_SHOWN_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

_MOUNTS = """
set -e
state=$1 binaries=$2
mount -n --make-rshared /
mount -n -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/tidegate/state /run/tidegate/bin /run/tidegate/sysctl /run/lock
mount -n --bind "$state" /run/tidegate/state
mount -n --bind "$binaries" /run/tidegate/bin
mount -n -t tmpfs -o mode=755 tmpfs /var/lib
mount -n -t tmpfs -o mode=755 tmpfs /var/log
mkdir -p /var/lib/kubelet /run/tidegate/state/kubelet
mount -n --bind /run/tidegate/state/kubelet /var/lib/kubelet
shift 2
while [ $# -gt 0 ]; do
    shown=/run/tidegate/sysctl/$(echo "$1" | tr / .)
    echo "$2" >"$shown"
    mount -n --bind "$shown" "/proc/sys/$1"
    shift 2
done
"""


@dataclass(frozen=True)
class Node:
    """The namespaces of one cluster, alive or not."""

    settings: Settings
    folder: Path

    @property
    def init(self) -> int | None:
        """Id of the process that holds the namespaces, once they are fully made; None without them."""
        try:
            made = json.loads((self.folder / "node.json").read_text())["init"]
        except FileNotFoundError:
            return None
        return made if made in self._holders() else None

    @property
    def cgroup(self) -> str:
        """The control group below which the kubelet keeps the pods'."""
        return f"tidegate-{self.settings.name}"

    def start(self, binaries: Path) -> None:
        """Make the namespaces, their mounts and their link to the host; the remains of a half-made node go first.

        Raises:
            ClusterError: a step failed; shows what it said.
        """
        self.stop()
        check(self.settings.addresses, hostnetwork.routed())
        unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--propagation", "private", "--mount-proc"]
        processes.start(
            [*unshare, "--net", "--", INIT, "-P", self.folder],
            pid_file=self._pid_file,
            log=self.folder / "logs" / "node.log",
            env=self.environment(),
        )
        wait_for("the node's namespaces", lambda: None if self._holders() else "no init process yet", seconds=10)
        init = self._holders()[0]
        shown = [word for pair in _SHOWN_SYSCTLS.items() for word in pair]
        inside = ["nsenter", "--target", str(init), "--mount", "--"]
        command.output([*inside, "sh", "-c", _MOUNTS, "mounts", self.folder, binaries, *shown])
        hostnetwork.connect(self.settings, init)
        cgroups.create(self.cgroup)
        write(self.folder / "node.json", json.dumps({"init": init}))

    def stop(self) -> None:
        """End every process of the node and take away what the host got for it. A node that isn't there is no error.

        Raises:
            ClusterError: something is still there after half a minute; names it.
        """
        wait_for("the end of the node's processes", self._end, seconds=30)
        hostnetwork.disconnect(self.settings)
        wait_for("the removal of control groups", lambda: cgroups.remove(self.cgroup), seconds=30)
        (self.folder / "node.json").unlink(missing_ok=True)

    def enter(self) -> list[str]:
        """The words before a command that let it run in the node."""
        return ["nsenter", "--target", str(self.init), "--pid", "--mount", "--net", "--"]

    @staticmethod
    def environment() -> dict[str, str]:
        """The environment of the node's processes: no proxy settings, since they speak to each other alone."""
        kept = {key: value for key, value in os.environ.items() if key in ("LANG", "TZ")}
        return {**kept, "PATH": SEARCH_PATH, "HOME": "/root"}

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pids" / "node"

    @property
    def _outer(self) -> int | None:
        """The process that made the namespaces and waits for the init; it ends when the last process in them has."""
        return processes.running(self._pid_file, ["unshare", str(self.folder)])

    def _holders(self) -> list[int]:
        """The init process; empty without one."""
        outer = self._outer
        return [pid for pid in processes.children(outer) if _is_init(pid)] if outer else []

    def _end(self) -> str | None:
        outer = self._outer
        if outer is None:
            return None
        # Killed itself, it would end before the processes in its namespaces; without an init it has none.
        for pid in processes.children(outer) or [outer]:
            processes.kill(pid)
        return f"process {outer} still runs"


def _is_init(pid: int) -> bool:
    """Whether the process has become the init: then its namespaces and its /proc are there."""
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")) == INIT.resolve()
    except (FileNotFoundError, ProcessLookupError):
        return False
