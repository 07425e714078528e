"""Elements of BYTES over their own limit, in every way that they come."""

import base64
import os
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import orjson
import pytest
from onnx import TensorProto, helper

from tidegate_runtime.errors import BodyTooLarge
from tidegate_runtime.model.values import ValueBounds
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.tensors import Datatype, TensorSpec

from .conftest import Process, build_model, serving

TEXTS, NUMBERS = TensorSpec("t", Datatype.BYTES, ("N", 2)), TensorSpec("x", Datatype.FP32, ("N", 4))
LIMIT = 20
GOOD, LONG = "é" * 10, "é" * 11
"""Of 20 and 22 bytes."""
SAID = 'input "x": data[1] has 22 bytes; the limit of an element is 20'
INFER = "/v2/models/m/infer"
SHM = Path("/dev/shm")


def texts(*values: str) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(-1, 2)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["", "ab"], ""),
        (["abcdefgh", "éééé"], ""),
        (["éééé", "abcdefghi"], r'input "t": data\[1\] has 9 bytes; the limit of an element is 8'),
        (["abcd", "éééé", "ééééé", "abcdefghij"], r"data\[2\] has 10 bytes"),
        (["\N{WAVE DASH}" * 3, ""], r"data\[0\] has 9 bytes"),
    ],
)
@pytest.mark.parametrize("size", [None, 9])
def test_an_element_s_bytes_are_counted(values: list[str], said: str, size: int | None) -> None:
    bounds = ValueBounds.of([NUMBERS, TEXTS], 8)
    assert bounds is not None
    feeds = {"x": np.zeros((1, 4), np.float32), "t": texts(*values)}
    if not said:
        bounds.check(feeds, size)
        return
    with pytest.raises(BodyTooLarge, match=said):
        bounds.check(feeds, size)


def test_what_came_in_fewer_bytes_than_one_element_may_have_is_not_looked_at() -> None:
    bounds = ValueBounds.of([TEXTS], 8)
    assert bounds is not None
    bounds.check({}, 8)


def test_numbers_are_not_looked_at() -> None:
    assert ValueBounds.of([NUMBERS], 8) is None


@pytest.fixture(scope="module", params=["nghttp2", "grpcio"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Gives back rows of two texts, each of at most 20 bytes."""
    sides = (TensorProto.STRING, ["N", 2])
    model = build_model([helper.make_node("Identity", ["x"], ["y"])], {"x": sides}, {"y": sides})
    options = ["--max-element-bytes", str(LIMIT), "--max-body-bytes", "65536", "--shared-memory-bytes", "4096"]
    options += ["--no-vetting", "--grpc-transport", request.param]
    with serving(tmp_path_factory.mktemp("texts"), model, *options) as process:
        yield process


def packed(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def tensor(**members: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "BYTES"} | members]}


def in_json(url: str, last: str, way: dict[str, str]) -> httpx2.Response:
    return httpx2.post(url + INFER, json=tensor(data=["a", last]), headers=way)


def in_binary(url: str, last: str, way: dict[str, str]) -> httpx2.Response:
    blob = packed("a", last)
    text = orjson.dumps(tensor(parameters={"binary_data_size": len(blob)}))
    headers = {"inference-header-content-length": str(len(text))} | way
    return httpx2.post(url + INFER, content=text + blob, headers=headers)


def in_v1(url: str, last: str, way: dict[str, str]) -> httpx2.Response:
    return httpx2.post(f"{url}/v1/models/m:predict", json={"instances": [["a", last]]}, headers=way)


def in_base64(url: str, last: str, way: dict[str, str]) -> httpx2.Response:
    document = {"instances": [["a", {"b64": base64.b64encode(last.encode()).decode()}]]}
    return httpx2.post(f"{url}/v1/models/m:predict", json=document, headers=way)


@pytest.mark.integration
@pytest.mark.parametrize("send", [in_json, in_binary, in_v1, in_base64], ids=["JSON", "binary", "V1", "base64 in V1"])
def test_row_42_an_element_over_its_own_limit_in_a_body_under_the_total(
    server: Process, way: dict[str, str], send: Callable[[str, str, dict[str, str]], httpx2.Response]
) -> None:
    refused = send(server.url(""), LONG, way)
    assert (refused.status_code, refused.json()) == (413, {"error": SAID})
    taken = send(server.url(""), GOOD, way)
    assert taken.status_code == 200, taken.text


def raw(last: str) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m", raw_input_contents=[packed("a", last)])
    message.inputs.add(name="x", datatype="BYTES", shape=[1, 2])
    return message


def contents(last: str) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(name="x", datatype="BYTES", shape=[1, 2]).contents.bytes_contents.extend([b"a", last.encode()])
    return message


@pytest.mark.integration
@pytest.mark.parametrize("made", [raw, contents])
def test_row_42_an_element_over_its_own_limit_in_a_message_under_the_total(
    server: Process, made: Callable[[str], pb.ModelInferRequest]
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as failure:
            ask(made(LONG).SerializeToString())
        error: Any = failure.value
        assert (error.code().name, error.details()) == ("RESOURCE_EXHAUSTED", SAID)
        assert ask(made(GOOD).SerializeToString())


@pytest.mark.integration
def test_row_42_an_element_over_its_own_limit_in_shared_memory(server: Process, way: dict[str, str]) -> None:
    key = f"tidegate-test-{uuid.uuid4().hex}"
    try:
        (SHM / key).write_bytes(packed("a", LONG) + packed("a", GOOD))
        size, both = len(packed("a", LONG)), len(packed("a", LONG, "a", GOOD))
        region = "/v2/systemsharedmemory/region/r/register"
        registered = httpx2.post(server.admin_url(region), json={"key": key, "byte_size": both})
        assert registered.status_code == 200, registered.text
        place = {"shared_memory_region": "r", "shared_memory_byte_size": size}
        refused = httpx2.post(server.url(INFER), json=tensor(parameters=place), headers=way)
        assert (refused.status_code, refused.json()) == (413, {"error": SAID})
        place = {"shared_memory_region": "r", "shared_memory_byte_size": both - size, "shared_memory_offset": size}
        taken = httpx2.post(server.url(INFER), json=tensor(parameters=place), headers=way)
        assert taken.status_code == 200, taken.text
        assert httpx2.post(server.admin_url("/v2/systemsharedmemory/unregister")).status_code == 200
    finally:
        os.unlink(SHM / key)
