"""Long requests that repeat earlier ones but for their numbers are read where they lie, one by one."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tidegate_numbers import available
from tidegate_runtime.protocol import json_layout
from tidegate_runtime.protocol.plain import MAX_AROUND, MAX_BYTES, TOGETHER_BYTES
from tidegate_runtime.protocol.plain_binary import PlainBinary
from tidegate_runtime.protocol.plain_json import PlainJson
from tidegate_runtime.protocol.v2_request import decode
from tidegate_runtime.tensors import Array, Datatype, TensorSpec

WIDTH = 5000
X = TensorSpec("x", Datatype.FP32, ("N", WIDTH))
N = TensorSpec("n", Datatype.INT64, ("N", WIDTH))


def values(seed: int, *inputs: TensorSpec) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    return {
        spec.name: np.round(1000 * generator.standard_normal((1, WIDTH)), 3).astype(spec.datatype.numpy)
        for spec in inputs
    }


def in_json(tensors: dict[str, Array], **members: Any) -> bytes:
    kinds = {"f": "FP32", "i": "INT64"}
    inputs = [
        {"name": name, "shape": list(array.shape), "datatype": kinds[array.dtype.kind], "data": array.ravel().tolist()}
        for name, array in tensors.items()
    ]
    return json.dumps({"inputs": inputs, **members}).encode()


def in_binary(x: Array) -> tuple[bytes, int]:
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return text + x.tobytes(), len(text)


@pytest.fixture(params=["library", "orjson"])
def _reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "orjson":
        monkeypatch.setattr(json_layout, "available", lambda: None)
    elif available() is None:
        pytest.skip("built without the library")


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("inputs", [(X,), (X, N)], ids=["one", "two"])
def test_a_long_request_is_read_as_the_general_codec_reads_it(
    inputs: tuple[TensorSpec, ...], kind: Callable[[bytes], bytes | bytearray]
) -> None:
    made = PlainJson.of("m", "1", inputs, [X])
    assert made is not None
    first, second = (kind(in_json(values(seed, *inputs), parameters={"priority": 1})) for seed in (1, 2))
    assert len(first) > TOGETHER_BYTES
    made.learn(first, None, decode(first))
    known = made.find(second, None)
    assert known is not None
    layout, numbers = known
    assert isinstance(numbers if len(inputs) == 1 else numbers[0], memoryview)
    assert (layout.rows, layout.priority) == (1, 1)
    (feeds,) = made.read(layout, [numbers]).feeds
    for name, array in values(2, *inputs).items():
        np.testing.assert_array_equal(feeds[name], array)
    # And where several come at once all the same.
    both = made.read(layout, [numbers, numbers]).feeds
    np.testing.assert_array_equal(both[1]["x"], feeds["x"])


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("odd", [b"true", b"[1]", b'"1"', b"1, 2", b"1e60", b"", b"null"])
def test_a_long_list_that_is_not_of_its_numbers_is_left(odd: bytes) -> None:
    made = PlainJson.of("m", "1", [X], [X])
    assert made is not None
    good = in_json({"x": np.ones((1, WIDTH), np.float32)})
    made.learn(good, None, decode(good))
    known = made.find(bytearray(good[::-1].replace(b"0.1", odd[::-1], 1)[::-1]), None)
    assert known is not None
    found = made.read(known[0], [known[1]])
    assert (found.number, list(found.unread)) == (0, [0])


def test_a_list_that_lies_elsewhere_is_not_taken_for_the_data() -> None:
    made = PlainJson.of("m", "1", [X], [X])
    assert made is not None
    x = {"x": np.ones((1, WIDTH), np.float32)}
    for body in (in_json(x, data=[1]), in_json(x, id='"data":['), in_json(x, parameters={"data": [[]]})):
        made.learn(body, None, decode(in_json(x)))
        assert made.find(body, None) is None


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_long_binary_tensors_are_views_of_their_body(kind: Callable[[bytes], bytes | bytearray]) -> None:
    made = PlainBinary.of("m", "1", [X], [X])
    assert made is not None
    body, length = in_binary(values(1, X)["x"])
    made.learn(kind(body), length, decode(body, length))
    second = kind(in_binary(values(2, X)["x"])[0])
    known = made.find(second, length)
    assert known is not None
    (feeds,) = made.read(known[0], [known[1]]).feeds
    np.testing.assert_array_equal(feeds["x"], values(2, X)["x"])
    assert np.shares_memory(feeds["x"], np.frombuffer(second, np.uint8))


def test_what_is_longer_still_is_the_general_codec_s() -> None:
    made = PlainBinary.of("m", "1", [TensorSpec("x", Datatype.FP32, ("N", "M"))], [X])
    assert made is not None
    body, length = in_binary(np.zeros((1, MAX_BYTES // 4), np.float32))
    made.learn(body, length, decode(body, length))
    assert made.find(body, length) is None


def test_a_text_that_is_long_itself_is_not_kept() -> None:
    x = values(1, X)["x"]
    made, binary = PlainJson.of("m", "1", [X], [X]), PlainBinary.of("m", "1", [X], [X])
    assert made is not None
    assert binary is not None
    for padded in (in_json({"x": x}, more="x" * MAX_AROUND), in_json({"x": x})[:-1] + b" " * MAX_AROUND + b"}"):
        made.learn(padded, None, decode(padded))
        assert made.find(padded, None) is None
    body, length = in_binary(x)
    padded = body[: length - 1] + b" " * MAX_AROUND + body[length - 1 :]
    binary.learn(padded, length + MAX_AROUND, decode(padded, length + MAX_AROUND))
    assert binary.find(padded, length + MAX_AROUND) is None


@pytest.mark.integration
async def test_long_requests_that_come_at_once_get_each_its_own_answer(serve: Callable[..., Any]) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negate", ports[:1], ports[1:])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with serve(model) as process:
        async with httpx2.AsyncClient(timeout=30) as client:

            async def right(seed: int) -> bool:
                x = values(seed, X)["x"]
                url = process.url("/v2/models/m/infer")
                if seed % 2:
                    answer = await client.post(url, content=in_json({"x": x}))
                    (output,) = answer.json()["outputs"]
                    return bool(np.array_equal(np.array(output["data"], np.float32), -x[0]))
                body, length = in_binary(x)
                answer = await client.post(url, content=body, headers={"Inference-Header-Content-Length": str(length)})
                return answer.content.endswith((-x).tobytes())

            for turn in range(5):
                assert all(await asyncio.gather(*(right(16 * turn + each) for each in range(16))))
            seen = (await client.get(process.url("/v2/models/m/stats"))).json()["model_stats"][0]
    assert seen["inference_stats"]["success"]["count"] == 80
