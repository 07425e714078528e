"""The names of docs/api.md are those of the code, on every side that states them."""

import re
from types import SimpleNamespace
from unittest.mock import MagicMock

import httpx2
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel

from tidegate_operator import conditions
from tidegate_operator import naming as operator
from tidegate_operator.adapter import names as adapter
from tidegate_operator.adapter.exposition import parse
from tidegate_operator.adapter.metrics import AdapterMetrics
from tidegate_operator.adapter.settings import AdapterSettings
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.api.status import InferenceServiceStatus
from tidegate_operator.controller.metrics import ControllerMetrics
from tidegate_operator.desired.pod import pod_template
from tidegate_operator.install import Install
from tidegate_operator.xds import names as xds
from tidegate_operator.xds.clusters import STREAMS_PER_CONNECTION
from tidegate_operator.xds.metrics import XdsMetrics
from tidegate_runtime import naming as runtime
from tidegate_runtime.metrics import CostFigure, ModelMetrics
from tidegate_runtime.rpc import grpcio_server, http2_bounds
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.exposition import EngineCollector, FrontEndCollector, GrpcCollector, ModelCollector

from .api_page import code, section, table


def test_the_page_names_the_kind() -> None:
    told = {row[0]: code(row[1]) for row in table("Kubernetes")}
    assert told["API group, version, kind"][:4] == [
        operator.GROUP,
        operator.VERSION,
        operator.KIND,
        operator.PLURAL,
    ]
    assert told["field managers"] == [
        *(operator.MANAGER, operator.REPLICAS_MANAGER, "spec.replicas", adapter.MANAGER),
        *(operator.PLUGIN_MANAGER, "status.rollout.request"),
    ]
    assert told["Lease"] == [operator.LEASE]
    assert {operator.ROUTER_SERVICE, adapter.ADAPTER} <= set(told["install's Services"])


def test_the_page_names_the_labels() -> None:
    told = {code(row[0])[0]: row[2].strip("`") for row in table("Labels")}
    assert set(told) == {
        operator.MANAGED_BY_LABEL,
        operator.COMPONENT_LABEL,
        operator.SERVICE_LABEL,
        operator.REVISION_LABEL,
        operator.METRICS_LABEL,
    }
    assert told[operator.MANAGED_BY_LABEL] == operator.MANAGED_BY
    assert told[operator.COMPONENT_LABEL] == operator.COMPONENT
    assert told[operator.METRICS_LABEL] == operator.NO_METRICS


def test_every_side_has_the_ports_of_the_page() -> None:
    told = {int(row[0]): row[1] for row in table("Ports")}
    assert "runtime, router" in told[operator.DATA_PORT]
    assert operator.DATA_PORT == runtime.DATA_PORT == xds.DATA_PORT
    assert operator.GRPC_PORT == runtime.GRPC_PORT == xds.GRPC_PORT
    assert "controller" in told[operator.ADMIN_PORT]
    assert operator.ADMIN_PORT == runtime.ADMIN_PORT == xds.ADMIN_PORT
    assert told[xds.XDS_PORT] == "xds"
    assert told[AdapterSettings.model_fields["port"].default] == "metrics adapter"


def test_routers_put_fewer_calls_on_a_connection_than_pods_take() -> None:
    assert STREAMS_PER_CONNECTION < http2_bounds.MAX_STREAMS == grpcio_server.MAX_STREAMS


async def test_the_routers_ask_for_the_revision_as_its_pods_are_named() -> None:
    revision = "churn-model-6f3c9d1a"
    service = MagicMock(ready=True, draining=False)
    service.model.return_value.name = "churn-model"
    transport = httpx2.ASGITransport(create_app(service))
    async with httpx2.AsyncClient(transport=transport, base_url="http://pod") as client:
        assert (await client.get(xds.health_path(revision))).status_code == 200
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "https://h/m.onnx"}})
    (runtime_container,) = pod_template("churn-model", revision, spec, Install())["spec"]["containers"]
    told = {variable["name"]: variable.get("value") for variable in runtime_container["env"]}
    service.model.assert_called_once_with(told["TIDEGATE_NAME"], told["TIDEGATE_MODEL_VERSION"])
    path = xds.health_path(revision).replace("churn-model/", "<service>/", 1).replace(revision, "<revision>")
    assert f"`{path}`" in section("What the router is told")


def test_the_page_lists_the_reasons_for_which_the_runtime_gives_up() -> None:
    text = section("Runtime: command line and environment")
    told = set(code(text[text.index("Reasons:") :]))
    assert told == {reason.value for reason in runtime.Reason}


def test_the_page_lists_the_runtimes_metrics() -> None:
    told = {}
    for row in table("Runtime (`:8082/metrics`)"):
        kind, labels = row[1].split()[0].strip(","), code(row[1])
        told[code(row[0])[0]] = (kind, set(labels))
    metrics = ModelMetrics("churn", "churn-6f3c9d1a", "cuda")
    metrics.answered(200)
    metrics.answered(429, 0.001)
    metrics.costs = lambda: [CostFigure(("x", "float32", (16,)), 1, 0.001, 0.002)]
    served = {}
    for family in (
        *ModelCollector(lambda: [metrics]).collect(),
        *EngineCollector(lambda: 0).collect(),
        *GrpcCollector(lambda: ("nghttp2", "")).collect(),
        *FrontEndCollector(SimpleNamespace(running=2, restarts=0, usage=lambda: [(0, 1.5, 4096)])).collect(),
    ):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        served[name] = (family.type, set(family.samples[0].labels) - {"le"})
    assert told == served


def test_the_page_tells_the_bounds_of_the_duration_histograms() -> None:
    text = section("Runtime (`:8082/metrics`)")
    ((first, factor, last),) = re.findall(r"duration histograms: ([0-9.]+) s · ([0-9.]+)\^k, k = 0 … (\d+)", text)
    told = tuple(float(first) * float(factor) ** k for k in range(int(last) + 1))
    assert told == runtime.DURATION_BOUNDS


def test_the_adapter_reads_metrics_that_the_runtime_has() -> None:
    assert {*adapter.POD_METRICS, adapter.DURATION_METRIC} <= {
        runtime.QUEUE_DEPTH,
        runtime.INFLIGHT,
        runtime.REQUEST_DURATION,
    }


def test_what_failed_is_not_among_the_times_that_autoscalers_read() -> None:
    metrics, registry = ModelMetrics("churn", "churn-6f3c9d1a", "cpu"), CollectorRegistry()
    metrics.served(received=0.0, parsed=0.5, delivered=0.75, written=1.0)
    metrics.answered(200)
    metrics.answered(429, 0.0001)
    registry.register(ModelCollector(lambda: [metrics]))
    answered = parse(generate_latest(registry).decode()).answered
    assert sum(answered.values()) == 1
    assert min(bucket.upper for bucket in answered) > 0.9


def test_the_page_lists_the_custom_metrics_and_hpas_ask_for_those() -> None:
    told = {code(row[0])[0] for row in table("Custom metrics")}
    assert told == {*adapter.POD_METRICS, *adapter.SERVICE_METRICS}
    assert {operator.QUEUE_DEPTH_METRIC, operator.P95_METRIC} <= told


def test_the_page_lists_our_own_metrics() -> None:
    text = section("Our own processes")
    told = {re.sub(r"\{.*\}", "", name) for name in code(text) if name.startswith("tidegate_")}
    controller, adapters = CollectorRegistry(), CollectorRegistry()
    ControllerMetrics(controller)
    AdapterMetrics(adapters)
    families = [family for registry in (controller, adapters, XdsMetrics().registry) for family in registry.collect()]
    served = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert told == served


def test_the_page_lists_the_conditions() -> None:
    assert re.findall(r"^\| `([A-Za-z]+)` \|", section("Conditions"), re.MULTILINE) == [
        conditions.READY,
        conditions.RECONCILING,
        conditions.STALLED,
        conditions.MODEL_LOADED,
        conditions.TRAFFIC_ROUTED,
        conditions.ROLLOUT_HEALTHY,
        conditions.SCALING_ACTIVE,
        conditions.CAPACITY_AVAILABLE,
        conditions.PLATFORM_UPDATE_AVAILABLE,
    ]


def fields_of(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_the_page_shows_every_field_of_the_status() -> None:
    block = section("Status").split("```yaml\n")[1].split("```")[0]
    shown = yaml.safe_load(block)["status"]
    assert set(shown) == fields_of(InferenceServiceStatus)
    definitions = InferenceServiceStatus.model_json_schema(by_alias=True)["$defs"]
    assert set(shown["canary"]) == set(definitions["RoutedRevision"]["properties"])
    assert set(shown["stable"]) == set(shown["canary"]) - {"previewUrl"}
    assert set(shown["previous"]) == set(definitions["PreviousRevision"]["properties"])
    assert set(shown["rollout"]["analysis"]) == set(definitions["AnalysisStatus"]["properties"])
    assert set(shown["rollout"]["analysis"]["copies"]) == set(definitions["CopySample"]["properties"])
    assert set(shown["rollout"]["analysis"]["canary"]) == set(definitions["Sample"]["properties"])
    assert set(shown["retiring"][0]) == set(definitions["RetiringRevision"]["properties"])
    assert set(shown["rollout"]) == set(definitions["RolloutStatus"]["properties"])
    assert set(shown["rollout"]["request"]) <= set(definitions["Request"]["properties"])
    assert set(shown["rollout"]["lastRequest"]) == set(definitions["AnsweredRequest"]["properties"])
