"""One tensor's `shape` and `data` as JSON ↔ numpy, without a silent conversion in either direction."""

from array import array as number_array
from collections.abc import Sequence
from itertools import chain
from math import isfinite, prod
from typing import Any, Final

import numpy as np

from tidegate_runtime.errors import InvalidTensor
from tidegate_runtime.tensors import Array, Datatype

MAX_RANK: Final = 32
MAX_DIMENSION: Final = 2**63 - 1

_FLOATS: Final = frozenset({Datatype.FP32, Datatype.FP64})
_BINARY_ONLY: Final = frozenset({Datatype.FP16, Datatype.BF16})
CODES: Final = {
    Datatype.UINT8: "B",
    Datatype.UINT16: "H",
    Datatype.UINT32: "I",
    Datatype.UINT64: "Q",
    Datatype.INT8: "b",
    Datatype.INT16: "h",
    Datatype.INT32: "i",
    Datatype.INT64: "q",
    Datatype.FP32: "f",
    Datatype.FP64: "d",
}
"""The standard library's arrays take integers for integers and numbers for floats, range-checked, at numpy's speed;
numpy would also read numbers out of strings and cut fractions off, so it needs a look at each value's type first."""

_ACCEPTED: Final[dict[Datatype, frozenset[type]]] = {
    **dict.fromkeys(CODES, frozenset({int})),
    **dict.fromkeys(_FLOATS, frozenset({int, float})),
    Datatype.BOOL: frozenset({bool}),
    Datatype.BYTES: frozenset({str}),
}

_FEW: Final = 64
"""Up to so many elements the sum of a Python array is cheaper than the first of numpy's calls."""

_JSON_TYPES: Final[dict[type, str]] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction, an exponent or more than 64 bits",
    str: "a string",
    list: "a list (ragged or nested deeper than its shape)",
    dict: "an object",
    type(None): "null",
}


def parse_shape(value: object, where: str) -> tuple[int, ...]:
    """The shape as given: 0 to 32 integers of at least 1. `where` names the tensor in the error."""
    if not isinstance(value, list):
        raise InvalidTensor(f'{where}: "shape" must be a list of integers')
    if len(value) > MAX_RANK:
        raise InvalidTensor(f'{where}: "shape" has {len(value)} dimensions; the limit is {MAX_RANK}')
    for axis, size in enumerate(value):
        if type(size) is not int or not 1 <= size <= MAX_DIMENSION:
            raise InvalidTensor(f"{where}: shape[{axis}] must be an integer from 1 to 2^63-1, not {_shown(size)}")
    return tuple(value)


def parse_data(data: object, shape: tuple[int, ...], datatype: Datatype, where: str, booleans: bool = True) -> Array:
    """An array of `shape`, from `data` flat in row-major order or nested exactly as `shape` says.

    The shape's product is compared with what was sent before anything is allocated, so a shape can't claim memory.
    `booleans` is whether `data` may hold any, which pass for the numbers 0 and 1 unless each value is looked at.
    """
    if datatype in _BINARY_ONLY:
        raise InvalidTensor(
            f"{where}: {datatype} has no JSON form in the Open Inference Protocol; send it as binary tensor data "
            '("binary_data_size"), or serve a model with FP32 inputs'
        )
    if not isinstance(data, list):
        raise InvalidTensor(f'{where}: "data" must be a list')
    flat = _flatten(data, shape, where) if data and type(data[0]) is list else data
    if len(flat) != prod(shape):
        raise InvalidTensor(f"{where}: shape {list(shape)} needs {prod(shape)} elements, data has {len(flat)}")
    return _to_array(flat, shape, datatype, where, booleans)


def _flatten(data: list[Any], shape: tuple[int, ...], where: str) -> list[Any]:
    if not shape or len(data) != shape[0]:
        raise InvalidTensor(f"{where}: shape {list(shape)} does not fit nested data of {len(data)} rows")
    level = data
    for axis, size in enumerate(shape[1:], start=1):
        if set(map(type, level)) != {list}:
            raise InvalidTensor(f"{where}: data is ragged: a list of {size} expected at each place of axis {axis}")
        lengths = set(map(len, level))
        if lengths != {size}:
            got = ", ".join(map(str, sorted(lengths)))
            raise InvalidTensor(f"{where}: lists at axis {axis} must have {size} elements, got {got}")
        level = list(chain.from_iterable(level))
    return level


def _to_array(flat: list[Any], shape: tuple[int, ...], datatype: Datatype, where: str, booleans: bool) -> Array:
    code = CODES.get(datatype)
    if code is None:
        _check_types(flat, datatype, where)
        return np.array(flat, dtype=datatype.numpy).reshape(shape)
    if booleans:
        _check_types(flat, datatype, where)
    try:
        numbers = number_array(code, flat)
    except (TypeError, OverflowError):
        _check_types(flat, datatype, where)
        raise _out_of_range(flat, datatype, where) from None
    array: Array = np.ndarray(shape, datatype.numpy, numbers)
    if datatype is Datatype.FP32 and not _finite(numbers, array):
        raise _out_of_range(flat, datatype, where)
    return array


def _check_types(flat: list[Any], datatype: Datatype, where: str) -> None:
    accepted = _ACCEPTED[datatype]
    if not set(map(type, flat)) <= accepted:
        index = next(i for i, value in enumerate(flat) if type(value) not in accepted)
        raise InvalidTensor(f"{where}: data[{index}] is {_kind(flat[index])}; {datatype} expected")


def _finite(numbers: "number_array[float]", array: Array) -> bool:
    """Whether no double became an infinity as FP32. A sum of finite FP32 values, in double, can't overflow."""
    return isfinite(sum(numbers)) if len(numbers) <= _FEW else bool(np.isfinite(array).all())


def _out_of_range(flat: Sequence[Any], datatype: Datatype, where: str) -> InvalidTensor:
    info: Any = np.finfo(datatype.numpy) if datatype in _FLOATS else np.iinfo(datatype.numpy)
    # JSON has no infinity, so a value beyond the type's maximum is one that the conversion would have changed.
    low, high = (float(info.min), float(info.max)) if datatype in _FLOATS else (int(info.min), int(info.max))
    index = next((i for i, value in enumerate(flat) if not low <= value <= high), 0)
    return InvalidTensor(f"{where}: data[{index}] is out of range for {datatype} ({low} to {high})")


def _kind(value: object) -> str:
    return _JSON_TYPES.get(type(value), "not JSON")


def _shown(value: object) -> str:
    return str(value) if type(value) is int and abs(value) < 2**64 else _kind(value)


def data_of(array: Array, datatype: Datatype, name: str) -> Array | list[str]:
    """What `data` of the output called `name` holds: its elements flat in row-major order, ready for orjson.

    NaN and infinities become null, for JSON has no form for them; integers are exact to 64 bits.
    """
    if datatype in _BINARY_ONLY:
        raise InvalidTensor(
            f'output "{name}": {datatype} has no JSON form in the Open Inference Protocol; ask for it with '
            '"parameters": {"binary_data": true}, or leave this output out of the request\'s "outputs"'
        )
    if datatype is Datatype.BYTES:
        return [str(value) for value in array.ravel()]
    return array.ravel()
