"""Rows of several requests as one batch along axis 0, and back. Pure."""

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np

from tidegate_runtime.errors import ExecutionFailed
from tidegate_runtime.tensors import Array, Feeds

KEPT_BYTES: Final = 256 * 1024
"""From this size on a batch's memory is kept for the next one: the system would map and clear new pages each time."""

_OBJECT_BYTES: Final = 56
"""A Python string's own bytes beside its characters, and the pointer to it."""


def compatibility(feeds: Feeds) -> Hashable:
    """Equal for requests whose rows may share a batch: same inputs, numpy types and shapes behind axis 0."""
    if len(feeds) == 1:
        for name, array in feeds.items():
            return name, array.dtype, array.shape[1:]
    return tuple([(name, array.dtype, array.shape[1:]) for name, array in sorted(feeds.items())])


def whole_shape(feeds: Feeds) -> Hashable:
    """Equal for requests that cost the same where each runs alone: same inputs, numpy types and shapes."""
    return tuple([(name, array.dtype, array.shape) for name, array in sorted(feeds.items())])


def size_in_bytes(feeds: Feeds) -> int:
    """What the request's tensors hold in memory, about."""
    size = 0
    for array in feeds.values():
        size += array.nbytes
        if array.dtype.hasobject:
            size += sum([_OBJECT_BYTES + len(item) for item in array.ravel().tolist()])
    return size


class Assembly:
    """Puts requests' rows below each other, in memory that a large batch leaves to the next one of its shape.

    Only the latest shape's memory is kept. A batch is valid until the next `stack`, and so is an output of the model
    that is an input passed through: `lasting` copies such outputs.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Array] = {}

    def stack(self, requests: Sequence[Feeds], rows: int) -> Feeds:
        """The requests' rows in order, `rows` in all; a single request is passed on uncopied."""
        if len(requests) == 1:
            return requests[0]
        return {name: self._joined(name, [feeds[name] for feeds in requests], rows) for name in requests[0]}

    def split(self, outputs: Sequence[Array], rows: Sequence[int]) -> list[tuple[Array, ...]]:
        """Each request's own rows of every output; see `split`."""
        return split(self.lasting(outputs), rows)

    def lasting(self, outputs: Sequence[Array]) -> Sequence[Array]:
        """The outputs, valid beyond the next `stack`."""
        for kept in self._kept.values():
            outputs = [output.copy() if np.may_share_memory(output, kept) else output for output in outputs]
        return outputs

    def _joined(self, name: str, arrays: list[Array], rows: int) -> Array:
        first = arrays[0]
        row_bytes = first.nbytes // max(1, first.shape[0])
        if rows * row_bytes < KEPT_BYTES or first.dtype.hasobject:
            return np.concatenate(arrays)
        kept = self._kept.get(name)
        if kept is None or kept.shape[0] < rows or kept.dtype != first.dtype or kept.shape[1:] != first.shape[1:]:
            kept = self._kept[name] = np.empty((rows, *first.shape[1:]), first.dtype)
        return np.concatenate(arrays, out=kept[:rows])


def split(outputs: Sequence[Array], rows: Sequence[int]) -> list[tuple[Array, ...]]:
    """Each request's own rows of every output, as views. `rows` are the requests' in the order of their stacking.

    A single request gets the outputs whole, whatever their shape. Raises `ExecutionFailed` if an output of a shared
    batch does not have one row per input row: nobody can say then whose is whose.
    """
    count = len(rows)
    if count == 1:
        return [tuple(outputs)]
    total = sum(rows)
    check_rows(outputs, total)
    each = rows[0]
    if each * count == total and rows.count(each) == count:
        # Iterating over an array makes the views in C, at half the cost of slicing it for each request.
        return list(zip(*[list(output.reshape(count, each, *output.shape[1:])) for output in outputs], strict=True))
    ends = np.cumsum(rows).tolist()
    return [tuple([output[end - own : end] for output in outputs]) for own, end in zip(rows, ends, strict=True)]


def check_rows(outputs: Sequence[Array], rows: int) -> None:
    """Raises `ExecutionFailed` if an output of a shared batch does not have one row per input row."""
    for output in outputs:
        if output.ndim == 0 or output.shape[0] != rows:
            raise ExecutionFailed(f"the model answered shape {list(output.shape)} to a batch of {rows} rows")
