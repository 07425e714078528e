"""Tensors of the shared memory extension, as far as a request and an answer tell them. Pure.

Such an input is decoded without its elements: type and shape are held against the signature first, and what isn't the
model's is never read. Source: Triton's shared memory extension.
"""

from collections.abc import Iterable
from math import prod
from typing import Any, Final

import numpy as np

from tidegate_runtime.errors import InvalidTensor
from tidegate_runtime.tensors import Datatype, RequestedOutput, SharedSlice, SharedTensor, Tensor

MAX_SIZE: Final = 2**48
"""No region is that large. Up to here neither numpy's sizes nor a file's offsets overflow."""

_LENGTH_BYTES: Final = 4


def stand_in(name: str, datatype: Datatype, shape: tuple[int, ...], place: SharedSlice, where: str) -> SharedTensor:
    """The input, whose array takes no memory. Raises `InvalidTensor` unless `place` is as large as the shape says.

    Of BYTES, whose size the shape doesn't tell, it has to hold their lengths at least.
    """
    if place.size > MAX_SIZE or place.offset > MAX_SIZE:
        raise InvalidTensor(f"{where}: shared memory has no more than 2^48 bytes; offset or size are beyond")
    count = prod(shape)
    if datatype is Datatype.BYTES:
        if count * _LENGTH_BYTES > place.size:
            raise InvalidTensor(
                f"{where}: {count} elements need at least {count * _LENGTH_BYTES} bytes, "
                f'"shared_memory_byte_size" is {place.size}'
            )
    elif count * datatype.numpy.itemsize != place.size:
        raise InvalidTensor(
            f"{where}: shape {list(shape)} of {datatype} needs {count * datatype.numpy.itemsize} bytes, "
            f'"shared_memory_byte_size" is {place.size}'
        )
    return SharedTensor(name, datatype, np.broadcast_to(np.empty((), datatype.numpy), shape), place)


def in_shared_memory(inputs: Iterable[Tensor], outputs: Iterable[RequestedOutput] | None) -> bool:
    """Whether any of them is."""
    if SharedTensor in map(type, inputs):
        return True
    return outputs is not None and any([output.place is not None for output in outputs])


def told_place(place: SharedSlice) -> dict[str, Any]:
    """The parameters that tell where an output is; the offset only if it isn't 0, as clients send it."""
    told = {"shared_memory_region": place.region, "shared_memory_byte_size": place.size}
    return told | {"shared_memory_offset": place.offset} if place.offset else told
