"""What the V2 JSON codec takes and refuses, without a server. Rows are those of the bad-input table for REST."""

import json
from contextlib import suppress
from time import perf_counter
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.protocol.json_document import MAX_CONTAINERS
from tidegate_runtime.protocol.v2_request import decode
from tidegate_runtime.protocol.v2_response import encode
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, RequestedOutput, Tensor


def tensor(data: Any, shape: Any = None, datatype: Any = "FP32", **members: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [len(data)] if shape is None else shape, "datatype": datatype, "data": data} | members


def body(*inputs: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"inputs": list(inputs) or [tensor([1.0])]} | members).encode()


def array(request: InferRequest) -> Any:
    return request.inputs[0].array


def encoded(*outputs: Tensor, response_id: str | None = None) -> bytes:
    (text,) = encode(InferResponse("m", "1", outputs, response_id), InferRequest(())).parts
    return bytes(text)


@pytest.mark.parametrize(
    ("given_data", "shape"),
    [
        pytest.param([1, 2, 3, 4, 5, 6], [2, 3], id="flat"),
        pytest.param([[1, 2, 3], [4, 5, 6]], [2, 3], id="nested"),
        pytest.param([[[1], [2], [3]], [[4], [5], [6]]], [2, 3, 1], id="nested in three levels"),
    ],
)
def test_data_is_row_major_flat_or_nested(given_data: Any, shape: list[int]) -> None:
    expected = np.array([1, 2, 3, 4, 5, 6], np.float32).reshape(shape)
    np.testing.assert_array_equal(array(decode(body(tensor(given_data, shape)))), expected)


@pytest.mark.parametrize(
    ("datatype", "given_data", "expected"),
    [
        ("BOOL", [True, False], np.array([True, False])),
        ("UINT8", [0, 255], np.array([0, 255], np.uint8)),
        ("UINT16", [65535], np.array([65535], np.uint16)),
        ("UINT32", [2**32 - 1], np.array([2**32 - 1], np.uint32)),
        ("UINT64", [2**64 - 1], np.array([2**64 - 1], np.uint64)),
        ("INT8", [-128, 127], np.array([-128, 127], np.int8)),
        ("INT16", [-32768], np.array([-32768], np.int16)),
        ("INT32", [-(2**31)], np.array([-(2**31)], np.int32)),
        ("INT64", [2**53 + 1, -(2**63)], np.array([2**53 + 1, -(2**63)], np.int64)),
        ("FP32", [1, 0.1, -2.5e-3], np.array([1, 0.1, -2.5e-3], np.float32)),
        ("FP64", [1, 0.1], np.array([1, 0.1], np.float64)),
        ("BYTES", ["", "grüß", "a\x00b"], np.array(["", "grüß", "a\x00b"], object)),
    ],
)
def test_every_datatype_with_a_json_form_is_exact(datatype: str, given_data: Any, expected: Any) -> None:
    got = array(decode(body(tensor(given_data, datatype=datatype))))
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_members_that_are_not_known_are_ignored() -> None:
    request = decode(body(tensor([1.0], note={"a": [1, {"b": 2}]}), future=[{"c": {}}], parameters={"priority": 1}))
    assert array(request).tolist() == [1.0]


def test_requested_outputs_and_id_are_kept() -> None:
    request = decode(body(id="\x07é", outputs=[{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}]))
    assert (request.id, request.outputs) == ("\x07é", (RequestedOutput("b", binary=True), RequestedOutput("a")))


@pytest.mark.parametrize("outputs", [None, []], ids=["null", "an empty list"])
def test_no_requested_outputs_mean_all(outputs: Any) -> None:
    assert decode(body(outputs=outputs)).outputs is None


NAN = b'{"inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":[1,2,%s]}]}'
TWICE = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[%s]}],"id":"a",%s}'

REFUSED = [
    pytest.param(b"", "not JSON", id="row 1: an empty body"),
    pytest.param(b"hello", "not JSON", id="row 1: not JSON"),
    pytest.param(body()[:-3], "not JSON", id="row 1: truncated"),
    pytest.param(body() + b"x", "not JSON", id="row 1: trailing garbage"),
    pytest.param(b"[]", "the body must be a JSON object", id="row 1: not an object"),
    pytest.param(body().decode().encode("utf-16"), "UTF-8", id="row 2: UTF-16"),
    pytest.param(body().decode().encode("utf-32"), "UTF-8", id="row 2: UTF-32"),
    pytest.param(b"\xef\xbb\xbf" + body(), "BOM", id="row 2: a byte order mark"),
    pytest.param(body(id="?").replace(b"?", b"\xff"), "UTF-8", id="row 2: invalid UTF-8"),
    pytest.param(b"[" * 100_000, "depth", id="row 3: depth 100,000"),
    pytest.param(b'{"a":[' + b"{}," * MAX_CONTAINERS + b"{}]}", "lists and objects", id="many empty objects"),
    pytest.param(b'{"a":' + b"[" * 64 + b"1" + b"]" * 64 + b"}", "64 levels", id="row 3: depth 65"),
    pytest.param(TWICE % (b"1", b'"id":"b"'), "two members", id="row 4: a member twice"),
    pytest.param(TWICE % (b'1],"data":[2', b'"o":1'), "two members", id="row 4: data twice"),
    pytest.param(TWICE % (b"1", b'"q":{"a:\\":":[{"b":1,"b":2}]}'), "two members", id="row 4: twice in an unknown one"),
    pytest.param(NAN % b"NaN", r"data\[2\] is NaN", id="row 5: NaN"),
    pytest.param(NAN.replace(b"1,2,%s", b"[1,2],[3,%s]") % b"NaN", r"data\[3\] is NaN", id="row 5: NaN in nested data"),
    pytest.param(b'{"parameters":{"timeout":NaN},"inputs":[]}', "a member is NaN", id="row 5: NaN in a parameter"),
    pytest.param(NAN % b"-Infinity", r"data\[2\] is", id="row 5: -Infinity"),
    pytest.param(NAN % b"1e999", r"data\[2\] is .* too large", id="row 5: 1e999"),
    pytest.param(body(tensor([1, 1e39])), r"data\[1\] is out of range for FP32", id="row 5: beyond FP32"),
    pytest.param(NAN % (b"9" * 10_000), r"data\[2\]", id="row 6: an integer of 10,000 digits"),
    pytest.param(body(tensor([0, 2**64], datatype="UINT64")), r"data\[1\]", id="row 6: 2^64 for UINT64"),
    pytest.param(body(tensor([2**63], datatype="INT64")), r"data\[0\] is out of range", id="row 6: 2^63 for INT64"),
    pytest.param(body(tensor([1, 1.5], datatype="INT32")), r"data\[1\] is a number", id="row 6: 1.5 for INT32"),
    pytest.param(body(tensor([1, 2, 300], datatype="UINT8")), r"data\[2\] is out of range for UINT8", id="row 6: 300"),
    pytest.param(body(tensor([-1], datatype="UINT32")), "out of range for UINT32", id="row 6: -1 for UINT32"),
    pytest.param(body(tensor([1, True])), r"data\[1\] is a boolean", id="row 7: true for FP32"),
    pytest.param(body(tensor([1, True], datatype="INT8")), r"data\[1\] is a boolean", id="row 7: true for INT8"),
    pytest.param(body(tensor([0], datatype="BOOL")), r"data\[0\] is an integer", id="row 7: 0 for BOOL"),
    pytest.param(body(tensor([1, "2"])), r"data\[1\] is a string", id="row 7: a string among numbers"),
    pytest.param(body(tensor([1, None])), r"data\[1\] is null", id="row 7: null"),
    pytest.param(body(tensor(["\ud800"], datatype="BYTES")), "surrogate", id="row 7: a lone surrogate"),
    pytest.param(body(tensor([1], datatype="BYTES")), r"data\[0\] is an integer", id="row 7: a number for BYTES"),
    pytest.param(body(tensor([{}])), r"data\[0\] is an object", id="row 7: an object among numbers"),
    pytest.param(b'{"inputs":[]}', "empty", id="row 11: no inputs"),
    pytest.param(b"{}", '"inputs" must be a list', id="row 11: inputs missing"),
    pytest.param(body({"shape": [1]}), '"name" must be', id="row 11: an input without a name"),
    pytest.param(body(tensor([1], datatype="FLOAT")), 'datatype "FLOAT" is none of', id="row 12: an unknown datatype"),
    pytest.param(body(tensor([1], datatype=7)), "not a string", id="row 12: a datatype that is no string"),
    pytest.param(body(tensor([1], [-1])), r"shape\[0\] must be .* not -1", id="row 13: -1 in the shape"),
    pytest.param(body(tensor([1], [1.0])), r"shape\[0\] must be an integer", id="row 13: a float in the shape"),
    pytest.param(body(tensor([1], [True])), r"shape\[0\] must be an integer", id="row 13: true in the shape"),
    pytest.param(body(tensor([1], [2**63])), r"shape\[0\] must be", id="row 13: 2^63 in the shape"),
    pytest.param(body(tensor([1], [1] * 33)), "33 dimensions; the limit is 32", id="row 13: 33 dimensions"),
    pytest.param(body(tensor([1], "1")), '"shape" must be a list', id="row 13: a shape that is no list"),
    pytest.param(body(tensor([1], [2**32, 2**32])), "needs 18446744073709551616", id="row 14: 2^32 by 2^32"),
    pytest.param(body(tensor([1, 2, 3], [10**9])), "needs 1000000000 elements, data has 3", id="row 14: claims 1e9"),
    pytest.param(body(tensor([1, 2, 3], [2, 2])), "needs 4 elements, data has 3", id="row 15: too few"),
    pytest.param(body(tensor([[1, 2], [3]], [2, 2])), "must have 2 elements, got 1, 2", id="row 15: ragged"),
    pytest.param(body(tensor([[1, 2], 3], [2, 2])), "ragged", id="row 15: a number among lists"),
    pytest.param(body(tensor([[[1], [2]]], [1, 2])), "nested deeper", id="row 15: deeper than the shape"),
    pytest.param(body(tensor([1, [2]], [2])), r"data\[1\] is a list", id="row 15: a list among numbers"),
    pytest.param(body(tensor([], [0, 4])), r"shape\[0\] must be .* not 0", id="row 16: no rows"),
    pytest.param(body(tensor([1], parameters={"binary_data_size": 4})), "binary", id="row 28: binary data"),
    pytest.param(body(outputs=[{}]), r"outputs\[0\]", id="row 29: an output without a name"),
    pytest.param(body(outputs={}), '"outputs" must be a list', id="row 29: outputs that are no list"),
    pytest.param(body(id="i" * 257), '"id" must be .* 256 bytes', id="row 30: an id of 257 bytes"),
    pytest.param(body(id=7), '"id" must be a string', id="row 30: an id that is no string"),
    pytest.param(body(parameters={"a": {}}), 'parameter "a" of the request', id="row 31: a nested parameter"),
    pytest.param(body(parameters={"a": None}), 'parameter "a" of the request', id="row 31: null as a parameter"),
    pytest.param(body(parameters={"a": "x" * 4096}), "over 4096 bytes", id="row 31: parameters over 4 KiB"),
    pytest.param(body(parameters=[1]), "must be a JSON object", id="row 31: parameters that are no object"),
    pytest.param(body(tensor([1.0], datatype="FP16")), "FP16 has no JSON form.*binary_data_size", id="row 39: FP16"),
    pytest.param(body(tensor([1.0], datatype="BF16")), "BF16 has no JSON form.*binary_data_size", id="row 39: BF16"),
    pytest.param(body(tensor([1], parameters={"shared_memory_region": "r"})), "needs both", id="shared memory"),
]


@pytest.mark.parametrize(("given_body", "message"), REFUSED)
def test_refused_is(given_body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode(given_body)


def test_an_error_names_the_input_and_the_datatypes() -> None:
    with pytest.raises(InvalidRequest, match=r'^input "x": data\[1\] is a boolean; FP32 expected$'):
        decode(body(tensor([1, True])))


def test_colons_in_strings_are_not_taken_for_members() -> None:
    texts = ["http://a:80", '":"', "\\", '\\":{', "a:b"]
    assert array(decode(body(tensor(texts, datatype="BYTES"), id="::"))).tolist() == texts


def test_depth_64_is_taken() -> None:
    decode(body(deep=json.loads("[" * 63 + "]" * 63)))


def test_a_hostile_depth_is_refused_within_milliseconds() -> None:
    began = perf_counter()
    with pytest.raises(InvalidRequest):
        decode(b"[" * 100_000)
    assert perf_counter() - began < 0.05


JSON_TYPES = [datatype for datatype in Datatype if datatype not in (Datatype.FP16, Datatype.BF16)]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    datatype = draw(st.sampled_from(JSON_TYPES))
    shape = draw(stnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    if datatype is Datatype.BYTES:
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        flat = draw(st.lists(text, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        return Tensor("x", datatype, np.array(flat, dtype=object).reshape(shape))
    elements = {"allow_nan": False, "allow_infinity": False} if datatype.numpy.kind == "f" else {}
    return Tensor("x", datatype, draw(stnp.arrays(datatype.numpy, shape, elements=elements)))


@given(tensors(), st.booleans())
def test_what_is_encoded_decodes_to_the_same_bits(sent: Tensor, nested: bool) -> None:
    answer = orjson.loads(encoded(sent))["outputs"][0]
    if nested:
        answer["data"] = sent.array.tolist()
    got = array(decode(orjson.dumps({"inputs": [answer]})))
    assert got.dtype == sent.array.dtype
    assert got.shape == sent.array.shape
    assert got.tolist() == sent.array.tolist()


@given(st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(orjson.dumps))
def test_any_bytes_are_a_request_or_refused(anything: bytes) -> None:
    with suppress(InvalidRequest):
        assert decode(anything).inputs


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "shape", "datatype", "data", "parameters"), json_values))
)
def test_any_members_of_an_input_are_a_tensor_or_refused(members: dict[str, Any]) -> None:
    with suppress(InvalidRequest):
        assert array(decode(body(tensor([1.0]) | members))).size >= 1


@pytest.mark.parametrize(
    ("outputs", "data"),
    [
        pytest.param(
            np.array([1.0, np.nan, np.inf, -np.inf], np.float32), [1.0, None, None, None], id="row 38: not finite"
        ),
        pytest.param(np.array([2**53 + 1], np.int64), [2**53 + 1], id="row 39: INT64 beyond 2^53"),
        pytest.param(np.array([[1, 2], [3, 4]], np.int64).T, [1, 3, 2, 4], id="not contiguous"),
    ],
)
def test_encoded_data_is(outputs: Any, data: list[Any]) -> None:
    datatype = Datatype.FP32 if outputs.dtype == np.float32 else Datatype.INT64
    document = json.loads(encoded(Tensor("y", datatype, outputs), response_id="i"))
    assert document == {
        "model_name": "m",
        "model_version": "1",
        "id": "i",
        "outputs": [{"name": "y", "datatype": datatype, "shape": list(outputs.shape), "data": data}],
    }


@pytest.mark.parametrize("datatype", [Datatype.FP16, Datatype.BF16])
@pytest.mark.parametrize("way", ['"binary_data": true', 'leave this output out of the request\'s "outputs"'])
def test_a_half_precision_output_in_json_is_refused_with_the_ways_around(datatype: Datatype, way: str) -> None:
    with pytest.raises(InvalidRequest, match=way):
        encoded(Tensor("y", datatype, np.zeros(1, datatype.numpy)))


LONG = [0.5] * 3000


@pytest.mark.parametrize("odd", [True, False, None, "1", [1], 1e39], ids=repr)
@pytest.mark.parametrize("name", ["x", "pixel_values", "u" * 99])
def test_long_lists_are_held_to_the_same_rules(odd: Any, name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"data\[3000\]"):
        decode(body(tensor([*LONG, odd]) | {"name": name}))
    request = decode(body(tensor([*LONG, 1e38]) | {"name": name}))
    np.testing.assert_array_equal(array(request), np.array([*LONG, 1e38], np.float32))
