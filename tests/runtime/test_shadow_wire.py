"""A copy on the wire is what the server reads, and its answer what the server writes."""

import json
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.protocol import v2_request, v2_response
from tidegate_runtime.shadow.wire import MAX_JSON_BYTES, decode, encode
from tidegate_runtime.tensors import Datatype, InferResponse, Tensor, TensorSpec

ARRAYS: dict[Datatype, Any] = {
    Datatype.FP32: np.array([[1.5, -2.0]], np.float32),
    Datatype.INT64: np.array([[7]], np.int64),
    Datatype.BOOL: np.array([[True, False, True]]),
    Datatype.BYTES: np.array([["a", "längst"]], object),
    Datatype.FP16: np.array([[0.5, -1.0]], np.float16),
}


def test_what_is_sent_is_read_as_the_same_request() -> None:
    specs = tuple(TensorSpec(f"x-{kind}", kind, ("N", "")) for kind in ARRAYS)
    feeds = {f"x-{kind}": array for kind, array in ARRAYS.items()}
    body = encode(specs, feeds)
    read = v2_request.decode(b"".join(body.parts), len(body.parts[0]), specs)
    assert body.size == sum(map(len, body.parts))
    assert read.binary
    assert read.outputs is None
    assert [(tensor.name, tensor.datatype) for tensor in read.inputs] == [(spec.name, spec.datatype) for spec in specs]
    for tensor in read.inputs:
        np.testing.assert_array_equal(tensor.array, feeds[tensor.name])


def test_rows_that_lie_apart_are_sent_as_they_are() -> None:
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    body = encode((TensorSpec("x", Datatype.FP32, ("N", 2)),), {"x": table[:, 1:3]})
    assert body.parts[1] == table[:, 1:3].tobytes()


def test_an_answer_is_read_as_it_was_written() -> None:
    outputs = tuple(Tensor(f"y-{kind}", kind, array) for kind, array in ARRAYS.items())
    request = v2_request.decode(
        b'{"parameters": {"binary_data_output": true}, "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], '
        b'"data": [1]}]}',
        None,
        (),
    )
    encoded = v2_response.encode(InferResponse("m", "1", outputs), request)
    read = decode(b"".join(encoded.parts), b"%d" % (encoded.json_length or 0))
    assert list(read) == [tensor.name for tensor in outputs]
    for tensor in outputs:
        assert read[tensor.name].datatype is tensor.datatype
        np.testing.assert_array_equal(read[tensor.name].array, tensor.array)


def output(**changed: Any) -> str:
    whole = {"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    return json.dumps({"outputs": [whole | changed]})


@pytest.mark.parametrize(
    ("text", "blob", "length"),
    [
        ("{}", b"", None),
        ("[]", b"", None),
        ('{"outputs": 5}', b"", None),
        ('{"outputs": [5]}', b"", None),
        ("{", b"", None),
        (output(), b"1234", b""),
        (output(), b"1234", b"x"),
        (output(), b"1234", b"0"),
        (output(), b"1234", b"9999"),
        (output(), b"123", None),
        (output(), b"12345", None),
        (output(shape=[2]), b"1234", None),
        (output(shape=[-1]), b"1234", None),
        (output(shape=[True]), b"1234", None),
        (output(shape=5), b"1234", None),
        (output(datatype="FP31"), b"1234", None),
        (output(name=5), b"1234", None),
        (output(parameters={}), b"1234", None),
        (output(parameters={"binary_data_size": "4"}), b"1234", None),
        (output(datatype="BOOL", shape=[4]), b"1234", None),
        (output(datatype="BYTES"), b"1234", None),
    ],
)
def test_an_answer_that_says_something_else_is_refused(text: str, blob: bytes, length: bytes | None) -> None:
    with pytest.raises(RuntimeFault):
        decode(text.encode() + blob, b"%d" % len(text) if length is None else length)


def test_of_an_answers_json_so_much_is_read_and_no_more() -> None:
    """As much as the canary claims, up to 64 MiB, kept all else waiting."""
    text = output()
    assert decode(text.ljust(MAX_JSON_BYTES).encode() + b"1234", b"%d" % MAX_JSON_BYTES).keys() == {"y"}
    with pytest.raises(RuntimeFault, match="262145 bytes of JSON"):
        decode(text.ljust(MAX_JSON_BYTES + 1).encode() + b"1234", b"%d" % (MAX_JSON_BYTES + 1))


def test_an_answer_that_doesnt_say_where_its_json_ends_is_refused() -> None:
    with pytest.raises(RuntimeFault, match="how much of it is JSON"):
        decode(output().encode(), None)
