"""Where tensors lie in a slab, and the short description of it that travels instead of them. Pure.

Tensors lie one behind the other at multiples of `ALIGNMENT`, so their types and shapes say where each of them is. BYTES
tensors lie there as `encode_strings` makes them.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from tidegate_runtime.tensors import Array, Datatype

ALIGNMENT: Final = 64
"""A cache line, and the widest vector that kernels load at once."""

_DTYPES: Final = tuple(datatype.numpy for datatype in Datatype)
_CODES: Final = {dtype: code for code, dtype in enumerate(_DTYPES)}
_HEAD: Final = struct.Struct("<BB")
_SIZE: Final = struct.Struct("<Q")
_LENGTH: Final = struct.Struct("<I")


class Place(NamedTuple):
    """One tensor in a slab: `size` bytes from `offset` on. A tuple: some are made for every batch of strings."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    size: int


def arrange(tensors: Iterable[tuple[np.dtype[Any], tuple[int, ...], int]]) -> tuple[Place, ...]:
    """The places of tensors given as type, shape and bytes."""
    places, end = [], 0
    for dtype, shape, size in tensors:
        offset = -(-end // ALIGNMENT) * ALIGNMENT
        places.append(Place(dtype, shape, offset, size))
        end = offset + size
    return tuple(places)


def end_of(places: Sequence[Place]) -> int:
    """How many bytes of a slab the places take."""
    return places[-1].offset + places[-1].size if places else 0


def numeric_size(dtype: np.dtype[Any], shape: Iterable[int]) -> int:
    """The bytes of a tensor of anything but strings."""
    count = dtype.itemsize
    for size in shape:
        count *= size
    return count


def pack(places: Iterable[Place]) -> bytes:
    """Types and shapes, and the sizes of what strings became. Raises `KeyError` for a type that isn't served."""
    parts = []
    for place in places:
        numbers = (*place.shape, place.size) if place.dtype.hasobject else place.shape
        parts.append(_HEAD.pack(_CODES[place.dtype], len(place.shape)))
        parts.append(struct.pack(f"<{len(numbers)}Q", *numbers))
    return b"".join(parts)


def unpack(description: bytes) -> tuple[Place, ...]:
    """The places that `pack` was given. Raises `struct.error` or `IndexError` for anything else."""
    tensors, at = [], 0
    while at < len(description):
        code, rank = _HEAD.unpack_from(description, at)
        at += _HEAD.size
        dtype = _DTYPES[code]
        shape = struct.unpack_from(f"<{rank}Q", description, at)
        at += rank * _SIZE.size
        if dtype.hasobject:
            (size,) = _SIZE.unpack_from(description, at)
            at += _SIZE.size
        else:
            size = numeric_size(dtype, shape)
        tensors.append((dtype, shape, size))
    return arrange(tensors)


def encode_strings(array: Array) -> bytes:
    """Each string in C order as UTF-8 behind its length, four bytes, little-endian.

    Half a surrogate pair passes, so that ONNX Runtime is the one to refuse it, as it does in process.
    """
    parts = []
    for text in array.ravel().tolist():
        raw = text.encode("utf-8", "surrogatepass")
        parts.append(_LENGTH.pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)


def decode_strings(blob: bytes, shape: tuple[int, ...]) -> Array:
    """The array of that shape that `encode_strings` was given. Raises `struct.error` if the bytes end too early."""
    array = np.empty(shape, np.object_)
    flat, at = array.reshape(-1), 0
    for index in range(flat.size):
        (length,) = _LENGTH.unpack_from(blob, at)
        at += _LENGTH.size
        flat[index] = blob[at : at + length].decode("utf-8", "surrogatepass")
        at += length
    return array
