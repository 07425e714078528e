"""The V1 codec: rows and columns in, predictions and outputs out."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from tidegate_runtime.errors import InvalidRequest, InvalidTensor
from tidegate_runtime.protocol.v1_json import V1Request, decode, encode
from tidegate_runtime.tensors import Datatype, InferResponse, Tensor, TensorSpec

X = TensorSpec("x", Datatype.FP32, ("N", 2))
IDS = TensorSpec("ids", Datatype.INT64, ("N",))
TEXT = TensorSpec("text", Datatype.BYTES, ("N",))


def decoded(document: Any, *inputs: TensorSpec) -> V1Request:
    return decode(json.dumps(document).encode(), inputs)


def arrays(document: Any, *inputs: TensorSpec) -> dict[str, Any]:
    return {tensor.name: tensor.array.tolist() for tensor in decoded(document, *inputs).infer.inputs}


@pytest.mark.parametrize(
    ("document", "inputs", "expected"),
    [
        pytest.param({"instances": [[1, 2], [3, 4]]}, [X], {"x": [[1, 2], [3, 4]]}, id="rows of one input"),
        pytest.param({"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}, [X], {"x": [[1, 2], [3, 4]]}, id="rows by name"),
        pytest.param(
            {"instances": [{"x": [1, 2], "ids": 7}, {"ids": 8, "x": [3, 4]}]},
            [X, IDS],
            {"x": [[1, 2], [3, 4]], "ids": [7, 8]},
            id="rows of two inputs",
        ),
        pytest.param({"inputs": [[1, 2]]}, [X], {"x": [[1, 2]]}, id="a column"),
        pytest.param({"inputs": {"x": [[1, 2]], "ids": [7]}}, [X, IDS], {"x": [[1, 2]], "ids": [7]}, id="columns"),
        pytest.param({"inputs": 7}, [TensorSpec("n", Datatype.INT8, ())], {"n": 7}, id="a scalar"),
        pytest.param({"instances": ["a:b", "é"]}, [TEXT], {"text": ["a:b", "é"]}, id="texts"),
        pytest.param({"instances": [{"b64": "w6k="}, "a"]}, [TEXT], {"text": ["é", "a"]}, id="a text in base64"),
        pytest.param({"instances": [{"text": {"b64": "w6k="}}]}, [TEXT], {"text": ["é"]}, id="base64 by name"),
        pytest.param({"instances": [1], "signature_name": "serving_default"}, [IDS], {"ids": [1]}, id="a signature"),
        pytest.param({"instances": [2**53 + 1]}, [IDS], {"ids": [2**53 + 1]}, id="row 39: INT64 is exact"),
        pytest.param({"instances": [1], "more": {"a": [{}]}}, [IDS], {"ids": [1]}, id="unknown members"),
    ],
)
def test_tensors_are(document: Any, inputs: list[TensorSpec], expected: Any) -> None:
    assert arrays(document, *inputs) == expected
    request = decoded(document, *inputs)
    assert request.rows == ("instances" in document)
    datatypes = {spec.name: spec.datatype for spec in inputs}
    assert all(tensor.datatype is datatypes[tensor.name] for tensor in request.infer.inputs)


REFUSED = [
    pytest.param("[]", [X], "must be a JSON object", id="row 1: a list"),
    pytest.param('{"instances":[[1,2]],"instances":[[1,2]]}', [X], "two members", id="row 4: instances twice"),
    pytest.param('{"instances":[{"x":[1,2],"x":[1,2]}]}', [X], "two members", id="row 4: an input twice"),
    pytest.param('{"instances":' + "[" * 65 + "1" + "]" * 65 + "}", [X], "32 levels", id="row 3: depth 65"),
    pytest.param(
        '{"instances":[[1,2]],"a":' + "[" * 64 + "]" * 64 + "}", [X], "64 levels", id="row 3: depth in a member beside"
    ),
    pytest.param('{"a":{"b":' + "[" * 64 + "]" * 64 + "}}", [X], "64 levels", id="row 3: depth in another member"),
    pytest.param('{"instances":[["a"],' + "[" * 900 + "]" * 900 + "]}", [TEXT], "ragged|must have", id="row 3: beside"),
    pytest.param('{"instances":[[1,NaN]]}', [X], "NaN", id="row 5: NaN"),
    pytest.param('{"instances":[[1,1e39]]}', [X], r"data\[1\] is out of range for FP32", id="row 6: 1e39"),
    pytest.param('{"instances":[1.5]}', [IDS], r"data\[0\] is a number with a fraction", id="row 6: 1.5"),
    pytest.param('{"instances":[true]}', [IDS], r"data\[0\] is a boolean", id="row 7: true"),
    pytest.param('{"instances":[null]}', [IDS], r"data\[0\] is null", id="row 7: null"),
    pytest.param('{"instances":[{"x":[1,2],"z":1}]}', [X], 'input "z" does not exist', id="row 11: an unknown input"),
    pytest.param('{"instances":[[1,2],[3]]}', [X], "must have 2 elements, got 1, 2", id="row 15: ragged"),
    pytest.param('{"instances":[[1,2],3]}', [X], "ragged", id="row 15: a number among lists"),
    pytest.param('{"instances":[]}', [X], '"instances" is empty', id="row 16: no rows"),
    pytest.param('{"inputs":[]}', [X], "lists must have elements", id="row 16: an empty column"),
    pytest.param('{"instances":[[1,2]],"inputs":[[1,2]]}', [X], "either", id="both formats"),
    pytest.param("{}", [X], "either", id="neither format"),
    pytest.param('{"instances":{"x":1}}', [X], "must be a list", id="instances that are no list"),
    pytest.param('{"instances":[[1,2]]}', [X, IDS], 'must name the inputs.*"x", "ids"', id="an unnamed one of two"),
    pytest.param('{"instances":[{"x":[1,2]},{}]}', [X], r"instances\[1\] must be an object of the same", id="a gap"),
    pytest.param('{"instances":[{"x":[1,2]},[3,4]]}', [X], r"instances\[1\]", id="an unnamed row among named ones"),
    pytest.param('{"instances":[[1,2]],"signature_name":"s"}', [X], "signature_name", id="another signature"),
    pytest.param('{"instances":[{"b64":"?"}]}', [TEXT], "base64", id="not base64"),
    pytest.param('{"instances":[{"b64":7}]}', [TEXT], "base64", id="a number for base64"),
    pytest.param('{"instances":[{"b64":"/w=="}]}', [TEXT], "not UTF-8", id="base64 of other bytes"),
    pytest.param('{"instances":[{"b64":"AA=="}]}', [X], r"data\[0\] is an object", id="base64 for numbers"),
    pytest.param('{"instances":[1]}', [TensorSpec("h", Datatype.FP16, ("N",))], "FP16 has no JSON", id="row 39: FP16"),
]


@pytest.mark.parametrize(("body", "inputs", "message"), REFUSED)
def test_refused_is(body: str, inputs: list[TensorSpec], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decode(body.encode(), inputs)


def answer(rows: bool, **outputs: Any) -> Any:
    tensors = [
        Tensor(name, Datatype.BYTES if array.dtype == object else Datatype.FP32, array)
        for name, array in outputs.items()
    ]
    return json.loads(encode(InferResponse("m", "1", tuple(tensors)), rows))


Y = np.array([[1, 2], [3, np.nan]], np.float32)
LABELS = np.array(["a", "b"], object)


@pytest.mark.parametrize(
    ("rows", "outputs", "expected"),
    [
        (True, {"y": Y}, {"predictions": [[1, 2], [3, None]]}),
        (True, {"y": Y[:, 1]}, {"predictions": [2, None]}),
        (
            True,
            {"y": Y, "label": LABELS},
            {"predictions": [{"y": [1, 2], "label": "a"}, {"y": [3, None], "label": "b"}]},
        ),
        (True, {"y": Y.T}, {"predictions": [[1, 3], [2, None]]}),
        (False, {"y": Y}, {"outputs": [[1, 2], [3, None]]}),
        (False, {"y": Y, "label": LABELS}, {"outputs": {"y": [[1, 2], [3, None]], "label": ["a", "b"]}}),
        (False, {"y": np.array(2, np.float32)}, {"outputs": 2}),
    ],
)
def test_an_answer_is_rows_for_rows_and_columns_for_columns(rows: bool, outputs: Any, expected: Any) -> None:
    assert answer(rows, **outputs) == expected


def test_outputs_without_common_rows_make_no_rows() -> None:
    with pytest.raises(InvalidTensor, match=r'"y" \[2, 2\], "n" \[3\] have no common rows; send "inputs"'):
        answer(True, y=Y, n=np.zeros(3, np.float32))


NUMBERS = [datatype for datatype in Datatype if datatype.numpy.kind in "biuf" and datatype is not Datatype.FP16]


@given(st.data(), st.sampled_from(NUMBERS), st.booleans())
def test_what_is_encoded_decodes_to_the_same_bits(data: st.DataObject, datatype: Datatype, rows: bool) -> None:
    elements = {"allow_nan": False, "allow_infinity": False} if datatype.numpy.kind == "f" else {}
    sent = data.draw(stnp.arrays(datatype.numpy, stnp.array_shapes(max_dims=4, max_side=4), elements=elements))
    body = encode(InferResponse("m", "1", (Tensor("x", datatype, sent),)), rows)
    document = json.loads(body)
    document = {"instances": document["predictions"]} if rows else {"inputs": document["outputs"]}
    (tensor,) = decoded(document, TensorSpec("x", datatype, ("",) * sent.ndim)).infer.inputs
    assert tensor.array.dtype == sent.dtype
    assert tensor.array.tolist() == sent.tolist()
