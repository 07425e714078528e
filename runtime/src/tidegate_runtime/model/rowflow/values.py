"""What is known about a tensor of the graph. Pure values."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from tidegate_runtime.tensors import Array

BATCH: Final = "\0batch"
"""The symbol of the batch's size among a dimension's factors."""


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


def rows_of(dims: Dims) -> Rows:
    """Rows of this shape. Raises `Unproved` unless axis 0, and no other, is a multiple of the batch's size."""
    if not dims or dims[0].batches != 1 or any(dim.batches for dim in dims[1:]):
        raise Unproved("the result's leading dimension is not provably the batch")
    return Rows(dims[0], dims[1:])
