"""The commonest request with binary tensors, and its answer: what repeats is the JSON before the tensors' bytes.

The JSON says what the bytes mean, and with them the request is whole; so a body that repeats it, with as many bytes
behind it, is the same request about other numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, cast

import numpy as np
import orjson

from tidegate_runtime.protocol.binary_tensors import blob_of
from tidegate_runtime.protocol.plain import (
    MAX_AROUND,
    MAX_BYTES,
    MAX_LAYOUTS,
    MAX_SHAPES,
    Answers,
    Around,
    Known,
    Layout,
    Numbers,
    Read,
    Text,
    cut,
    keep,
    repeatable,
    shape_of_each,
)
from tidegate_runtime.tensors import FLOATS, Array, Datatype, Feeds, InferRequest, TensorSpec

_LOOKED_AT: Final = frozenset({Datatype.BOOL, Datatype.BYTES})
"""Datatypes not every byte of which is a value."""


class Part(NamedTuple):
    """Where a tensor lies in what comes behind the text, and what it is."""

    name: str
    begin: int
    end: int
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class BinaryLayout(Layout):
    """`size` is of all that comes behind the text."""

    parts: tuple[Part, ...] = ()
    text: bytes = b""


class PlainBinary:
    """The codec of one model, `Plain` for binary inputs and outputs."""

    as_text: Final = False

    def __init__(self, name: str, version: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self._name = name
        self._version = version
        self._inputs = [spec.name for spec in inputs]
        self._outputs = outputs
        self._known: dict[bytes, BinaryLayout] = {}
        self._texts: dict[tuple[tuple[int, ...], ...], bytes] = {}

    @classmethod
    def of(
        cls,
        name: str,
        version: str,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        *,
        finite: bool = False,
    ) -> Self | None:
        """The codec for a model whose tensors are all as many bytes as they have elements of their type, else None.

        Where numbers have to be `finite`, each is looked at, and floats have none either.
        """
        free = all(spec.shape and isinstance(spec.shape[0], str) for spec in inputs)
        looked_at = _LOOKED_AT | FLOATS if finite else _LOOKED_AT
        sized = looked_at.isdisjoint({spec.datatype for spec in inputs})
        return cls(name, version, inputs, outputs) if free and sized and _plain_outputs(outputs) else None

    def find(self, body: bytes | bytearray, json_length: int | None) -> Known | None:
        """As `Plain` says."""
        if not json_length or json_length > MAX_AROUND or len(body) > MAX_BYTES:
            return None
        layout = self._known.get(bytes(body[:json_length]))
        if layout is None or len(body) - json_length != layout.size:
            return None
        return layout, cut(body, json_length, len(body))

    def around(self, layout: Layout) -> Around | None:
        """As `Plain` says."""
        assert isinstance(layout, BinaryLayout)
        return Around(layout.text, b"", size=layout.size) if layout.size else None

    def read(self, layout: Layout, numbers: Sequence[Numbers]) -> Read:
        """As `Plain` says; any bytes are numbers."""
        assert isinstance(layout, BinaryLayout)
        count = len(numbers)
        joined = cast("Text", numbers[0]) if count == 1 else b"".join(cast("Sequence[Text]", numbers))
        if len(layout.parts) == 1:
            name, _, _, dtype, shape = layout.parts[0]
            return Read({name: np.ndarray((count * shape[0], *shape[1:]), dtype, joined)}, count)
        table = np.ndarray((count, layout.size), np.uint8, joined)
        whole = {
            name: table[:, begin:end].view(dtype).reshape(count * shape[0], *shape[1:])
            for name, begin, end, dtype, shape in layout.parts
        }
        return Read(whole, count)

    def decode(self, body: bytes | bytearray, json_length: int | None) -> tuple[Feeds, int] | None:
        """As `Plain` says: nothing is read but by a layout."""
        del body, json_length
        return None

    def learn(self, body: bytes | bytearray, json_length: int | None, request: InferRequest) -> None:
        """As `Plain` says."""
        if not json_length or json_length > MAX_AROUND or len(body) > MAX_BYTES:
            return
        if not repeatable(request) or not request.binary:
            return
        if [tensor.name for tensor in request.inputs] != self._inputs:
            return
        parts, begin = [], 0
        for tensor in request.inputs:
            array = tensor.array
            parts.append(Part(tensor.name, begin, begin + array.nbytes, array.dtype, array.shape))
            begin += array.nbytes
        # A tensor whose numbers are in the JSON would make this differ.
        if begin == len(body) - json_length:
            rows = request.inputs[0].array.shape[0]
            text = bytes(body[:json_length])
            layout = BinaryLayout(rows, begin, request.priority, request.timeout_seconds, tuple(parts), text)
            keep(self._known, text, layout, MAX_LAYOUTS)

    def answers(self, outputs: Sequence[Array], count: int) -> Answers:
        """As `Plain` says."""
        shapes = tuple([shape_of_each(output, count) for output in outputs])
        text = self._texts.get(shapes) or self._text(shapes)
        blobs = [
            pieces_of(blob_of(output, spec.datatype), count)
            for output, spec in zip(outputs, self._outputs, strict=True)
        ]
        pieces = blobs[0] if len(blobs) == 1 else [b"".join(each) for each in zip(*blobs, strict=True)]
        return Answers(text, pieces, b"", len(text))

    def _text(self, shapes: tuple[tuple[int, ...], ...]) -> bytes:
        """The answer's JSON for outputs of these shapes; kept for the next such."""
        outputs = [
            {
                "name": spec.name,
                "datatype": spec.datatype.value,
                "shape": shape,
                "parameters": {"binary_data_size": int(np.prod(shape)) * spec.datatype.numpy.itemsize},
            }
            for spec, shape in zip(self._outputs, shapes, strict=True)
        ]
        text = orjson.dumps({"model_name": self._name, "model_version": self._version, "outputs": outputs})
        return keep(self._texts, shapes, text, MAX_SHAPES)


def _plain_outputs(outputs: Sequence[TensorSpec]) -> bool:
    return all(spec.datatype is not Datatype.BYTES for spec in outputs)


def pieces_of(blob: bytes | memoryview, count: int) -> list[bytes]:
    """`blob` in `count` equal pieces."""
    each = len(blob) // count
    whole = bytes(blob)
    return [whole[begin : begin + each] for begin in range(0, len(whole), each)] if each else [b""] * count
