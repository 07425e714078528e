"""The container of an image of the user's own: docs/api.md says what it is told, and what it has to do."""

from typing import Final

from tidegate_operator import naming
from tidegate_operator.api.image_spec import ImageSpec
from tidegate_operator.api.schema import seconds
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired import Manifest, environment
from tidegate_operator.desired.container import DRAIN_SECONDS, MODELS, RUNTIME, container, mounts, probe, resources

_START_SECONDS: Final = 3600
"""A container that doesn't serve by then is started again. A rollout has given it up long before."""
_HELD: Final = "IfNotPresent"
"""The name has a tag or a digest: what a node has of that name it keeps, as it does of the bundled runtime."""


def own_container(service: str, revision: str, spec: InferenceServiceSpec, image: ImageSpec) -> Manifest:
    """The container that serves `revision` in the bundled runtime's place."""
    model = {"MODEL_PATH": f"{MODELS}/model.onnx"} if spec.model else {}
    told = {
        "NAME": service,
        "MODEL_VERSION": revision,
        **model,
        "PORT": naming.DATA_PORT,
        "GRPC_PORT": naming.GRPC_PORT,
        "ADMIN_PORT": naming.ADMIN_PORT,
        "DEVICE": spec.runtime.device,
        "TIMEOUT_SECONDS": seconds(spec.runtime.timeout),
    }
    health = {"name": naming.HEALTH_VARIABLE, "value": image.health_path}
    admin = [{"name": "admin", "containerPort": naming.ADMIN_PORT}] if image.metrics else []
    return {
        **container(RUNTIME, image.name, _HELD),
        **({"command": image.command} if image.command else {}),
        **({"args": image.args} if image.args else {}),
        "env": [*environment.settings(told), health, *map(environment.variable, spec.runtime.environment)],
        "ports": [{"name": "http", "containerPort": naming.DATA_PORT}, *admin],
        # It may take its time to start, and nobody knows what it does on SIGTERM: that comes when no router sends to it
        # any more, however soon it then ends.
        "startupProbe": probe(image.health_path, period=1, failures=_START_SECONDS, timeout=2),
        "readinessProbe": probe(image.health_path, period=1, failures=2, timeout=2),
        # That it doesn't serve now is no reason to end it; that it doesn't listen is.
        "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 10, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
        "resources": resources(spec),
        "volumeMounts": mounts(spec),
    }
