"""The reader in C against what it stands for: `orjson.loads` and the standard library's `array`, to the last bit."""

import math
import struct
from array import array
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tidegate_numbers.reader
from tidegate_numbers import Reader, Unavailable, available

CODES = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}
READER = Reader()
ROOM = 64


def present(text: bytes, dtype: str) -> bytes | None:
    """The elements' bytes as Python reads them; None if it refuses."""
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    # To `array` true is 1; the codec looks for it before.
    if type(values) is not list or bool in set(map(type, values)):
        return None
    try:
        numbers: array[Any] = array(CODES[dtype], values)
    except (TypeError, OverflowError):
        return None
    return None if dtype[0] == "f" and not all(map(math.isfinite, numbers)) else numbers.tobytes()


def native(text: bytes, dtype: str) -> bytes | None:
    out = np.empty(ROOM, dtype)
    count = READER.read(text, 0, len(text), out)
    return None if count < 0 else out[:count].tobytes()


def read_amid(text: bytes, dtype: str) -> bytes | None:
    """As `native`, but with the list's last byte followed by what would go on with a number."""
    out = np.empty(ROOM, dtype)
    count = READER.read(memoryview(b"9" + text + b"9]"), 1, 1 + len(text), out)
    return None if count < 0 else out[:count].tobytes()


def texts_near(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Lists of values as several programs write them, most of them whole, some with an edit or two."""
    written = st.one_of(
        values.map(lambda value: orjson.dumps(float(value)).decode()),
        values.map(repr),
        st.builds(lambda value, places: f"{value:.{places}f}", values, st.integers(0, 30)),
        st.builds(lambda value, places: f"{value:.{places}e}", values, st.integers(0, 30)),
    )
    comma = st.sampled_from([",", ", ", " ,", ",\n", "\t,\r"])
    joined = st.builds(lambda items, comma: f"[{comma.join(items)}]".encode(), st.lists(written, max_size=20), comma)
    return st.one_of(joined, st.builds(edited, joined, st.lists(EDITS, max_size=3)))


def edited(text: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for place, cut, put in edits:
        at = int(place * len(text))
        text = text[:at] + put + text[at + cut :]
    return text


PIECES = [bytes([c]) for c in b'0123456789-+.eE,[]{} \n\t\0"tnIN\xef\xa0'] + [b"", b"true", b"null", b"1e400", b"[1]"]
EDITS = st.tuples(st.floats(0, 1), st.integers(0, 2), st.sampled_from(PIECES))
DIGITS = st.text("0123456789", min_size=1, max_size=40)
GRAMMAR = st.builds(
    lambda sign, whole, fraction, power: (sign + (whole.lstrip("0") or "0") + fraction + power).encode(),
    st.sampled_from(["", "-"]),
    DIGITS,
    st.one_of(st.just(""), DIGITS.map(lambda digits: "." + digits)),
    st.one_of(st.just(""), st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), DIGITS)),
)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
INTEGERS = st.one_of(st.integers(-(2**70), 2**70), st.integers(-300, 300))
TEXTS = st.one_of(
    texts_near(st.one_of(DOUBLES, FLOATS)),
    texts_near(INTEGERS),
    GRAMMAR.map(b"[%b]".__mod__),
    st.text("0123456789-+.eE,[] ", max_size=30).map(str.encode),
    st.binary(max_size=20),
)


@settings(max_examples=2000)
@given(text=TEXTS, dtype=st.sampled_from(sorted(CODES)))
def test_any_text_is_read_as_python_reads_it_or_refused_as_there(text: bytes, dtype: str) -> None:
    expected = present(text, dtype)
    assert native(text, dtype) == expected
    assert read_amid(text, dtype) == expected


ITEMS = """
    0 -0 -0.0 -0e0 0e400 0.0e-400 00 01 -01 - +1 .5 1. 1.e1 1e 1e+ 1E+2 1e-2 1.0 1e0 5e-1 1e0005 1e400 -1e400 1e-400
    1e99999999999999999999 0e99999999999999999999 1e-99999999999999999999 123456789012345678901234567890
    127 128 -128 -129 255 256 -1 32767 32768 -32768 -32769 65535 65536
    2147483647 2147483648 -2147483648 -2147483649 4294967295 4294967296
    9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
    18446744073709551615 18446744073709551616 19999999999999999999 99999999999999999999 100000000000000000000
    9007199254740993 9007199254740993.0 9007199254740992.99999999999999999999 8.589934592e9
    3.4028234663852886e38 3.4028235677973366e38 3.4028235677973365e38 1e39 1e-45 7e-46 7.1e-46
    1.7976931348623157e308 1.7976931348623158e308 1.7976931348623159e308 2.2250738585072011e-308
    2.2250738585072014e-308 4.9e-324 2.4703282292062327e-324 2.4703282292062328e-324
    1.00000000000000011102230246251565404236316680908203125 1.00000000000000011102230246251565404236316680908203124
    0.000000000000000000000000000000123456789012345678 0.00001234567890123456789 -0.00000000000000000000
    true null "1" [1] {} NaN Infinity -Infinity nan inf 0x10 1_0 1, ,1 1// 1] [ \\u0031
    """
TABLE = [
    *ITEMS.split(),
    "1" * 400,
    "1 2",
    "1\0",
    "\uff11",
    "\ufeff1",
    "1\u00a0",
    "",
]


@pytest.mark.parametrize("dtype", sorted(CODES))
@pytest.mark.parametrize("item", TABLE)
def test_an_odd_number_is_read_as_python_reads_it(item: str, dtype: str) -> None:
    for text in (f"[{item}]", f" [ {item}\r,\n\t7 ] ", f"[7,{item}", f"[1234567.5,{item}]"):
        assert native(text.encode(), dtype) == present(text.encode(), dtype)


NO_LISTS = "|[|[1|[1,|[1,]|[,]|]|1|[1]1|[1][1]|[[1]]|[ ]|[]]| |[1]\0"


@pytest.mark.parametrize("text", NO_LISTS.split("|"))
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    assert native(text.encode(), "f4") == present(text.encode(), "f4")


@settings(max_examples=1000)
@given(digits=st.integers(1, 2**53 - 1), power=st.integers(-340, 300), below=st.booleans())
def test_a_number_at_the_middle_of_two_doubles_is_rounded_to_even(digits: int, power: int, below: bool) -> None:
    lower = float(f"{digits}e{power}")
    upper = math.nextafter(lower, math.inf)
    if not math.isfinite(upper):
        return
    numerator, denominator = lower.as_integer_ratio()
    other, over = upper.as_integer_ratio()
    # The middle as an integer over a power of two, which has as many decimal places as the power.
    middle, halves = numerator * over + other * denominator, 2 * denominator * over
    places = halves.bit_length() - 1
    text = f"{middle * 5**places}e-{places}".encode()
    text = f"{middle * 5**places * 10 - 1}e-{places + 1}".encode() if below else text
    if len(text) < 1000:
        assert native(b"[%b]" % text, "f8") == struct.pack("d", float(text))


@given(values=st.lists(st.one_of(FLOATS, DOUBLES, INTEGERS), max_size=10), room=st.integers(0, 10))
def test_no_more_is_written_than_there_is_room_for(values: list[float], room: int) -> None:
    text = orjson.dumps([float(value) for value in values])
    memory = np.full(16, 7.0)
    count = READER.read(text, 0, len(text), memory[:room])
    assert count == (len(values) if len(values) <= room else -1)
    assert set(memory[room:]) == {7.0}


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    written=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    edits=st.lists(EDITS, max_size=1),
)
@example(shape=[2, 2], written=[2, 2], edits=[])
@example(shape=[2, 2], written=[2, 2], edits=[(0.99, 0, b",")])
@example(shape=[2, 2], written=[4], edits=[])
def test_nested_lists_are_read_where_they_are_of_the_shape(
    shape: list[int], written: list[int], edits: list[tuple[float, int, bytes]]
) -> None:
    text = edited(orjson.dumps(np.arange(math.prod(written), dtype="i4").reshape(written).tolist()), edits)
    try:
        value = orjson.loads(text)
        expected = np.array(value, dtype=object)
        fits = list(expected.shape) == shape and set(map(type, expected.ravel())) <= {int}
    except ValueError:
        fits = False
    out = np.empty(shape, "i4")
    assert READER.read_nested(text, 0, len(text), out) == fits
    if fits:
        assert out.tolist() == value


@settings(max_examples=500)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    edits=st.lists(EDITS, max_size=2),
    dtype=st.sampled_from(["i4", "f8", "u1"]),
)
@example(shape=[2, 2], edits=[(0.99, 0, b",")], dtype="i4")
@example(shape=[3], edits=[(0.0, 1, b" [ [")], dtype="i4")
def test_lists_are_read_in_the_shape_that_they_have(
    shape: list[int], edits: list[tuple[float, int, bytes]], dtype: str
) -> None:
    text = edited(orjson.dumps(np.arange(math.prod(shape), dtype=dtype).reshape(shape).tolist()), edits)
    read = READER.read_shaped(text, 0, len(text), np.dtype(dtype))
    try:
        value = orjson.loads(text)
        expected = np.array(value, dtype=object)
    except ValueError:
        expected = None
    if expected is None or not expected.ndim or not expected.size:
        assert read is None
        return
    fits = present(orjson.dumps(expected.ravel().tolist()), dtype)
    assert (None if read is None else read.tobytes()) == fits
    if read is not None:
        assert read.shape == expected.shape
        assert read.dtype == dtype


@pytest.mark.parametrize(
    "text",
    ["", "1", "[", "[]", "[[]]", "[[1],[]]", "[[],[1]]", "[[1],[2,3]]", "[[1,2],[3]]", "[[1],2]", "[1,[2]]", "[[1]]]"],
)
def test_lists_that_have_no_shape_are_refused(text: str) -> None:
    given_text = text.encode()
    assert READER.read_shaped(given_text, 0, len(given_text), np.dtype("i4")) is None


@pytest.mark.parametrize(("levels", "fits"), [(32, True), (33, False), (5000, False)])
def test_lists_have_at_most_32_levels(levels: int, fits: bool) -> None:
    text = b"[" * levels + b"1" + b"]" * levels
    assert (READER.read_shaped(text, 0, len(text), np.dtype("i4")) is not None) == fits


@given(
    texts=st.lists(st.tuples(st.integers(1, 3), st.one_of(st.none(), st.binary(max_size=8))), min_size=1, max_size=6),
    dtype=st.sampled_from(sorted(CODES)),
)
def test_many_texts_are_each_read_or_refused_as_alone(texts: list[tuple[int, bytes | None]], dtype: str) -> None:
    rows = [count for count, _ in texts]
    given_texts = [b"[%b]" % b",".join([b"%d" % n] * 2 * n) if odd is None else odd for n, odd in texts]
    out = np.empty((sum(rows), 2), dtype)
    whole = READER.read_many(given_texts, out, rows)
    place = 0
    for text, count, read in zip(given_texts, rows, whole, strict=True):
        alone = native(text, dtype)
        fits = alone is not None and len(alone) == 2 * count * out.itemsize
        if any(b"\0" in text for text in given_texts):
            assert not read
        else:
            assert read == fits
        if read:
            assert out[place : place + count].tobytes() == alone
        place += count


def test_many_texts_have_one_row_each_unless_told() -> None:
    out = np.empty((3, 2), "f4")
    assert list(READER.read_many([b"[1,2]", b"[3]", b"[5,6]"], out)) == [1, 0, 1]
    assert out[[0, 2]].tolist() == [[1, 2], [5, 6]]


@given(
    texts=st.lists(st.sampled_from([b"[1,2]", b" [3, 4] "]) | st.binary(max_size=8), min_size=1, max_size=6),
    dtype=st.sampled_from(sorted(CODES)),
)
def test_rows_are_read_where_all_texts_are(texts: list[bytes], dtype: str) -> None:
    out = np.empty((len(texts), 2), dtype)
    whole = READER.read_many(texts, out)
    rows = READER.read_rows(texts, 2, out.dtype)
    if all(whole):
        assert rows is not None
        np.testing.assert_array_equal(rows, out)
    else:
        assert rows is None


@pytest.mark.parametrize("odd", [b"[1,2]\0[3,4]", b"[1,2]\0", b"\0[1,2]", b"\0"])
def test_a_text_cant_pass_for_two(odd: bytes) -> None:
    for texts in ([odd, b"[5,6]"], [b"[5,6]", odd], [odd, b""], [b"", odd], [odd, odd]):
        assert list(READER.read_many(texts, np.empty((2, 2), "f4"))) == [0, 0]
        assert READER.read_rows(texts, 2, np.dtype("f4")) is None


@pytest.mark.parametrize(
    ("texts", "shape", "rows"),
    [
        ([b"[1]"], (2, 1), None),
        ([b"[1]"], (1,), None),
        ([b"[1]"], (1, 0), None),
        ([b"[1]"], (2, 1), [1]),
        ([b"[1]", b"[1]"], (2, 1), [2]),
        ([b"[1]", b"[1]"], (2, 1), [3, -1]),
        ([b"[1]", b"[1]"], (2, 1), [2, 0]),
        ([], (0, 1), [1]),
    ],
)
def test_texts_that_dont_fill_the_rows_are_the_callers_fault(
    texts: list[bytes], shape: tuple[int, ...], rows: list[int] | None
) -> None:
    with pytest.raises(ValueError, match="don't fill rows"):
        READER.read_many(texts, np.empty(shape, "f4"), rows)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 4), (2, 1), (4, 4)])
def test_places_outside_of_the_text_are_the_callers_fault(start: int, stop: int) -> None:
    for read in (READER.read, READER.read_nested):
        with pytest.raises(ValueError, match="there is no"):
            read(b"[1]", start, stop, np.empty(4, "f4"))
    with pytest.raises(ValueError, match="there is no"):
        READER.read_shaped(b"[1]", start, stop, np.dtype("f4"))


@pytest.mark.parametrize(
    "out", [np.empty((4, 4), "f4")[:, :2], np.empty((2, 3), "f4").T, np.broadcast_to(np.zeros(1), 4)]
)
def test_memory_that_cant_be_written_in_a_row_is_the_callers_fault(out: np.ndarray[Any, Any]) -> None:
    for read in (READER.read, READER.read_nested):
        with pytest.raises(ValueError, match=r"contiguous|read-only"):
            read(b"[1,2]", 0, 5, out)


@pytest.mark.parametrize("dtype", [">f4", "f2", "?", "c8", "U1"])
def test_types_without_numbers_in_json_are_the_callers_fault(dtype: str) -> None:
    with pytest.raises(KeyError):
        READER.read(b"[1]", 0, 3, np.empty(1, dtype))


def test_a_list_may_be_read_from_any_bytes() -> None:
    out = np.empty(2, "i8")
    for text in (b"[1,2]", bytearray(b"[1,2]"), memoryview(b"[1,2]")):
        out[:] = 0
        assert READER.read(text, 0, 5, out) == 2
        assert out.tolist() == [1, 2]


def test_without_the_library_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(tidegate_numbers.reader, "LIBRARY", tmp_path / "none.so")
    with pytest.raises(Unavailable, match="C compiler"):
        Reader()
    assert available.__wrapped__() is None


def test_a_process_has_one_reader() -> None:
    assert available() is available() is not None
