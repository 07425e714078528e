"""The codecs of plain requests against the general one: what they take and write is the same, the rest is left."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.protocol.plain import MAX_LAYOUTS, Answers, Layout, Numbers, Plain
from tidegate_runtime.protocol.plain_binary import PlainBinary
from tidegate_runtime.protocol.plain_json import PlainJson
from tidegate_runtime.protocol.v2_request import decode
from tidegate_runtime.protocol.v2_response import encode
from tidegate_runtime.tensors import Datatype, Feeds, InferRequest, InferResponse, Tensor, TensorSpec

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
        tensors = [x(numbers), n(numbers[::2])][: len(inputs)]
        for given_body in (body(*tensors), json.dumps({"inputs": tensors}, separators=(",", ":")).encode()):
            assert made.decode(given_body, None) is not None
            assert made.find(given_body, None) is not None
    return made


def read(made: Plain, given_body: bytes, json_length: int | None = None) -> tuple[Feeds, int] | None:
    """As the hot way does: by a known layout, else whole."""
    known = made.find(given_body, json_length)
    feeds = made.read(known[0], [known[1]]).feeds if known is not None else None
    return (feeds[0], known[0].rows) if known and feeds else made.decode(given_body, json_length)


def read_by(made: Plain, layout: Layout, texts: Sequence[Numbers]) -> tuple[list[Feeds], Sequence[int]]:
    """What each of some requests of one layout holds, and which can't be read."""
    found = made.read(layout, texts)
    assert len(found.feeds) == found.number == len(texts) - len(found.unread)
    return found.feeds, found.unread


def bodies(answers: Answers) -> list[bytes]:
    return [answers.before + piece + answers.behind for piece in answers.pieces]


def x(data: Any, shape: Any = None, **members: Any) -> dict[str, Any]:
    rows = len(data) // 2 if isinstance(data, list) else 1
    return {"name": "x", "shape": [rows, 2] if shape is None else shape, "datatype": "FP32", "data": data, **members}


def n(data: Any, **members: Any) -> dict[str, Any]:
    return {"name": "n", "shape": [len(data)], "datatype": "INT8", "data": data, **members}


def body(*inputs: Any, **members: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **members}).encode()


def test_a_plain_request_is_read() -> None:
    feeds, rows = read(
        codec(X, N), body(x([1, 2.5, -3e38, 0]), {"name": "n", "shape": [2], "datatype": "INT8", "data": [-128, 127]})
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
    assert read(make(X), given_body) is None


@pytest.mark.parametrize("inputs", [(X,), (X, N)], ids=["one input", "two inputs"])
@given(data=st.data())
def test_what_was_read_before_changes_nothing_that_is_read(inputs: tuple[TensorSpec, ...], data: st.DataObject) -> None:
    tensors = [x([1, 2.5]), n([7])][: len(inputs)]
    written = json.dumps({"inputs": tensors}, separators=data.draw(st.sampled_from([(", ", ": "), (",", ":")])))
    begin = data.draw(st.integers(0, len(written)))
    end = data.draw(st.integers(begin, len(written)))
    between = data.draw(st.text('0123456789.-eE+[]{},:" tfrualsxdn', max_size=12))
    given_body = (written[:begin] + between + written[end:]).encode()
    fresh, knowing = read(codec(*inputs), given_body), read(taught(*inputs), given_body)
    assert (fresh is None) == (knowing is None)
    if fresh is not None and knowing is not None:
        assert (fresh[1], list(fresh[0])) == (knowing[1], list(knowing[0]))
        for name, array in fresh[0].items():
            np.testing.assert_array_equal(array, knowing[0][name])


def test_more_layouts_than_are_kept_are_read_right() -> None:
    made = codec(X)
    for _ in range(2):
        for rows in range(1, 2 * MAX_LAYOUTS):
            feeds, count = read(made, body(x([rows, *[0] * (2 * rows - 1)]))) or ({}, 0)
            assert (count, feeds["x"].shape, feeds["x"][0, 0]) == (rows, (rows, 2), rows)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param([TensorSpec("s", Datatype.BYTES, ("N",))], [X], id="strings in"),
        pytest.param([X], [TensorSpec("s", Datatype.BYTES, ("N",))], id="strings out"),
        pytest.param([TensorSpec("x", Datatype.FP32, (4, 2))], [X], id="a fixed leading dimension"),
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
        plain = read(codec(spec), given_body)
        if plain is None:
            continue
        (tensor,) = decode(given_body).inputs
        feeds, rows = plain
        assert (list(feeds), rows) == ([tensor.name], tensor.array.shape[0])
        assert feeds[tensor.name].dtype == tensor.array.dtype
        np.testing.assert_array_equal(feeds[tensor.name], tensor.array)


@given(st.binary(max_size=60))
def test_nothing_is_raised_whatever_the_bytes(given_body: bytes) -> None:
    assert read(codec(X), given_body) is None or decode(given_body)


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
    assert bodies(made.answers(arrays, 1)) == general.parts


@given(st.integers(1, 4), st.integers(1, 3), st.data())
def test_answers_that_are_written_together_are_those_that_are_written_one_by_one(
    count: int, rows: int, data: st.DataObject
) -> None:
    specs = (TensorSpec("y", Datatype.FP32, ("N", 2)), TensorSpec("n", Datatype.INT64, ("N",)))
    floats = st.lists(st.floats(width=32), min_size=2 * count * rows, max_size=2 * count * rows)
    whole: tuple[Any, ...] = (
        np.array(data.draw(floats), np.float32).reshape(-1, 2),
        np.arange(count * rows, dtype=np.int64),
    )
    for made in (PlainJson.of("m", "7", [X], specs), PlainBinary.of("m", "7", [X], specs)):
        assert made is not None
        singly = [[part[at * rows : (at + 1) * rows] for part in whole] for at in range(count)]
        together = made.answers(whole, count)
        assert bodies(together) == [bodies(made.answers(each, 1))[0] for each in singly]
        assert together.json_length == made.answers(singly[0], 1).json_length


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2), min_size=1, max_size=60))
def test_requests_that_are_read_together_are_read_as_each_by_itself(rows: list[list[float]]) -> None:
    made = taught(X)
    known = [made.find(body(x(row)), None) for row in rows]
    assert all(one is not None and one[0] is known[0][0] for one in known if known[0])
    assert known[0] is not None
    together, unread = read_by(made, known[0][0], [one[1] for one in known if one])
    singly = [read(codec(X), body(x(row))) for row in rows]
    assert list(unread) == [place for place, one in enumerate(singly) if one is None]
    for feeds, one in zip(together, [one for one in singly if one is not None], strict=True):
        np.testing.assert_array_equal(feeds["x"], one[0]["x"])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=60))
def test_requests_with_two_inputs_that_are_read_together_are_read_as_each_by_itself(
    requests: list[tuple[float, float, float]],
) -> None:
    made = taught(X, N)
    written = [body(x([first, second]), n([third])) for first, second, third in requests]
    known = [made.find(one, None) for one in written]
    assert known[0] is not None
    together, unread = read_by(made, known[0][0], [one[1] for one in known if one])
    singly = [read(codec(X, N), one) for one in written]
    assert list(unread) == [place for place, one in enumerate(singly) if one is None]
    for feeds, one in zip(together, [one for one in singly if one is not None], strict=True):
        for name, array in one[0].items():
            np.testing.assert_array_equal(feeds[name], array)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(x([1, "]"]), id="an end of a list in a string"),
        pytest.param(x([1, '], "data": [']), id="another list in a string"),
        pytest.param(x([[1, 2]], [1, 2]), id="a nested list"),
        pytest.param(x([1, 2], more=[]), id="a list more"),
        pytest.param(x([1], [1, 2]), id="a number too few"),
    ],
)
def test_of_two_inputs_none_is_read_by_the_place_of(odd: dict[str, Any]) -> None:
    made = taught(X, N)
    for given_body in (body(odd, n([7])), body(n([7]), odd), body(odd), body(odd, n([7]), n([7]))):
        assert read(made, given_body) is None


@pytest.mark.usefixtures("way_to_read")
@pytest.mark.parametrize("company", [0, 1, 80])
@pytest.mark.parametrize("instead", ["9", "-", '"', "{", "5 ", "[[", " ", ""])
def test_a_second_list_without_its_bracket_is_not_read(instead: str, company: int) -> None:
    made = codec(X, N)
    written = body(x([1, 2]), n([7, 7]))
    made.learn(written, None, decode(body(x([1, 2]), n([7, 7]))))
    known = made.find(written, None)
    assert known is not None
    broken = written.replace(b"[7, 7]", instead.encode() + b"7, 7]")
    assert broken != written
    found = made.find(broken, None)
    if found is not None:
        _, unread = read_by(made, known[0], [*[known[1]] * company, found[1]])
        assert list(unread) == [company]


def test_requests_that_are_alike_up_to_their_first_list_do_not_displace_each_other() -> None:
    made = codec(X, N)
    for number in range(6):
        made.learn(body(x([1, 2]), n([7]), parameters={"timeout": number + 1}), None, decode(body(x([1, 2]), n([7]))))
    for number in range(6):
        known = made.find(body(x([3, 4]), n([5]), parameters={"timeout": number + 1}), None)
        assert known is not None
        ((feeds,), _) = read_by(made, known[0], [known[1]])
        np.testing.assert_array_equal(feeds["n"], [5])


def test_texts_of_any_length_are_read_by_what_repeats() -> None:
    tokens = TensorSpec("tokens", Datatype.INT64, ("N", "L"))
    mask = TensorSpec("mask", Datatype.INT64, ("N", "L"))
    made = PlainJson.of("m", "7", [tokens, mask], [X])
    assert made is not None

    def text(first: int, length: int) -> bytes:
        lists = [list(range(first, first + length)), [1] * length]
        described = [
            {"name": name, "shape": [1, length], "datatype": "INT64", "data": data}
            for name, data in zip(["tokens", "mask"], lists, strict=True)
        ]
        return body(*described, parameters={"timeout": 250})

    for length in (3, 5):
        assert read(made, text(10, length)) is None
        made.learn(text(10, length), None, decode(text(10, length)))
    for length in (5, 3):
        known = made.find(text(20, length), None)
        assert known is not None
        assert (known[0].rows, known[0].size, known[0].timeout_seconds) == (1, 16 * length, 0.00025)
        ((feeds,), unread) = read_by(made, known[0], [known[1]])
        assert list(unread) == []
        np.testing.assert_array_equal(feeds["tokens"], [list(range(20, 20 + length))])
        np.testing.assert_array_equal(feeds["mask"], [[1] * length])
    assert made.find(text(20, 4), None) is None


@pytest.fixture(params=[True, False], ids=["library", "no library"])
def way_to_read(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the library that reads numbers, and where it wasn't built."""
    if not request.param:
        monkeypatch.setattr("tidegate_runtime.protocol.json_layout.available", lambda: None)


@pytest.mark.usefixtures("way_to_read")
@pytest.mark.parametrize("company", [1, 40], ids=["few", "many"])
@pytest.mark.parametrize(
    "texts",
    [
        (b'[1,"]', b'[",2]'),
        (b"[1,2", b"3],[4]"),
        (b"[1,{]", b"[},2]"),
        (b"[1,]", b"[,2]"),
        (b"[1,[2]", b"[3],4]"),
        (b"[1,true]", b"[1,2]"),
        (b"[1,null]", b"[1,2]"),
        (b"[1,2]", b"[ , ]"),
        (b"[1e,2]", b"[1,2]"),
        (b"[1,1e39]", b"[1,2]"),
        (b"[1]", b"[1,2]"),
        (b"[1,2,3]", b"[1,2]"),
        (b"[]", b"[1,2]"),
        (b"[1,2,]", b"[1,2]"),
        (b"[1,2]\0[1,2]", b"[1,2]"),
        (b"[1,2],", b"[1,2]"),
    ],
)
def test_no_request_is_read_as_a_part_of_another(texts: tuple[bytes, bytes], company: int) -> None:
    made = taught(X)
    known = made.find(body(x([1, 2])), None)
    assert known is not None
    together, unread = read_by(made, known[0], [known[1]] * company)
    assert (len(together), len(unread)) == (company, 0)
    together, unread = read_by(made, known[0], [*[known[1]] * company, *texts, known[1]])
    alone = [place for place, text in enumerate(texts, company) if made.read(known[0], [text]).unread]
    assert alone
    # The library doesn't know whose a NUL is, so it says of all that they aren't read.
    assert list(unread) == alone or (any(b"\0" in text for text in texts) and len(unread) == company + 3)
    for feeds in together:
        np.testing.assert_array_equal(feeds["x"], [[1, 2]])


@pytest.mark.usefixtures("way_to_read")
@pytest.mark.parametrize("text", [b"[]", b"[ ]", b"[1,2]", b"[,]", b"[1"])
@pytest.mark.parametrize("company", [0, 1, 80])
def test_a_list_that_isn_t_of_one_number_is_left_where_one_is_wanted(text: bytes, company: int) -> None:
    made = codec(N)
    given_body = body({"name": "n", "shape": [1], "datatype": "INT8", "data": [7]})
    assert made.decode(given_body, None) is not None
    known = made.find(given_body, None)
    assert known is not None
    together, unread = read_by(made, known[0], [*[known[1]] * company, text])
    assert (len(together), list(unread)) == (company, [company])
    assert len(made.read(known[0], [known[1]] * (company + 1)).feeds) == company + 1


def binary(*tensors: tuple[TensorSpec, Any], **members: Any) -> tuple[bytes, int]:
    """A body with binary tensors, and how much of it is JSON."""
    described = [
        {
            "name": spec.name,
            "shape": list(array.shape),
            "datatype": spec.datatype,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for spec, array in tensors
    ]
    asked = {"parameters": {"binary_data_output": True, **members.pop("parameters", {})}}
    text = json.dumps({"inputs": described, **asked, **members}).encode()
    return text + b"".join(array.tobytes() for _, array in tensors), len(text)


def binary_codec() -> PlainBinary:
    made = PlainBinary.of("m", "7", [X, N], [X])
    assert made is not None
    return made


FLOATS, BYTES = np.array([[1, 2.5], [-3e38, np.nan]], np.float32), np.array([-128, 127], np.int8)


def test_binary_requests_that_repeat_one_are_read_together() -> None:
    made = binary_codec()
    given_body, length = binary((X, FLOATS), (N, BYTES), parameters={"timeout": 500, "priority": 1})
    assert made.find(given_body, length) is None
    made.learn(given_body, length, decode(given_body, length))
    others = [binary((X, FLOATS + n), (N, BYTES), parameters={"timeout": 500, "priority": 1})[0] for n in range(3)]
    known = [made.find(other, length) for other in others]
    layout = known[0][0] if known[0] is not None else None
    assert layout is not None
    assert (layout.rows, layout.size, layout.priority, layout.timeout_seconds) == (2, 18, 1, 0.0005)
    feeds, unread = read_by(made, layout, [one[1] for one in known if one is not None])
    assert (len(feeds), len(unread)) == (3, 0)
    for n, each in enumerate(feeds):
        np.testing.assert_array_equal(each["x"], FLOATS + n)
        np.testing.assert_array_equal(each["n"], BYTES)


@pytest.mark.parametrize(
    ("members", "tensors"),
    [
        pytest.param({"id": "1"}, [(X, FLOATS), (N, BYTES)], id="an id"),
        pytest.param({"outputs": [{"name": "x"}]}, [(X, FLOATS), (N, BYTES)], id="outputs"),
        pytest.param({"parameters": {"binary_data_output": False}}, [(X, FLOATS), (N, BYTES)], id="an answer in JSON"),
        pytest.param({}, [(N, BYTES), (X, FLOATS)], id="another order"),
    ],
)
def test_of_binary_requests_none_is_noted_with(members: dict[str, Any], tensors: list[Any]) -> None:
    made = binary_codec()
    given_body, length = binary(*tensors, **members)
    made.learn(given_body, length, decode(given_body, length))
    assert made.find(given_body, length) is None


def test_a_binary_body_that_is_longer_or_shorter_isn_t_what_was_noted() -> None:
    made = binary_codec()
    given_body, length = binary((X, FLOATS), (N, BYTES))
    made.learn(given_body, length, decode(given_body, length))
    assert made.find(given_body, length) is not None
    assert made.find(given_body[:-1], length) is None
    assert made.find(given_body + b"\0", length) is None
    assert made.find(given_body, length - 1) is None


@given(st.lists(st.floats(width=32), min_size=2, max_size=6).filter(lambda values: len(values) % 2 == 0))
def test_the_binary_answer_is_the_general_codec_s_to_the_byte(floats: list[float]) -> None:
    array = np.array(floats, np.float32).reshape(-1, 2)
    tensors = (Tensor("x", Datatype.FP32, array),)
    general = encode(InferResponse("m", "7", tensors), InferRequest((), binary=True))
    answers = binary_codec().answers((array,), 1)
    assert (bodies(answers), answers.json_length) == ([b"".join(general.parts)], general.json_length)
