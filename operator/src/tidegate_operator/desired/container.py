"""What the containers of a runtime pod have in common."""

from typing import Final

from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest, accelerators

RUNTIME: Final = "runtime"
"""The container that serves, whichever image it is of."""
DRAIN_SECONDS: Final = 10
"""A pod that ends still answers this long: the routers' health checks (1 s) and their DNS (5 s) have to notice."""
MODELS, TMP, SHARED_MEMORY = "/models", "/tmp", "/dev/shm"


def container(name: str, image: str, pull_policy: str) -> Manifest:
    """A container with the rights of the `restricted` Pod Security Standard, which writes to volumes alone."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": pull_policy,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def resources(spec: InferenceServiceSpec) -> Manifest:
    """What the container that serves needs."""
    requests = spec.resources.requests
    limits = {"memory": requests.memory, **accelerators.limits(spec)}
    return {
        "requests": {"cpu": requests.cpu, **limits},
        "limits": limits,
        **accelerators.container_resources(spec),
    }


def mounts(spec: InferenceServiceSpec) -> list[Manifest]:
    """The volumes of the container that serves."""
    model = [mount("model", MODELS, read_only=True)] if spec.model else []
    shared = [mount("shared-memory", SHARED_MEMORY)] if spec.resources.shared_memory else []
    return [*model, mount("tmp", TMP), *shared]


def mount(volume: str, path: str, *, read_only: bool = False) -> Manifest:
    """A volume's place in a container."""
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def probe(path: str, *, period: int, failures: int, timeout: int) -> Manifest:
    """A question to the data port; `period` and `timeout` in seconds."""
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }
