"""What is asked: a tensor for one of the models, and what has to come back.

Most requests come in spells: for a while all clients ask alike, without ids, in requests that differ in their numbers
alone, as those of one program do. Such the server knows by their bytes, reads together, runs as they come, and cuts
their answers out of one text. Their numbers follow from the request's own number, so each answer is its request's and
no other's. Between two such spells each client asks what it likes.
"""

import struct
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np

from soak.models import MODELS, Model

_NAMES: Final = ("double", "negate", "text", "count")
_WEIGHTS: Final = (55, 32, 10, 3)


Layout = tuple[str, tuple[int, int]]
"""A model, and the shape of what it is asked."""

LAYOUTS: Final[tuple[Layout, ...]] = (("double", (1, 4)), ("negate", (1, 8)), ("double", (2, 4)))
"""Of requests without id."""

SPELL: Final = 300
"""Requests."""

_NUMBERS: Final = 2**24
"""As many integers are exact in FP32, and so are their doubles."""
_ELEMENTS: Final = 8
"""Numbers in a request without id, at most: two million in a row have none in common."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One inference; `id` is "" if it has none."""

    model: Model
    id: str
    shape: tuple[int, int]
    values: list[Any]

    @property
    def expected(self) -> list[Any]:
        """The output's values, flat."""
        return [self.model.answer(value) for value in self.values]

    @property
    def nested(self) -> list[list[Any]]:
        """The values by rows."""
        rows, columns = self.shape
        return [self.values[row * columns : (row + 1) * columns] for row in range(rows)]


def draw(random: Random, number: int) -> Asked:
    """The inference of that number; the number makes its id one that no other has."""
    model = MODELS[random.choices(_NAMES, _WEIGHTS)[0]]
    shape = (random.choice((1, 1, 1, 2, 3, 4)), model.columns(random))
    values = [model.draw(random) for _ in range(shape[0] * shape[1])]
    return Asked(model, f"{number}-{random.getrandbits(32):x}", shape, values)


class Spell(NamedTuple):
    """What all clients of a protocol ask for a while. In half of them both ask for the same, in the others not."""

    http: Layout
    grpc: Layout
    binary: bool
    """How it is asked over HTTP."""


def spell(number: int) -> Spell | None:
    """That of the request of that number; None: each asks what it likes."""
    turn, place = divmod(number // SPELL, len(LAYOUTS) + 1)
    if place == len(LAYOUTS):
        return None
    apart = turn % 2
    return Spell(LAYOUTS[place], LAYOUTS[(place + apart) % len(LAYOUTS)], turn // 2 % 2 == apart)


def alike(number: int, layout: Layout) -> Asked:
    """The inference of that number that has no id; all of one layout differ in their numbers alone."""
    name, shape = layout
    model, first = MODELS[name], _ELEMENTS * number
    kind = float if model.datatype == "FP32" else int
    values = [kind((first + place) % _NUMBERS) for place in range(shape[0] * shape[1])]
    return Asked(model, "", shape, values)


def packed(values: list[Any], datatype: str) -> bytes:
    """The values as binary tensor data."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)
    return np.array(values, np.float32 if datatype == "FP32" else np.int64).tobytes()
