"""What the tool knows of a model: its signature, good inputs for it, and its answers."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from tidegate_conformance.datatypes import Array, Datatype, byte_strings

Feeds = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Spec:
    """A declared input or output; a free dimension is -1."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model of the repository. `answers` and `graphs` are by version; `free` is how free dimensions are filled."""

    name: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    answers: Mapping[str, Callable[[Feeds], Feeds]]
    graphs: Mapping[str, Callable[[], onnx.ModelProto]]
    free: int = 3

    @property
    def latest(self) -> str:
        """The version that answers when a request names none."""
        return max(self.answers, key=int)

    def answer(self, feeds: Feeds, version: str = "") -> Feeds:
        """What the model's `version`, or else the latest, makes of `feeds`."""
        return self.answers[version or self.latest](feeds)

    def example(self, seed: int = 0, free: int = 0) -> Feeds:
        """Good inputs, the same for the same seed, different for another. `free` replaces the model's own size."""
        return {
            spec.name: random_tensor(
                spec.datatype,
                tuple((free or self.free) if size == -1 else size for size in spec.shape),
                zlib.crc32(f"{self.name}/{spec.name}/{seed}".encode()),
            )
            for spec in self.inputs
        }


def random_tensor(datatype: Datatype, shape: tuple[int, ...], seed: int) -> Array:
    """A tensor that uses the datatype's whole range, without NaN and infinity; BYTES are printable."""
    numbers = np.random.default_rng(seed)
    if datatype is Datatype.BOOL:
        return numbers.random(shape) < 0.5
    if datatype is Datatype.BYTES:
        count = int(np.prod(shape))
        return byte_strings([f"{seed:x}·{index}ß{numbers.integers(10**6)}".encode() for index in range(count)], shape)
    if datatype.numpy.kind in "iu":
        limits = np.iinfo(datatype.numpy)
        return numbers.integers(limits.min, limits.max, shape, datatype.numpy, endpoint=True)
    # Quarters between -256 and 256 are exact in every float type, so sums stay exact as well.
    return np.asarray(numbers.integers(-128, 128, shape) / 4).astype(datatype.numpy)
