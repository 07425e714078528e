"""Requests known as a whole: the same ones as by their heads and bodies, and nothing else is taken for one."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate_runtime.protocol.plain import TOGETHER_BYTES, Layout, Plain
from tidegate_runtime.protocol.plain_binary import PlainBinary
from tidegate_runtime.protocol.plain_json import PlainJson
from tidegate_runtime.protocol.v2_request import decode
from tidegate_runtime.tensors import Datatype, TensorSpec
from tidegate_runtime.web.head import Head, Pattern, pattern_of
from tidegate_runtime.web.whole_pattern import MAX_LENGTHS, WholePattern, whole_pattern

X = TensorSpec("x", Datatype.FP32, ("N", 2))
OTHER = TensorSpec("o", Datatype.FP32, ("N", 2))
BODY = b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2.5,3,4]}],"parameters":{"priority":3}}'
TEXT = (
    b'{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],'
    b'"parameters":{"binary_data_output":true}}'
)
NUMBERS = np.arange(4, dtype=np.float32).tobytes()


def request(body: bytes, before: bytes = b"", length: bytes | None = None) -> bytes:
    digits = b"%d" % len(body) if length is None else length
    return b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\n%bContent-Length: %b\r\nA: b\r\n\r\n%b" % (
        before,
        digits,
        body,
    )


def taught(body: bytes, json_size: int | None, most: int = 1 << 20) -> tuple[Pattern[Head], Plain, WholePattern]:
    """What is known after `body`, the first `json_size` bytes of which are JSON, was read."""
    made: Any = PlainJson if json_size is None else PlainBinary
    form: Plain = made.of("m", "1", [X], [X])
    form.learn(body, json_size, decode(body, json_size, (X,)))
    model: Any = SimpleNamespace(max_body_bytes=most)
    head = Head(b"/v2/models/m/infer", model, True, None, json_size, None, form)
    pattern = pattern_of(request(body), body, head)
    known = form.find(body, json_size)
    assert pattern is not None
    assert known is not None
    whole = whole_pattern(pattern, form, known[0])
    assert whole is not None
    return pattern, form, whole


def apart(pattern: Pattern[Head], form: Plain, data: bytes) -> tuple[int, Layout, Any] | None:
    """As without knowing the whole: by the head, and then by the body."""
    body = pattern.body_at(data)
    known = form.find(data[body:], pattern.head.json_size) if body else None
    return (body, *known) if known is not None else None


FORMS = {"json": (BODY, None), "binary": (TEXT + NUMBERS, len(TEXT))}
TAUGHT = {name: taught(*form) for name, form in FORMS.items()}

ODD = [b"", b"1", b"0", b"[", b"]", b",2", b"\r\n", b" ", b'"']
EDIT = st.tuples(st.integers(0, 300), st.integers(0, 3), st.sampled_from(ODD) | st.binary(max_size=3))


@given(
    st.sampled_from(["json", "binary"]), st.lists(st.integers(-(10**9), 10**9), max_size=40), st.lists(EDIT, max_size=3)
)
@example("json", [], [(0, 0, b"")])
@example("binary", [1, 2, 3, 4], [])
def test_what_is_known_as_a_whole_is_what_is_known_by_its_head_and_its_body(
    form: str, numbers: list[int], changes: list[tuple[int, int, bytes]]
) -> None:
    pattern, codec, whole = TAUGHT[form]
    body = TEXT + np.array(numbers, np.float32).tobytes()
    if form == "json":
        body = BODY.replace(b"1,2.5,3,4", orjson.dumps(numbers)[1:-1])
    data = request(body)
    for place, removed, added in changes:
        data = data[:place] + added + data[place + removed :]
    found, wanted = whole.found(data), apart(pattern, codec, data)
    if found is None:
        # Of lengths, the usual way to write them is known.
        assert wanted is None or b"Content-Length: 0" in data
    else:
        assert wanted == (found[0], whole.layout, found[1])


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (request(BODY), True),
        (request(BODY.replace(b"2.5", b"2.5e-3")), True),
        (request(BODY.replace(b"1,2.5,3,4", b"1")), True),
        (request(BODY.replace(b"1,2.5,3,4", b'"],"data":[1,2,3,4')), True),
        (request(BODY.replace(b"[1,", b"1,")), False),
        (request(BODY.replace(b"3}", b"4}")), False),
        (request(BODY, b"B: c\r\n"), False),
        (request(BODY, length=b"0%d" % len(BODY)), False),
        (request(BODY, length=b"%d" % (len(BODY) - 1)), False),
        (request(BODY) + b"P", False),
        (request(BODY)[:-1], False),
        (request(BODY.replace(b"2.5", b"2" * (TOGETHER_BYTES - len(BODY) + 3))), True),
        (request(BODY.replace(b"2.5", b"2" * (TOGETHER_BYTES - len(BODY) + 4))), False),
        (b"", False),
    ],
)  # fmt: skip
def test_a_request_is_known_by_all_but_its_numbers(data: bytes, known: bool) -> None:
    assert (TAUGHT["json"][2].found(data) is not None) == known


def test_a_body_over_the_models_limit_is_not_known() -> None:
    _, _, whole = taught(BODY, None, len(BODY))
    assert whole.found(request(BODY)) is not None
    assert whole.found(request(BODY.replace(b"2.5", b"2.55"))) is None


def test_one_with_binary_numbers_has_as_many() -> None:
    _, _, whole = TAUGHT["binary"]
    assert whole.found(request(TEXT + NUMBERS)) == (len(request(TEXT + NUMBERS)) - len(TEXT + NUMBERS), NUMBERS)
    assert whole.found(request(TEXT + NUMBERS + NUMBERS)) is None
    assert whole.found(request(TEXT)) is None


def test_a_request_of_two_lists_is_known_by_head_and_body_alone() -> None:
    form = PlainJson.of("m", "1", [X, OTHER], [X])
    assert form is not None
    tensor = {"shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    body = orjson.dumps({"inputs": [{"name": name, **tensor} for name in ("x", "o")]})
    assert form.decode(body, None) is not None
    known = form.find(body, None)
    assert known is not None
    pattern, _, _ = TAUGHT["json"]
    assert whole_pattern(pattern, form, known[0]) is None


def test_places_for_some_lengths_are_kept() -> None:
    _, _, whole = TAUGHT["json"]
    for digits in range(1, 3 * MAX_LENGTHS):
        data = request(BODY.replace(b"2.5", b"2" * digits))
        assert whole.found(data) == (len(data) - len(BODY) + 3 - digits, b"[1,%b,3,4]" % (b"2" * digits))
        assert len(whole.places) <= MAX_LENGTHS


def test_what_is_kept_of_requests_is_numbers_and_goes_with_its_connection() -> None:
    first, second = (taught(BODY, None)[2] for _ in range(2))
    assert first.found(request(BODY)) is not None
    assert not second.places
    assert {type(item) for place in first.places.values() for item in place} == {bytes, int}
    assert all(place.digits.isdigit() for place in first.places.values())
