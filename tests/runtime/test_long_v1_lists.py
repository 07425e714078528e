"""V1 bodies whose long lists are read in C: the same request, or the same error, as by the parse of the whole."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.protocol import number_lists, v1_json
from tidegate_runtime.protocol.json_tensors import CODES
from tidegate_runtime.protocol.number_lists import NumberLists
from tidegate_runtime.protocol.v1_json import V1Request
from tidegate_runtime.tensors import Datatype, TensorSpec

X = TensorSpec("x", Datatype.FP32, ("N", "K"))
IDS = TensorSpec("ids", Datatype.INT64, ("N",))
TEXT = TensorSpec("text", Datatype.BYTES, ("N",))


@pytest.fixture(autouse=True, scope="module")
def short_is_long() -> Iterator[None]:
    """Every list is cut out, so that examples may be short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_lists, "LONG_BODY", 0)
        patch.setattr(number_lists, "LONG_LIST", 4)
        yield


def whole(body: bytes, inputs: Sequence[TensorSpec]) -> V1Request:
    return v1_json._request(body, inputs, None)


def outcome(decode: Callable[[bytes, Sequence[TensorSpec]], V1Request], body: bytes, *inputs: TensorSpec) -> Any:
    try:
        request = decode(body, inputs)
    except InvalidRequest as error:
        return type(error), str(error)
    tensors = [
        (
            tensor.name,
            tensor.datatype,
            tensor.array.dtype,
            tensor.array.shape,
            tensor.array.tolist(),
            b"" if tensor.datatype is Datatype.BYTES else tensor.array.tobytes(),
        )
        for tensor in request.infer.inputs
    ]
    return tensors, request.rows


NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32),
)
ODD = st.sampled_from([True, None, "x", [1], [], {}, [[1, 2]], {"b64": "AA=="}, ["tidegate's list 0"], "[1,2]", 1e39])
DATATYPES = st.sampled_from([*CODES, *CODES, Datatype.BOOL, Datatype.BYTES, Datatype.FP16])


@st.composite
def nests(draw: st.DrawFn) -> Any:
    """Lists nested in one to four levels, mostly alike, of numbers that fit or may not."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    numbers = st.integers(0, 100) if draw(st.integers(0, 2)) else NUMBERS
    flat: list[Any] = draw(st.lists(numbers, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    if draw(st.integers(0, 5)) == 0:
        flat[draw(st.integers(0, len(flat) - 1))] = draw(ODD)
    nest: Any = flat
    for size in reversed(shape[1:]):
        nest = [nest[i : i + size] for i in range(0, len(nest), size)]
    if draw(st.integers(0, 7)) == 0:
        nest.append(draw(st.one_of(ODD, NUMBERS, st.just(nest[0]))))
    return nest


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    rows: list[Any] = draw(nests())
    form = draw(st.integers(0, 5))
    ids = list(range(len(rows)))
    documents: list[dict[str, Any]] = [
        {"instances": rows},
        {"inputs": rows},
        {"inputs": {"x": rows}},
        {"inputs": {"ids": ids, "x": rows}},
        {"instances": [{"x": row} for row in rows]},
        {"instances": [{"x": row, "ids": number} for row, number in zip(rows, ids, strict=True)]},
    ]
    document = documents[form]
    if draw(st.integers(0, 5)) == 0:
        name = draw(st.sampled_from(["instances", "inputs", "signature_name", "more", "é"]))
        document[name] = draw(st.one_of(ODD, nests(), st.just("serving_default")))
    return document


PIECES = [bytes([c]) for c in b'0123456789-+.eE,:[]{} \n"\\tn\xef'] + [b"", b"true", b"1e400", b"[1]", b'["', b"],["]
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(PIECES))
EDITS: st.SearchStrategy[list[tuple[float, int, bytes]]] = st.one_of(st.just([]), st.lists(EDIT, max_size=3))


@settings(max_examples=800)
@given(
    document=documents(),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")]),
    edits=EDITS,
    datatype=DATATYPES,
    both=st.booleans(),
)
def test_a_body_is_decoded_or_refused_as_by_the_parse_of_the_whole(
    document: Any, separators: tuple[str, str], edits: list[tuple[float, int, bytes]], datatype: Datatype, both: bool
) -> None:
    body = json.dumps(document, separators=separators, ensure_ascii=False).encode()
    for place, cut, put in edits:
        at = int(place * len(body))
        body = body[:at] + put + body[at + cut :]
    inputs = [TensorSpec("x", datatype, ("N", "K")), *([IDS] if both or "ids" in str(document) else [])]
    assert outcome(v1_json.decode, body, *inputs) == outcome(whole, body, *inputs)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param('{"instances":[[1,2],[3,4]]}', [[1, 2], [3, 4]], id="rows"),
        pytest.param('{ "instances" : [ [ 1 , 2 ] , [ 3 , 4 ] ] }', [[1, 2], [3, 4]], id="rows with spaces"),
        pytest.param('{"instances":[[[1],[2]],[[3],[4]]]}', [[[1], [2]], [[3], [4]]], id="nested rows"),
        pytest.param('{"instances":[12,34]}', [12, 34], id="rows of a number"),
        pytest.param('{"inputs":[[1,2],[3,4]]}', [[1, 2], [3, 4]], id="a column"),
        pytest.param('{"inputs":{"x":[[1,2],[3,4]]}}', [[1, 2], [3, 4]], id="a column by name"),
        pytest.param('{"instances":[{"x":[1,2]},{"x":[3,4]}]}', [[1, 2], [3, 4]], id="rows by name"),
        pytest.param('{"instances":[{"x":[[1,2]]},{"x":[[3,4]]}]}', [[[1, 2]], [[3, 4]]], id="nested rows by name"),
    ],
)
def test_numbers_are_read_in_c(body: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Any:
        raise AssertionError("read by Python")

    monkeypatch.setattr(v1_json, "parse_data", refuse)
    (tensor,) = v1_json.decode(body.encode(), [X]).infer.inputs
    assert tensor.array.tolist() == expected
    assert tensor.array.dtype == np.float32


ODD_BODIES = [
    pytest.param('{"instances":[[1,2],[3]]}', [X], id="rows differ in length"),
    pytest.param('{"instances":[{"x":[1,2]},{"x":[3,4,5]}]}', [X], id="rows by name differ in length"),
    pytest.param('{"instances":[{"x":[[1,2]]},{"x":[1,2]}]}', [X], id="rows by name differ in depth"),
    pytest.param('{"instances":[{"x":[1,2]},{"x":[]}]}', [X], id="a row by name is empty"),
    pytest.param('{"instances":[{"x":[1,2]},{"x":7}]}', [X], id="a row by name is a number"),
    pytest.param('{"instances":[{"x":[[1]]},{"x":[7]}]}', [X], id="a row by name is too short to be cut out"),
    pytest.param('{"instances":[{"x":[1,2]},{"x":[true,4]}]}', [X], id="a row by name has a boolean"),
    pytest.param('{"instances":[[1,2],[3,1e39]]}', [X], id="a number is out of range"),
    pytest.param('{"instances":[[1,2],[3,1e999]]}', [X], id="a number is out of any range"),
    pytest.param('{"instances":[[1,2],[]]}', [X], id="a row is empty"),
    pytest.param('{"instances":[[1,2],null]}', [X], id="a row is null"),
    pytest.param('{"instances":[' + "[" * 32 + "1,2" + "]" * 32 + "]}", [X], id="there are 33 levels"),
    pytest.param('{"instances":[{"x":' + "[" * 32 + "1,2" + "]" * 32 + "}]}", [X], id="there are 33 levels by name"),
    pytest.param('{"instances":[[1,2]],"instances":[[3,4]]}', [X], id="instances stand twice"),
    pytest.param('{"instances":[[1,2]],"more":[[3,4]]}', [X], id="there is a list elsewhere"),
    pytest.param(
        '{"instances":[[1,2]],"more":{"a":' + "[" * 65 + "1" + "]" * 65 + "}}", [X], id="it is too deep there"
    ),
    pytest.param('{"instances":[[1,2]],"more":"\\u0022"}', [X], id="an escape is in the text"),
    pytest.param('{"instances":[[1,2]],"more":"tidegate\'s list 0"}', [X], id="the mark is in the text"),
    pytest.param('{"instances":[1,2,3]}', [TEXT], id="the model takes texts"),
    pytest.param('{"instances":[{"text":[1,2,3]}]}', [TEXT], id="the model takes texts by name"),
    pytest.param('{"instances":["a [1,2,3]","b"]}', [TEXT], id="a list stands in a text"),
    pytest.param('{"instances":[{"b64":"w6k="},[1,2,3]]}', [TEXT], id="a list stands beside base64"),
    pytest.param('{"instances":[{"b64":"w6k="}]}', [TEXT], id="there is base64 alone"),
    pytest.param('{"instances":[[1,2]],"signature_name":"s"}', [X], id="the signature is another"),
    pytest.param('{"instances":[[1,2]],"inputs":[[1,2]]}', [X], id="both formats are there"),
    pytest.param('{"instances":[[1,2]]}', [X, IDS], id="an input isn't named"),
    pytest.param('{"instances":[{"y":[1,2]}]}', [X], id="the input does not exist"),
    pytest.param('{"instances":[[1,2]]}', [TensorSpec("x", Datatype.FP16, ("N", 2))], id="the datatype has no JSON"),
    pytest.param('{"instances":[[1,2', [X], id="nothing ends"),
    pytest.param('{"instances":[[1,2]]]}', [X], id="there is a bracket too many"),
]


@pytest.mark.parametrize(("body", "inputs"), ODD_BODIES)
def test_what_is_odd_is_left_to_the_parse_of_the_whole(body: str, inputs: list[TensorSpec]) -> None:
    assert outcome(v1_json.decode, body.encode(), *inputs) == outcome(whole, body.encode(), *inputs)


def test_rows_that_are_too_short_to_be_cut_out_go_along_with_those_that_arent() -> None:
    body = b'{"instances":[{"x":[1]},{"x":[22]},{"x":[3]},{"x":[44]}]}'
    lists = NumberLists.cut(body, named=False)
    assert lists is not None
    array = lists.column([["tidegate's list 0"], [3]], Datatype.INT8, "x")
    assert array is not None
    assert array.tolist() == [[22], [3]]


def test_a_row_that_is_long_claims_no_memory_for_those_that_are_short() -> None:
    row = [7] * 100_000
    body = orjson.dumps({"instances": [{"x": row}, *[{"x": [1]}] * 100_000]})
    assert outcome(v1_json.decode, body, X) == outcome(whole, body, X)


def test_the_search_for_lists_ends_after_a_few_that_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_lists, "LONG_LIST", 1024)
    long = [0.5] * 1000
    assert NumberLists.cut(orjson.dumps({"inputs": {"ids": [[1]], "x": [long]}}), named=False) is not None
    assert NumberLists.cut(orjson.dumps({"instances": [*[{"x": [1]}] * 8, {"x": long}]}), named=False) is None


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_large_body_is_exact(kind: Callable[[bytes], bytes]) -> None:
    values = np.frombuffer(random.Random(7).randbytes(4 * 5000), np.float32)
    values = values[np.isfinite(values)][:4800].reshape(3, 4, 400)
    body = kind(orjson.dumps({"instances": values.astype(float).tolist()}))
    lists = NumberLists.cut(body, named=False)
    assert lists is not None
    assert len(lists.rest) < 64
    (tensor,) = v1_json.decode(body, [X]).infer.inputs
    assert tensor.array.shape == (3, 4, 400)
    assert tensor.array.tobytes() == values.tobytes()
