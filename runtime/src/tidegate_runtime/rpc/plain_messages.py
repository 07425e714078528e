"""The commonest message, with raw contents alone, and its answer: what repeats is all but the tensors' bytes.

A message is its fields one after the other, and two messages' bytes together are one message that has the fields of
both (https://protobuf.dev/programming-guides/encoding/#last-one-wins). Raw contents have the highest number of all
fields, so programs write them last; then whatever comes before them may be known by its bytes, and other contents of
the same lengths behind it make the same request about other numbers. Messages that are written otherwise are read by
the general codec each time.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from google.protobuf.message import DecodeError

from tidegate_runtime.protocol.binary_tensors import blob_of
from tidegate_runtime.protocol.plain import MAX_SHAPES, Answers, keep, shape_of_each, unnamed
from tidegate_runtime.protocol.plain_binary import BinaryLayout, Part, PlainBinary, pieces_of
from tidegate_runtime.rpc.protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from tidegate_runtime.tensors import Array, InferRequest

_RAW_INPUT: Final = b"\x3a"
"""Field 7, of a length: `raw_input_contents`."""

_RAW_OUTPUT: Final = b"\x32"
"""Field 6, of a length: `raw_output_contents`."""


class PlainMessages(PlainBinary):
    """`Plain` for one model's messages; `json_length` is what of a message comes before the first tensor's bytes."""

    def layout_of(
        self, data: bytes, message: ModelInferRequest, request: InferRequest
    ) -> tuple[int, BinaryLayout] | None:
        """How much of `data` repeats, and what it says of the rest; None if it isn't written as above.

        `data` was read as `message`, and that as `request`, which fits the model.
        """
        if not request.binary or not unnamed(request) or not self._asks_for_all(request):
            return None
        if [tensor.name for tensor in request.inputs] != self._inputs:
            return None
        contents = b"".join(_RAW_INPUT + varint(len(raw)) + raw for raw in message.raw_input_contents)
        before = data[: len(data) - len(contents)]
        if not data.endswith(contents) or not _without_contents(before):
            return None
        parts, at, begin = [], len(before), 0
        for tensor, raw in zip(request.inputs, message.raw_input_contents, strict=True):
            if tensor.array.nbytes != len(raw):
                return None
            at += len(_RAW_INPUT + varint(len(raw)))
            begin = begin or at
            parts.append(Part(tensor.name, at - begin, at - begin + len(raw), tensor.array.dtype, tensor.array.shape))
            at += len(raw)
        rows = request.inputs[0].array.shape[0]
        layout = BinaryLayout(rows, at - begin, request.priority, request.timeout_seconds, tuple(parts))
        return begin, layout

    def answers(self, outputs: Sequence[Array], count: int) -> Answers:
        """As `Plain` says."""
        shapes = tuple([shape_of_each(output, count) for output in outputs])
        text = self._texts.get(shapes) or self._text(shapes)
        blobs = [
            pieces_of(blob_of(output, spec.datatype), count)
            for output, spec in zip(outputs, self._outputs, strict=True)
        ]
        if len(blobs) == 1:
            return Answers(text, blobs[0], b"")
        marks = [_RAW_OUTPUT + varint(len(pieces[0])) for pieces in blobs[1:]]
        between = [b"", *marks]
        pieces = [
            b"".join(mark + blob for mark, blob in zip(between, each, strict=True)) for each in zip(*blobs, strict=True)
        ]
        return Answers(text, pieces, b"")

    def _asks_for_all(self, request: InferRequest) -> bool:
        wanted = request.outputs
        plain = wanted is None or not any(output.classes or output.place for output in wanted)
        return plain and (wanted is None or [output.name for output in wanted] == [spec.name for spec in self._outputs])

    def _text(self, shapes: tuple[tuple[int, ...], ...]) -> bytes:
        """An answer for outputs of these shapes, up to the first one's bytes; kept for the next such."""
        message = ModelInferResponse(model_name=self._name, model_version=self._version)
        for spec, shape in zip(self._outputs, shapes, strict=True):
            message.outputs.add(name=spec.name, datatype=spec.datatype.value, shape=shape)
        first = int(np.prod(shapes[0])) * self._outputs[0].datatype.numpy.itemsize
        text = message.SerializeToString() + _RAW_OUTPUT + varint(first)
        return keep(self._texts, shapes, text, MAX_SHAPES)


def _without_contents(data: bytes) -> bool:
    try:
        return not ModelInferRequest.FromString(data).raw_input_contents
    except DecodeError:  # It ends within a field: what looked like contents are bytes of another one.
        return False


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the highest bit set.

    >>> varint(300).hex()
    'ac02'
    """
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
