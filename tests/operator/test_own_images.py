"""A container of the user's own: the pod it runs in, what it is told, and where routers ask it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidegate_operator.api.status import InferenceServiceStatus
from tidegate_operator.desired.container import DRAIN_SECONDS
from tidegate_operator.desired.pod import pod_template
from tidegate_operator.install import Install
from tidegate_operator.observed import to_be
from tidegate_operator.report import Report
from tidegate_operator.rollout.decision import Decision
from tidegate_operator.rollout.state import Retiring
from tidegate_operator.status import Addresses, compute

from .builders import NOW, A, B, C, Object, a_service, a_spec, a_state, after
from .operated_cluster import OperatedCluster

Serving = Callable[..., Awaitable[OperatedCluster]]

IMAGE: dict[str, Any] = {"name": "registry.example/ml/served:v3", "healthPath": "/healthz"}
INSTALL = Install(runtime_image_cpu="r:cpu", runtime_image_cuda="r:cuda", allow_own_images=True)


def a_template(image: Object | None = None, *, runtime: Object | None = None, **parts: Any) -> Object:
    spec = a_spec(runtime={"image": {**IMAGE, **(image or {})}, **(runtime or {})}, **parts)
    return pod_template("churn", A, spec, INSTALL)


def the_container(template: Object) -> Object:
    (found,) = template["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def told(template: Object) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in the_container(template)["env"]}


def test_it_is_told_what_it_serves_and_where() -> None:
    assert told(a_template(runtime={"timeout": "2s", "environment": [{"name": "A", "value": "$(B)"}]})) == {
        "TIDEGATE_NAME": "churn",
        "TIDEGATE_MODEL_VERSION": A,
        "TIDEGATE_MODEL_PATH": "/models/model.onnx",
        "TIDEGATE_PORT": "8080",
        "TIDEGATE_GRPC_PORT": "8081",
        "TIDEGATE_ADMIN_PORT": "8082",
        "TIDEGATE_DEVICE": "cuda",
        "TIDEGATE_TIMEOUT_SECONDS": "2.0",
        "TIDEGATE_HEALTH_PATH": "/healthz",
        "A": "$$(B)",
    }


def test_its_command_is_its_own_unless_the_spec_says_another() -> None:
    found = the_container(a_template())
    assert not {"command", "args"} & set(found)
    found = the_container(a_template({"command": ["serve"], "args": ["--port=$(TIDEGATE_PORT)"]}))
    assert (found["command"], found["args"]) == (["serve"], ["--port=$(TIDEGATE_PORT)"])


def test_it_is_asked_whether_it_serves_where_it_says() -> None:
    found = the_container(a_template())
    for probe in ("startupProbe", "readinessProbe"):
        assert found[probe]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert found["livenessProbe"]["tcpSocket"] == {"port": "http"}


def test_it_ends_when_no_router_sends_to_it_any_more() -> None:
    template = a_template(runtime={"timeout": "20s"})
    assert the_container(template)["lifecycle"] == {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}}
    assert template["spec"]["terminationGracePeriodSeconds"] >= DRAIN_SECONDS + 20


def test_the_bundled_image_fetches_its_model_and_needs_no_devices_libraries() -> None:
    (fetcher,) = a_template(runtime={"device": "cuda"})["spec"]["initContainers"]
    assert fetcher["image"] == "r:cpu"
    assert {"name": "model", "mountPath": "/models", "readOnly": True} in the_container(a_template())["volumeMounts"]


def test_an_image_that_brings_its_model_fetches_none() -> None:
    template = a_template(model=None)
    assert "initContainers" not in template["spec"]
    assert [volume["name"] for volume in template["spec"]["volumes"]] == ["tmp"]
    assert "TIDEGATE_MODEL_PATH" not in told(template)


@pytest.mark.parametrize(("metrics", "label", "ports"), [(False, "none", [8080]), (True, None, [8080, 8082])])
def test_a_pod_says_whether_it_tells_metrics(metrics: bool, label: str | None, ports: list[int]) -> None:
    template = a_template({"metrics": metrics})
    assert template["metadata"]["labels"].get("tidegate.dev/metrics") == label
    assert [port["containerPort"] for port in the_container(template)["ports"]] == ports


def test_the_status_tells_routers_where_to_ask_as_long_as_they_may_send_there() -> None:
    own = pod_template("churn", A, a_spec(runtime={"image": IMAGE}), INSTALL)
    bundled = pod_template("churn", B, a_spec(), INSTALL)
    workloads = {A: to_be(A, 1, own), B: to_be(B, 1, bundled), C: to_be(C, 1, own)}
    state = a_state(stable=A, canary=B, weight=10, phase="Progressing", retiring=(Retiring(C, after(60)),))
    before = compute_status(state, workloads)
    assert before["stable"]["healthPath"] == "/healthz"
    assert "healthPath" not in before["canary"]
    assert [entry["healthPath"] for entry in before["retiring"]] == ["/healthz"]


def compute_status(state: Any, workloads: Any) -> Object:
    decision, report = Decision(state, "told"), Report(workloads, {})
    return compute(InferenceServiceStatus(), a_spec(), decision, report, Addresses("http://u"), 1, NOW).dump()


async def test_an_install_that_does_not_allow_it_says_so(serving: Serving) -> None:
    found = await serving()
    found.change(runtime={"image": IMAGE})
    await found.settle()
    assert found.condition("Stalled") == ("True", "InvalidSpec")
    (message,) = [each["message"] for each in found.status["conditions"] if each["type"] == "Stalled"]
    assert "images.allowOwn" in message


async def test_a_service_of_an_own_image_serves_where_it_is_allowed(operated: OperatedCluster) -> None:
    operated.install = INSTALL
    operated.operator = operated.new_operator()
    operated.cluster.put(a_service({"model": None, "runtime": {"image": IMAGE}}))
    await operated.settle()
    assert operated.condition("Ready") == ("True", "Serving")
    assert operated.status["stable"]["healthPath"] == "/healthz"
