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
from tidegate_runtime.protocol.json_tensors import CODES, parse_data
from tidegate_runtime.tensors import Array, Datatype

LONG_BODY: Final = 2048
LONG_LIST: Final = 1024
"""Bytes from which on a text is worth the look, and a list the call: at half of that they cost what they save."""

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
    def cut(cls, text: bytes | bytearray) -> "NumberLists | None":
        """What seem to be lists of numbers as members called "data"; None if there are none that are long."""
        reader = available() if len(text) >= LONG_BODY else None
        places = [] if reader is None else _places(text)
        if reader is None or not places:
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
        place = None
        if isinstance(data, list) and len(data) == 1 and isinstance(data[0], str):
            place = self._lists.pop(data[0], None)
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

    def end(self) -> None:
        """Raises `Unproved` if a list was no tensor's data."""
        if self._lists:
            raise Unproved


def _places(text: bytes | bytearray) -> list[tuple[int, int]]:
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
