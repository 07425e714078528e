"""Bodies whose long lists are read in C: the same request, or the same error, as by the parse of the whole."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidegate_numbers.reader
from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.protocol import number_lists, v2_request
from tidegate_runtime.protocol.json_tensors import CODES, parse_data
from tidegate_runtime.protocol.number_lists import NumberLists
from tidegate_runtime.tensors import Datatype, InferRequest
from tidegate_runtime.web import server

Decode = Callable[[bytes], InferRequest]


@pytest.fixture(autouse=True, scope="module")
def short_is_long() -> Any:
    """Every list is cut out, so that examples may be short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_lists, "LONG_BODY", 0)
        patch.setattr(number_lists, "LONG_LIST", 2)
        yield


def whole(body: bytes) -> InferRequest:
    return v2_request._request(body, None, parse_data, len(body))


def outcome(decode: Decode, body: bytes) -> Any:
    try:
        request = decode(body)
    except InvalidRequest as error:
        return type(error), str(error)
    tensors = [
        (
            tensor.name,
            tensor.datatype,
            tensor.array.dtype,
            tensor.array.shape,
            tensor.array.tolist(),
            tensor.array.tobytes(),
        )
        if tensor.datatype is not Datatype.BYTES
        else (tensor.name, tensor.array.shape, tensor.array.tolist())
        for tensor in request.inputs
    ]
    return tensors, request.outputs, request.id, request.binary, request.priority, request.timeout_seconds


NUMBERS = st.one_of(
    st.integers(-(2**64), 2**64),
    st.integers(-3, 300),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32),
)
ODD = st.sampled_from(
    [True, False, None, "x", [1], {}, "tidegate's list 0", {"data": [1, 2]}, '"data":[1,2]', [], 1e39]
)
DATATYPES = st.sampled_from([*CODES, *CODES, *CODES, Datatype.BOOL, Datatype.BYTES, Datatype.FP16, "FP31"])


@st.composite
def tensors(draw: st.DrawFn) -> str:
    """An input's text, mostly right, its members in any order."""
    shape = draw(st.lists(st.integers(1, 3), max_size=3))
    datatype = draw(DATATYPES)
    fitting = st.integers(0, 100) if draw(st.integers(0, 2)) else NUMBERS
    flat: list[Any] = draw(st.lists(fitting, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    if draw(st.integers(0, 9)) == 0:
        flat.insert(draw(st.integers(0, len(flat))), draw(ODD))
    data: Any = flat
    if draw(st.booleans()) and shape:
        for size in reversed(shape[1:]):
            data = [data[i : i + size] for i in range(0, len(data), size)]
    members = [
        ("name", draw(st.sampled_from(["x", "y", "data", "é"]))),
        ("shape", shape),
        ("datatype", datatype),
        ("data", data),
    ]
    if draw(st.integers(0, 5)) == 0:
        more = st.sampled_from(["data", "note", "parameters", "name"])
        members.append((draw(more), draw(st.one_of(ODD, st.just({})))))
    return objects(draw(st.permutations(members)), draw)


def objects(members: list[tuple[str, Any]], draw: st.DrawFn) -> str:
    """An object's text; unlike a dictionary's it may name a member twice."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")]))
    texts = [
        f"{json.dumps(name, ensure_ascii=False)}{separators[1]}{json.dumps(value, separators=separators)}"
        for name, value in members
    ]
    return "{" + separators[0].join(texts) + "}"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    inputs = ",".join(draw(st.lists(tensors(), min_size=1, max_size=2)))
    more = ['"id":"7"', r'"id":"\u0022"', '"data":[1,2,3]', '"outputs":[{"name":"y","data":[1,2]}]', '"x":[{}]']
    behind = "," + draw(st.sampled_from(more)) if draw(st.integers(0, 3)) == 0 else ""
    return f'{{"inputs":[{inputs}]{behind}}}'.encode()


PIECES = [bytes([c]) for c in b'0123456789-+.eE,:[]{} \n"\\tn\xef'] + [
    b"",
    b"true",
    b'"data":[1,2]',
    b"1e400",
    b"[1]",
    b'["',
]
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(PIECES))
EDITS: st.SearchStrategy[list[tuple[float, int, bytes]]] = st.one_of(st.just([]), st.lists(EDIT, max_size=3))


@settings(max_examples=600)
@given(body=bodies(), edits=EDITS)
def test_a_body_is_decoded_or_refused_as_by_the_parse_of_the_whole(
    body: bytes, edits: list[tuple[float, int, bytes]]
) -> None:
    for place, cut, put in edits:
        at = int(place * len(body))
        body = body[:at] + put + body[at + cut :]
    assert outcome(v2_request.decode, body) == outcome(whole, body)


ESCAPED = r"a\u0022b"


def one(data: str, shape: str = "[2,2]", datatype: str = "FP32", name: str = "x") -> str:
    return f'{{"name":"{name}","shape":{shape},"datatype":"{datatype}","data":{data}}}'


def only_natively(body: bytes, monkeypatch: pytest.MonkeyPatch) -> InferRequest:
    def refuse(*_: object) -> Any:
        raise AssertionError("parsed by Python")

    monkeypatch.setattr(v2_request, "parse_data", refuse)
    return v2_request.decode(body)


@pytest.mark.parametrize("data", ["[1,2,3,4]", "[[1,2],[3,4]]", "[ 1, 2,\n3, 4 ]", "[ [1 ,2] , [ 3,4 ] ]"])
@pytest.mark.parametrize("behind", ["", ',"parameters":{}'])
def test_lists_of_numbers_are_read_in_c(data: str, behind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [one(data)[:-1] + behind + "}", one("[7]", "[1]", "INT8", "y")]
    request = only_natively(f'{{"inputs": [{", ".join(inputs)}]}}'.encode(), monkeypatch)
    assert [tensor.array.tolist() for tensor in request.inputs] == [[[1, 2], [3, 4]], [7]]


def test_lists_of_other_values_go_along_with_them() -> None:
    body = (
        f'{{"inputs":[{one("[1,2,3,4]")},{one("[true,false]", "[2]", "BOOL")},{one("[7]", "[1]", "INT8")}]}}'.encode()
    )
    lists = NumberLists.cut(body)
    assert lists is not None
    assert outcome(v2_request.decode, body) == outcome(whole, body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f'{{"inputs":[{one("[1,2,3,4]")}],"note":"tidegate\'s list 0"}}', id="the mark is in the text"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,4]", name=ESCAPED)}]}}', id="an escape is in the text"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,4]")[:-1]},"data":[1]}}]}}', id="data stands twice, long first"),
        pytest.param(f'{{"inputs":[{one("[1]")[:-1]},"data":[1,2,3,4]}}]}}', id="data stands twice, long last"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,4]")}],"more":{{"data":[1,2]}}}}', id="more data stands elsewhere"),
        pytest.param(
            f'{{"inputs":[{one("[1,2,3,4]")}],"more":{{"data":{"[" * 65}1{"]" * 65}}}}}', id="it is too deep there"
        ),
        pytest.param(
            '{"inputs":[{"note":"' + one("[1,2,3,4]").replace('"', '\\"') + '"}]}', id="data stands in a string"
        ),
        pytest.param(f'{{"inputs":[{one("[1,2,3,4]")}]}}]', id="there is a bracket too many"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,4]]")}]}}', id="there is a bracket too many in the list"),
        pytest.param(f'{{"inputs":[{one("[1,2],[3,4]")}]}}', id="there are two lists"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,4]", "[1000000000000]")}]}}', id="the shape is larger than memory"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,4")}', id="the list doesn't end"),
        pytest.param('{"data":[1,2,3,4', id="nothing ends"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,1e39]")}]}}', id="a number is out of range"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,1e999]")}]}}', id="a number is out of any range"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,null]")}]}}', id="a value is no number"),
        pytest.param(f'{{"inputs":[{one("[[1,2],[3]]")}]}}', id="rows differ in length"),
        pytest.param(f'{{"inputs":[{one("[1,2,3,4]", datatype="FP16")}]}}', id="the datatype has no JSON"),
        pytest.param(f'{{"inputs":[{one("[1]", "[1]", name="x")},{one("[1]", "[2]")}]}}', id="the second is at fault"),
    ],
)
def test_what_is_odd_is_left_to_the_parse_of_the_whole(body: str) -> None:
    assert outcome(v2_request.decode, body.encode()) == outcome(whole, body.encode())


def test_without_the_library_the_whole_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    body = f'{{"inputs":[{one("[1,2,3,4]")}]}}'.encode()
    monkeypatch.setattr(number_lists, "available", lambda: None)
    assert NumberLists.cut(body) is None
    assert v2_request.decode(body).inputs[0].array.tolist() == [[1, 2], [3, 4]]


def test_without_the_library_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level("INFO"):
        server._tell_how_numbers_are_read()
        assert not caplog.records
        monkeypatch.setattr(tidegate_numbers.reader, "LIBRARY", tmp_path / "none.so")
        server._tell_how_numbers_are_read()
    assert caplog.messages == ["JSON's numbers are read by Python, for more CPU time"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_large_body_is_exact(kind: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.frombuffer(random.Random(7).randbytes(4 * 5000), np.float32)
    values = values[np.isfinite(values)][:4800]
    tensor = {"name": "x", "shape": [48, 100], "datatype": "FP32", "data": values.astype(float).tolist()}
    request = only_natively(kind(orjson.dumps({"inputs": [tensor]})), monkeypatch)
    assert request.inputs[0].array.tobytes() == values.tobytes()
