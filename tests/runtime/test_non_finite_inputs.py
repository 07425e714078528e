"""NaN and infinities in inputs: taken by default, refused with `--reject-non-finite` in every way that they come."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import ml_dtypes
import numpy as np
import orjson
import pytest

from tidegate_runtime.errors import InvalidTensor
from tidegate_runtime.model.values import ValueBounds
from tidegate_runtime.protocol.binary_tensors import array_of
from tidegate_runtime.protocol.plain_binary import PlainBinary
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.tensors import Datatype, TensorSpec

from .conftest import Process, build_double, serving

INFER = "/v2/models/m/infer"
GOOD = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
BAD = np.array([[1, 2, 3, 4], [5, np.nan, np.inf, 8]], np.float32)
SAID = 'input "x": data[5] is NaN; this server takes finite numbers alone'
SHM = Path("/dev/shm")


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [("FP16", np.float16), ("BF16", ml_dtypes.bfloat16), ("FP32", np.float32), ("FP64", np.float64)],
)
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.0, -1.0, 60000.0, 2.0], None),
        ([0.0, 1.0, np.nan, np.nan], r'input "x": data\[2\] is NaN'),
        ([np.inf, 1.0, 2.0, 3.0], r"data\[0\] is Infinity"),
        ([0.0, 1.0, 2.0, -np.inf], r"data\[3\] is -Infinity"),
    ],
)
def test_numbers_that_are_not_finite_are_refused(
    datatype: str, dtype: Any, values: list[float], said: str | None
) -> None:
    bounds = ValueBounds.of([TensorSpec("x", Datatype(datatype), ("N", 2))], 8, finite=True)
    assert bounds is not None
    blob = b"-" + np.array(values, dtype).tobytes()
    unaligned = {"x": array_of(memoryview(blob)[1:], (2, 2), Datatype(datatype), "x")}
    if said is None:
        bounds.check(unaligned)
        return
    with pytest.raises(InvalidTensor, match=said):
        bounds.check(unaligned)


@pytest.mark.parametrize(("datatype", "known"), [("FP32", False), ("FP16", False), ("INT64", True), ("BOOL", False)])
def test_floats_are_not_known_by_their_bytes_where_each_is_looked_at(datatype: str, known: bool) -> None:
    sides = [TensorSpec("x", Datatype(datatype), ("N", 4))], [TensorSpec("y", Datatype.FP32, ("N", 4))]
    assert (PlainBinary.of("m", "1", *sides, finite=True) is not None) is known
    assert (ValueBounds.of(sides[0], 8, finite=True) is not None) is datatype.startswith("FP")


WAYS = {
    "nghttp2": ["--grpc-transport", "nghttp2"],
    "grpcio": ["--grpc-transport", "grpcio"],
    "front ends": ["--workers", "2"],
}


@pytest.fixture(scope="module", params=WAYS.values(), ids=[*WAYS])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Doubles finite numbers alone."""
    options = ["--reject-non-finite", "--shared-memory-bytes", "4096", "--no-vetting", *request.param]
    with serving(tmp_path_factory.mktemp("finite"), build_double(), *options) as process:
        yield process


def binary(values: Any, **members: Any) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": values.nbytes}}
    text = orjson.dumps(members | {"inputs": [tensor], "parameters": {"binary_data_output": True}})
    headers = {"inference-header-content-length": str(len(text)), "content-type": "application/octet-stream"}
    return text + values.tobytes(), headers


def asked(client: httpx2.Client, url: str, values: Any, **members: Any) -> Any:
    """The refusal; or the answer's numbers."""
    content, headers = binary(values, **members)
    answer = client.post(url, content=content, headers=headers)
    if answer.status_code != 200:
        return answer.status_code, answer.json()
    return np.frombuffer(answer.content[-values.nbytes :], np.float32).reshape(values.shape).tolist()


@pytest.mark.integration
@pytest.mark.parametrize("members", [{}, {"id": "a"}], ids=["repeated", "alone"])
def test_row_5_nan_in_binary_where_non_finite_inputs_are_refused(
    server: Process, way: dict[str, str], members: dict[str, str]
) -> None:
    url = server.url(INFER)
    with httpx2.Client(headers=way) as client:
        for _ in range(4):
            assert asked(client, url, GOOD, **members) == (GOOD * 2).tolist()
            assert asked(client, url, BAD, **members) == (400, {"error": SAID})


@pytest.mark.integration
def test_row_5_nan_in_binary_is_taken_by_default(doubling: Process, way: dict[str, str]) -> None:
    with httpx2.Client(headers=way) as client:
        for values in (GOOD, BAD, GOOD, BAD):
            assert str(asked(client, doubling.url(INFER), values)) == str((values * 2).tolist())


def raw(values: Any) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m", raw_input_contents=[values.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=values.shape)
    return message


def contents(values: Any) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(name="x", datatype="FP32", shape=values.shape).contents.fp32_contents.extend(values.ravel())
    return message


@pytest.mark.integration
@pytest.mark.parametrize("made", [raw, contents])
def test_row_5_nan_in_a_message_where_non_finite_inputs_are_refused(
    server: Process, made: Callable[[Any], pb.ModelInferRequest]
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(4):
            assert ask(made(GOOD).SerializeToString())
            with pytest.raises(grpc.RpcError) as failure:
                ask(made(BAD).SerializeToString())
            error: Any = failure.value
            assert (error.code().name, error.details()) == ("INVALID_ARGUMENT", SAID)


@pytest.mark.integration
def test_row_5_nan_on_a_stream_where_non_finite_inputs_are_refused(server: Process) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        sent = [raw(values).SerializeToString() for values in (GOOD, BAD, GOOD)]
        got = [pb.ModelStreamInferResponse.FromString(answer).error_message for answer in ask(iter(sent))]
    assert got == ["", SAID, ""]


@pytest.mark.integration
def test_row_5_nan_in_shared_memory_where_non_finite_inputs_are_refused(server: Process, way: dict[str, str]) -> None:
    key = f"tidegate-test-{uuid.uuid4().hex}"
    tensor = {"name": "x", "shape": [2, 4], "datatype": "FP32"}
    try:
        (SHM / key).write_bytes(BAD.tobytes() + GOOD.tobytes())
        register = "/v2/systemsharedmemory/region/r/register"
        registered = httpx2.post(server.admin_url(register), json={"key": key, "byte_size": 64})
        assert registered.status_code == 200, registered.text
        place = {"shared_memory_region": "r", "shared_memory_byte_size": 32}
        refused = httpx2.post(server.url(INFER), json={"inputs": [tensor | {"parameters": place}]}, headers=way)
        assert (refused.status_code, refused.json()) == (400, {"error": SAID})
        taken = tensor | {"parameters": place | {"shared_memory_offset": 32}}
        assert httpx2.post(server.url(INFER), json={"inputs": [taken]}, headers=way).status_code == 200
        assert httpx2.post(server.admin_url("/v2/systemsharedmemory/unregister")).status_code == 200
    finally:
        os.unlink(SHM / key)
