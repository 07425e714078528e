"""What is asked: a tensor for one of the models, with an id of its own, and what has to come back."""

import struct
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np

from soak.models import MODELS, Model

_NAMES: Final = ("double", "negate", "text", "count")
_WEIGHTS: Final = (55, 32, 10, 3)


@dataclass(frozen=True, slots=True)
class Asked:
    """One inference."""

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


def packed(values: list[Any], datatype: str) -> bytes:
    """The values as binary tensor data."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)
    return np.array(values, np.float32 if datatype == "FP32" else np.int64).tobytes()
