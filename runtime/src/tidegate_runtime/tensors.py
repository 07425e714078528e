"""Tensors and requests as they travel inside the runtime: numpy arrays with a V2 datatype, no transport, no engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Feeds = Mapping[str, Array]
"""Input name → array: what an engine runs on."""


class Datatype(StrEnum):
    """The Open Inference Protocol's datatypes."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy type of an array of this datatype; BYTES are object arrays of `str`, as ONNX Runtime takes them."""
        return _NUMPY[self]


_NUMPY: Final[dict[Datatype, np.dtype[Any]]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.UINT16: np.dtype(np.uint16),
    Datatype.UINT32: np.dtype(np.uint32),
    Datatype.UINT64: np.dtype(np.uint64),
    Datatype.INT8: np.dtype(np.int8),
    Datatype.INT16: np.dtype(np.int16),
    Datatype.INT32: np.dtype(np.int32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.BF16: np.dtype(ml_dtypes.bfloat16),
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    Datatype.BYTES: np.dtype(np.object_),
}


FLOATS: Final = frozenset({Datatype.FP16, Datatype.BF16, Datatype.FP32, Datatype.FP64})
"""Datatypes of numbers that may be none, or infinite."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array. `array` has the datatype's numpy type and the tensor's shape."""

    name: str
    datatype: Datatype
    array: Array


@dataclass(frozen=True, slots=True)
class SharedSlice:
    """`size` bytes of shared memory, from `offset` on in the region that was registered under that name."""

    region: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class SharedTensor(Tensor):
    """A tensor whose elements are in shared memory.

    An input's `array` has their type and shape alone, an output's has them, too.
    """

    place: SharedSlice


_ANONYMOUS: Final = frozenset({"", "?", "-1", "None"})
"""Names for "some size": "?" is PaddlePaddle's; "None" and "-1" are what frameworks call it, written as text."""


def declared_size(size: int | str | None) -> int | str:
    """What a model file says of a dimension: its size, or a name that stands for one size, or "" for any size.

    Exporters give one name to every dimension that they know nothing of, so such a name says nothing either.
    """
    if isinstance(size, int):
        return size if size >= 0 else ""
    return "" if size is None or size in _ANONYMOUS else size


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A declared input or output.

    In `shape` a string names a free dimension, "" one without a name; equal names stand for equal sizes.
    """

    name: str
    datatype: Datatype
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that a request asks for, and the form it is to have.

    `binary` is None where the request as a whole decides; `classes` > 0 asks for that many best classes instead.
    With a `place` the elements go there, and into the answer no more than where they are.
    """

    name: str
    binary: bool | None = None
    classes: int = 0
    place: SharedSlice | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One request, decoded but not yet held against a signature.

    `outputs` is None when all are wanted; `binary` is how those go out that don't say themselves. `priority` is 0 for
    the default, else 1 for the highest and up. `timeout_seconds` is the client's own bound, from the last byte on.
    `shared` is whether any input or output is in shared memory. `size` is how many bytes it came in, unless that isn't
    known: but for what is in shared memory, no element is longer.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestedOutput, ...] | None = None
    id: str | None = None
    binary: bool = False
    priority: int = 0
    timeout_seconds: float | None = None
    shared: bool = False
    size: int | None = None


@dataclass(frozen=True, slots=True)
class InferResponse:
    """One answer; `id` is the request's, echoed. `labels` names the classes of outputs that are scores by class.

    `leads` tells whether its request's time may stand for that of the batch that it ran in.
    """

    model_name: str
    model_version: str
    outputs: tuple[Tensor, ...]
    id: str | None = None
    labels: Mapping[str, tuple[str, ...]] | None = None
    leads: bool = field(default=False, compare=False)
