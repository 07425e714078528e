"""JSON bodies that differ in their tensors' numbers alone, recognised by what stands around these."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import orjson

from tidegate_numbers import available
from tidegate_runtime.protocol.number_column import NumberColumn
from tidegate_runtime.protocol.plain import MAX_AROUND, MAX_LAYOUTS, Around, Known, Layout, Read, Text, cut, keep
from tidegate_runtime.tensors import Array

_DATA: Final = b'"data"'

MAX_ALIKE: Final = 8
"""Layouts that are the same up to the first list, as of queries with documents of several lengths; the newest stay."""


@dataclass(frozen=True, slots=True, eq=False)
class JsonLayout(Layout):
    """`before` stands before the first list of numbers, `between` them the other texts, and `behind` the last.

    Each list has the numbers of one of the `shapes`, which are `counts`.
    """

    shapes: tuple[tuple[int, ...], ...] = ()
    counts: tuple[int, ...] = ()
    before: bytes = b""
    between: tuple[bytes, ...] = ()
    behind: bytes = b""


class JsonLayouts:
    """The layouts of one model, by what stands before the first list of numbers; `columns` are its inputs, in order."""

    def __init__(self, columns: Sequence[NumberColumn]) -> None:
        self._columns = columns
        self._known: dict[bytes, tuple[JsonLayout, ...]] = {}
        self._reader = available()

    def find(self, body: bytes | bytearray) -> Known | None:
        """The request, if its layout is known; of one with a single tensor the numbers are one text."""
        begin = body.find(b"[", body.find(_DATA))
        if not 0 <= begin <= MAX_AROUND:
            return None
        for layout in self._known.get(bytes(body[:begin]), ()):
            if body.endswith(layout.behind):
                end = len(body) - len(layout.behind)
                numbers = _cut(body, begin, end, layout) if layout.between else cut(body, begin, end)
                if numbers is not None:
                    return layout, numbers
        return None

    def around(self, layout: Layout) -> Around | None:
        """What stands around the numbers, if there is a single list."""
        assert isinstance(layout, JsonLayout)
        return None if layout.between else Around(layout.before + b"[", layout.behind, opening=1)

    def read(self, layout: Layout, numbers: Sequence[Any]) -> Read:
        """The inputs of requests of this layout, by their `Numbers`, and the places of those that can't be read."""
        assert isinstance(layout, JsonLayout)
        if not layout.between:
            (column,), (shape,) = self._columns, layout.shapes
            table, whole = column.read(numbers, layout.counts[0], self._reader)
            unread = [] if whole is None else [place for place, read in enumerate(whole) if not read]
            return Read({column.name: _rows(table, shape, unread)}, len(numbers) - len(unread), unread)
        parts, bad = [], set[int]()
        for column, lists, count in zip(self._columns, zip(*numbers, strict=True), layout.counts, strict=True):
            table, whole = column.read(lists, count, self._reader)
            parts.append(table)
            if whole is not None:
                bad.update(place for place, read in enumerate(whole) if not read)
        unread = sorted(bad)
        blocks = {
            column.name: _rows(table, shape, unread)
            for column, table, shape in zip(self._columns, parts, layout.shapes, strict=True)
        }
        return Read(blocks, len(numbers) - len(unread), unread)

    def learn(
        self, body: bytes, shapes: Sequence[tuple[int, ...]], priority: int = 0, timeout_seconds: float | None = None
    ) -> None:
        """Notes the layout of `body`, a request with the model's inputs in their order, which have these shapes.

        That it may be cut where it is cut is proved: with empty lists in these places it is a document whose tensors'
        data are these lists, and nothing else in it is a list but the inputs and their shapes. JSON being context-free,
        any other lists may stand there, too.
        """
        places = _lists(body, len(shapes))
        # Those of the inputs, and of shape and data of each; with more there are names that hold some, or deeper lists.
        if body.count(b"[") != 1 + 2 * len(shapes) or places is None:
            return
        edges = [0, *[edge for place in places for edge in place], len(body)]
        around = [body[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)]
        if sum(map(len, around)) > MAX_AROUND:
            return
        try:
            emptied = orjson.loads(b"[]".join(around))
        except orjson.JSONDecodeError:
            return
        tensors = emptied["inputs"]
        if len(tensors) != len(shapes) or any(tensor.get("data") != [] for tensor in tensors):
            return
        before, between, behind = around[0], tuple(around[1:-1]), around[-1]
        counts = tuple([prod(shape) for shape in shapes])
        if not all(counts):
            return
        size = sum(count * column.dtype.itemsize for count, column in zip(counts, self._columns, strict=True))
        layout = JsonLayout(
            shapes[0][0], size, priority, timeout_seconds, tuple(shapes), counts, before, between, behind
        )
        others = [known for known in self._known.get(before, ()) if (known.between, known.behind) != (between, behind)]
        keep(self._known, before, (layout, *others)[:MAX_ALIKE], MAX_LAYOUTS)


def _cut(body: bytes | bytearray, begin: int, stop: int, layout: JsonLayout) -> tuple[Text, ...] | None:
    """What stands for the lists of numbers, from `begin` to `stop`; None if it isn't of this layout."""
    texts = []
    for text in layout.between:
        # If a list is none of numbers, this isn't its end, and it is not read.
        end = body.find(b"]", begin) + 1
        if not body.startswith(text, end):
            return None
        texts.append(cut(body, begin, end))
        begin = end + len(text)
    texts.append(cut(body, begin, stop))
    return tuple(texts)


def _lists(body: bytes, number: int) -> list[tuple[int, int]] | None:
    """Where the lists that follow the first `number` times "data" begin and end; None if there are fewer."""
    places, end = [], 0
    for _ in range(number):
        member = body.find(_DATA, end)
        begin = body.find(b"[", member)
        end = body.find(b"]", begin) + 1
        if member < 0 or not 0 < begin < end:
            return None
        places.append((begin, end))
    return places


def _rows(table: Array, shape: tuple[int, ...], unread: Sequence[int]) -> Array:
    """The rows of a table as arrays of this shape, one below the other, without those that weren't read."""
    kept = np.delete(table, unread, axis=0) if unread else table
    return kept.reshape(len(kept) * shape[0], *shape[1:])
