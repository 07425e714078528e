"""One tensor's typed `contents` ↔ numpy, without a silent conversion in either direction.

Each datatype has one repeated field; those without travel raw, which is the form of `protocol.binary_tensors`.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

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

_NARROW: Final = frozenset({Datatype.UINT8, Datatype.UINT16, Datatype.INT8, Datatype.INT16})


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


def _strings(elements: Sequence[bytes], where: str) -> Array:
    array = np.empty(len(elements), np.object_)
    for index, element in enumerate(elements):
        try:
            array[index] = element.decode()
        except UnicodeDecodeError as error:
            raise InvalidTensor(f"{where}: bytes_contents[{index}] is not UTF-8 at its byte {error.start}") from None
    return array


def _encoded(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _check_range(values: Sequence[int], datatype: Datatype, where: str) -> None:
    info = np.iinfo(datatype.numpy)
    wide = np.fromiter(values, np.int64, len(values))
    beyond = np.flatnonzero((wide < info.min) | (wide > info.max))
    if beyond.size:
        raise InvalidTensor(f"{where}[{beyond[0]}] is out of range for {datatype} ({info.min} to {info.max})")
