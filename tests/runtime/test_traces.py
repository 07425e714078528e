"""Traces as a receiver of OTLP gets them, from a runtime in its own process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx2
import onnx
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

from tidegate_runtime.rpc.protos import inference_pb2 as pb

from .conftest import READY_SECONDS
from .otlp_receiver import WAIT_SECONDS, attributes, receiving
from .rpc_client import rows
from .test_front_ends import front_ends_of

pytestmark = pytest.mark.integration

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def ask(process: Any, way: str, headers: dict[str, str]) -> None:
    if way.startswith("grpc"):
        with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
            kind: Any = channel.unary_unary if way == "grpc" else channel.stream_stream
            method = "ModelInfer" if way == "grpc" else "ModelStreamInfer"
            reply = pb.ModelInferResponse if way == "grpc" else pb.ModelStreamInferResponse
            call = kind(
                f"/inference.GRPCInferenceService/{method}",
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=reply.FromString,
            )
            metadata = tuple(headers.items())
            if way == "grpc":
                call(rows(1.0), metadata=metadata)
            else:
                (answer,) = call(iter([rows(1.0)]), metadata=metadata)
                assert not answer.error_message
        return
    if way == "cold":
        headers = headers | {"te": "trailers"}
    path, body = ("/v1/models/m:predict", {"instances": [[1, 2, 3, 4]]}) if way == "v1" else (INFER, BODY)
    assert httpx2.post(process.url(path), json=body, headers=headers).status_code == 200


def until_inflight(process: Any) -> None:
    """Returns once a request was accepted."""
    ends = time.monotonic() + WAIT_SECONDS
    while 'tidegate_inflight{model="m",version="1"} 1.0' not in httpx2.get(process.admin_url("/metrics")).text:
        assert time.monotonic() < ends


def pb_infer(channel: grpc.Channel) -> Any:
    return channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )


INFER = "/v2/models/m/infer"
WAYS = ["hot", "cold", "v1", "grpc", "grpc stream"]
STAGES = ["parse", "queue", "assemble", "compute", "encode"]


@pytest.mark.parametrize(
    "options", [("--grpc-transport", "nghttp2"), ("--grpc-transport", "grpcio"), ("--isolate",), ("--workers", "2")]
)
def test_every_way_in_makes_the_same_trace(
    serve: Callable[..., Any], double: onnx.ModelProto, options: tuple[str, ...]
) -> None:
    traced = ("--trace-endpoint", "--trace-ratio", "0")
    with receiving() as receiver, serve(double, traced[0], receiver.url, *traced[1:], *options) as process:
        for number, way in enumerate(WAYS, 1):
            ask(process, way, PARENT)
            span = receiver.server_spans(number)[-1]
            assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, SPAN, "vendor=1"), way
            children = receiver.children(span)
            assert sorted(children) == sorted(STAGES), way
            assert span.start_time_unix_nano <= min(child.start_time_unix_nano for child in children.values()), way
            assert span.end_time_unix_nano >= max(child.end_time_unix_nano for child in children.values()), way
            for child in children.values():
                assert child.trace_id == span.trace_id, way
                assert child.start_time_unix_nano <= child.end_time_unix_nano, way
            told = attributes(span)
            assert [told[f"tidegate.{key}"] for key in ("model.name", "model.version", "batch.rows")] == ["m", "1", 1]
            if way.startswith("grpc"):
                method = "ModelInfer" if way == "grpc" else "ModelStreamInfer"
                assert span.name == told["rpc.method"] == f"inference.GRPCInferenceService/{method}"
                assert (told["rpc.system.name"], told["rpc.response.status_code"]) == ("grpc", "OK")
            else:
                route = "/v1/models/{name}:predict" if way == "v1" else "/v2/models/{name}/infer"
                assert (span.name, told["http.route"]) == (f"POST {route}", route), way
                assert (told["http.request.method"], told["http.response.status_code"]) == ("POST", 200)
                assert (told["url.scheme"], told["url.path"]) == ("http", route.replace("{name}", "m"))
            assert receiver.resources[-1]["service.name"] == "tidegate"
        for way in WAYS:
            ask(process, way, {"traceparent": f"00-{TRACE}-{SPAN}-00"})
            ask(process, way, {})
        ask(process, "hot", PARENT)
        assert len(receiver.server_spans(len(WAYS) + 1)) == len(WAYS) + 1
        page = httpx2.get(process.admin_url("/metrics")).text
    answered = f"{3 * len(WAYS) + 1}.0"
    for stage in (*STAGES, "request_duration"):
        assert f'tidegate_{stage}_seconds_count{{model="m",version="1"}} {answered}' in page, stage
    assert "nv_inference" not in page
    assert "tidegate_spans_dropped_total 0.0" in page


def test_requests_whose_heads_repeat_are_recorded_under_their_own_parent(
    serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    """A connection that remembers a head doesn't lend its trace context to a request with another one."""
    other = {"traceparent": f"00-{TRACE[::-1]}-{SPAN[::-1]}-01"}
    asked = [PARENT, PARENT, PARENT, other, other | {"te": "trailers"}, other, PARENT, {}, {}, PARENT]
    with receiving() as receiver, serve(double, "--trace-endpoint", receiver.url, "--trace-ratio", "0") as process:
        with httpx2.Client() as client:
            for headers in asked:
                assert client.post(process.url(INFER), json=BODY, headers=headers).status_code == 200
        spans = receiver.server_spans(8)
    parents = [span.parent_span_id.hex() for span in spans]
    assert parents == [SPAN] * 3 + [SPAN[::-1]] * 3 + [SPAN] * 2
    assert all(sorted(receiver.children(span)) == sorted(STAGES) for span in spans)


@pytest.mark.parametrize("way", WAYS)
def test_tritons_clients_turn_traces_off_and_on(serve: Callable[..., Any], double: onnx.ModelProto, way: str) -> None:
    options = ("--admin-on-data-port", "--no-vetting")
    with (
        receiving() as receiver,
        serve(double, "--trace-endpoint", receiver.url, *options) as process,
        triton_http.InferenceServerClient(f"127.0.0.1:{process.admin_port}") as rest,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as rpc,
    ):
        start = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "-1", "trace_mode": "opentelemetry"}
        assert rest.get_trace_settings() == start
        assert rest.update_trace_settings(settings={"trace_level": ["OFF"]}) == start | {"trace_level": ["OFF"]}
        ask(process, way, PARENT)
        assert rpc.get_trace_settings().settings["trace_level"].value == ["OFF"]
        changed = rpc.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"], "trace_count": "1"})
        assert changed.settings["trace_count"].value == ["1"]
        ask(process, way, PARENT | {"traceparent": f"00-{TRACE[::-1]}-{SPAN}-01"})
        ask(process, way, PARENT)
        assert rest.get_trace_settings("m")["trace_count"] == "0"
        assert rpc.update_trace_settings(settings={"trace_count": None}).settings["trace_count"].value == ["-1"]
        ask(process, way, PARENT)
        spans = receiver.server_spans(2)
        assert [span.trace_id.hex() for span in spans] == [TRACE[::-1], TRACE]
        with pytest.raises(triton_grpc.InferenceServerException, match="not written to files"):
            rpc.update_trace_settings(settings={"trace_file": "x"})
        assert "trace" in rpc.get_server_metadata().extensions


def test_front_ends_go_by_the_settings_and_count_together(serve: Callable[..., Any], double: onnx.ModelProto) -> None:
    options = ("--workers", "2", "--no-vetting")
    with receiving() as receiver, serve(double, "--trace-endpoint", receiver.url, *options) as process:

        def change(**settings: str | None) -> dict[str, Any]:
            answer = httpx2.post(process.admin_url("/v2/trace/setting"), json=settings)
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            return told

        def ask_all(count: int) -> None:
            with ExitStack() as stack:
                clients = [stack.enter_context(httpx2.Client()) for _ in range(count)]
                for client in clients:
                    assert client.post(process.url(INFER), json=BODY).status_code == 200

        assert change(trace_level="OFF")["trace_level"] == ["OFF"]
        ask_all(8)
        assert change(trace_level="TIMESTAMPS", trace_count="3")["trace_count"] == "3"
        ask_all(8)
        assert change()["trace_count"] == "0"
        receiver.server_spans(3)
        for pid in front_ends_of(process):
            os.kill(pid, signal.SIGKILL)
        wait_for_restarts(process, 2)
        ask_all(8)
        assert change(trace_count=None)["trace_count"] == "-1"
        ask(process, "hot", PARENT)
        spans = receiver.server_spans(4)
        assert [span.trace_id.hex() == TRACE for span in spans] == [False] * 3 + [True]


def wait_for_restarts(process: Any, count: int) -> None:
    """Returns once as many front ends have come in place of others, and all listen."""
    ends = time.monotonic() + READY_SECONDS
    wanted = (f"tidegate_front_end_restarts_total {count}.0", "tidegate_front_ends 2.0")
    while not all(sample in httpx2.get(process.admin_url("/metrics")).text for sample in wanted):
        assert time.monotonic() < ends


@pytest.mark.parametrize("transport", ["nghttp2", "grpcio"])
def test_a_call_that_fails_is_recorded_with_its_status(
    serve: Callable[..., Any], slow: onnx.ModelProto, transport: str
) -> None:
    endless = pb.ModelInferRequest(model_name="m", raw_input_contents=[(2**40).to_bytes(8, "little")])
    endless.inputs.add(name="n", datatype="INT64")
    unknown = pb.ModelInferRequest(model_name="nobody")
    options = ("--grpc-transport", transport, "--timeout-seconds", "1", "--drain-seconds", "0")
    with (
        receiving() as receiver,
        serve(slow, "--trace-endpoint", receiver.url, *options) as process,
        grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel,
    ):
        infer = pb_infer(channel)
        with pytest.raises(grpc.RpcError):
            infer(unknown)
        with pytest.raises(grpc.RpcError):
            infer(endless)
        receiver.server_spans(2)
        call = infer.future(endless)
        until_inflight(process)
        call.cancel()
        spans = receiver.server_spans(3)
    codes = [attributes(span)["rpc.response.status_code"] for span in spans]
    assert codes == ["NOT_FOUND", "DEADLINE_EXCEEDED", "CANCELLED"]


def test_a_call_that_its_transport_refuses_is_recorded_with_its_status(
    serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    options = ("--max-body-bytes", "65536", "--no-vetting")
    with (
        receiving() as receiver,
        serve(double, "--trace-endpoint", receiver.url, *options) as process,
        grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel,
    ):
        unary: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        other: Any = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        caller = (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
        for message in (b"junk", bytes(65537)):
            with pytest.raises(grpc.RpcError):
                unary(message, metadata=caller)
        with pytest.raises(grpc.RpcError):
            other(b"junk")
        unary(rows(1.0).SerializeToString())
        spans = receiver.server_spans(3)
    codes = [attributes(span)["rpc.response.status_code"] for span in spans]
    assert codes == ["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OK"]
    assert {span.trace_id.hex() for span in spans[:2]} == {TRACE}


@pytest.mark.parametrize("way", ["hot", "cold"])
def test_a_failed_request_is_recorded_with_its_status(
    serve: Callable[..., Any], slow: onnx.ModelProto, way: str
) -> None:
    headers = {"te": "trailers"} if way == "cold" else {}
    wrong = {"inputs": [{"name": "n", "shape": [], "datatype": "FP32", "data": [1]}]}
    endless = {"inputs": [{"name": "n", "shape": [], "datatype": "INT64", "data": [2**40]}]}
    with receiving() as receiver:
        with serve(slow, "--trace-endpoint", receiver.url, "--timeout-seconds", "1", "--drain-seconds", "0") as process:
            for body, code in ((wrong, 400), (endless, 504)):
                assert httpx2.post(process.url(INFER), json=body, headers=headers, timeout=30).status_code == code
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.post(process.url(INFER), json=endless, headers=headers, timeout=0.2)
            process.popen.terminate()
            assert process.popen.wait(WAIT_SECONDS) == 0
        # Several front ends send theirs each in its own time.
        spans = {attributes(span)["http.response.status_code"]: span for span in receiver.server_spans(3)}
    assert spans.keys() == {400, 499, 504}
    client, server = spans[400], spans[504]
    assert (client.status.code, server.status.code) == (SpanStatus.STATUS_CODE_UNSET, SpanStatus.STATUS_CODE_ERROR)
    assert "error.type" not in attributes(client)
    assert attributes(server)["error.type"] == "504"
    assert not client.parent_span_id


@pytest.mark.parametrize("broken", ["refuses", "redirects", "is not there", "never answers"])
def test_a_receiver_that_fails_costs_spans_and_no_request(
    serve: Callable[..., Any], double: onnx.ModelProto, broken: str
) -> None:
    with receiving() as receiver:
        receiver.status = 302 if broken == "redirects" else 400
        if broken == "never answers":
            receiver.came.acquire()
        url = "http://127.0.0.1:9/v1/traces" if broken == "is not there" else receiver.url
        try:
            with serve(double, "--trace-endpoint", url) as process, httpx2.Client() as client:
                dropped = 0.0
                for _ in range(2000):
                    assert client.post(process.url(INFER), json=BODY).status_code == 200
                    page = client.get(process.admin_url("/metrics")).text
                    dropped = float(page.partition("\ntidegate_spans_dropped_total ")[2].partition("\n")[0])
                    if dropped:
                        break
                assert dropped >= 6
        finally:
            if broken == "never answers":
                receiver.came.release()


def test_without_the_extra_the_option_is_refused_with_the_way_out(tmp_path: Path, double: onnx.ModelProto) -> None:
    onnx.save(double, tmp_path / "model.onnx")
    (tmp_path / "termination").touch()
    script = "import sys; sys.modules['opentelemetry.sdk'] = None; from tidegate_runtime.__main__ import app; app()"
    command = [sys.executable, "-c", script, "serve", str(tmp_path / "model.onnx"), "--port", "0", "--admin-port", "0"]
    command += ["--host", "127.0.0.1", "--grpc-port", "-1", "--trace-endpoint", "http://127.0.0.1:9/v1/traces"]
    environment = os.environ | {"TIDEGATE_TERMINATION_LOG": str(tmp_path / "termination")}
    assert subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False).returncode == 1
    told = json.loads((tmp_path / "termination").read_text())
    assert told["reason"] == "TracingUnavailable"
    assert "install tidegate-runtime[otel]" in told["message"]


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector/v1/traces", "http://", "http://h:99999/"])
def test_an_endpoint_that_is_no_url_is_refused(
    serve: Callable[..., Any], double: onnx.ModelProto, endpoint: str
) -> None:
    with serve(double, "--trace-endpoint", endpoint, wait=False) as process:
        assert process.popen.wait(WAIT_SECONDS) == 1
        assert json.loads(process.termination_log.read_text())["reason"] == "TracingUnavailable"
