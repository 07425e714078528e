"""What the operator tells the runtime is what the runtime takes, for every spec that the CRD lets through."""

from pathlib import Path
from typing import Any

import pytest
import typer

from tidegate_operator.api.crd import custom_resource_definition
from tidegate_operator.api.spec import InferenceServiceSpec
from tidegate_operator.desired.pod import pod_template
from tidegate_operator.install import Install
from tidegate_operator.observed import Failure, workloads
from tidegate_runtime import naming, termination
from tidegate_runtime.__main__ import app
from tidegate_runtime.errors import StartupFailure

from .api_page import code, table

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SERVE, FETCH = COMMANDS["serve"], COMMANDS["fetch"]
OPTIONS: dict[str, Any] = {parameter.envvar: parameter for parameter in SERVE.params if parameter.envvar}

HOUR = {"timeout": "1h", "batching": {"maxBatchSize": 4096, "maxDelay": "10s"}}
MOST = {
    "queueSize": 100_000,
    "maxBodyBytes": "999999999Gi",
    "maxElementBytes": "999999999Gi",
    "rejectNonFinite": True,
}
SPECS: dict[str, dict[str, Any]] = {
    "the least": {},
    "cpu": {"runtime": {"device": "cpu"}},
    "all at its least": {
        "runtime": {
            "timeout": "1ms",
            "batching": {"maxBatchSize": 1, "maxDelay": "0ms"},
            "limits": {"queueSize": 1, "maxBodyBytes": "1", "maxElementBytes": "1"},
        }
    },
    "all at its most": {"runtime": {**HOUR, "limits": MOST}},
    "a claim": {"model": {"uri": "pvc://models/v3.onnx", "sha256": "a" * 64}},
}


def containers(parts: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = InferenceServiceSpec.model_validate({"model": {"uri": "https://h/m.onnx"}, **parts})
    pod = pod_template("churn", "churn-6f3c9d1a", spec, Install())["spec"]
    (fetcher,), (runtime,) = pod["initContainers"], pod["containers"]
    return fetcher, runtime


def test_the_page_lists_every_option_with_its_default() -> None:
    told = {code(row[1])[0]: (code(row[0])[0], code(row[2])) for row in table("Runtime: command line")}
    assert {variable: option for variable, (option, _) in told.items()} == {
        variable: "PATH" if parameter.param_type_name == "argument" else parameter.opts[0]
        for variable, parameter in OPTIONS.items()
    }
    defaults = {variable: default[0] for variable, (_, default) in told.items() if default}
    flags = {name for name in defaults if getattr(OPTIONS[name], "is_flag", False)}
    assert {name: str(OPTIONS[name].default) for name in flags} == {name: defaults[name] for name in flags}
    valued = [f"{told[name][0]}={text}" for name, text in defaults.items() if name not in flags]
    from_page = SERVE.make_context("serve", ["/m", *valued])
    assert from_page.params == SERVE.make_context("serve", ["/m"]).params
    optional = (
        "MODEL_PATH",
        "NAME",
        "TLS_CERTIFICATE",
        "TLS_KEY",
        "ISOLATE",
        "TRACE_ENDPOINT",
        "SHARE_URL",
        "TENANTS_FILE",
    )
    of_devices = ("ARENA_BYTES", "GRAPH_BYTES", "CONV_SEARCH", "ENGINE_CACHE", "WARMUP_SECONDS")
    without = {f"TIDEGATE_{name}" for name in (*optional, *of_devices)}
    assert set(OPTIONS) - set(defaults) == without


@pytest.mark.parametrize("parts", SPECS.values(), ids=SPECS.keys())
def test_the_runtime_takes_every_setting_of_its_container(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, runtime = containers(parts)
    settings = {variable["name"]: variable["value"] for variable in runtime["env"] if "value" in variable}
    assert set(settings) <= set(OPTIONS)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    command, *arguments = runtime["args"]
    assert command == "serve"
    taken = SERVE.make_context("serve", arguments).params
    assert taken["path"].as_posix() == "/models"
    assert (taken["name"], taken["model_version"]) == ("churn", "churn-6f3c9d1a")
    assert taken["device"].value == parts.get("runtime", {}).get("device", "cuda")
    assert taken["drain_seconds"] == 10


@pytest.mark.parametrize("parts", SPECS.values(), ids=SPECS.keys())
def test_the_fetcher_takes_its_arguments(parts: dict[str, Any]) -> None:
    fetcher, runtime = containers(parts)
    command, *arguments = fetcher["args"]
    assert command == "fetch"
    taken = FETCH.make_context("fetch", arguments).params
    assert taken["uri"] == parts.get("model", {}).get("uri", "https://h/m.onnx")
    assert taken["sha256"] == parts.get("model", {}).get("sha256", "")
    assert taken["directory"].as_posix() == runtime["args"][1]


def test_the_fetcher_takes_the_digest_that_a_revision_is_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    fetcher, _ = containers({})
    (variable,) = fetcher["env"]
    monkeypatch.setenv(variable["name"], "a" * 64)
    assert FETCH.make_context("fetch", fetcher["args"][1:]).params["sha256"] == "a" * 64


def test_what_the_fetcher_says_as_it_ends_is_what_later_pods_are_held_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "termination"
    log.touch()
    monkeypatch.setenv(naming.TERMINATION_LOG_ENV, str(log))
    termination.tell_fetched("a" * 64)
    labels = {"tidegate.dev/revision": "churn-6f3c9d1a"}
    ended = {"name": "fetch-model", "state": {"terminated": {"exitCode": 0, "message": log.read_text()}}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "initContainerStatuses": [ended]}
    pod = {"kind": "Pod", "metadata": {"name": "p", "labels": labels}, "status": ready}
    deployment = {"kind": "Deployment", "metadata": {"name": "churn-6f3c9d1a", "labels": labels}, "spec": {}}
    assert workloads([deployment, pod])["churn-6f3c9d1a"].sha256 == "a" * 64


def test_the_crds_defaults_are_the_runtimes() -> None:
    _, runtime = containers({})
    told = {variable["name"]: variable.get("value") for variable in runtime["env"]}
    for name in (
        "MAX_BATCH_SIZE",
        "MAX_DELAY_SECONDS",
        "QUEUE_SIZE",
        "MAX_BODY_BYTES",
        "MAX_ELEMENT_BYTES",
        "TIMEOUT_SECONDS",
        "DRAIN_SECONDS",
    ):
        assert float(told[f"TIDEGATE_{name}"]) == OPTIONS[f"TIDEGATE_{name}"].default
    assert told["TIDEGATE_REJECT_NON_FINITE"] == str(OPTIONS["TIDEGATE_REJECT_NON_FINITE"].default)


def test_the_specs_above_reach_the_crds_limits() -> None:
    (version,) = custom_resource_definition()["spec"]["versions"]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["runtime"]["properties"]
    batching, limits = fields["batching"]["properties"], fields["limits"]["properties"]
    assert (batching["maxBatchSize"]["minimum"], batching["maxBatchSize"]["maximum"]) == (1, 4096)
    assert (limits["queueSize"]["minimum"], limits["queueSize"]["maximum"]) == (1, 100_000)
    assert "duration('10s')" in batching["maxDelay"]["x-kubernetes-validations"][0]["rule"]
    assert "duration('1h')" in fields["timeout"]["x-kubernetes-validations"][0]["rule"]


def test_the_kubelet_asks_the_paths_and_ports_that_the_runtime_serves() -> None:
    _, runtime = containers({})
    assert runtime["readinessProbe"]["httpGet"] == {"path": naming.READY_PATH, "port": "http"}
    assert runtime["livenessProbe"]["httpGet"] == {"path": naming.LIVE_PATH, "port": "http"}
    assert {port["name"]: port["containerPort"] for port in runtime["ports"]} == {
        "http": naming.DATA_PORT,
        "admin": naming.ADMIN_PORT,
    }


@pytest.mark.parametrize("reason", list(naming.Reason))
def test_what_the_runtime_says_as_it_gives_up_is_what_the_status_tells(reason: naming.Reason) -> None:
    said = termination.message(StartupFailure(reason, "expected 9f0c, got 77aa"))
    ended = {"exitCode": 1, "reason": "Error", "message": said}
    labels = {"tidegate.dev/revision": "churn-6f3c9d1a"}
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p", "labels": labels},
        "status": {"initContainerStatuses": [{"name": "fetch-model", "state": {"terminated": ended}}]},
    }
    deployment = {"kind": "Deployment", "metadata": {"name": "churn-6f3c9d1a", "labels": labels}, "spec": {}}
    assert workloads([deployment, pod])["churn-6f3c9d1a"].failure == Failure(reason.value, "expected 9f0c, got 77aa")
