"""What may befall a cluster: processes that end without a word, or stand still for a while."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.kubectl import Failed, Kubectl

_SIGNALS = Path(__file__).with_name("signals.py")


@dataclass(frozen=True)
class Faults:
    """Faults of one cluster's processes, brought about from a pod that sees all processes of its node."""

    kubectl: Kubectl
    namespace: str
    """Of its own: nobody who enforces a Pod Security Standard would let that pod in."""
    image: str
    """Any with Python."""

    def create(self) -> None:
        """Create the namespace and the pod, and wait until it runs."""
        container = {
            "name": "node",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", "import signal; signal.pause()"],
            "securityContext": {"privileged": True, "runAsUser": 0},
        }
        spec = {
            "hostPID": True,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [container],
        }
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        place = {"name": "node", "namespace": self.namespace}
        self.kubectl.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": place, "spec": spec},
        )
        self.kubectl.run("wait", "-n", self.namespace, "pod/node", "--for=condition=Ready", "--timeout=60s")

    def until_ready(self) -> None:
        """Wait until Kubernetes holds all nodes for ready."""
        self.kubectl.run("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")

    def kill(self, pod: str) -> None:
        """Kill all processes of a pod's containers at once (SIGKILL); the kubelet finds out by itself."""
        with self._told({"kill": pod}) as process:
            _ended(process, f"of pod {pod}")

    def stop(self, name: str, seconds: float) -> None:
        """The same as `stopped`, with nothing to do meanwhile."""
        with self.stopped(name, seconds):
            pass

    @contextlib.contextmanager
    def stopped(self, name: str, seconds: float) -> Iterator[None]:
        """Let the node's processes of a name stand still (SIGSTOP) for `seconds`, beginning with the block.

        The block ends when they go on. Whoever is stopped can't bring a word to go on, so the time is fixed before.
        """
        with self._told({"stop": name, "seconds": seconds}) as process:
            try:
                yield
            finally:
                _ended(process, f"called {name}")

    @contextlib.contextmanager
    def _told(self, what: dict[str, Any]) -> "Iterator[subprocess.Popen[str]]":
        command = ("exec", "-i", "-n", self.namespace, "node", "--", "python3", "-c", _SIGNALS.read_text())
        with self.kubectl.conversing(command, what) as process:
            yield process


def _ended(process: "subprocess.Popen[str]", which: str) -> None:
    """Wait until the signals were sent; raises Failed if they weren't, as to no process."""
    # Not by what it prints: that may be lost on its way from a kubelet that stood still.
    _, err = process.communicate()
    if process.returncode:
        raise Failed(f"no signals were sent to processes {which}: {err.strip()}")
