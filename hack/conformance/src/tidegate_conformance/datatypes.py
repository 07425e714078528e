"""The protocol's datatypes, what numpy calls them, and their two wire forms: JSON values and little-endian bytes."""

import struct
from enum import StrEnum
from typing import Any, Final

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Datatype(StrEnum):
    """All datatypes of the specification (KServe `required_api.md`, "Tensor Data Types")."""

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
        """The numpy type, in little-endian order; BYTES are object arrays of `bytes`."""
        return _NUMPY[self]


_NUMPY: Final[dict[Datatype, np.dtype[Any]]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype("u1"),
    Datatype.UINT16: np.dtype("<u2"),
    Datatype.UINT32: np.dtype("<u4"),
    Datatype.UINT64: np.dtype("<u8"),
    Datatype.INT8: np.dtype("i1"),
    Datatype.INT16: np.dtype("<i2"),
    Datatype.INT32: np.dtype("<i4"),
    Datatype.INT64: np.dtype("<i8"),
    Datatype.FP16: np.dtype("<f2"),
    Datatype.BF16: np.dtype(ml_dtypes.bfloat16),
    Datatype.FP32: np.dtype("<f4"),
    Datatype.FP64: np.dtype("<f8"),
    Datatype.BYTES: np.dtype(np.object_),
}

INTEGERS: Final = tuple(kind for kind in Datatype if "INT" in kind)
JSON: Final = tuple(kind for kind in Datatype if kind not in {Datatype.FP16, Datatype.BF16})
"""Those with a JSON form: the specification gives 16-bit floats none."""


class WrongBytes(ValueError):
    """Bytes that are no tensor of the datatype and shape they claim."""


def to_bytes(array: Array, datatype: Datatype) -> bytes:
    """The tensor's binary form: row-major, unpadded; BYTES elements each behind their length in four bytes."""
    if datatype is not Datatype.BYTES:
        return np.ascontiguousarray(array, datatype.numpy).tobytes()
    return b"".join(struct.pack("<I", len(value)) + value for value in array.ravel())


def from_bytes(data: bytes, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """The tensor in `data`. Raises `WrongBytes` if its size is not exactly what datatype and shape need."""
    if datatype is Datatype.BYTES:
        return _byte_strings(data, shape)
    needed = int(np.prod(shape, dtype=object)) * datatype.numpy.itemsize
    if len(data) != needed:
        raise WrongBytes(f"{datatype} {list(shape)} needs {needed} bytes, got {len(data)}")
    return np.frombuffer(data, datatype.numpy).reshape(shape)


def _byte_strings(data: bytes, shape: tuple[int, ...]) -> Array:
    values, offset = [], 0
    while offset < len(data):
        if offset + 4 > len(data):
            raise WrongBytes(f"BYTES: {len(data) - offset} bytes left where a 4-byte length is expected")
        (size,) = struct.unpack_from("<I", data, offset)
        offset += 4
        if offset + size > len(data):
            raise WrongBytes(f"BYTES: an element claims {size} bytes, {len(data) - offset} are left")
        values.append(data[offset : offset + size])
        offset += size
    return byte_strings(values, shape)


def byte_strings(values: list[bytes], shape: tuple[int, ...]) -> Array:
    """An object array of `shape`. Raises `WrongBytes` if the number of values doesn't fit."""
    array = np.empty(len(values), np.object_)
    array[:] = values
    if len(values) != int(np.prod(shape, dtype=object)):
        raise WrongBytes(f"BYTES {list(shape)} doesn't hold {len(values)} elements")
    return array.reshape(shape)


def to_json(array: Array, datatype: Datatype, *, nested: bool = False) -> Any:
    """The tensor's `data` in JSON; BYTES must be UTF-8."""
    if datatype is Datatype.BYTES:
        array = np.frompyfunc(lambda value: value.decode(), 1, 1)(array)
    return np.asarray(array).tolist() if nested else np.asarray(array).ravel().tolist()


def from_json(data: Any, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """The tensor in `data`, flat or nested. Raises `WrongBytes` for a wrong count, a wrong type or a lossy value."""
    flat = _flat(data)
    if datatype is Datatype.BYTES:
        if not all(isinstance(value, str) for value in flat):
            raise WrongBytes("BYTES: data holds something that is not a string")
        return byte_strings([value.encode() for value in flat], shape)
    if len(flat) != int(np.prod(shape, dtype=object)):
        raise WrongBytes(f"{datatype} {list(shape)} doesn't hold {len(flat)} elements")
    kind = _json_kind(datatype)
    if wrong := [value for value in flat if type(value) not in kind]:
        raise WrongBytes(f"{datatype}: data holds {wrong[0]!r}")
    try:
        return np.array(flat, datatype.numpy).reshape(shape)
    except OverflowError as error:
        raise WrongBytes(f"{datatype}: {error}") from None


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise WrongBytes(f"data is {type(data).__name__}, not a list")
    flat: list[Any] = []
    for value in data:
        flat.extend(_flat(value) if isinstance(value, list) else [value])
    return flat


def _json_kind(datatype: Datatype) -> tuple[type, ...]:
    if datatype is Datatype.BOOL:
        return (bool,)
    return (int,) if datatype in INTEGERS else (int, float)


def same(left: Array, right: Array) -> bool:
    """Whether both hold the same elements bit by bit: NaN equals NaN, 0.0 isn't -0.0. Shapes count."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype == np.object_:
        return bool((left == right).all()) if left.size else True
    return left.tobytes() == right.tobytes()
