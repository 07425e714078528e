"""The commonest request of a model, and its answer, at a third of the general codec's cost.

Plain is a request of nothing but the model's inputs, in declared order, flat, of numbers, each with one free dimension,
the leading one, for all outputs in JSON. Whatever else a body is, this reader returns None, and the general codec reads
it or says what is wrong with it. So nothing is refused here, and what is accepted is what that one makes of it.
"""

from array import array as number_array
from collections.abc import Sequence
from math import isfinite, prod
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from tidegate_runtime.protocol.json_layout import Layouts
from tidegate_runtime.protocol.json_tensors import CODES
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec

MAX_BYTES: Final = 16 * 1024
"""Of longer bodies the numbers are nearly all the cost, which is the same in the general codec."""

MAX_SHAPES: Final = 256
"""Shapes of outputs whose text is kept."""


class _Input(NamedTuple):
    name: str
    datatype: str
    dtype: np.dtype[Any]
    code: str
    tail: list[int]
    kinds: list[type]
    row_size: int
    may_overflow: bool


class PlainJson:
    """The plain codec of one model."""

    def __init__(self, name: str, version: str, inputs: Sequence[_Input], outputs: Sequence[TensorSpec]) -> None:
        self._inputs = inputs
        self._layouts = Layouts() if len(inputs) == 1 else None
        self._shapes: dict[tuple[int, ...], bytes] = {}
        self._colons = 1 + 4 * len(inputs)
        head = orjson.dumps({"model_name": name, "model_version": version, "outputs": []})[:-2]
        self._heads = []
        for index, spec in enumerate(outputs):
            declared = orjson.dumps({"name": spec.name, "datatype": spec.datatype.value})[:-1]
            self._heads.append((head if index == 0 else b"},") + declared + b',"shape":[')

    @classmethod
    def of(
        cls, name: str, version: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> "PlainJson | None":
        """The codec for a model that has plain requests, else None."""
        plain = [_plain_input(spec) for spec in inputs]
        numeric = all(spec.datatype in CODES or spec.datatype is Datatype.BOOL for spec in outputs)
        known = [given for given in plain if given is not None]
        return cls(name, version, known, outputs) if numeric and len(known) == len(plain) else None

    @property
    def example(self) -> Feeds:
        """Inputs of a plain request of one row; all zero."""
        return {given.name: np.zeros((1, *given.tail), given.dtype) for given in self._inputs}

    def decode(self, body: bytes | bytearray) -> tuple[Feeds, int] | None:
        """The inputs' arrays and how many rows each has; None if `body` is no plain request."""
        if len(body) > MAX_BYTES:
            return None
        if self._layouts is not None and (known := self._layouts.numbers(body)) is not None:
            data, shape = known
            made = _numbers(self._inputs[0], data, shape)
            return None if made is None else ({self._inputs[0].name: made}, shape[0])
        return self._read(body)

    def encode(self, outputs: Sequence[Array]) -> bytes:
        """The answer with all outputs, as the general codec writes it."""
        parts = []
        for head, output in zip(self._heads, outputs, strict=True):
            data = orjson.dumps(output.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
            parts += [head, self._shapes.get(output.shape) or self._shape(output.shape), data]
        parts.append(b"}]}")
        return b"".join(parts)

    def _shape(self, shape: tuple[int, ...]) -> bytes:
        """A shape as it is written, and what follows it; kept for the next output of that shape."""
        text = b'%b],"data":' % b",".join([b"%d" % size for size in shape])
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.clear()
        self._shapes[shape] = text
        return text

    def _read(self, body: bytes | bytearray) -> tuple[Feeds, int] | None:
        # Python takes true for 1 wherever it compares or converts numbers.
        if body.count(b":") != self._colons or b"true" in body or b"false" in body:
            return None
        try:
            root = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if type(root) is not dict or len(root) != 1:
            return None
        tensors = root.get("inputs")
        if type(tensors) is not list or len(tensors) != len(self._inputs):
            return None
        feeds: dict[str, Array] = {}
        rows = 0
        for given, tensor in zip(self._inputs, tensors, strict=True):
            made = _array(given, tensor)
            if made is None or (rows and rows != len(made)):
                return None
            feeds[given.name] = made
            rows = len(made)
        if self._layouts is not None:
            self._layouts.remember(body, root)
        return feeds, rows


def _plain_input(spec: TensorSpec) -> _Input | None:
    code = CODES.get(spec.datatype)
    tail = [size for size in spec.shape[1:] if isinstance(size, int) and size > 0]
    if code is None or not spec.shape or isinstance(spec.shape[0], int) or len(tail) + 1 != len(spec.shape):
        return None
    kinds: list[type] = [int] * len(spec.shape)
    may_overflow = spec.datatype is Datatype.FP32
    dtype = spec.datatype.numpy
    return _Input(spec.name, spec.datatype.value, dtype, code, tail, kinds, prod(tail), may_overflow)


def _array(given: _Input, tensor: Any) -> Array | None:
    if type(tensor) is not dict or len(tensor) != 4:
        return None
    shape, data = tensor.get("shape"), tensor.get("data")
    if tensor.get("name") != given.name or tensor.get("datatype") != given.datatype or type(data) is not list:
        return None
    if type(shape) is not list or shape[1:] != given.tail or list(map(type, shape)) != given.kinds:
        return None
    return _numbers(given, data, tuple(shape))


def _numbers(given: _Input, data: list[Any], shape: tuple[int, ...]) -> Array | None:
    if shape[0] < 1 or len(data) != shape[0] * given.row_size:
        return None
    try:
        numbers = number_array(given.code, data)
    except (TypeError, OverflowError):
        return None
    # A sum of finite FP32 values, in double, can't overflow.
    if given.may_overflow and not isfinite(sum(numbers)):
        return None
    return np.ndarray(shape, given.dtype, numbers)
