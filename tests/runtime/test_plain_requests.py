"""The codec of plain requests against the general one: what it takes and writes is the same, the rest is left."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.protocol.json_layout import MAX_LAYOUTS
from tidegate_runtime.protocol.plain_json import PlainJson
from tidegate_runtime.protocol.v2_request import decode
from tidegate_runtime.protocol.v2_response import encode
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, Tensor, TensorSpec

X = TensorSpec("x", Datatype.FP32, ("N", 2))
N = TensorSpec("n", Datatype.INT8, ("N",))


def codec(*inputs: TensorSpec) -> PlainJson:
    made = PlainJson.of("m", "7", inputs, [X])
    assert made is not None
    return made


def taught(*inputs: TensorSpec) -> PlainJson:
    """A codec that has met requests that differ from those to come in their numbers alone."""
    made = codec(*inputs)
    for numbers in ([1, 2], [1, 2, 3, 4]):
        assert made.decode(body(x(numbers))) is not None
        assert made.decode(json.dumps({"inputs": [x(numbers)]}, separators=(",", ":")).encode()) is not None
    return made


def x(data: Any, shape: Any = None, **members: Any) -> dict[str, Any]:
    rows = len(data) // 2 if isinstance(data, list) else 1
    return {"name": "x", "shape": [rows, 2] if shape is None else shape, "datatype": "FP32", "data": data, **members}


def body(*inputs: Any, **members: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **members}).encode()


def test_a_plain_request_is_read() -> None:
    feeds, rows = codec(X, N).decode(
        body(x([1, 2.5, -3e38, 0]), {"name": "n", "shape": [2], "datatype": "INT8", "data": [-128, 127]})
    ) or ({}, 0)
    assert rows == 2
    np.testing.assert_array_equal(feeds["x"], np.array([[1, 2.5], [-3e38, 0]], np.float32))
    np.testing.assert_array_equal(feeds["n"], np.array([-128, 127], np.int8))


LEFT = {
    "no JSON": b"{",
    "no object": b"[]",
    "an id": body(x([1, 2]), id="1"),
    "parameters": body(x([1, 2], parameters={})),
    "outputs": body(x([1, 2]), outputs=[{"name": "y"}]),
    "no inputs": body(),
    "an input too many": body(x([1, 2]), x([1, 2])),
    "another name": body(x([1, 2], name="z")),
    "another datatype": body(x([1, 2], datatype="FP64")),
    "a size that doesn't fit": body(x([1, 2], [2, 1])),
    "a dimension too few": body(x([1, 2], [2])),
    "no rows": body(x([], [0, 2])),
    "true for a size": body(x([1, 2], [True, 2])),
    "a size with a fraction": body(x([1, 2], [1.0, 2])),
    "a fixed size with a fraction": body(x([1, 2], [1, 2.0])),
    "elements that are missing": body(x([1, 2, 3], [2, 2])),
    "a member twice": b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2],"data":[3,4]}]}',
    "a member twice at the top": b'{"inputs":[],"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
    "nested data": body(x([[1, 2]], [1, 2])),
    "true among numbers": body(x([1, True])),
    "a string among numbers": body(x([1, "2"])),
    "null among numbers": body(x([1, None])),
    "a number beyond FP32": body(x([1, 1e39])),
    "a long body": body(x([0] * 10_000)),
}


@pytest.mark.parametrize("given_body", LEFT.values(), ids=LEFT.keys())
@pytest.mark.parametrize("make", [codec, taught])
def test_left_to_the_general_codec_is(given_body: bytes, make: Callable[..., PlainJson]) -> None:
    assert make(X).decode(given_body) is None


@given(st.data())
def test_what_was_read_before_changes_nothing_that_is_read(data: st.DataObject) -> None:
    written = json.dumps({"inputs": [x([1, 2.5])]}, separators=data.draw(st.sampled_from([(", ", ": "), (",", ":")])))
    begin = data.draw(st.integers(0, len(written)))
    end = data.draw(st.integers(begin, len(written)))
    between = data.draw(st.text('0123456789.-eE+[]{},:" tfrualsxdn', max_size=12))
    given_body = (written[:begin] + between + written[end:]).encode()
    fresh, knowing = codec(X).decode(given_body), taught(X).decode(given_body)
    assert (fresh is None) == (knowing is None)
    if fresh is not None and knowing is not None:
        assert fresh[1] == knowing[1]
        np.testing.assert_array_equal(fresh[0]["x"], knowing[0]["x"])


def test_more_layouts_than_are_kept_are_read_right() -> None:
    made = codec(X)
    for _ in range(2):
        for rows in range(1, 2 * MAX_LAYOUTS):
            feeds, count = made.decode(body(x([rows, *[0] * (2 * rows - 1)]))) or ({}, 0)
            assert (count, feeds["x"].shape, feeds["x"][0, 0]) == (rows, (rows, 2), rows)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param([TensorSpec("s", Datatype.BYTES, ("N",))], [X], id="strings in"),
        pytest.param([X], [TensorSpec("s", Datatype.BYTES, ("N",))], id="strings out"),
        pytest.param([TensorSpec("x", Datatype.FP32, (4, 2))], [X], id="a fixed leading dimension"),
        pytest.param([TensorSpec("x", Datatype.FP32, ("N", "L"))], [X], id="two free dimensions"),
        pytest.param([TensorSpec("x", Datatype.FP32, ("N", 0))], [X], id="a dimension of no size"),
        pytest.param([TensorSpec("x", Datatype.FP32, ())], [X], id="a scalar"),
        pytest.param([X], [TensorSpec("y", Datatype.FP16, ("N",))], id="halves out"),
    ],
)
def test_no_plain_requests_has_a_model_with(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    assert PlainJson.of("m", "7", inputs, outputs) is None


VALUES = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(), st.text(max_size=2), st.just([1]), st.just({})
)
NUMBERS = st.one_of(st.integers(-200, 200), st.floats(-1e39, 1e39, allow_nan=False))


@given(
    st.lists(st.one_of(NUMBERS, VALUES), max_size=4),
    st.lists(st.one_of(st.integers(-1, 3), VALUES), max_size=3),
    st.sampled_from(["x", "n", "a:b"]),
    st.sampled_from([*Datatype, "FP33", 1]),
)
def test_what_is_taken_is_what_the_general_codec_makes_of_it(data: Any, shape: Any, name: Any, datatype: Any) -> None:
    given_body = body({"name": name, "shape": shape, "datatype": datatype, "data": data})
    for spec in (X, N):
        plain = codec(spec).decode(given_body)
        if plain is None:
            continue
        (tensor,) = decode(given_body).inputs
        feeds, rows = plain
        assert (list(feeds), rows) == ([tensor.name], tensor.array.shape[0])
        assert feeds[tensor.name].dtype == tensor.array.dtype
        np.testing.assert_array_equal(feeds[tensor.name], tensor.array)


@given(st.binary(max_size=60))
def test_nothing_is_raised_whatever_the_bytes(given_body: bytes) -> None:
    assert codec(X).decode(given_body) is None or decode(given_body)


@given(
    st.lists(st.floats(width=32), min_size=2, max_size=6).filter(lambda values: len(values) % 2 == 0),
    st.lists(st.integers(-128, 127), max_size=5),
)
def test_the_answer_is_the_general_codec_s_to_the_byte(floats: list[float], integers: list[int]) -> None:
    arrays: tuple[Any, ...] = (np.array(floats, np.float32).reshape(-1, 2), np.array(integers, np.int8))
    specs = (TensorSpec("y", Datatype.FP32, ("N", 2)), TensorSpec('"', Datatype.INT8, ("N",)))
    made = PlainJson.of("mö", "7", [X], specs)
    assert made is not None
    tensors = tuple(Tensor(spec.name, spec.datatype, array) for spec, array in zip(specs, arrays, strict=True))
    general = encode(InferResponse("mö", "7", tensors), InferRequest(()))
    assert [made.encode(arrays)] == general.parts
