"""Lists of numbers read from JSON's text, on the library that the build put beside this file.

What is accepted, and what it becomes to the last bit, is what `orjson.loads` and the standard library's `array` make of
the same text and type; what is refused is left to them, and so is what is wrong with it. Calls go by cffi's ABI mode,
so the library needs no Python to be built.
"""

import re
from array import array
from collections.abc import Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Final

import cffi
import numpy as np
import numpy.typing as npt

LIBRARY: Final = Path(__file__).with_name("_shim.so")
DECLARATIONS: Final = Path(__file__).with_name("shim.h")

_KINDS: Final = {
    np.dtype(name): kind for kind, name in enumerate(("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"))
}
"""The library's numbers for types, as in numbers.c."""

_LEVELS: Final = re.compile(rb"(?:[ \t\n\r]*\[){1,32}")

Text = bytes | bytearray | memoryview
Array = npt.NDArray[Any]


class Unavailable(ImportError):
    """The library isn't there; the text says why."""


class Reader:
    """The library. It keeps nothing, so one is enough for a process, on any number of threads.

    Arrays are C-contiguous and of a native type of `f4`, `f8`, `i1` to `i8` or `u1` to `u8`: `KeyError` for others.
    """

    def __init__(self) -> None:
        """Raises `Unavailable`."""
        ffi = cffi.FFI()
        try:
            ffi.cdef(DECLARATIONS.read_text())
            library: Any = ffi.dlopen(str(LIBRARY))
        except OSError:
            raise Unavailable(
                "tidegate-numbers was built without its library; build it with a C compiler or the package ziglang"
            ) from None
        self._memory: Any = ffi.from_buffer
        self._chars: Any = ffi.typeof("char[]")
        self._sizes: Any = ffi.typeof("int64_t[]")
        self._null: Any = ffi.NULL
        # Bound once: a look at the library takes as long as reading a few numbers.
        self._read: Any = library.tg_read
        self._read_nested: Any = library.tg_read_nested
        self._read_many: Any = library.tg_read_many

    def read(self, text: Text, start: int, stop: int, out: Array) -> int:
        """How many numbers `text[start:stop]` has, which are then at the beginning of `out`.

        -1 if it isn't one flat list, all of numbers of `out`'s type, at most as many as `out` has elements; then `out`
        holds anything. `start` and `stop` are positions from 0 to the length: `ValueError` for others.
        """
        _check_place(text, start, stop)
        given = text if type(text) is bytes else self._memory(text)
        place = self._memory(self._chars, out, True)
        count: int = self._read(given, start, stop, _KINDS[out.dtype], place, out.size)
        return count

    def read_nested(self, text: Text, start: int, stop: int, out: Array) -> bool:
        """Whether `text[start:stop]` is lists nested exactly as `out`'s shape says, whose numbers are then in `out`.

        Otherwise it holds anything. An array without dimensions, or without elements, is refused.
        """
        _check_place(text, start, stop)
        return out.size > 0 and self._nested(text, start, stop, out, array("q", out.shape))

    def read_shaped(self, text: Text, start: int, stop: int, dtype: "np.dtype[Any]") -> Array | None:
        """The numbers of `text[start:stop]` in the shape that its lists have; None unless all are as long as the first.

        Also None for empty lists and for more than 32 levels.
        """
        _check_place(text, start, stop)
        levels = _LEVELS.match(text, start, stop)
        if levels is None:
            return None
        # A number takes two bytes at least. Memory beyond those that there are isn't touched, and given back.
        out = np.empty((stop - start) // 2, dtype)
        sizes = array("q", bytes(8 * levels.group().count(b"[")))
        if not self._nested(text, start, stop, out, sizes):
            return None
        out.resize(prod(sizes), refcheck=False)
        return out.reshape(sizes)

    def _nested(self, text: Text, start: int, stop: int, out: Array, sizes: "array[int]") -> bool:
        given = text if type(text) is bytes else self._memory(text)
        place = self._memory(self._chars, out, True)
        held = self._memory(self._sizes, sizes, True)
        rc: int = self._read_nested(given, start, stop, _KINDS[out.dtype], place, out.size, len(sizes), held)
        return rc == 0

    def read_many(self, texts: Sequence[Text], out: Array, rows: Sequence[int] | None = None) -> bytearray:
        """1 for each text that is a flat list of all numbers of its rows of `out`, else 0.

        `out` has two dimensions. Text i has row i, or, if `rows` is given, the next `rows[i]`, of at least one; all
        rows are some text's, or `ValueError` is raised. Rows of a text with 0 hold anything.
        """
        count = len(texts)
        size = out.shape[1] if out.ndim == 2 else 0
        if rows is None:
            fits, counts = count == len(out), self._null
        else:
            fits = len(rows) == count and min(rows, default=1) >= 1 and sum(rows) == len(out)
            counts = self._memory(self._sizes, array("q", rows))
        if not fits or not size:
            raise ValueError(f"{count} texts don't fill rows of {out.shape}")
        whole = bytearray(count)
        # In a list of numbers there is no NUL, so a text that has one makes the count of texts wrong.
        joined = b"\0".join(texts)
        place = self._memory(self._chars, out, True)
        kind = _KINDS[out.dtype]
        unread = self._read_many(joined, len(joined), kind, place, size, counts, count, self._memory(whole))
        return bytearray(count) if unread < 0 else whole

    def read_rows(self, texts: Sequence[Text], size: int, dtype: "np.dtype[Any]") -> Array | None:
        """A row of `size` ≥ 1 numbers for each text, of at least one; None if any isn't a flat list of so many."""
        count = len(texts)
        out = np.empty((count, size), dtype)
        joined = b"\0".join(texts)
        place = self._memory(self._chars, out, True)
        unread = self._read_many(joined, len(joined), _KINDS[dtype], place, size, self._null, count, self._null)
        return out if unread == 0 else None


def _check_place(text: Text, start: int, stop: int) -> None:
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"there is no {start}:{stop} in a text of {len(text)} bytes")


@cache
def available() -> Reader | None:
    """The process's reader; None where the package was built without the library."""
    try:
        return Reader()
    except Unavailable:
        return None
