"""A revision goes on with the model that it began with, whatever lies at its URI by then."""

from collections.abc import Callable

import pytest

from lab import filetype
from lab.kubectl import Kubectl, Object
from lab.pods import Models
from lab.service import Service

pytestmark = pytest.mark.e2e


def test_a_pod_that_would_serve_another_model_than_the_first_does_not_start(
    service: Service, models: Models, spec: Callable[..., Object], kubectl: Kubectl
) -> None:
    first, file = filetype.model(), f"{service.name}-changing.onnx"
    service.apply({**spec(), "model": models.file(file, first)})
    revision = service.until_condition("Ready")["stable"]["revision"]
    pin = kubectl.wait(lambda item: True, ("-n", service.namespace, "cm", revision), for_what="to be there", seconds=10)
    assert pin["data"] == {"sha256": filetype.digest(first)}

    models.file(file, filetype.another_version("changed"))
    kubectl.run("delete", "pods", "-n", service.namespace, "-l", f"tidegate.dev/revision={revision}", "--wait")
    refused = service.until_condition("ModelLoaded", "False", reason="DigestMismatch")
    (message,) = [found["message"] for found in refused["conditions"] if found["type"] == "ModelLoaded"]
    assert f"sha256 expected {filetype.digest(first)}" in message

    models.file(file, first)
    service.until_condition("Ready")
