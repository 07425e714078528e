"""What the administration port takes over HTTP and what it refuses, and what `--admin-on-data-port` opens."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import httpx2
import pytest
import tritonclient.grpc as triton_grpc

from .stored_models import Repository, body, first, post, times

pytestmark = pytest.mark.integration

REFUSED = [
    ("repository/models/none/load", {}, 404, "is no directory of the repository"),
    ("repository/models/..%2F..%2Fetc/load", {}, 404, ""),
    ("repository/models/.hidden/load", {}, 404, "is no model's name"),
    ("repository/models/double/load", {"parameters": {"config": "{}"}}, 400, 'parameter "config"'),
    ("repository/models/double/load", {"parameters": {"file:1/model.onnx": ""}}, 400, 'parameter "file:1/model.onnx"'),
    ("repository/models/double/load", {"parameters": []}, 400, '"parameters" must be an object'),
    ("repository/models/double/load", [], 400, "must be a JSON object"),
    ("repository/models/none/unload", {}, 404, "nothing to unload"),
    ("repository/index", {"ready": 1}, 400, '"ready" must be true or false'),
    ("logging", {"log_file": "/tmp/x"}, 400, 'log setting "log_file"'),
    ("logging", {"log_info": 1}, 400, '"log_info" must be a boolean'),
    ("logging", {"log_warning": False}, 400, "all graver ones"),
    ("trace/setting", {"trace_rate": "1"}, 400, 'trace setting "trace_rate"'),
    ("trace/setting", {"trace_level": ["TIMESTAMPS"]}, 400, "--trace-endpoint"),
    ("models/none/trace/setting", {}, 400, "a model that is loaded: no model of that name"),
]


def test_what_administration_cannot_honour_is_refused_by_name(hosted: Callable[..., Any]) -> None:
    with hosted() as process:
        for path, content, status, said in REFUSED:
            answer = post(process, f"/v2/{path}", content)
            assert (answer.status_code, said in answer.json()["error"]) == (status, True), (path, answer.text)
            on_data_port = httpx2.post(process.url(f"/v2/{path.replace('none', 'double')}"), json=content)
            assert on_data_port.status_code == 404, path
        assert httpx2.get(process.url("/v2/logging")).status_code == 404
        named = post(process, "/v2/repository/mine/models/double/unload", {"parameters": {"unload_dependents": True}})
        assert named.status_code == 200


def test_front_ends_refuse_what_one_process_refuses_in_the_same_words(hosted: Callable[..., Any]) -> None:
    refused = [
        *((path, json.dumps(content)) for path, content, _, _ in REFUSED),
        ("repository/models/mod%C3%A8le/load", "{}"),
        ("logging", "{"),
        ("systemsharedmemory/region/r/register", "{"),
        ("systemsharedmemory/unregister", '{"a": 1}'),
        ("systemsharedmemory/status", ""),
    ]
    with hosted("--workers", "2", "--admin-on-data-port") as process:
        for path, content in refused:
            in_hub, in_front_end = (
                httpx2.post(url, content=content, headers={"Content-Type": "application/json"}, timeout=60)
                for url in (process.admin_url(f"/v2/{path}"), process.url(f"/v2/{path}"))
            )
            assert (in_front_end.status_code, in_front_end.text) == (in_hub.status_code, in_hub.text), path
            assert 400 <= in_hub.status_code < 500 or in_hub.status_code == 501, (path, in_hub.text)


def test_the_log_level_can_be_changed(hosted: Callable[..., Any]) -> None:
    with hosted() as process:
        log = process.admin_url("/v2/logging")
        assert httpx2.get(log).json() == {
            "log_info": True,
            "log_warning": True,
            "log_error": True,
            "log_verbose_level": 0,
        }
        quiet = {"log_info": False, "log_warning": False}
        assert post(process, "/v2/logging", quiet).json()["log_warning"] is False
        assert post(process, "/v2/repository/models/double/load").status_code == 200
        assert "model loaded" not in process.log.read_text().partition('"triple"')[2].partition('"ready"')[2]


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "two front ends"])
def test_triton_clients_administer_over_the_data_ports_where_they_are_opened(
    hosted: Callable[..., Any], repository: Repository, options: Sequence[str]
) -> None:
    with (
        hosted("--admin-on-data-port", *options) as process,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as client,
    ):
        repository.put("double", 2, times(20))
        client.load_model("double")
        assert first(httpx2.post(process.url("/v2/models/double/infer"), json=body(1))) == 20
        client.unload_model("triple")
        assert httpx2.get(process.url("/v2/models/triple/ready")).status_code == 503
        client.load_model("triple")
        assert client.is_model_ready("triple")
        with pytest.raises(triton_grpc.InferenceServerException, match='"config"'):
            client.load_model("double", config="{}")
        with pytest.raises(triton_grpc.InferenceServerException, match="NOT_FOUND"):
            client.load_model("none")
        assert "model_repository" in client.get_server_metadata().extensions
        ready = [(entry.name, entry.version, entry.state) for entry in client.get_model_repository_index().models]
        assert ready == [("double", "2", "READY"), ("triple", "3", "READY")]
        assert client.update_log_settings({"log_info": False}).settings["log_info"].bool_param is False
        assert httpx2.get(process.url("/v2/logging")).json()["log_info"] is False
        assert client.get_trace_settings().settings["trace_level"].value == ["OFF"]
        assert httpx2.post(process.url("/v2/repository/models/double/unload")).status_code == 200
        assert httpx2.get(process.url("/v2")).json()["extensions"] == client.get_server_metadata().extensions


def test_kserves_messages_have_the_name_in_another_field(hosted: Callable[..., Any]) -> None:
    with hosted("--admin-on-data-port") as process, grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        path = "/inference.GRPCInferenceService/RepositoryModel"
        load: Any = channel.unary_unary(path + "Load")
        unload: Any = channel.unary_unary(path + "Unload")
        assert unload(b"\x0a\x06double") == b"\x0a\x06double\x10\x01"
        assert httpx2.post(process.url("/v2/models/double/infer"), json=body(1)).status_code == 503
        assert load(b"\x0a\x06double") == b"\x0a\x06double\x10\x01"
        assert first(httpx2.post(process.url("/v2/models/double/infer"), json=body(1))) == 2


def test_configuration_and_statistics_are_the_same_over_both_ways(hosted: Callable[..., Any]) -> None:
    with (
        hosted() as process,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as client,
    ):
        httpx2.post(process.url("/v2/models/double/infer"), json=body(1, 2))
        config = httpx2.get(process.url("/v2/models/double/config")).json()
        said = client.get_model_config("double").config
        assert (said.name, said.max_batch_size) == (config["name"], config["max_batch_size"]) == ("double", 32)
        assert list(said.input[0].dims) == config["input"][0]["dims"] == [2]
        (told,) = httpx2.get(process.url("/v2/models/double/stats")).json()["model_stats"]
        (same,) = client.get_inference_statistics("double").model_stats
        assert (same.inference_count, same.execution_count) == (told["inference_count"], 1) == (2, 1)
        success = told["inference_stats"]["success"]
        assert (same.inference_stats.success.count, same.inference_stats.success.ns) == tuple(success.values())
        assert len(client.get_inference_statistics().model_stats) == 2
