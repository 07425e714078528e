"""Tensors and messages as bytes and as JSON, against forms written out by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_conformance import datatypes
from tidegate_conformance.datatypes import JSON, Datatype, WrongBytes
from tidegate_conformance.expect import Mismatch
from tidegate_conformance.models.known import random_tensor
from tidegate_conformance.rest.answer import Answer, parse_json
from tidegate_conformance.rpc.infer import decode
from tidegate_conformance.rpc.messages import message
from tidegate_conformance.rpc.schema import METHODS, SERVICE


@pytest.mark.parametrize(
    ("datatype", "values", "expected"),
    [
        (Datatype.BOOL, [True, False], "01 00"),
        (Datatype.INT8, [-1, 1], "ff 01"),
        (Datatype.UINT16, [1, 258], "01 00 02 01"),
        (Datatype.INT32, [-2], "fe ff ff ff"),
        (Datatype.INT64, [2**53 + 1], "01 00 00 00 00 00 20 00"),
        (Datatype.FP16, [1.0], "00 3c"),
        (Datatype.BF16, [1.0], "80 3f"),
        (Datatype.FP32, [1.0], "00 00 80 3f"),
        (Datatype.FP64, [1.0], "00 00 00 00 00 00 f0 3f"),
    ],
)
def test_bytes_of(datatype: Datatype, values: list[Any], expected: str) -> None:
    array = np.array(values, datatype.numpy)
    data = datatypes.to_bytes(array, datatype)
    assert data.hex(" ") == expected
    assert datatypes.same(datatypes.from_bytes(data, datatype, array.shape), array)


def test_byte_strings_stand_behind_their_lengths() -> None:
    array = datatypes.byte_strings([b"ab", b""], (2,))
    assert datatypes.to_bytes(array, Datatype.BYTES) == b"\x02\0\0\0ab\0\0\0\0"


@given(datatype=st.sampled_from(list(Datatype)), shape=st.lists(st.integers(1, 4), max_size=4), seed=st.integers(0, 99))
def test_any_tensor_survives_both_forms(datatype: Datatype, shape: list[int], seed: int) -> None:
    array = np.asarray(random_tensor(datatype, tuple(shape), seed))
    data = datatypes.to_bytes(array, datatype)
    assert datatypes.same(datatypes.from_bytes(data, datatype, array.shape), array)
    if datatype in JSON:
        for nested in (False, True):
            text = datatypes.to_json(array, datatype, nested=nested)
            back = datatypes.from_json(text if shape else [text] if nested else text, datatype, array.shape)
            assert datatypes.same(back, array)


@pytest.mark.parametrize(
    ("data", "datatype", "shape"),
    [
        (b"\0" * 7, Datatype.FP32, (2,)),
        (b"\0" * 9, Datatype.FP32, (2,)),
        (b"\x05\0\0\0ab", Datatype.BYTES, (1,)),
        (b"\x02\0\0", Datatype.BYTES, (1,)),
        (b"\x01\0\0\0a", Datatype.BYTES, (2,)),
    ],
)
def test_bytes_that_are_no_such_tensor(data: bytes, datatype: Datatype, shape: tuple[int, ...]) -> None:
    with pytest.raises(WrongBytes):
        datatypes.from_bytes(data, datatype, shape)


@pytest.mark.parametrize(
    ("data", "datatype"),
    [
        ([1.0], Datatype.INT32),
        ([True], Datatype.INT32),
        ([1], Datatype.BOOL),
        (["1"], Datatype.FP32),
        ([None], Datatype.FP32),
        ([300], Datatype.UINT8),
        ([1], Datatype.BYTES),
        ([1, 2], Datatype.INT32),
        (1, Datatype.INT32),
    ],
)
def test_json_that_is_no_such_tensor(data: Any, datatype: Datatype) -> None:
    with pytest.raises(WrongBytes):
        datatypes.from_json(data, datatype, (1,))


def test_same_means_bit_by_bit() -> None:
    nan = np.array([np.nan], np.float32)
    assert datatypes.same(nan, nan.copy())
    assert not datatypes.same(np.array([0.0]), np.array([-0.0]))
    assert not datatypes.same(np.zeros((1, 2)), np.zeros((2, 1)))
    assert not datatypes.same(np.zeros(1, np.int32), np.zeros(1, np.int64))


@pytest.mark.parametrize("body", [b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b"{", b'{"a":1}x'])
def test_an_answer_that_is_no_strict_json(body: bytes) -> None:
    with pytest.raises(Mismatch):
        parse_json(body)


@pytest.mark.parametrize("body", [b"", b"no", b'{"detail":"no"}', b'{"error":{}}', b'{"error":" "}', b"[]"])
def test_a_refusal_without_an_error_object(body: bytes) -> None:
    with pytest.raises(Mismatch):
        Answer(400, (), body).refusal()


def test_a_refusal_says_its_message() -> None:
    assert Answer(404, (), b'{"error":"no such model"}').refusal(404) == "no such model"


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("inference.ModelReadyRequest", {"name": "m", "version": "1"}, b"\x0a\x01m\x12\x011"),
        ("inference.ServerLiveResponse", {"live": True}, b"\x08\x01"),
        ("inference.InferTensorContents", {"fp32_contents": [1.0]}, b"\x32\x04\0\0\x80\x3f"),
        ("inference.InferTensorContents", {"bytes_contents": [b"a"]}, b"\x42\x01a"),
        ("inference.InferTensor", {"name": "x", "datatype": "FP32"}, b"\x0a\x01x\x12\x04FP32"),
        ("inference.InferTensor", {"shape": [1, 4]}, b"\x1a\x02\x01\x04"),
        ("inference.ModelInferRequest", {"raw_input_contents": [b"\0"]}, b"\x3a\x01\0"),
        ("inference.ModelInferResponse", {"raw_output_contents": [b"\0"]}, b"\x32\x01\0"),
        ("inference.RepositoryModelLoadRequest", {"model_name": "m"}, b"\x12\x01m"),
    ],
)
def test_message_as_bytes(name: str, fields: dict[str, Any], expected: bytes) -> None:
    assert message(name, **fields).SerializeToString() == expected


def test_a_map_of_parameters_is_repeated_entries() -> None:
    parameter = message("inference.InferParameter", int64_param=2)
    request = message("inference.RequestedOutput", name="y", parameters={"classification": parameter})
    assert request.SerializeToString() == b"\x0a\x01y\x12\x14\x0a\x0eclassification\x12\x02\x10\x02"


def test_every_method_of_the_service_is_there() -> None:
    methods = {path.rpartition("/")[2] for path in METHODS if path.startswith(f"/{SERVICE}/")}
    assert len(methods) == 20
    assert {"ModelInfer", "ModelStreamInfer", "ServerLive", "CudaSharedMemoryRegister", "LogSettings"} <= methods


@pytest.mark.parametrize(
    ("blobs", "contents"),
    [
        ([b"\0\0\x80\x3f"], None),
        ([], {"fp32_contents": [1.0]}),
    ],
)
def test_an_output_that_is_in_shared_memory_and_in_the_answer(blobs: list[bytes], contents: Any) -> None:
    tensor: dict[str, Any] = {"name": "y", "datatype": "FP32", "shape": [1]}
    elsewhere = {"y": b"\0\0\x00\x40"}
    right = message("inference.ModelInferResponse", outputs=[message("inference.InferTensor", **tensor)])
    assert decode(right, elsewhere)["y"].array.tolist() == [2.0]
    if contents is not None:
        tensor["contents"] = message("inference.InferTensorContents", **contents)
    outputs = [message("inference.InferTensor", **tensor)]
    wrong = message("inference.ModelInferResponse", outputs=outputs, raw_output_contents=blobs)
    with pytest.raises(Mismatch, match='output "y" has no contents'):
        decode(wrong, elsewhere)
