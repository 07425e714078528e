"""Binary tensor data: elements row-major, little-endian and unpadded; BYTES elements behind their length.

Little-endian is the only byte order that the runtime is built for, so numpy's own types are the wire's.
Sources: Triton's binary tensor data extension; `InferTensorContents` of the gRPC protocol has the same raw form.
"""

from math import prod
from struct import Struct
from typing import Final

import numpy as np

from tidegate_runtime.errors import InvalidTensor, Malformed
from tidegate_runtime.tensors import Array, Datatype

Bytes = bytes | bytearray | memoryview

_LENGTH: Final = Struct("<I")


class Blobs:
    """The bytes behind the JSON, handed out in the order of the inputs."""

    __slots__ = ("_rest",)

    def __init__(self, view: memoryview) -> None:
        self._rest = view

    def take(self, size: int, where: str) -> memoryview:
        """The next `size` bytes. Raises `InvalidTensor` if fewer are left."""
        if size > len(self._rest):
            raise InvalidTensor(
                f'{where}: "binary_data_size" is {size}, but {len(self._rest)} bytes are left of the body'
            )
        blob, self._rest = self._rest[:size], self._rest[size:]
        return blob

    def end(self) -> None:
        """Raises `Malformed` if bytes are left that belong to no input."""
        if len(self._rest):
            raise Malformed(
                f"{len(self._rest)} bytes at the end of the body belong to no input; "
                'each binary input needs its "binary_data_size"'
            )


def array_of(blob: memoryview, shape: tuple[int, ...], datatype: Datatype, where: str) -> Array:
    """An array of `shape` over `blob`, which stays where it is; BYTES become `str`, NaN and infinities pass.

    The array may be unaligned: what runs it copies such an input to an aligned place (`model.alignment`).
    Raises `InvalidTensor` if the sizes contradict each other, a boolean is neither 0 nor 1, or BYTES are not UTF-8.
    """
    count = prod(shape)
    if datatype is Datatype.BYTES:
        return _texts(blob, count, where).reshape(shape)
    dtype = datatype.numpy
    if count * dtype.itemsize != len(blob):
        raise InvalidTensor(
            f"{where}: shape {list(shape)} of {datatype} needs {count * dtype.itemsize} bytes, got {len(blob)}"
        )
    if datatype is Datatype.BOOL:
        _check_booleans(np.frombuffer(blob, np.uint8), where)
    return np.frombuffer(blob, dtype).reshape(shape)


def blob_of(array: Array, datatype: Datatype) -> bytes | memoryview:
    """The elements of `array` as bytes: a view over it where it is contiguous, except for BYTES."""
    if datatype is Datatype.BYTES:
        return b"".join([part for text in map(_encoded, array.flat) for part in (_LENGTH.pack(len(text)), text)])
    return array.ravel().view(np.uint8).data


def _encoded(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _check_booleans(raw: Array, where: str) -> None:
    # numpy takes any byte as a bool, and then computes with it: 2 == True is false, 2 & 1 is 0.
    if len(raw) and raw.max() > 1:
        index = int(np.argmax(raw > 1))
        raise InvalidTensor(f"{where}: data[{index}] is the byte {raw[index]}; BOOL is 0 or 1")


def _texts(blob: memoryview, count: int, where: str) -> Array:
    """`count` strings. ONNX Runtime's Python binding carries UTF-8 alone: of bytes it would take their `repr`."""
    if count * _LENGTH.size > len(blob):
        raise InvalidTensor(f"{where}: {count} elements need at least {count * _LENGTH.size} bytes, got {len(blob)}")
    texts = np.empty(count, object)
    offset = 0
    for index in range(count):
        begin = offset + _LENGTH.size
        if begin > len(blob):
            raise InvalidTensor(f"{where}: the bytes end before the length of data[{index}]; {count} elements expected")
        (length,) = _LENGTH.unpack_from(blob, offset)
        offset = begin + length
        if offset > len(blob):
            left = len(blob) - begin
            raise InvalidTensor(f"{where}: data[{index}] claims {length} bytes, but {left} are left")
        try:
            texts[index] = str(blob[begin:offset], "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidTensor(
                f"{where}: data[{index}] is not UTF-8 at its byte {error.start}, and ONNX Runtime takes text alone; "
                "send arbitrary bytes to an input of UINT8"
            ) from None
    if offset != len(blob):
        raise InvalidTensor(f"{where}: {count} elements end at byte {offset} of {len(blob)}")
    return texts
