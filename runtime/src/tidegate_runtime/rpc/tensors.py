"""One tensor's bytes or typed `contents` ↔ numpy, bounds-checked, without a silent conversion in either direction.

Raw: little-endian, row-major, unpadded; BOOL one byte; BYTES as (uint32 length, bytes) each. Typed: the one repeated
field of the datatype. https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

import struct
from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np

from tidegate_runtime.errors import InvalidTensor
from tidegate_runtime.rpc.protos.inference_pb2 import InferTensorContents
from tidegate_runtime.tensors import Array, Datatype

FIELDS: Final[dict[Datatype, str]] = {
    Datatype.BOOL: "bool_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.BYTES: "bytes_contents",
}
"""Where `contents` holds each datatype; FP16 and BF16 have no field and travel raw."""

_LENGTH: Final = struct.Struct("<I")
_NARROW: Final = frozenset({Datatype.UINT8, Datatype.UINT16, Datatype.INT8, Datatype.INT16})


def from_raw(raw: bytes, shape: tuple[int, ...], datatype: Datatype, where: str) -> Array:
    """A read-only view of `raw` in `shape`, not a copy; for BYTES an array of `str`.

    `where` names the tensor in errors. Nothing is allocated by what the shape claims before the bytes are there.
    """
    if datatype is Datatype.BYTES:
        return _strings(_split(raw, prod(shape), where), where).reshape(shape)
    needed = prod(shape) * datatype.numpy.itemsize
    if len(raw) != needed:
        raise InvalidTensor(
            f"{where}: shape {list(shape)} of {datatype} needs {needed} bytes, its raw_input_contents has {len(raw)}"
        )
    if datatype is Datatype.BOOL:
        _check_booleans(raw, where)
    return np.frombuffer(raw, datatype.numpy).reshape(shape)


def to_raw(array: Array, datatype: Datatype) -> bytes:
    """The tensor's bytes."""
    if datatype is not Datatype.BYTES:
        return array.tobytes()
    parts = []
    for value in array.ravel():
        text = _encoded(value)
        parts += [_LENGTH.pack(len(text)), text]
    return b"".join(parts)


def from_contents(contents: InferTensorContents, shape: tuple[int, ...], datatype: Datatype, where: str) -> Array:
    """An array of `shape` from the one field that may be set."""
    field = FIELDS.get(datatype)
    if field is None:
        raise InvalidTensor(f"{where}: {datatype} has no field in contents; send it as raw_input_contents")
    for descriptor, _ in contents.ListFields():
        if descriptor.name != field:
            raise InvalidTensor(f"{where}: {datatype} goes in {field}, but {descriptor.name} is set")
    values: Sequence[Any] = getattr(contents, field)
    if len(values) != prod(shape):
        raise InvalidTensor(f"{where}: shape {list(shape)} needs {prod(shape)} elements, {field} has {len(values)}")
    if datatype is Datatype.BYTES:
        return _strings(values, where).reshape(shape)
    if datatype in _NARROW:
        _check_range(values, datatype, f"{where}: {field}")
    return np.fromiter(values, datatype.numpy, len(values)).reshape(shape)


def to_contents(array: Array, datatype: Datatype, where: str) -> InferTensorContents:
    """The tensor in its field. Raises `InvalidTensor` for a datatype that has none."""
    field = FIELDS.get(datatype)
    if field is None:
        raise InvalidTensor(
            f"{where}: {datatype} has no field in contents; send the inputs as raw_input_contents, "
            "then outputs are raw, too"
        )
    flat = array.ravel()
    values = [_encoded(value) for value in flat] if datatype is Datatype.BYTES else flat.tolist()
    contents = InferTensorContents()
    getattr(contents, field).extend(values)
    return contents


def _split(raw: bytes, count: int, where: str) -> list[bytes]:
    """The `count` elements that `raw` must hold exactly."""
    if len(raw) < count * _LENGTH.size:
        raise InvalidTensor(f"{where}: {count} elements of BYTES need {count * 4} bytes or more, got {len(raw)}")
    elements = []
    start = 0
    for index in range(count):
        if start + _LENGTH.size > len(raw):
            raise InvalidTensor(f"{where}: element {index} of {count} begins behind the last of {len(raw)} bytes")
        (length,) = _LENGTH.unpack_from(raw, start)
        start += _LENGTH.size
        if start + length > len(raw):
            raise InvalidTensor(f"{where}: element {index} claims {length} bytes; {len(raw) - start} are left")
        elements.append(raw[start : start + length])
        start += length
    if start != len(raw):
        raise InvalidTensor(f"{where}: {len(raw) - start} bytes are left behind element {count - 1}, the last")
    return elements


def _strings(elements: Sequence[bytes], where: str) -> Array:
    array = np.empty(len(elements), np.object_)
    for index, element in enumerate(elements):
        try:
            array[index] = element.decode()
        except UnicodeDecodeError as error:
            raise InvalidTensor(f"{where}: element {index} is not UTF-8 at its byte {error.start}") from None
    return array


def _encoded(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _check_booleans(raw: bytes, where: str) -> None:
    """Any other byte would make a numpy bool that is neither true nor false."""
    beyond = np.flatnonzero(np.frombuffer(raw, np.uint8) > 1)
    if beyond.size:
        raise InvalidTensor(f"{where}: byte {beyond[0]} is {raw[beyond[0]]}; a BOOL is 0 or 1")


def _check_range(values: Sequence[int], datatype: Datatype, where: str) -> None:
    info = np.iinfo(datatype.numpy)
    wide = np.fromiter(values, np.int64, len(values))
    beyond = np.flatnonzero((wide < info.min) | (wide > info.max))
    if beyond.size:
        raise InvalidTensor(f"{where}[{beyond[0]}] is out of range for {datatype} ({info.min} to {info.max})")
