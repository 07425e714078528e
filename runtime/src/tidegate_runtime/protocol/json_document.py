"""A JSON document from a client: parsed once, its depth bounded, and no member lost.

The parser resolves a member that is given twice silently to the last; here that is refused.
"""

import re
from typing import Any, Final

import orjson

from tidegate_runtime.errors import Malformed

MAX_DEPTH: Final = 64

MAX_CONTAINERS: Final = 1 << 22
"""Objects and lists in a document: each takes two bytes in it, and fifty or more when it is parsed."""

_SHORT: Final = 2048
_GLANCES: Final = 16
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NON_FINITE: Final = re.compile(rb"[+-]?(nan|inf)", re.IGNORECASE)


def parse(text: bytes | bytearray) -> object:
    """The document in `text`, which must be JSON in UTF-8 with finite numbers. Raises `Malformed` naming the place."""
    # Where so many brackets can't be, they aren't counted; those in strings count, too.
    if len(text) > 2 * MAX_CONTAINERS and text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        raise Malformed(f"the body has more than {MAX_CONTAINERS} lists and objects; send data flat, or binary")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        literal = _NON_FINITE.match(text, error.pos)
        if literal or "infinity" in error.msg:
            what = literal.group().decode() if literal else "a number too large for a double"
            place = _place(text, error.pos)
            raise Malformed(f"{place} is {what} (byte {error.pos}); JSON numbers must be finite") from None
        raise Malformed(f"the body is not JSON in UTF-8: {error.msg} at byte {error.pos}") from None


def _place(text: bytes | bytearray, position: int) -> str:
    """What stands there: one of a member's numbers, nested or not, counted as if they were flat, or something else."""
    begin = text.find(b"[", text.rfind(b":", 0, position) + 1, position)
    return "a member" if begin < 0 else f"data[{text.count(b',', begin, position)}]"


def may_hold_booleans(text: bytes | bytearray) -> bool:
    """False only if `text`, a JSON document, holds none: an answer for long lists of numbers, true for anything short.

    Searching for one letter is an order of magnitude faster than searching for a word, and in a document of numbers
    the letters stand in a few names; where they are frequent the answer is true.
    """
    return len(text) < _SHORT or _may_hold(text, b"true") or _may_hold(text, b"false")


def _may_hold(text: bytes | bytearray, word: bytes) -> bool:
    """Looks for the word's third letter and there for the word."""
    place = -1
    for _ in range(_GLANCES):
        place = text.find(word[2], place + 1)
        if place < 0:
            return False
        if text.startswith(word, place - 2):
            return True
    return True


def object_of(value: object, what: str) -> dict[str, Any]:
    """`value` if it is an object, else `Malformed`."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} must be a JSON object")
    return value


def list_of(value: object, what: str) -> list[Any]:
    """`value` if it is a list, else `Malformed`."""
    if not isinstance(value, list):
        raise Malformed(f"{what} must be a list")
    return value


class Members:
    """How many members the objects parsed from `text` have, to find those that the parser dropped as duplicates."""

    __slots__ = ("text", "total")

    def __init__(self, text: bytes | bytearray) -> None:
        self.text = text
        self.total = 0

    def count(self, value: dict[str, Any], known: frozenset[str], depth: int) -> None:
        """Counts the members of `value`, an object at `depth`, and of all that its unknown members hold."""
        self.total += len(value)
        if not value.keys() <= known:
            self.walk([member for name, member in value.items() if name not in known], MAX_DEPTH - depth)

    def walk(self, level: list[Any], levels: int) -> None:
        """Counts the members of all objects in `level` and below. Raises `Malformed` beyond `levels` levels."""
        for _ in range(levels):
            objects = [value for value in level if type(value) is dict]
            self.total += sum(map(len, objects))
            level = [item for value in level if type(value) is list for item in value]
            level += [item for value in objects for item in value.values()]
            if not level:
                return
        raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")

    def refuse_duplicates(self) -> None:
        """Raises `Malformed` if an object names a member twice; all members must have been counted.

        Every member has one colon outside of strings, so more such colons than members that were kept means that some
        were dropped. Counting bytes is far cheaper than a second parse, and strings are cut out only if the quick
        count differs.
        """
        if self.text.count(b":") != self.total and _STRING.sub(b"", self.text).count(b":") != self.total:
            raise Malformed("an object in the body has two members of the same name; send each once")
