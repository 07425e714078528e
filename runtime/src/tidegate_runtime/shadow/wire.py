"""A copy as a request with binary tensors, and what comes back for it. Pure."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from tidegate_runtime.errors import Malformed
from tidegate_runtime.protocol.binary_tensors import Blobs, array_of, blob_of
from tidegate_runtime.tensors import Datatype, Feeds, Tensor, TensorSpec

MAX_JSON_BYTES: Final = 256 * 1024
"""Of an answer, in which each output has a hundred or two: what reads it holds the interpreter all the while."""


class Body(NamedTuple):
    """A request's body in parts, of which the first is its JSON."""

    parts: Sequence[bytes | memoryview]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(map(len, self.parts))


def encode(inputs: Sequence[TensorSpec], feeds: Feeds) -> Body:
    """A request for all outputs as binary tensors."""
    blobs, told = [], []
    for spec in inputs:
        array = feeds[spec.name]
        blob = blob_of(array, spec.datatype)
        blobs.append(blob)
        parameters = {"binary_data_size": len(blob)}
        told.append(
            {"name": spec.name, "datatype": spec.datatype.value, "shape": array.shape, "parameters": parameters}
        )
    text = orjson.dumps({"parameters": {"binary_data_output": True}, "inputs": told})
    return Body([text, *blobs])


def decode(body: bytes, json_length: bytes | None) -> dict[str, Tensor]:
    """The outputs of an answer, by name; `json_length` is how much of it is JSON. Raises `RuntimeFault`."""
    if json_length is None or not json_length.isdigit() or not 0 < int(json_length[:12]) <= len(body):
        raise Malformed("the answer doesn't say how much of it is JSON")
    length = int(json_length)
    if length > MAX_JSON_BYTES:
        raise Malformed(f"the answer has {length} bytes of JSON; the limit is {MAX_JSON_BYTES}")
    view = memoryview(body)
    try:
        document = orjson.loads(view[:length])
        outputs = document["outputs"]
        blobs = Blobs(view[length:])
        tensors = [_tensor(output, blobs) for output in outputs]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise Malformed("the answer's JSON isn't that of outputs with binary tensors") from None
    blobs.end()
    return {tensor.name: tensor for tensor in tensors}


def _tensor(output: Any, blobs: Blobs) -> Tensor:
    name, datatype, shape = output["name"], Datatype(output["datatype"]), tuple(output["shape"])
    size = output["parameters"]["binary_data_size"]
    if not isinstance(name, str) or any(type(number) is not int or number < 0 for number in (size, *shape)):
        raise ValueError
    where = f'output "{name}"'
    return Tensor(name, datatype, array_of(blobs.take(size, where), shape, datatype, where))
