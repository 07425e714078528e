"""The classification extension: values in, the best classes out."""

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from tidegate_runtime.errors import InvalidTensor
from tidegate_runtime.protocol.classification import top_classes
from tidegate_runtime.protocol.v2_response import encode
from tidegate_runtime.rpc import codec
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, RequestedOutput, Tensor


def classes(values: Any, count: int, datatype: Datatype = Datatype.FP32, labels: Any = None) -> Any:
    tensor = top_classes(Tensor("y", datatype, np.array(values, datatype.numpy)), count, labels)
    assert tensor.datatype is Datatype.BYTES
    return tensor.array.tolist()


@pytest.mark.parametrize(
    ("values", "count", "expected"),
    [
        pytest.param([[0.1, 0.7, 0.2]], 2, [["0.7:1", "0.2:2"]], id="the best two"),
        pytest.param([[1, 0], [0, 1]], 1, [["1.0:0"], ["1.0:1"]], id="row by row"),
        pytest.param([[3, 1]], 9, [["3.0:0", "1.0:1"]], id="more than there are"),
        pytest.param([[2, 2, 1, 2]], 3, [["2.0:0", "2.0:1", "2.0:3"]], id="equal values by index"),
        pytest.param([[math.nan, -math.inf, 1]], 3, [["1.0:2", "nan:0", "-inf:1"]], id="NaN behind numbers"),
        pytest.param([[1e-30, -1]], 1, [["1e-30:0"]], id="a small value is not rounded to 0"),
        pytest.param([0.5, 0.25], 1, ["0.5:0"], id="one dimension is one row"),
        pytest.param([[[1, 2], [4, 3]]], 2, [["4.0:2", "3.0:3"]], id="dimensions behind the rows are classes"),
    ],
)
def test_the_best_classes_are(values: Any, count: int, expected: Any) -> None:
    assert classes(values, count) == expected


def test_labels_follow_the_index_as_far_as_there_are_any() -> None:
    assert classes([[1, 3, 2]], 3, labels=["cat", "dog:big"]) == [["3.0:1:dog:big", "2.0:2", "1.0:0:cat"]]


@pytest.mark.parametrize(
    ("datatype", "values", "best"),
    [
        (Datatype.UINT64, [2**64 - 1, 0], "18446744073709551615:0"),
        (Datatype.INT8, [-128, -1], "-1:1"),
        (Datatype.FP16, [0.5, 1], "1.0:1"),
        (Datatype.BF16, [0.5, 2], "2:1"),
    ],
)
def test_classes_of_any_number_are(datatype: Datatype, values: Any, best: str) -> None:
    assert classes([values], 1, datatype) == [[best]]


@pytest.mark.parametrize(("datatype", "values"), [(Datatype.BYTES, [["a"]]), (Datatype.BOOL, [[True]])])
def test_what_has_no_order_has_no_classes(datatype: Datatype, values: Any) -> None:
    with pytest.raises(InvalidTensor, match=r'output "y" is .* needs numbers'):
        classes(values, 1, datatype)


def test_a_scalar_has_no_classes() -> None:
    with pytest.raises(InvalidTensor, match="needs numbers"):
        classes(1.0, 1)


@given(
    stnp.arrays(np.float32, stnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(width=32)), st.integers(1, 9)
)
def test_classes_are_the_sorted_row_and_say_its_values_exactly(values: Any, count: int) -> None:
    for row, got in zip(values, classes(values, count), strict=True):
        pairs = [(float(text.split(":")[0]), int(text.split(":")[1])) for text in got]
        ranked = sorted(range(len(row)), key=lambda i: (-math.inf if np.isnan(row[i]) else row[i]) * -1.0)
        assert [index for _, index in pairs] == ranked[: len(got)]
        for value, index in pairs:
            np.testing.assert_equal(np.float32(value), row[index])


def test_an_output_asked_for_by_classes_is_bytes_in_json_and_in_binary() -> None:
    scores = Tensor("y", Datatype.FP32, np.array([[0.25, 0.75]], np.float32))
    for binary, blob in ((False, []), (True, [b"\x06\x00\x00\x000.75:1"])):
        asked = InferRequest((), (RequestedOutput("y", binary, classes=1),))
        answer = encode(InferResponse("m", "1", (scores,)), asked)
        output = orjson.loads(answer.parts[0])["outputs"][0]
        assert (output["datatype"], output["shape"], output.get("data")) == (
            "BYTES",
            [1, 1],
            None if binary else ["0.75:1"],
        )
        assert answer.parts[1:] == blob


def test_a_model_that_names_its_classes_has_them_in_answers_of_either_protocol() -> None:
    scores = Tensor("p", Datatype.FP32, np.array([[0.25, 0.75]], np.float32))
    asked = InferRequest((scores,), (RequestedOutput("p", classes=2),))
    answer = InferResponse("m", "1", (scores,), labels={"p": ("cat", "dog")})
    (text,) = encode(answer, asked).parts
    assert orjson.loads(text)["outputs"][0]["data"] == ["0.75:1:dog", "0.25:0:cat"]
    assert list(codec.encode(answer, asked).outputs[0].contents.bytes_contents) == [b"0.75:1:dog", b"0.25:0:cat"]
