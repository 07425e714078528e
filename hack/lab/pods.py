"""Two pods that the demo and the tests need in a cluster: a store that models are fetched from, and a client."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import filetype
from lab.kubectl import Failed, Kubectl, Object

_LOAD = Path(__file__).with_name("load.py")


@dataclass(frozen=True)
class Answers:
    """What `load.py` printed."""

    codes: dict[str, int]
    versions: dict[str, int]
    failures: int
    failed: list[str]
    again: dict[str, int]
    """Requests that were sent again because their connection broke, or nobody took it: how often, by the error."""
    seconds: float
    p50: float | None
    p95: float | None
    p99: float | None
    first: Any
    """The first good answer."""
    first_seen: dict[str, float]
    """The first answer of each version, in seconds since the epoch."""
    last_seen: dict[str, float]
    """The last answer of each version, in seconds since the epoch."""

    @property
    def total(self) -> int:
        """Requests answered, whatever the status."""
        return sum(self.codes.values())

    def share(self, revision: str) -> float:
        """The share of the good answers that came from a revision."""
        return self.versions.get(revision, 0) / max(1, self.codes.get("200", 0))


class Load:
    """A load that goes on while something is done to the cluster; `answers` are there when it is over."""

    answers: Answers


@dataclass(frozen=True)
class Pods:
    """The store and the client of one namespace, both from the runtime's image: it has Python, and is there anyway."""

    kubectl: Kubectl
    namespace: str
    image: str

    def create(self) -> None:
        """Create both, and wait until they run."""
        script = {"load.py": _LOAD.read_text()}
        configuration = {"apiVersion": "v1", "kind": "ConfigMap", "data": script}
        configuration["metadata"] = {"name": "client", "namespace": self.namespace}
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "store", "namespace": self.namespace},
            "spec": {"selector": {"app": "store"}, "ports": [{"port": 8000}]},
        }
        store = self._deployment("store", ["-m", "http.server", "8000", "--directory", "/data"])
        client = self._deployment("client", ["-c", "import signal; signal.pause()"])
        self.kubectl.apply(configuration, service, store, client)
        for name in ("store", "client"):
            self.kubectl.wait(
                lambda found: found.get("status", {}).get("readyReplicas") == 1,
                ("-n", self.namespace, "deployment", name),
                for_what="to be ready",
            )

    def put(self, name: str, data: bytes) -> str:
        """Put a file into the store; returns the URI to fetch it by."""
        program = f"import shutil,sys; shutil.copyfileobj(sys.stdin.buffer, open('/data/{name}', 'wb'))"
        self.kubectl.run("exec", "-i", "-n", self.namespace, "deploy/store", "--", "python3", "-c", program, stdin=data)
        return f"http://store.{self.namespace}:8000/{name}"

    def send(self, url: str, body: Object, **options: Any) -> Answers:
        """Send requests from the client, by `load.py`'s options; returns what was answered."""
        with self._client({"url": url, "body": body, **options}) as process:
            return _answers(process)

    @contextlib.contextmanager
    def load(self, url: str, body: Object, **options: Any) -> Iterator[Load]:
        """Send requests from the client for as long as the block takes."""
        load = Load()
        with self._client({"url": url, "body": body, "until_told": True, **options}) as process:
            yield load
            load.answers = _answers(process)

    @contextlib.contextmanager
    def _client(self, told: Object) -> "Iterator[subprocess.Popen[str]]":
        command = ("exec", "-i", "-n", self.namespace, "deploy/client", "--", "python3", "/lab/load.py")
        with self.kubectl.conversing(command, told) as process:
            yield process

    def _deployment(self, name: str, python: list[str]) -> Object:
        container = {
            "name": name,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", *python],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                *([{"name": "lab", "mountPath": "/lab"}] if name == "client" else []),
            ],
        }
        if name == "store":
            container["readinessProbe"] = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "automountServiceAccountToken": False,
                        "terminationGracePeriodSeconds": 1,
                        "securityContext": {
                            "runAsNonRoot": True,
                            "runAsUser": 10001,
                            "fsGroup": 10001,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [container],
                        "volumes": [
                            {"name": "data", "emptyDir": {}},
                            *([{"name": "lab", "configMap": {"name": "client"}}] if name == "client" else []),
                        ],
                    },
                },
            },
        }


class Models:
    """Models in a namespace's store, by what they are."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods

    def version(self, number: int) -> Object:
        """`spec.model` for a version of the file-type classifier."""
        data = filetype.model() if number == 1 else filetype.another_version(str(number))
        return {"uri": self._pods.put(f"filetype-{number}.onnx", data), "sha256": filetype.digest(data)}

    def file(self, name: str, data: bytes) -> Object:
        """`spec.model` for any file, without a digest."""
        return {"uri": self._pods.put(name, data)}


def _answers(client: "subprocess.Popen[str]") -> Answers:
    """End a client's input, and read what it saw."""
    out, err = client.communicate()
    if client.returncode:
        raise Failed(f"the client failed: {err.strip()}")
    return Answers(**json.loads(out))
