"""The commonest request of a model, and its answer, at a third of the general codec's cost.

Plain is a request of nothing but the model's inputs, in declared order, flat, of numbers, for all outputs in JSON.
Whatever else a body is, this reader returns None, and the general codec reads it or says what is wrong with it. So
nothing is refused here, and what is accepted is what that one makes of it. Where more dimensions than the leading one
are free, as a text's length is, it reads only what repeats a request that the general codec has read.
"""

from array import array as number_array
from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from tidegate_runtime.protocol.json_layout import JsonLayouts
from tidegate_runtime.protocol.json_tensors import CODES
from tidegate_runtime.protocol.number_column import NumberColumn, finite
from tidegate_runtime.protocol.plain import (
    MAX_BYTES,
    MAX_SHAPES,
    TOGETHER_BYTES,
    Answers,
    Around,
    Known,
    Layout,
    Numbers,
    Read,
    keep,
    repeatable,
    shape_of_each,
)
from tidegate_runtime.tensors import Array, Datatype, Feeds, InferRequest, TensorSpec


class _Input(NamedTuple):
    name: str
    datatype: str
    dtype: np.dtype[Any]
    code: str
    tail: list[int] | None
    """Of a row; None if that varies."""
    kinds: list[type]
    row_size: int
    may_overflow: bool


class PlainJson:
    """The plain codec of one model."""

    as_text: Final = True

    def __init__(self, name: str, version: str, inputs: Sequence[_Input], outputs: Sequence[TensorSpec]) -> None:
        self._inputs = inputs
        self._names = [given.name for given in inputs]
        self._layouts = JsonLayouts(
            [NumberColumn(given.name, given.code, given.dtype, given.may_overflow) for given in inputs]
        )
        self._frames: dict[tuple[tuple[int, ...], ...], list[bytes]] = {}
        self._colons = 1 + 4 * len(inputs)
        self._fixed = all(given.tail is not None for given in inputs)
        head = orjson.dumps({"model_name": name, "model_version": version, "outputs": []})[:-2]
        self._heads = []
        for index, spec in enumerate(outputs):
            declared = orjson.dumps({"name": spec.name, "datatype": spec.datatype.value})[:-1]
            self._heads.append((head if index == 0 else b"]},") + declared + b',"shape":[')

    @classmethod
    def of(
        cls, name: str, version: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> "PlainJson | None":
        """The codec for a model that has plain requests, else None."""
        plain = [_plain_input(spec) for spec in inputs]
        numeric = all(spec.datatype in CODES or spec.datatype is Datatype.BOOL for spec in outputs)
        known = [given for given in plain if given is not None]
        return cls(name, version, known, outputs) if numeric and len(known) == len(plain) else None

    def find(self, body: bytes | bytearray, json_length: int | None) -> Known | None:
        """As `Plain` says."""
        if json_length is not None or len(body) > MAX_BYTES:
            return None
        return self._layouts.find(body)

    def around(self, layout: Layout) -> Around | None:
        """As `Plain` says."""
        return self._layouts.around(layout)

    def read(self, layout: Layout, numbers: Sequence[Numbers]) -> Read:
        """As `Plain` says."""
        return self._layouts.read(layout, numbers)

    def learn(self, body: bytes | bytearray, json_length: int | None, request: InferRequest) -> None:
        """As `Plain` says."""
        if json_length is not None or len(body) > MAX_BYTES or request.binary or not repeatable(request):
            return
        if [tensor.name for tensor in request.inputs] == self._names:
            shapes = [tensor.array.shape for tensor in request.inputs]
            self._layouts.learn(bytes(body), shapes, request.priority, request.timeout_seconds)

    def decode(self, body: bytes | bytearray, json_length: int | None) -> tuple[Feeds, int] | None:
        """As `Plain` says."""
        if json_length is not None or len(body) > TOGETHER_BYTES or not self._fixed:
            return None
        # Python takes true for 1 wherever it compares or converts numbers.
        if body.count(b":") != self._colons or b"true" in body or b"false" in body:
            return None
        try:
            root = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        read = self._read(root)
        if read is not None:
            feeds, _ = read
            self._layouts.learn(bytes(body), [array.shape for array in feeds.values()])
        return read

    def answers(self, outputs: Sequence[Array], count: int) -> Answers:
        """As `Plain` says."""
        if len(outputs) == 1:  # No list of them is made, for a request alone.
            (output,) = outputs
            before, behind = self._framed((shape_of_each(output, count),))
            return Answers(before, _texts(output, count), behind)
        before, *between, behind = self._framed(tuple([shape_of_each(output, count) for output in outputs]))
        texts = [_texts(output, count) for output in outputs]
        pieces = []
        for each in zip(*texts, strict=True):
            parts = [each[0]]
            for text, following in zip(between, each[1:], strict=True):
                parts += [text, following]
            pieces.append(b"".join(parts))
        return Answers(before, pieces, behind)

    def _framed(self, shapes: tuple[tuple[int, ...], ...]) -> list[bytes]:
        """What stands before, between and behind the numbers of outputs of these shapes; kept for the next such."""
        known = self._frames.get(shapes)
        if known is not None:
            return known
        frame = [
            b'%b%b],"data":[' % (head, b",".join([b"%d" % size for size in shape]))
            for head, shape in zip(self._heads, shapes, strict=True)
        ]
        frame.append(b"]}]}")
        return keep(self._frames, shapes, frame, MAX_SHAPES)

    def _read(self, root: Any) -> tuple[Feeds, int] | None:
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
        return feeds, rows


def _texts(output: Array, count: int) -> list[bytes]:
    """The numbers of each of `count` requests' equal shares."""
    return orjson.dumps(output.reshape(count, -1), option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")


def _plain_input(spec: TensorSpec) -> _Input | None:
    code = CODES.get(spec.datatype)
    if code is None or not spec.shape or isinstance(spec.shape[0], int) or 0 in spec.shape:
        return None
    sizes = [size for size in spec.shape[1:] if isinstance(size, int)]
    tail = sizes if len(sizes) + 1 == len(spec.shape) else None
    kinds: list[type] = [int] * len(spec.shape)
    may_overflow = spec.datatype is Datatype.FP32
    dtype = spec.datatype.numpy
    return _Input(spec.name, spec.datatype.value, dtype, code, tail, kinds, prod(sizes), may_overflow)


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
    if given.may_overflow and not finite(numbers):
        return None
    return np.ndarray(shape, given.dtype, numbers)
