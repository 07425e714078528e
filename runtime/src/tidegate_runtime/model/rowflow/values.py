"""What is known about a tensor of the graph. Pure values."""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np

from tidegate_runtime.tensors import Array

BATCH: Final = "\0batch"
"""The symbol of the batch's size among a dimension's factors."""


SMALL: Final = 64
"""Elements up to which a constant's value is looked at: shapes, axes and bounds are this small, weights are not."""

_NUMBER: Final = "\0number"
"""How symbols of integers begin that may be negative: differences, say. All other symbols are of sizes."""

_count = count()


class Unproved(Exception):
    """The rows can't be shown to stay apart; the text says at which operator and why."""


@dataclass(frozen=True, slots=True)
class Dim:
    """A dimension's size as a product: an integer times named sizes, e.g. 12 times the batch."""

    factor: int
    symbols: tuple[str, ...] = ()

    def __mul__(self, other: "Dim") -> "Dim":
        return Dim(self.factor * other.factor, tuple(sorted(self.symbols + other.symbols)))

    def over(self, other: "Dim") -> "Dim | None":
        """The quotient, if it is one of these products again."""
        rest = Counter(self.symbols)
        rest.subtract(other.symbols)
        if other.factor == 0 or self.factor % other.factor or min(rest.values(), default=0) < 0:
            return None
        return Dim(self.factor // other.factor, tuple(sorted(rest.elements())))

    @property
    def batches(self) -> int:
        """How often the batch's size is a factor."""
        return self.symbols.count(BATCH)

    @property
    def known(self) -> int | None:
        """The size, if no symbol is in it."""
        return None if self.symbols else self.factor

    @property
    def is_size(self) -> bool:
        """Whether it can't be negative."""
        return self.factor >= 0 and not any(symbol.startswith(_NUMBER) for symbol in self.symbols)


def fresh() -> Dim:
    """A size about which nothing is known but that it is the same for every batch of one shape."""
    return Dim(1, (f"\0size{next(_count)}",))


def number() -> Dim:
    """An integer about which nothing is known but that it is the same for every batch of one shape."""
    return Dim(1, (f"{_NUMBER}{next(_count)}",))


ONE: Final = Dim(1)
Dims = tuple[Dim, ...]


def product(dims: Dims) -> Dim:
    """The number of elements of a tensor of this shape."""
    total = ONE
    for dim in dims:
        total *= dim
    return total


def below(dims: Dims | None, rank: int) -> bool:
    """Whether a constant of this shape, aligned at the last of `rank` axes, leaves axis 0 alone; False if unknown."""
    return dims is not None and (len(dims) < rank or (len(dims) == rank and dims[0] == ONE))


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same whatever the batch. `dims` is None where the shape isn't known; `array` only for small constants."""

    dims: Dims | None
    array: Array | None = None


@dataclass(frozen=True, slots=True)
class Extents:
    """Integers computed from shapes: a vector of sizes, or one of them as a scalar."""

    dims: Dims
    scalar: bool = False

    @property
    def array(self) -> Array | None:
        """The numbers, if all of them are known."""
        if any(dim.known is None for dim in self.dims):
            return None
        return np.array([dim.factor for dim in self.dims], np.int64).reshape(() if self.scalar else -1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Axis 0 has `lead` entries, a multiple of the batch's size; each lead/batch of them in turn come from one row.

    `tail` is the shape behind axis 0, None where not even its length is known.
    """

    lead: Dim
    tail: Dims | None

    @property
    def rank(self) -> int | None:
        """The number of axes, if known."""
        return None if self.tail is None else 1 + len(self.tail)


Value = Fixed | Extents | Rows


def constant_shape(value: Value | None) -> Dims:
    """The shape of a tensor that is the same for every batch. Raises `Unproved` if it isn't known to be one."""
    if isinstance(value, Extents):
        if any(dim.batches for dim in value.dims):
            raise Unproved("the batch's size is used as data")
        return () if value.scalar else (Dim(len(value.dims)),)
    if not isinstance(value, Fixed) or value.dims is None:
        raise Unproved("the shape of a constant is not known")
    return value.dims


def rows_of(dims: Dims) -> Rows:
    """Rows of a shape that an operator was asked for.

    Where that is a number that needn't be a size, as -1 isn't, the tensor's size is another, and the same for every
    batch. Raises `Unproved` unless axis 0, and no other, is a multiple of the batch's size.
    """
    if not dims or dims[0].batches != 1 or any(dim.batches for dim in dims[1:]):
        raise Unproved("the result's leading dimension is not provably the batch")
    lead = dims[0] if dims[0].is_size else Dim(1, (BATCH,)) * fresh()
    return Rows(lead, sizes(dims[1:]))


def sizes(dims: Dims) -> Dims:
    """What a tensor's sizes are if these numbers were asked for."""
    return tuple(dim if dim.is_size else fresh() for dim in dims)
