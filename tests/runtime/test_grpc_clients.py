"""A real process over gRPC, asked by Triton's own client."""

import asyncio
import queue
import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc import aio
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2 as triton_config
from tritonclient.grpc import service_pb2 as triton_service

from tidegate_runtime.rpc.protos import inference_pb2, model_config_pb2
from tidegate_runtime.rpc.protos.health_pb2 import HealthCheckRequest, HealthCheckResponse

pytestmark = pytest.mark.integration

EXIT_SECONDS = 10.0

TYPES: dict[str, tuple[int, Any]] = {
    "BOOL": (TensorProto.BOOL, np.array([[True], [False]])),
    "UINT8": (TensorProto.UINT8, np.array([[0], [255]], np.uint8)),
    "UINT16": (TensorProto.UINT16, np.array([[0], [65535]], np.uint16)),
    "UINT32": (TensorProto.UINT32, np.array([[0], [2**32 - 1]], np.uint32)),
    "UINT64": (TensorProto.UINT64, np.array([[0], [2**64 - 1]], np.uint64)),
    "INT8": (TensorProto.INT8, np.array([[-128], [127]], np.int8)),
    "INT16": (TensorProto.INT16, np.array([[-(2**15)], [1]], np.int16)),
    "INT32": (TensorProto.INT32, np.array([[-(2**31)], [1]], np.int32)),
    "INT64": (TensorProto.INT64, np.array([[-(2**63)], [2**53 + 1]], np.int64)),
    "FP16": (TensorProto.FLOAT16, np.array([[1.5], [np.inf]], np.float16)),
    "FP32": (TensorProto.FLOAT, np.array([[0.1], [np.nan]], np.float32)),
    "FP64": (TensorProto.DOUBLE, np.array([[0.1], [-np.inf]], np.float64)),
    "BYTES": (TensorProto.STRING, np.array([["é\0"], [""]], object)),
}


def tensor(name: str, datatype: str, array: Any) -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def row(first: float) -> triton.InferInput:
    return tensor("x", "FP32", np.array([[first, 2, 3, 4]], np.float32))


@pytest.fixture
def client(doubling: Any) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{doubling.grpc_port}") as client:
        yield client


def shape_of(descriptor: Any) -> Any:
    """A message type as the wire knows it, with the names that clients write."""
    nested = {name: shape_of(each) for name, each in descriptor.nested_types_by_name.items()}
    enums = {enum.name: {value.name: value.number for value in enum.values} for enum in descriptor.enum_types}
    fields = {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            field.message_type and field.message_type.full_name,
            field.containing_oneof and field.containing_oneof.name,
        )
        for field in descriptor.fields
    }
    return fields, nested, enums


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (inference_pb2.DESCRIPTOR, triton_service.DESCRIPTOR),
        (model_config_pb2.DESCRIPTOR, triton_config.DESCRIPTOR),
    ],
    ids=["service", "model config"],
)
def test_the_messages_are_those_of_triton(ours: Any, theirs: Any) -> None:
    for file in (ours, theirs):
        assert file.package == "inference"
    # KServe answers these two with fields, Triton without; its clients skip fields that they don't know.
    own = {"RepositoryModelLoadResponse", "RepositoryModelUnloadResponse"}
    assert {name: shape_of(each) for name, each in ours.message_types_by_name.items() if name not in own} == {
        name: shape_of(each) for name, each in theirs.message_types_by_name.items() if name not in own
    }
    for service in theirs.services_by_name.values():
        known = ours.services_by_name[service.name].methods_by_name
        assert {name: (each.input_type.name, each.output_type.name) for name, each in known.items()} == {
            each.name: (each.input_type.name, each.output_type.name) for each in service.methods
        }


def test_it_is_live_and_ready_and_describes_itself(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m", "7")
    metadata = client.get_model_metadata("m", as_json=True)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_it_answers(client: triton.InferenceServerClient, compression: str | None) -> None:
    answer = client.infer(
        "m",
        [row(1.0)],
        model_version="7",
        request_id="a",
        outputs=[triton.InferRequestedOutput("y")],
        priority=1,
        timeout=5_000_000,
        parameters={"note": "x"},
        compression_algorithm=compression,
    )
    assert answer.as_numpy("y").tolist() == [[2, 4, 6, 8]]
    assert answer.get_response().id == "a"


def test_it_gets_an_output_s_best_classes(client: triton.InferenceServerClient) -> None:
    answer = client.infer("m", [row(1.0)], outputs=[triton.InferRequestedOutput("y", class_count=2)])
    assert answer.as_numpy("y").tolist() == [[b"8.0:3", b"6.0:2"]]


def test_it_answers_on_a_stream(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for index in range(50):
        client.async_stream_infer("m" if index != 20 else "other", [row(float(index))], request_id=str(index))
    got = [answers.get(timeout=EXIT_SECONDS) for _ in range(50)]
    client.stop_stream()
    assert "no model of that name" in str(got[20][1])
    del got[20]
    assert [error for _, error in got] == [None] * 49
    assert [result.as_numpy("y")[0, 0] for result, _ in got] == [2.0 * index for index in range(50) if index != 20]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence_id": 5, "sequence_start": True}, "sequences are not served"),
        ({"model_name": "other"}, "no model of that name"),
    ],
    ids=["a sequence", "an unknown model"],
)
def test_it_is_told_why_not(client: triton.InferenceServerClient, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(triton.InferenceServerException, match=message):
        client.infer(**({"model_name": "m", "inputs": [row(1.0)]} | changes))


@pytest.mark.asyncio
async def test_its_asyncio_client_gets_each_its_own_answer(doubling: Any) -> None:
    async with triton_aio.InferenceServerClient(f"127.0.0.1:{doubling.grpc_port}") as client:
        answers = await asyncio.gather(*(client.infer("m", [row(float(index))]) for index in range(200)))
    assert [answer.as_numpy("y")[0, 0] for answer in answers] == [2.0 * index for index in range(200)]


def test_every_datatype_comes_back_as_it_went(serve: Callable[..., Any], model: Any) -> None:
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in TYPES]
    inputs = {name: (kind, ["N", 1]) for name, (kind, _) in TYPES.items()}
    outputs = {f"{name}_out": declared for name, declared in inputs.items()}
    sent = [tensor(name, name, array) for name, (_, array) in TYPES.items()]
    with (
        serve(model(nodes, inputs, outputs)) as process,
        triton.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as client,
    ):
        answer = client.infer("m", sent)
    for name, (_, array) in TYPES.items():
        got = answer.as_numpy(f"{name}_out")
        if name == "BYTES":
            assert [[each.decode() for each in line] for line in got] == array.tolist()
        else:
            np.testing.assert_array_equal(got, array, strict=True)


def test_it_can_be_turned_off(serve: Callable[..., Any], double: onnx.ModelProto) -> None:
    with serve(double, "--grpc-port", "-1") as process:
        assert "gRPC" not in process.log.read_text()
        with open(f"/proc/{process.popen.pid}/maps") as maps:
            assert "cygrpc" not in maps.read()


def test_its_calls_are_counted_with_those_over_http(serve: Callable[..., Any], double: onnx.ModelProto) -> None:
    with serve(double) as process:
        with triton.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as client:
            client.infer("m", [row(1.0)])
            with pytest.raises(triton.InferenceServerException):
                client.infer("m", [])
        metrics = httpx2.get(process.admin_url("/metrics")).text
    assert 'tidegate_requests_total{code="200",model="m",version="1"} 1.0' in metrics
    assert 'tidegate_requests_total{code="400",model="m",version="1"} 1.0' in metrics
    assert 'tidegate_request_duration_seconds_count{model="m",version="1"} 1.0' in metrics


@pytest.mark.asyncio
async def test_a_process_that_drains_answers_and_ends_in_spite_of_open_streams(
    serve: Callable[..., Any], double: onnx.ModelProto
) -> None:
    with serve(double, "--drain-seconds", "1") as process:
        address = f"127.0.0.1:{process.grpc_port}"
        async with aio.insecure_channel(address) as channel, triton_aio.InferenceServerClient(address) as client:
            watch: Any = channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                request_serializer=HealthCheckRequest.SerializeToString,
                response_deserializer=HealthCheckResponse.FromString,
            )(HealthCheckRequest())
            assert (await watch.read()).status == HealthCheckResponse.SERVING
            idle: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
            process.popen.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
            for _ in range(20):
                assert (await client.infer("m", [row(1.0)])).as_numpy("y")[0, 0] == 2.0
            for call in (watch, idle):
                with pytest.raises(aio.AioRpcError):
                    await call.read()
        assert await asyncio.to_thread(process.popen.wait, EXIT_SECONDS) == 0
