"""Requests that repeat earlier ones but for their numbers: what they have in common is read once, numbers together.

A client's requests are written by one program, so all but the numbers repeats, and takes more time to read than they
do. What stands around them is known by its bytes (`Layout`); only what was read whole before, and fits the model, is
noted. Answers to requests that ran together are written together, since they differ in their numbers alone, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeVar

from tidegate_runtime.tensors import Array, Feeds, InferRequest

MAX_BYTES: Final = 1 << 20
"""Of longer bodies the numbers are nearly all the cost, which is the same in the general codec."""

MAX_AROUND: Final = 4 * 1024
"""Bytes around the numbers, at most, in a layout that is kept: names and shapes take some hundreds."""

TOGETHER_BYTES: Final = 16 * 1024
"""Longer bodies, or tensors, are read one by one, where they lie: it takes more to copy them below each other."""

MAX_LAYOUTS: Final = 256
"""Where requests have more counts of rows, or lengths of texts, than these, all are forgotten and read anew."""

MAX_SHAPES: Final = 256
"""Shapes of outputs whose text is kept."""

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What requests have in common that differ in their numbers alone; told apart by identity."""

    rows: int
    size: int
    """Of a request's tensors, in bytes."""
    priority: int = 0
    timeout_seconds: float | None = None


class Answers(NamedTuple):
    """Bodies that differ in a piece in the middle: each is `before`, its piece, `behind`."""

    before: bytes
    pieces: list[bytes]
    behind: bytes
    json_length: int | None = None
    """What `Inference-Header-Content-Length` says; None for bodies that are JSON and nothing else."""


class Around(NamedTuple):
    """What stands before and behind the numbers in every body of a layout, where these are one text."""

    before: bytes
    behind: bytes
    opening: int = 0
    """How many bytes of `before` are the first of each such text."""
    size: int = 0
    """Of the text; 0 if it varies."""


Text = bytes | memoryview

Numbers = Text | tuple[Text, ...]
"""The bytes that hold a request's numbers, of each tensor if they lie apart."""

Known = tuple[Layout, Numbers]
"""A request that repeats: its layout, and the bytes that hold its numbers."""


class Read(NamedTuple):
    """What requests that repeat hold."""

    whole: Feeds
    """The rows of all that were read, below each other."""
    number: int
    """Of requests that were read."""
    unread: Sequence[int] = ()
    """The places, in rising order, of those whose numbers can't be read: they have no feeds."""

    def part(self, start: int, stop: int) -> "Read":
        """The requests from `start` on, before `stop`, as views."""
        count = self.number
        if stop - start == count:
            return self
        whole = self.whole.items()
        each = {name: len(array) // count for name, array in whole}
        return Read({name: array[each[name] * start : each[name] * stop] for name, array in whole}, stop - start)

    @property
    def feeds(self) -> list[Feeds]:
        """Those of each request, as views."""
        whole, count = self.whole, self.number
        if count == 1:
            return [whole]
        if not count:
            return []
        blocks = [array.reshape(count, len(array) // count, *array.shape[1:]) for array in whole.values()]
        if len(blocks) == 1:
            (name,) = whole
            return [{name: array} for array in blocks[0]]
        return [dict(zip(whole, arrays, strict=True)) for arrays in zip(*blocks, strict=True)]


class Plain(Protocol):
    """The codec of a model's requests that repeat, in one form, and of their answers."""

    @property
    def as_text(self) -> bool:
        """Whether answers hold their numbers as text."""

    def find(self, body: bytes | bytearray, json_length: int | None) -> Known | None:
        """The request if what stands around its numbers is known; whether they are numbers hasn't been looked at.

        Of a body over `TOGETHER_BYTES` the numbers are views. `json_length` is how much of it is JSON; None: all.
        """

    def around(self, layout: Layout) -> Around | None:
        """By what `find` knows a body of this layout, if that is all there is to know; it may be known as another's."""

    def read(self, layout: Layout, numbers: Sequence[Numbers]) -> Read:
        """The inputs of requests of this layout."""

    def decode(self, body: bytes | bytearray, json_length: int | None) -> tuple[Feeds, int] | None:
        """The inputs, and the rows of each, of a request whose layout isn't known yet, and is noted; None: not read."""

    def learn(self, body: bytes | bytearray, json_length: int | None, request: InferRequest) -> None:
        """Notes the layout of `body`, which the general codec has read as `request`, if it has one.

        The request fits the model, whether it was taken or refused for load.
        """

    def answers(self, outputs: Sequence[Array], count: int) -> Answers:
        """The answers to `count` requests of as many rows each that ran together, as the general codec writes them."""


def repeatable(request: InferRequest) -> bool:
    """Whether nothing but numbers will differ in requests like this, and they ask for all outputs in one form."""
    return unnamed(request) and request.outputs is None


def unnamed(request: InferRequest) -> bool:
    """Whether nothing but numbers will differ in requests like this."""
    return request.id is None and not request.shared


def cut(body: bytes | bytearray, begin: int, end: int) -> Text:
    """A part of a body: a view over it where it is long."""
    return bytes(body[begin:end]) if len(body) <= TOGETHER_BYTES else memoryview(body)[begin:end]


def keep(known: dict[_K, _V], key: _K, value: _V, most: int) -> _V:
    """`value`, which is kept under `key` from here on; where `most` are kept, all others are forgotten."""
    if len(known) >= most:
        known.clear()
    known[key] = value
    return value


def shape_of_each(output: Array, count: int) -> tuple[int, ...]:
    """The shape of each of `count` requests' equal shares in an output."""
    shape = output.shape
    return shape if count == 1 else (shape[0] // count, *shape[1:])
