"""JSON bodies that differ in the numbers of their one tensor alone, recognised by what stands around these."""

from array import array as number_array
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any, Final

import numpy as np
import orjson

from tidegate_numbers import available
from tidegate_runtime.protocol.plain import MAX_LAYOUTS, Known, Layout, keep
from tidegate_runtime.tensors import Array

_DATA: Final = b'"data"'
FEW: Final = 64
"""Up to so many numbers their sum in Python is cheaper than the first of numpy's calls."""

MANY: Final = 64
"""From so many numbers on the call of the library that reads them costs less than it saves."""


@dataclass(frozen=True, slots=True, eq=False)
class JsonLayout(Layout):
    """`behind` is what follows the list of numbers, of which there are `count`."""

    shape: tuple[int, ...] = ()
    count: int = 0
    behind: bytes = b""


class JsonLayouts:
    """The layouts of one model with a single input, by what stands before its numbers."""

    def __init__(self, code: str, dtype: "np.dtype[Any]", may_overflow: bool) -> None:
        """`code` is the standard library's for arrays of `dtype`."""
        self._code = code
        self._dtype = dtype
        self._may_overflow = may_overflow
        self._known: dict[bytes, JsonLayout] = {}
        self._reader = available()

    def find(self, body: bytes) -> Known | None:
        """The request, if its layout is known."""
        begin = body.find(b"[", body.find(_DATA))
        layout = self._known.get(body[:begin])
        if layout is None or not body.endswith(layout.behind):
            return None
        return layout, body[begin : len(body) - len(layout.behind)]

    def read(self, layout: Layout, numbers: Sequence[bytes]) -> tuple[Array, Sequence[int]]:
        """The numbers of requests of this layout, one below the other along a new axis 0.

        The second are the places of those that can't be read, which have no row.
        """
        assert isinstance(layout, JsonLayout)
        count = len(numbers)
        if self._reader is None or count * layout.count < MANY:
            made = self._joined(layout, numbers)
            if made is not None:
                return np.ndarray((count, *layout.shape), self._dtype, made), ()
        table = np.empty((count, layout.count), self._dtype)
        whole = self._apart(layout, numbers, table) if self._reader is None else self._reader.read_many(numbers, table)
        if 0 not in whole:
            return table.reshape(count, *layout.shape), ()
        unread = [place for place, read in enumerate(whole) if not read]
        return np.delete(table, unread, axis=0).reshape(-1, *layout.shape), unread

    def _apart(self, layout: JsonLayout, numbers: Sequence[bytes], table: Array) -> bytearray:
        """As the library's `read_many`."""
        whole = bytearray(len(numbers))
        for place, text in enumerate(numbers):
            made = self._joined(layout, [text])
            if made is not None:
                table[place] = made
                whole[place] = 1
        return whole

    def _joined(self, layout: JsonLayout, numbers: Sequence[bytes]) -> "number_array[Any] | None":
        """All numbers in order, read as one list.

        Each text has as many commas as its count of numbers wants; if the whole is a list of so many numbers and of
        nothing else, no comma stands within a string or a deeper list, and none at an end, so each has its count.
        """
        commas = layout.count - 1
        for text in numbers:
            if text.count(b",") != commas or not text.endswith(b"]"):
                return None
        joined = b"[%b]" % b",".join([text[1:-1] for text in numbers])
        # Python takes true for 1 wherever it compares or converts numbers.
        if b"t" in joined or b"f" in joined or joined.find(b"[", 1) >= 0:
            return None
        try:
            made = number_array(self._code, orjson.loads(joined))
        except (orjson.JSONDecodeError, TypeError, OverflowError):
            return None
        if len(made) != len(numbers) * layout.count:
            return None
        return made if not self._may_overflow or finite(made) else None

    def learn(
        self, body: bytes, shape: tuple[int, ...], priority: int = 0, timeout_seconds: float | None = None
    ) -> None:
        """Notes the layout of `body`, which is a request with one tensor of this shape.

        That it may be cut where it is cut is proved: with an empty list in the middle it is the same document but for
        the numbers. JSON being context-free, any other list may stand there, too.
        """
        begin = body.find(b"[", body.find(_DATA))
        end = body.find(b"]", begin) + 1
        # Those of the inputs, the shape and the data; with more there are names that hold some, or lists in the data.
        if body.count(b"[") != 3 or not 0 < begin < end:
            return
        before, behind = body[:begin], body[end:]
        try:
            emptied, root = orjson.loads(b"[]".join((before, behind))), orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        tensor = root["inputs"][0]
        if tensor["data"] and emptied == {**root, "inputs": [{**tensor, "data": []}]}:
            count = prod(shape)
            size = count * self._dtype.itemsize
            layout = JsonLayout(shape[0], size, priority, timeout_seconds, shape, count, behind)
            keep(self._known, before, layout, MAX_LAYOUTS)


def finite(numbers: "number_array[Any]") -> bool:
    """Whether all are finite. A sum of finite FP32 values, in double, can't overflow."""
    return isfinite(sum(numbers)) if len(numbers) <= FEW else bool(np.isfinite(numbers).all())
