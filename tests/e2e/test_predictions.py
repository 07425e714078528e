"""A service answers what ONNX Runtime answers."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from lab import filetype
from lab.kubectl import Kubectl, Object
from lab.pods import Pods
from lab.service import Service

pytestmark = pytest.mark.e2e

FILES = (
    b"#!/bin/sh\nset -eu\necho hello\n" * 20,
    b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\n" * 30,
    b"a,b\n1,2\n" * 99,
)


def test_predictions_equal_onnx_runtime_on_the_same_bytes(ready: Service, pods: Pods) -> None:
    session = onnxruntime.InferenceSession(filetype.model())
    for content in FILES:
        answer = pods.send(ready.url, filetype.request(content), count=1, concurrency=1).first
        (direct,) = session.run(None, {"bytes": np.array([filetype.features(content)], np.int32)})
        assert answer["outputs"][0]["shape"] == list(direct.shape)
        np.testing.assert_allclose(np.array(answer["outputs"][0]["data"]).reshape(direct.shape), direct, rtol=1e-5)


def test_the_url_in_the_status_answers(ready: Service, pods: Pods) -> None:
    url = f"{ready.status['url']}/v2/models/{ready.name}/infer"
    answers = pods.send(url, filetype.request(FILES[0]), count=5)
    assert answers.codes == {"200": 5}, answers.failed


def test_a_host_that_no_service_has_is_answered_404_with_what_to_ask_for(
    ready: Service, pods: Pods, kubectl: Kubectl
) -> None:
    answers = pods.send(
        "http://tidegate-router.tidegate-system/v2/models/x/infer", filetype.request(FILES[0]), count=1, concurrency=1
    )
    assert answers.codes == {"404": 1}
    assert "<service>.<namespace>" in answers.failed[0]


def test_deleting_the_service_leaves_nothing_behind(
    service: Service, spec: Callable[..., Object], kubectl: Kubectl
) -> None:
    service.apply(spec(scaling={"minReplicas": 1, "maxReplicas": 2}))
    service.until_condition("Ready")
    service.delete()
    left = f"tidegate.dev/service={service.name}"
    for kind in ("deployments", "services", "hpa", "pdb", "controllerrevisions", "replicasets", "pods"):
        kubectl.run("wait", "-n", service.namespace, kind, "-l", left, "--for=delete", "--timeout=90s")
        assert kubectl.names("-n", service.namespace, kind, "-l", left) == []
