"""What the gRPC codec takes and refuses, without a server."""

import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from tidegate_runtime.errors import InvalidRequest, NotFound
from tidegate_runtime.protocol.binary_tensors import array_of, blob_of
from tidegate_runtime.rpc.codec import MAX_NAME, check_names, decode, encode
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.tensors import FIELDS, from_contents, to_contents
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, RequestedOutput, Tensor

# Datatype, elements, their bytes, the field of contents that holds them (None: there is none).
DATATYPES: list[tuple[str, list[Any], bytes, str | None]] = [
    ("BOOL", [True, False], b"\x01\x00", "bool_contents"),
    ("UINT8", [0, 255], b"\x00\xff", "uint_contents"),
    ("UINT16", [1, 65535], b"\x01\x00\xff\xff", "uint_contents"),
    ("UINT32", [2**32 - 1], b"\xff\xff\xff\xff", "uint_contents"),
    ("UINT64", [2**64 - 1], b"\xff" * 8, "uint64_contents"),
    ("INT8", [-128, 127], b"\x80\x7f", "int_contents"),
    ("INT16", [-2], b"\xfe\xff", "int_contents"),
    ("INT32", [-(2**31), 1], b"\x00\x00\x00\x80\x01\x00\x00\x00", "int_contents"),
    ("INT64", [2**53 + 1], b"\x01\x00\x00\x00\x00\x00\x20\x00", "int64_contents"),
    ("FP16", [1.0, -2.0], b"\x00\x3c\x00\xc0", None),
    ("BF16", [1.0, -2.0], b"\x80\x3f\x00\xc0", None),
    ("FP32", [1.0, -2.0], b"\x00\x00\x80\x3f\x00\x00\x00\xc0", "fp32_contents"),
    ("FP64", [1.0], b"\x00\x00\x00\x00\x00\x00\xf0\x3f", "fp64_contents"),
    ("BYTES", ["", "é"], b"\x00\x00\x00\x00\x02\x00\x00\x00\xc3\xa9", "bytes_contents"),
]


def request(*shape: int, datatype: str = "FP32", raw: bytes | None = None, **contents: Any) -> pb.ModelInferRequest:
    """One input, x, in the form that is given."""
    message = pb.ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name="x", datatype=datatype, shape=shape)
    if contents:
        tensor.contents.CopyFrom(pb.InferTensorContents(**contents))
    if raw is not None:
        message.raw_input_contents.append(raw)
    return message


def good() -> pb.ModelInferRequest:
    return request(1, raw=b"\x00\x00\x80\x3f")


def wire(elements: list[Any], datatype: str) -> list[Any]:
    return [element.encode() for element in elements] if datatype == "BYTES" else elements


def test_the_table_of_datatypes_is_complete() -> None:
    assert [row[0] for row in DATATYPES] == sorted(Datatype, key=[row[0] for row in DATATYPES].index)
    assert {row[0]: row[3] for row in DATATYPES if row[3]} == FIELDS


@pytest.mark.parametrize(("datatype", "elements", "raw", "field"), DATATYPES)
def test_every_datatype_is_read_and_written(datatype: str, elements: list[Any], raw: bytes, field: str | None) -> None:
    shape, kind = len(elements), Datatype(datatype)
    read = decode(request(shape, datatype=datatype, raw=raw))
    assert read.binary
    assert read.inputs[0].array.dtype == kind.numpy
    assert read.inputs[0].array.tolist() == elements
    answer = InferResponse("m", "1", (Tensor("y", kind, read.inputs[0].array),))
    assert list(encode(answer, read).raw_output_contents) == [raw]
    if field is None:
        for attempt in (
            lambda: decode(request(shape, datatype=datatype, fp32_contents=elements)),
            lambda: encode(answer, InferRequest(())),
        ):
            with pytest.raises(InvalidRequest, match="raw_input_contents"):
                attempt()
        return
    contents: dict[str, Any] = {field: wire(elements, datatype)}
    typed = decode(request(shape, datatype=datatype, **contents))
    assert not typed.binary
    assert typed.inputs[0].array.dtype == kind.numpy
    assert typed.inputs[0].array.tolist() == elements
    output = encode(answer, typed).outputs[0]
    assert (output.name, output.datatype, list(output.shape)) == ("y", datatype, [shape])
    assert list(getattr(output.contents, field)) == wire(elements, datatype)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[Datatype, Any]:
    datatype = draw(st.sampled_from(sorted(set(Datatype) - {Datatype.BF16})))
    elements = TEXTS if datatype is Datatype.BYTES else None
    shape = stnp.array_shapes(min_dims=0, max_dims=3, max_side=3)
    return datatype, draw(stnp.arrays(datatype.numpy, shape, elements=elements))


@given(arrays())
def test_an_array_survives_both_forms_bit_for_bit(given_array: tuple[Datatype, Any]) -> None:
    datatype, array = given_array
    raw = bytes(blob_of(array, datatype))
    assert bytes(blob_of(array_of(memoryview(raw), array.shape, datatype, "x"), datatype)) == raw
    if datatype in FIELDS:
        contents = pb.InferTensorContents.FromString(to_contents(array, datatype, "x").SerializeToString())
        back = from_contents(contents, array.shape, datatype, "x")
        assert back.shape == array.shape
        # A NaN's payload isn't part of its value: protobuf's Python side makes doubles of floats and back.
        if datatype in (Datatype.FP32, Datatype.FP64):
            np.testing.assert_array_equal(back, array)
        else:
            assert bytes(blob_of(back, datatype)) == raw


def test_raw_tensors_are_views_of_the_message() -> None:
    message = request(2, 3, raw=np.arange(6, dtype=np.float32).tobytes())
    assert not decode(message).inputs[0].array.flags.owndata
    assert not decode(message).inputs[0].array.flags.writeable


def test_an_output_may_be_asked_for_its_best_classes() -> None:
    message = good()
    message.outputs.add(name="y").parameters["classification"].int64_param = 2
    read = decode(message)
    assert read.outputs == (RequestedOutput("y", classes=2),)
    answer = InferResponse("m", "1", (Tensor("y", Datatype.FP32, np.array([[1, 3, 2]], np.float32)),))
    encoded = encode(answer, read)
    assert (encoded.outputs[0].datatype, list(encoded.outputs[0].shape)) == ("BYTES", [1, 2])
    assert encoded.raw_output_contents[0] == b"\x05\0\0\x003.0:1\x05\0\0\x002.0:2"


TWO = request(1, raw=b"\x00\x00\x80\x3f")
TWO.inputs.add(name="z", datatype="FP32", shape=[1])
BOTH = request(1, raw=b"\x00\x00\x80\x3f", fp32_contents=[1.0])
LENGTHS = struct.pack("<I", 9) + b"abc"

REFUSED = [
    pytest.param(pb.ModelInferRequest(), '"inputs" is empty', id="row 11: no input"),
    pytest.param(request(1, raw=b"", datatype="FLOAT"), 'datatype "FLOAT" is none of BOOL', id="row 12: no datatype"),
    pytest.param(request(-1, raw=b""), "shape[0] must be an integer from 1 to 2^63-1, not -1", id="row 13: negative"),
    pytest.param(request(0, 4, raw=b""), "shape[0] must be an integer from 1 to 2^63-1, not 0", id="row 16: no rows"),
    pytest.param(request(*[1] * 33, raw=b"abcd"), "33 dimensions; the limit is 32", id="row 13: rank"),
    pytest.param(request(2**32, 2**32, raw=b"abcd"), "needs 73786976294838206464 bytes, got 4", id="row 14: overflow"),
    pytest.param(
        request(10**9, datatype="BYTES", raw=b"abcd"), "need at least 4000000000 bytes, got 4", id="row 14: BYTES"
    ),
    pytest.param(request(10**9, fp32_contents=[1.0]), "needs 1000000000 elements, fp32_contents has 1", id="row 14"),
    pytest.param(request(2, fp32_contents=[1.0]), "needs 2 elements, fp32_contents has 1", id="row 15"),
    pytest.param(request(2), "needs 2 elements, fp32_contents has 0", id="row 15: no data at all"),
    pytest.param(request(1, int_contents=[1]), "FP32 goes in fp32_contents, but int_contents is set", id="wrong field"),
    pytest.param(BOTH, "send one of the two", id="row 26: both forms"),
    pytest.param(TWO, "raw_input_contents has 1 parts for 2 inputs", id="row 26: too few parts"),
    pytest.param(request(2, raw=b"abcdefg"), "of FP32 needs 8 bytes, got 7", id="row 26: length"),
    pytest.param(
        request(2, datatype="BYTES", raw=LENGTHS + b"d"), "data[0] claims 9 bytes, but 4 are left", id="row 28: a lie"
    ),
    pytest.param(
        request(2, datatype="BYTES", raw=struct.pack("<I", 4) + b"abcd"),
        "the bytes end before the length of data[1]",
        id="row 28",
    ),
    pytest.param(
        request(1, datatype="BYTES", raw=struct.pack("<I", 0) + b"a"),
        "1 elements end at byte 4 of 5",
        id="row 28: trailing",
    ),
    pytest.param(
        request(1, datatype="BYTES", raw=struct.pack("<I", 2) + b"a\xff"), "data[0] is not UTF-8 at its byte 1"
    ),
    pytest.param(
        request(1, datatype="BYTES", bytes_contents=[b"\xff"]), "bytes_contents[0] is not UTF-8", id="not text"
    ),
    pytest.param(
        request(2, datatype="BOOL", raw=b"\x01\x02"), "data[1] is the byte 2; BOOL is 0 or 1", id="row 7: a BOOL"
    ),
    pytest.param(
        request(2, datatype="UINT8", uint_contents=[1, 300]),
        "uint_contents[1] is out of range for UINT8 (0 to 255)",
        id="row 6: 300",
    ),
    pytest.param(
        request(1, datatype="INT16", int_contents=[-(2**15) - 1]), "out of range for INT16", id="row 6: INT16"
    ),
]


@pytest.mark.parametrize(("message", "expected"), REFUSED)
def test_refused_is(message: pb.ModelInferRequest, expected: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode(message)
    assert expected in str(refusal.value)


@given(st.sampled_from(["FP32", "BYTES", "BOOL"]), st.integers(0, 60), st.binary(min_size=1, max_size=4))
def test_a_message_with_bytes_overwritten_is_refused_or_read(datatype: str, start: int, noise: bytes) -> None:
    raw = {"FP32": bytes(8), "BYTES": LENGTHS, "BOOL": bytes(2)}[datatype]
    wire_form = bytearray(request(2, datatype=datatype, raw=raw).SerializeToString())
    wire_form[start : start + len(noise)] = noise
    try:
        read = decode(pb.ModelInferRequest.FromString(bytes(wire_form)))
    except (InvalidRequest, DecodeError):
        return
    assert read.inputs[0].array.size == np.prod(read.inputs[0].array.shape)


def changed(**members: Any) -> pb.ModelInferRequest:
    message = good()
    message.MergeFrom(pb.ModelInferRequest(**members))
    return message


def parameter(name: str, **value: Any) -> pb.ModelInferRequest:
    return changed(parameters={name: pb.InferParameter(**value)})


Output = pb.ModelInferRequest.InferRequestedOutputTensor
Region = {"shared_memory_region": pb.InferParameter(string_param="r")}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(parameter("a", string_param="x" * 4_200), "over 4096 bytes", id="row 31: huge"),
        pytest.param(parameter("a"), 'parameter "a" of the request must be a string', id="row 31: none"),
        pytest.param(parameter("priority", string_param="1"), '"priority" of the request must be', id="a text"),
        pytest.param(parameter("priority", int64_param=-1), "integer from 0 to 2^63-1", id="a negative priority"),
        pytest.param(parameter("timeout", double_param=1.5), "integer from 0 to 2^63-1", id="a fraction"),
        pytest.param(parameter("triton_x", int64_param=1), "reserves this name", id="reserved"),
        pytest.param(parameter("sequence_id", int64_param=1), "sequences are not served", id="a sequence"),
        pytest.param(changed(outputs=[Output(name="y", parameters=Region)]), "shared memory needs both", id="memory"),
        pytest.param(changed(outputs=[Output()]), 'outputs[0]: "name" must be', id="an output without a name"),
    ],
)
def test_members_refused_are(message: pb.ModelInferRequest, expected: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode(message)
    assert expected in str(refusal.value)


def test_names_are_bounded() -> None:
    check_names(changed(model_name="é" * MAX_NAME, model_version="7" * MAX_NAME, id="é" * 128))
    for name in ("model_name", "model_version"):
        with pytest.raises(NotFound, match="more than 1024 characters"):
            check_names(changed(**{name: "é" * (MAX_NAME + 1)}))
    with pytest.raises(InvalidRequest, match="256 bytes"):  # row 30
        check_names(changed(id="é" * 129))


def test_members_are_kept() -> None:
    message = changed(id="\x07é", outputs=[Output(name="b"), Output(name="a")])
    message.parameters["priority"].uint64_param = 2
    message.parameters["future"].double_param = 0.5
    read = decode(message)
    assert (read.id, read.outputs, read.priority) == ("\x07é", (RequestedOutput("b"), RequestedOutput("a")), 2)


def test_no_id_and_no_outputs_are_none() -> None:
    read = decode(good())
    assert (read.id, read.outputs, read.priority, read.timeout_seconds) == (None, None, 0, None)


@pytest.mark.parametrize(
    ("timeout", "seconds_left", "expected"),
    [
        pytest.param(None, None, None, id="neither"),
        pytest.param(0, None, None, id="0 stands for none"),
        pytest.param(250_000, None, 0.25, id="the parameter, in microseconds"),
        pytest.param(None, 1.5, 1.5, id="the call's deadline"),
        pytest.param(250_000, 1.5, 0.25, id="the parameter is smaller"),
        pytest.param(2_000_000, 1.5, 1.5, id="the call's deadline is smaller"),
    ],
)
def test_the_smaller_bound_of_time_counts(
    timeout: int | None, seconds_left: float | None, expected: float | None
) -> None:
    message = good() if timeout is None else parameter("timeout", int64_param=timeout)
    assert decode(message, seconds_left).timeout_seconds == expected
