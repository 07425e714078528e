"""Two answers to one request, held against each other. Pure.

Numbers are alike within the tolerance by which a model's rows are proved independent (`model.batchability`): relative
to the row's largest value, since a model that is quantised or computed by another kernel is off by so much whatever the
value is. Everything else has to be equal.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

import numpy as np

from tidegate_runtime.model.batchability import TOLERANCE
from tidegate_runtime.tensors import Array, Datatype, Tensor

BLOCK: Final = 64 * 1024
"""Elements that are looked at together: as doubles they fit a processor's cache, and a large tensor isn't doubled."""

EXACT: Final = frozenset({Datatype.BOOL, Datatype.BYTES})
"""Datatypes of which values have no best one."""


class Difference(NamedTuple):
    """How an output differs.

    Attributes:
        absolute: the largest difference of two values; infinite where they can't be compared.
        relative: the largest, in a row, over the largest value that either answer has in that row.
        alike: whether both answers say the same, within the tolerance.
        rows: those of which the largest value's column was compared; none unless there are rows of several columns.
        moved: of these, the ones where it is another column.
    """

    absolute: float
    relative: float
    alike: bool
    rows: int = 0
    moved: int = 0

    @property
    def same_choice(self) -> bool:
        """Whether the largest value of every row is where it was; whether both are alike, where there is no such."""
        return self.alike or (self.rows > 0 and not self.moved)


INCOMPARABLE: Final = Difference(inf, inf, alike=False)
"""An output that is missing, or has another datatype or shape."""


def differences(own: Sequence[Tensor], other: Mapping[str, Tensor]) -> dict[str, Difference]:
    """How each of our own outputs differs from the other's of that name; what only the other has doesn't count."""
    return {tensor.name: _difference(tensor, other.get(tensor.name)) for tensor in own}


def _difference(own: Tensor, other: Tensor | None) -> Difference:
    if other is None or own.datatype is not other.datatype or own.array.shape != other.array.shape:
        return INCOMPARABLE
    if own.datatype is Datatype.BYTES:
        alike = bool(np.array_equal(own.array, other.array))
        return Difference(0.0, 0.0, alike) if alike else INCOMPARABLE
    return compare(own.array, other.array, own.datatype)


def compare(own: Array, other: Array, datatype: Datatype) -> Difference:
    """How two arrays of numbers of one shape differ. Not-a-numbers are alike, and unlike all else."""
    if not own.size:
        return Difference(0.0, 0.0, alike=True)
    rows = own.shape[0] if own.ndim > 1 else 1
    here, there = own.reshape(rows, -1), other.reshape(rows, -1)
    largest, spread = _extremes(here, there)
    relative = np.divide(
        spread, largest, out=np.where(spread > 0, np.inf, 0.0), where=(largest > 0) & (spread < np.inf)
    )
    absolute, worst = float(spread.max(initial=0.0)), float(relative.max(initial=0.0))
    alike = worst <= TOLERANCE.get(datatype, 0.0)
    if own.ndim != 2 or own.shape[1] < 2 or datatype in EXACT:
        return Difference(absolute, worst, alike)
    moved = int(np.count_nonzero(_best(own, datatype) != _best(other, datatype)))
    return Difference(absolute, worst, alike, rows, moved)


def _best(table: Array, datatype: Datatype) -> Array:
    # numpy knows no order of bfloat16.
    best: Array = (table.astype(np.float32) if datatype is Datatype.BF16 else table).argmax(axis=1)
    return best


def _extremes(own: Array, other: Array) -> tuple[Array, Array]:
    """Of each row the largest finite value, without its sign, and the largest difference."""
    rows, columns = own.shape
    largest, spread = np.zeros(rows), np.zeros(rows)
    wide = max(1, min(columns, BLOCK))
    high = max(1, BLOCK // wide)
    for top in range(0, rows, high):
        for left in range(0, columns, wide):
            block = slice(top, top + high), slice(left, left + wide)
            values, gaps = _block(own[block], other[block])
            np.maximum(largest[top : top + high], values, out=largest[top : top + high])
            np.maximum(spread[top : top + high], gaps, out=spread[top : top + high])
    return largest, spread


def _block(own: Array, other: Array) -> tuple[Array, Array]:
    one, two = own.astype(np.float64), other.astype(np.float64)
    # Integers as they are: doubles don't hold every one of 64 bits.
    alike = own == other if own.dtype.kind in "iu" else (one == two) | (np.isnan(one) & np.isnan(two))
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.abs(one - two)
    gaps[np.isnan(gaps)] = np.inf
    gaps[alike] = 0.0
    gaps[~alike & (gaps == 0.0)] = 1.0  # Neighbours that doubles can't tell apart.
    values = np.maximum(np.abs(one), np.abs(two))
    values[~np.isfinite(values)] = 0.0
    return values.max(axis=1), gaps.max(axis=1)
