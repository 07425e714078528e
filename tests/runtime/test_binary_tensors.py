"""Binary tensor data both ways, without a server. Rows are those of the bad-input table for REST."""

import struct
from contextlib import suppress
from typing import Any

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from tidegate_runtime.errors import InvalidRequest, Malformed
from tidegate_runtime.protocol.v2_request import decode, parse_header_length
from tidegate_runtime.protocol.v2_response import Encoded, encode
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, RequestedOutput, Tensor, TensorSpec


def binary(size: int, shape: Any, datatype: str = "FP32", name: str = "x", **members: Any) -> dict[str, Any]:
    parameters = {"parameters": {"binary_data_size": size}}
    return {"name": name, "shape": shape, "datatype": datatype} | parameters | members


def request(*inputs: dict[str, Any], blob: bytes = b"", **members: Any) -> tuple[bytes, int]:
    text = orjson.dumps({"inputs": list(inputs)} | members)
    return text + blob, len(text)


def texts(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


@pytest.mark.parametrize(
    ("datatype", "shape", "blob", "expected"),
    [
        ("BOOL", [2], b"\x01\x00", [True, False]),
        ("UINT8", [2], b"\x01\xff", [1, 255]),
        ("INT16", [1, 2], b"\x01\x00\xff\xff", [[1, -1]]),
        ("UINT32", [1], b"\x00\x00\x01\x00", [65536]),
        ("INT64", [1], b"\xff" * 8, [-1]),
        ("FP16", [2], b"\x00\x3c\x00\xc0", [1.0, -2.0]),
        ("BF16", [2], b"\x80\x3f\x00\xc0", [1.0, -2.0]),
        ("FP32", [2, 1], b"\x00\x00\x80\x3f\x00\x00\x80\x7f", [[1.0], [np.inf]]),
        ("FP64", [1], b"\x00" * 6 + b"\xf0\x3f", [1.0]),
        ("BYTES", [2], b"\x03\x00\x00\x00a\x00b\x00\x00\x00\x00", ["a\x00b", ""]),
        ("BYTES", [1], b"\x02\x00\x00\x00\xc3\xa9", ["é"]),
    ],
)
def test_bytes_on_the_wire_are_these_numbers(datatype: str, shape: list[int], blob: bytes, expected: Any) -> None:
    body, length = request(binary(len(blob), shape, datatype), blob=blob)
    (tensor,) = decode(body, length).inputs
    assert tensor.datatype is Datatype(datatype)
    assert tensor.array.dtype == Datatype(datatype).numpy
    assert tensor.array.tolist() == expected
    answer = encode(InferResponse("m", "1", (tensor,)), InferRequest((), binary=True))
    assert bytes(answer.parts[1]) == blob


def test_binary_inputs_follow_in_their_order_with_json_ones_between() -> None:
    plain = {"name": "b", "shape": [1], "datatype": "INT32", "data": [7]}
    inputs = [binary(4, [1], name="a"), plain, binary(2, [2], "UINT8", "c")]
    body, length = request(*inputs, blob=struct.pack("<f", 1.5) + b"\x08\x09")
    got = {tensor.name: tensor.array.tolist() for tensor in decode(body, length).inputs}
    assert got == {"a": [1.5], "b": [7], "c": [8, 9]}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_arrays_lie_over_the_body_uncopied_and_unaligned(kind: Any) -> None:
    body, length = request(binary(8, [2]), blob=struct.pack("<2f", 1, 2))
    whole = kind(body)
    array = decode(whole, length).inputs[0].array
    assert np.shares_memory(array, np.frombuffer(whole, np.uint8))
    assert array.tolist() == [1, 2]


def test_a_header_length_of_the_whole_body_is_plain_json() -> None:
    body, length = request({"name": "x", "shape": [1], "datatype": "INT8", "data": [1]})
    assert decode(body, length).inputs[0].array.tolist() == [1]
    assert decode(memoryview(body)).inputs[0].array.tolist() == [1]


FLOAT = struct.pack("<f", 1)
ROW_28 = [
    pytest.param(*request(binary(8, [2]), blob=FLOAT), "is 8, but 4 bytes are left", id="more claimed than sent"),
    pytest.param(
        *request(binary(4, [1]), blob=FLOAT * 2), "4 bytes at the end of the body", id="more sent than claimed"
    ),
    pytest.param(*request(binary(4, [2]), blob=FLOAT), "needs 8 bytes, got 4", id="less than the shape"),
    pytest.param(*request(binary(8, [1]), blob=FLOAT * 2), "needs 4 bytes, got 8", id="more than the shape"),
    pytest.param(*request(binary(3, [1]), blob=b"abc"), "needs 4 bytes, got 3", id="half an element"),
    pytest.param(*request(binary(4, [2**32, 2**32]), blob=FLOAT), "needs 73786976294838206464", id="an overflow"),
    pytest.param(*request(binary(-4, [1]), blob=FLOAT), "integer from 0", id="a negative size"),
    pytest.param(*request(binary(4, [1], data=[1]), blob=FLOAT), "exclude each other", id="data twice"),
    pytest.param(request(binary(4, [1]), blob=FLOAT)[0], 10_000, "the body 95 bytes", id="JSON longer than the body"),
    pytest.param(*request(binary(2, [2], "BOOL"), blob=b"\x01\x02"), r"data\[1\] is the byte 2", id="no boolean"),
    pytest.param(*request(binary(5, [1], "BYTES"), blob=b"\xff\xff\xff\xffa"), "claims 4294967295 bytes", id="a lie"),
    pytest.param(*request(binary(6, [1], "BYTES"), blob=texts(b"a") + b"b"), "end at byte 5 of 6", id="bytes behind"),
    pytest.param(
        *request(binary(9, [2], "BYTES"), blob=texts(b"abcde")), r"before the length of data\[1\]", id="short"
    ),
    pytest.param(*request(binary(4, [10**9], "BYTES"), blob=texts(b"")), "at least 4000000000", id="a claimed shape"),
    pytest.param(*request(binary(6, [1], "BYTES"), blob=texts(b"\xff\xfe")), r"data\[0\] is not UTF-8", id="no text"),
    pytest.param(*request(binary(7, [1], "BYTES"), blob=texts(b"\xed\xa0\x80")), "not UTF-8", id="a lone surrogate"),
]


@pytest.mark.parametrize(("body", "length", "message"), ROW_28)
def test_row_28_refused_is(body: bytes, length: int, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode(body, length)


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1_0", "٣", "9" * 20])
def test_row_28_a_header_length_is_digits(value: str) -> None:
    with pytest.raises(Malformed, match="Inference-Header-Content-Length"):
        parse_header_length(value)


def test_a_binary_size_without_the_header_is_refused() -> None:
    body, _ = request(binary(4, [1]))
    with pytest.raises(InvalidRequest, match="needs the header Inference-Header-Content-Length"):
        decode(body)


def spec(*shape: int | str, datatype: Datatype = Datatype.FP32, name: str = "x") -> TensorSpec:
    return TensorSpec(name, datatype, shape)


@pytest.mark.parametrize(
    ("declared", "size", "shape"),
    [
        pytest.param(spec("N", 2), 8, (1, 2), id="one row"),
        pytest.param(spec("N", 2), 24, (3, 2), id="the free size is the number of rows"),
        pytest.param(spec("N", "", 2), 24, (1, 3, 2), id="the leading one of two free sizes is 1"),
        pytest.param(spec(2, 3), 24, (2, 3), id="no free size"),
        pytest.param(spec(), 4, (), id="a scalar"),
    ],
)
def test_a_body_without_json_has_the_shape_that_its_size_says(
    declared: TensorSpec, size: int, shape: tuple[int, ...]
) -> None:
    got = decode(bytes(size), 0, [declared])
    assert (got.inputs[0].name, got.inputs[0].array.shape, got.binary) == ("x", shape, True)


def test_a_body_without_json_is_one_element_of_a_bytes_input() -> None:
    got = decode(texts(b"yes"), 0, [spec("N", 1, datatype=Datatype.BYTES)])
    assert got.inputs[0].array.tolist() == [["yes"]]


@pytest.mark.parametrize(
    ("inputs", "size", "message"),
    [
        pytest.param([spec("N"), spec("N", name="y")], 4, 'this one takes "x", "y"', id="two inputs"),
        pytest.param([spec("N", "", "")], 4, "leaves 3 dimensions open", id="three free sizes"),
        pytest.param([spec(2, "", "")], 8, "leaves 2 dimensions open", id="two free sizes behind a fixed one"),
        pytest.param([spec("N", 2)], 12, "12 bytes are no multiple of 8", id="one and a half rows"),
        pytest.param([spec("N", 2)], 0, "0 bytes", id="nothing"),
        pytest.param([spec(2)], 4, "needs 8 bytes, got 4", id="too few for a fixed shape"),
        pytest.param([spec("N", 2, datatype=Datatype.BYTES)], 4, "more than one element", id="two strings"),
    ],
)
def test_a_body_without_json_is_refused_for(inputs: list[TensorSpec], size: int, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode(bytes(size), 0, inputs)


def answered(request: InferRequest) -> Encoded:
    outputs = tuple(Tensor(name, Datatype.FP32, np.array([value], np.float32)) for name, value in (("a", 1), ("b", 2)))
    return encode(InferResponse("m", "1", outputs), request)


A, B = struct.pack("<f", 1), struct.pack("<f", 2)


@pytest.mark.parametrize(
    ("asked", "blobs"),
    [
        pytest.param(InferRequest(()), [], id="nothing said"),
        pytest.param(InferRequest((), binary=True), [A, B], id="all binary"),
        pytest.param(
            InferRequest((), (RequestedOutput("a"), RequestedOutput("b", binary=False)), binary=True),
            [A],
            id="all binary but one",
        ),
        pytest.param(InferRequest((), (RequestedOutput("a"), RequestedOutput("b", binary=True))), [B], id="one binary"),
    ],
)
def test_each_output_has_the_form_that_was_asked_for(asked: InferRequest, blobs: list[bytes]) -> None:
    answer = answered(asked)
    assert [bytes(part) for part in answer.parts[1:]] == blobs
    assert answer.json_length == (len(answer.parts[0]) if blobs else None)
    for output in orjson.loads(answer.parts[0])["outputs"]:
        assert ("data" in output) != (output.get("parameters") == {"binary_data_size": 4})


def test_a_contiguous_output_is_written_from_where_it_lies() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    answers = [
        encode(InferResponse("m", "1", (Tensor("y", Datatype.FP32, given),)), InferRequest((), binary=True))
        for given in (array, array.T)
    ]
    assert np.shares_memory(np.frombuffer(answers[0].parts[1], np.uint8), array)
    assert bytes(answers[1].parts[1]) == array.T.tobytes()


@st.composite
def tensors(draw: st.DrawFn, name: str) -> Tensor:
    datatype = draw(st.sampled_from(list(Datatype)))
    shape = draw(stnp.array_shapes(min_dims=0, max_dims=4, max_side=4))
    count = int(np.prod(shape))
    if datatype is Datatype.BYTES:
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        flat = draw(st.lists(text, min_size=count, max_size=count))
        return Tensor(name, datatype, np.array(flat, dtype=object).reshape(shape))
    if datatype is Datatype.BOOL:
        return Tensor(name, datatype, draw(stnp.arrays(np.bool_, shape)))
    size = count * datatype.numpy.itemsize
    raw = draw(st.binary(min_size=size, max_size=size))
    return Tensor(name, datatype, np.frombuffer(raw, datatype.numpy).reshape(shape))


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, unique=True).flatmap(lambda names: st.tuples(*map(tensors, names)))
)
def test_what_is_encoded_decodes_to_the_same_bits(sent: tuple[Tensor, ...]) -> None:
    answer = encode(InferResponse("m", "1", sent), InferRequest((), binary=True))
    head = orjson.loads(answer.parts[0])
    text = orjson.dumps({"inputs": head["outputs"]})
    got = decode(text + b"".join(answer.parts[1:]), len(text)).inputs
    for there, back in zip(sent, got, strict=True):
        assert (there.name, there.datatype, there.array.shape) == (back.name, back.datatype, back.array.shape)
        assert there.array.tobytes() == back.array.tobytes() or there.array.tolist() == back.array.tolist()


@given(st.binary(max_size=64), st.integers(0, 80), st.sampled_from(list(Datatype)), st.lists(st.integers(1, 3)))
def test_any_bytes_behind_the_json_are_a_tensor_or_refused(
    blob: bytes, size: int, datatype: Datatype, shape: list[int]
) -> None:
    body, length = request(binary(size, shape, datatype), blob=blob)
    with suppress(InvalidRequest):
        assert decode(body, length).inputs[0].array.shape == tuple(shape)


@given(st.binary(max_size=64), st.integers(0, 80))
def test_any_body_and_length_are_a_request_or_refused(body: bytes, length: int) -> None:
    with suppress(InvalidRequest):
        decode(body, length, [spec("N", 2)])


def test_bfloat16_arrays_are_of_the_type_that_numpy_lacks() -> None:
    assert Datatype.BF16.numpy == np.dtype(ml_dtypes.bfloat16)
