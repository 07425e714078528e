"""Trace settings of single models, as Triton's clients change them while requests come by every way."""

from collections.abc import Callable
from typing import Any

import grpc
import httpx2
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .otlp_receiver import attributes, receiving
from .stored_models import body

pytestmark = pytest.mark.integration

ON, OFF = ["TIMESTAMPS"], ["OFF"]
ROWS = b"\0\0\x80\x3f\0\0\x80\xbf"


def message(model: str) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name=model, raw_input_contents=[ROWS])
    made.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    return made


def ask(process: Any, way: str, *models: str) -> None:
    if way.startswith("grpc"):
        service = "/inference.GRPCInferenceService"
        with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
            unary: Any = channel.unary_unary(f"{service}/ModelInfer", pb.ModelInferRequest.SerializeToString)
            stream: Any = channel.stream_stream(f"{service}/ModelStreamInfer", pb.ModelInferRequest.SerializeToString)
            for model in models:
                if way == "grpc":
                    unary(message(model))
                else:
                    assert len(list(stream(iter([message(model)])))) == 1
        return
    headers = {"te": "trailers"} if way == "cold" else {}
    with httpx2.Client(headers=headers) as client:
        for model in models:
            path, content = f"/v2/models/{model}/infer", body(1)
            if way == "v1":
                path, content = f"/v1/models/{model}:predict", {"instances": [[1, -1]]}
            assert client.post(process.url(path), json=content).status_code == 200


@pytest.mark.parametrize("way", ["hot", "cold", "v1", "grpc", "grpc stream"])
def test_tritons_clients_set_and_clear_what_is_recorded_of_a_model(hosted: Callable[..., Any], way: str) -> None:
    with (
        receiving() as receiver,
        hosted("--trace-endpoint", receiver.url, "--admin-on-data-port") as process,
        triton_http.InferenceServerClient(f"127.0.0.1:{process.port}") as rest,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as rpc,
    ):

        def told(model: str | None) -> list[str]:
            """Level, rate and count, the same by both clients."""
            settings = rpc.get_trace_settings(model).settings
            found = [settings[f"trace_{name}"].value[0] for name in ("level", "rate", "count")]
            level, *others = (rest.get_trace_settings(model)[f"trace_{name}"] for name in ("level", "rate", "count"))
            assert [*level, *others] == found
            return found

        def recorded(count: int) -> list[str]:
            return [attributes(span)["tidegate.model.name"] for span in receiver.server_spans(count)]

        rest.update_trace_settings(settings={"trace_level": OFF})
        changed = rest.update_trace_settings("triple", {"trace_level": ON, "trace_count": "2"})
        assert (changed["trace_level"], changed["trace_count"]) == (ON, "2")
        assert told("triple") == ["TIMESTAMPS", "1", "2"]
        assert told("double") == told(None) == ["OFF", "1", "-1"]
        ask(process, way, "double", "triple", "triple", "triple", "double")
        assert recorded(2) == ["triple", "triple"]
        assert told("triple") == ["TIMESTAMPS", "1", "0"]
        # Everyone's settings are those of a model that has none of its own, and of what it has none for.
        rpc.update_trace_settings(settings={"trace_level": ON, "trace_rate": "0"})
        assert told("triple") == ["TIMESTAMPS", "0", "0"]
        assert told("double") == told(None) == ["TIMESTAMPS", "0", "-1"]
        cleared = rpc.update_trace_settings("triple", {"trace_count": None}).settings
        assert cleared["trace_count"].value == ["-1"]
        ask(process, way, "double", "triple")
        rpc.update_trace_settings("double", {"trace_rate": "1"})
        ask(process, way, "triple", "double")
        assert recorded(3) == ["triple", "triple", "double"]
        assert rest.update_trace_settings("triple", {"trace_level": None}) == rest.get_trace_settings()
        assert told("double") == ["TIMESTAMPS", "1", "-1"]
        assert rest.update_trace_settings("double", {"trace_rate": None}) == rest.get_trace_settings()


def test_a_model_that_is_not_loaded_has_none_and_keeps_its_own_for_when_it_is(hosted: Callable[..., Any]) -> None:
    with (
        receiving() as receiver,
        hosted("--trace-endpoint", receiver.url, "--admin-on-data-port") as process,
        triton_http.InferenceServerClient(f"127.0.0.1:{process.port}") as rest,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as rpc,
    ):
        own = rest.update_trace_settings("double", {"trace_rate": "7"})
        rest.unload_model("double")
        for model in ("double", "other"):
            with pytest.raises(triton_http.InferenceServerException, match="a model that is loaded") as refused:
                rest.get_trace_settings(model)
            assert refused.value.status() == "400"
            with pytest.raises(triton_http.InferenceServerException, match="a model that is loaded"):
                rest.update_trace_settings(model, {"trace_level": "OFF"})
            with pytest.raises(triton_grpc.InferenceServerException, match="a model that is loaded") as failed:
                rpc.update_trace_settings(model, {"trace_level": "OFF"})
            assert failed.value.status() == "StatusCode.INVALID_ARGUMENT"
        rest.load_model("double")
        assert rest.get_trace_settings("double") == own


def test_front_ends_go_by_a_models_own_settings_and_count_together(hosted: Callable[..., Any]) -> None:
    with receiving() as receiver, hosted("--trace-endpoint", receiver.url, "--workers", "2") as process:

        def change(path: str, **settings: str | None) -> dict[str, Any]:
            answer = httpx2.post(process.admin_url(path), json=settings)
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            return told

        change("/v2/trace/setting", trace_level="OFF")
        own = "/v2/models/triple/trace/setting"
        assert change(own, trace_level="TIMESTAMPS", trace_count="3")["trace_count"] == "3"
        for _ in range(8):  # each on a connection of its own, so that both front ends have some
            ask(process, "hot", "triple", "double")
        receiver.server_spans(3)
        assert httpx2.get(process.admin_url(own)).json()["trace_count"] == "0"
        assert httpx2.get(process.admin_url("/v2/trace/setting")).json()["trace_count"] == "-1"
        change(own, trace_level=None, trace_count=None)
        change("/v2/models/double/trace/setting", trace_level="TIMESTAMPS")
        ask(process, "hot", "triple", "double")
        spans = receiver.server_spans(4)
        assert [attributes(span)["tidegate.model.name"] for span in spans] == ["triple"] * 3 + ["double"]
