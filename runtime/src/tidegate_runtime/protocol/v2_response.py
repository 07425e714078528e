"""The Open Inference Protocol's infer response: JSON, or JSON with binary tensors behind it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from tidegate_runtime.protocol.binary_tensors import blob_of
from tidegate_runtime.protocol.classification import top_classes
from tidegate_runtime.protocol.json_tensors import data_of
from tidegate_runtime.protocol.shared_tensors import told_place
from tidegate_runtime.tensors import InferRequest, InferResponse, RequestedOutput, SharedTensor, Tensor


class Encoded(NamedTuple):
    """A response's body as parts to be written one after another, without joining them.

    `json_length` is what `Inference-Header-Content-Length` says; None for a body that is JSON and nothing else.
    """

    parts: list[bytes | memoryview]
    json_length: int | None = None

    @property
    def size(self) -> int:
        """All parts together, in bytes."""
        return sum(map(len, self.parts))


def encode(response: InferResponse, request: InferRequest) -> Encoded:
    """The response in the form that `request` asks for, output by output in the order of `response`.

    In JSON `data` is flat, NaN and infinities are null; of an output in shared memory no more is told than its place.
    Raises `InvalidTensor` for FP16 and BF16 in JSON, and for classes of an output that has none.
    """
    blobs: list[bytes | memoryview] = []
    if request.outputs is None:
        outputs = [_output(tensor, request.binary, blobs) for tensor in response.outputs]
    else:
        outputs = [
            _requested(tensor, wanted, request.binary, blobs, response.labels)
            for tensor, wanted in zip(response.outputs, request.outputs, strict=True)
        ]
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        document["id"] = response.id
    document["outputs"] = outputs
    text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return Encoded([text, *blobs], len(text)) if blobs else Encoded([text])


def _requested(
    tensor: Tensor,
    wanted: RequestedOutput,
    binary: bool,
    blobs: list[bytes | memoryview],
    labels: Mapping[str, tuple[str, ...]] | None,
) -> dict[str, Any]:
    if isinstance(tensor, SharedTensor):
        told = {"name": tensor.name, "datatype": tensor.datatype.value, "shape": tensor.array.shape}
        return told | {"parameters": told_place(tensor.place)}
    if wanted.classes:
        tensor = top_classes(tensor, wanted.classes, labels.get(tensor.name) if labels else None)
    return _output(tensor, binary if wanted.binary is None else wanted.binary, blobs)


def _output(tensor: Tensor, binary: bool, blobs: list[bytes | memoryview]) -> dict[str, Any]:
    """The output's JSON; a binary one's bytes are added to `blobs`."""
    array = tensor.array
    output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype.value, "shape": array.shape}
    if binary:
        blobs.append(blob_of(array, tensor.datatype))
        output["parameters"] = {"binary_data_size": len(blobs[-1])}
    else:
        output["data"] = data_of(array, tensor.datatype, tensor.name)
    return output
