"""Long lists of numbers, cut out of a request's JSON: the rest is parsed as ever, they are read by tidegate_numbers.

That a list is what is thought of it is proved, not searched for. In its place stands a list of one string, the mark,
which the rest spells nowhere else, neither plainly nor with escapes. So where the parser of that text finds a list of
the mark, it has read the very bytes that were put there, outside of any string; and JSON being context-free, any other
list may stand there without a change to what is around it. Nothing is refused here: whatever isn't so is left to the
parse of the whole.
"""

import re
from math import prod
from typing import Final

import numpy as np

from tidegate_numbers import Reader, available
from tidegate_runtime.protocol.json_tensors import CODES, MAX_RANK, parse_data
from tidegate_runtime.tensors import Array, Datatype

LONG_BODY: Final = 2048
LONG_LIST: Final = 1024
"""Bytes from which on a text is worth the look, and a list the call: at half of that they cost what they save."""

SHORT_LISTS: Final = 3
"""Where any member may have a long list, so many are looked at that aren't."""

_MEMBER: Final = b'"data"'
_BEGIN: Final = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*(?=\[)")
_NUMBERS: Final = re.compile(rb"\[[ \t\n\r\[]*[-0-9]")
_NESTED: Final = re.compile(rb"\[[ \t\n\r]*\[")
_MARK: Final = b"tidegate's list "


class Unproved(Exception):
    """A list is not what was thought: the whole text has to be parsed."""


class NumberLists:
    """The long lists of one text. `rest` is the text without them."""

    __slots__ = ("_lists", "_reader", "_text", "rest")

    def __init__(
        self, text: bytes | bytearray, rest: bytearray, lists: dict[str, tuple[int, int]], reader: Reader
    ) -> None:
        self.rest = rest
        self._text = text
        self._lists = lists
        self._reader = reader

    @classmethod
    def cut(cls, text: bytes | bytearray, *, named: bool = True) -> "NumberLists | None":
        """What seem to be long lists of numbers, if `named` as members called "data"; None if there are none."""
        reader = available() if len(text) >= LONG_BODY else None
        if reader is None:
            return None
        places = _named_places(text) if named else _places(text)
        if not places:
            return None
        pieces = []
        end = 0
        for start, stop in places:
            pieces.append(text[end:start])
            end = stop
        pieces.append(text[end:])
        if any(b"\\" in piece or _MARK in piece for piece in pieces):
            return None
        rest = bytearray(pieces[0])
        for index, piece in enumerate(pieces[1:]):
            rest += b'["%b%d"]' % (_MARK, index)
            rest += piece
        lists = {f"{_MARK.decode()}{index}": place for index, place in enumerate(places)}
        return cls(text, rest, lists, reader)

    def array(self, data: object, shape: tuple[int, ...], datatype: Datatype, where: str, booleans: bool) -> Array:
        """As `parse_data`, of which `data` is as parsed from `rest`. Raises `Unproved` for a list with any fault."""
        place = self._take(data)
        if place is None:
            return parse_data(data, shape, datatype, where, booleans)
        start, stop = place
        # A number takes two bytes at least, so the shape can't claim memory.
        if datatype not in CODES or prod(shape) > (stop - start) // 2:
            raise Unproved
        array: Array = np.empty(shape, datatype.numpy)
        if _NESTED.match(self._text, start):
            whole = self._reader.read_nested(self._text, start, stop, array)
        else:
            whole = self._reader.read(self._text, start, stop, array) == array.size
        if not whole:
            raise Unproved
        return array

    def column(self, data: object, datatype: Datatype, where: str) -> Array | None:
        """A tensor in the shape of its text: of one list that was cut out, or of rows some of which were; else None.

        Raises `Unproved` for a list with any fault, and `InvalidTensor` for a row that wasn't cut out.
        """
        if not isinstance(data, list):
            return None
        place = self._take(data)
        if place is not None:
            return self._shaped(place, datatype)
        rows = [self._take(row) for row in data]
        first = next((place for place in rows if place is not None), None)
        if first is None:
            return None
        read = self._shaped(first, datatype)
        # A number takes two bytes at least, so the first row can't claim memory for the others.
        if read.ndim >= MAX_RANK or len(rows) * read.size > len(self._text) // 2:
            raise Unproved
        array: Array = np.empty((len(rows), *read.shape), datatype.numpy)
        for row, place, given in zip(array, rows, data, strict=True):
            if place is not None:
                whole = self._reader.read_nested(self._text, *place, row)
            elif whole := read.ndim == 1:
                row[:] = parse_data(given, row.shape, datatype, where)
            if not whole:
                raise Unproved
        return array

    def _take(self, data: object) -> tuple[int, int] | None:
        """Where the list stands whose mark `data` is; once, and None if it is none."""
        if isinstance(data, list) and len(data) == 1 and isinstance(data[0], str):
            return self._lists.pop(data[0], None)
        return None

    def _shaped(self, place: tuple[int, int], datatype: Datatype) -> Array:
        array = self._reader.read_shaped(self._text, *place, datatype.numpy) if datatype in CODES else None
        if array is None:
            raise Unproved
        return array

    def end(self) -> None:
        """Raises `Unproved` if a list was no tensor's data."""
        if self._lists:
            raise Unproved


def _named_places(text: bytes | bytearray) -> list[tuple[int, int]]:
    """Where each long list begins and ends: neither strings nor objects are in it, so it ends before the next.

    The first list of anything else ends the search, which among strings takes a tenth of the time that parsing does.
    """
    places = []
    end = 0
    while (name := text.find(_MEMBER, end)) >= 0:
        end = name + len(_MEMBER)
        begin = _BEGIN.match(text, end)
        if begin is None:
            continue
        start = begin.end()
        if not _NUMBERS.match(text, start):
            break
        quote = text.find(b'"', start)
        brace = text.find(b"}", start, quote if quote >= 0 else len(text))
        limit = brace if brace >= 0 else quote if quote >= 0 else len(text)
        stop = text.rfind(b"]", start, limit) + 1
        if stop - start >= LONG_LIST:
            places.append((start, stop))
            end = stop
    return places


def _places(text: bytes | bytearray) -> list[tuple[int, int]]:
    """The same for lists of any member; after a few that are short, or of anything else, no more is sought."""
    places = []
    short = quote = brace = limit = 0
    while short < SHORT_LISTS and (start := text.find(b"[", limit)) >= 0:
        # Each is looked for once, not from every list on to an end that may be far.
        limit = quote = quote if quote > start else _find(text, b'"', start)
        if limit - start >= LONG_LIST:
            brace = brace if brace > start else _find(text, b"}", start)
            limit = min(quote, brace)
        stop = start
        if limit - start >= LONG_LIST and _NUMBERS.match(text, start):
            stop = text.rfind(b"]", start, limit) + 1
        if stop - start >= LONG_LIST:
            places.append((start, stop))
        else:
            short += 1
    return places


def _find(text: bytes | bytearray, byte: bytes, start: int) -> int:
    """Where it is next, or the text's end."""
    place = text.find(byte, start)
    return place if place >= 0 else len(text)
