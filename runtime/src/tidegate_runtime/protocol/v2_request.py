"""The Open Inference Protocol's infer request: JSON, JSON with binary tensors behind it, or a tensor's bytes alone.

Strict where silence would change an answer: unknown datatypes, members given twice and extensions that would alter the
result are refused; members and parameters that are merely unknown are ignored, as the protocol asks.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from tidegate_runtime.errors import InvalidRequest, Malformed
from tidegate_runtime.protocol.binary_tensors import Blobs, Bytes, array_of
from tidegate_runtime.protocol.json_document import Members, list_of, may_hold_booleans, object_of, parse
from tidegate_runtime.protocol.json_tensors import parse_data, parse_shape
from tidegate_runtime.protocol.number_lists import NumberLists, Unproved
from tidegate_runtime.protocol.parameters import input_form, output_form, request_parameters
from tidegate_runtime.protocol.raw_request import decode_raw
from tidegate_runtime.protocol.shared_tensors import in_shared_memory, stand_in
from tidegate_runtime.tensors import Array, Datatype, InferRequest, RequestedOutput, Tensor, TensorSpec

MAX_ID_BYTES: Final = 256

_ROOT: Final = frozenset({"id", "parameters", "inputs", "outputs"})
_INPUT: Final = frozenset({"name", "shape", "datatype", "parameters", "data"})
_OUTPUT: Final = frozenset({"name", "parameters"})
_ToArray = Callable[[object, tuple[int, ...], Datatype, str, bool], Array]
"""`parse_data`, or what stands for it."""

_DATATYPES: Final[dict[object, Datatype]] = {datatype.value: datatype for datatype in Datatype}


def parse_header_length(value: str) -> int:
    """`Inference-Header-Content-Length` as a number of bytes. Raises `Malformed` for anything but 1 to 19 digits."""
    if not (value.isascii() and value.isdecimal() and len(value) <= 19):
        raise Malformed("Inference-Header-Content-Length must be a number; send the length of the JSON in bytes")
    return int(value)


def decode(body: Bytes, header_length: int | None = None, inputs: Sequence[TensorSpec] = ()) -> InferRequest:
    """The request in `body`, of which the first `header_length` bytes are JSON: all of them if it is None.

    0 says that the body is the bytes of one tensor; `inputs`, what the model takes, tells its name and shape. Binary
    tensors are views over `body`, without a copy: it must not change while the request lives, and they may be
    unaligned. Raises `Malformed`, `InvalidRequest` or `InvalidTensor`, each naming the place.
    """
    if header_length is None:
        return _json_request(body if isinstance(body, bytes | bytearray) else bytes(body))
    view = memoryview(body)
    if header_length > len(view):
        raise Malformed(
            f"Inference-Header-Content-Length is {header_length}, the body {len(view)} bytes; "
            "send the length of the JSON at its beginning"
        )
    if header_length == 0:
        return decode_raw(view, inputs)
    blobs = Blobs(view[header_length:])
    request = _request(bytes(view[:header_length]), blobs, parse_data, len(view))
    blobs.end()
    return request


def _json_request(text: bytes | bytearray) -> InferRequest:
    """The request in `text`; what is wrong with it is found, and its place told, by the parse of the whole alone."""
    lists = NumberLists.cut(text)
    if lists is not None:
        with suppress(Unproved, InvalidRequest):
            request = _request(lists.rest, None, lists.array, len(text))
            lists.end()
            return request
    return _request(text, None, parse_data, len(text))


def _request(text: bytes | bytearray, blobs: Blobs | None, to_array: _ToArray, size: int) -> InferRequest:
    root = object_of(parse(text), "the body")
    members = Members(text)
    members.count(root, _ROOT, depth=1)
    listed = list_of(root.get("inputs"), '"inputs"')
    if not listed:
        raise InvalidRequest('"inputs" is empty; at least one tensor is needed')
    booleans = may_hold_booleans(text)
    inputs = tuple([_input(value, index, members, booleans, blobs, to_array) for index, value in enumerate(listed)])
    outputs = _outputs(root.get("outputs"), members)
    request_id = _id(root.get("id"))
    asked = request_parameters(root, members)
    members.refuse_duplicates()
    shared = in_shared_memory(inputs, outputs)
    return InferRequest(inputs, outputs, request_id, asked.binary, asked.priority, asked.timeout_seconds, shared, size)


def _input(
    value: object, index: int, members: Members, booleans: bool, blobs: Blobs | None, to_array: _ToArray
) -> Tensor:
    tensor = value if isinstance(value, dict) else object_of(value, f"inputs[{index}]")
    members.count(tensor, _INPUT, depth=3)
    name = _name(tensor, "inputs", index)
    where = f'input "{name}"'
    size, place = (None, None) if tensor.get("parameters") is None else input_form(tensor, where, members)
    datatype = _datatype(tensor.get("datatype"), where)
    shape = parse_shape(tensor.get("shape"), where)
    if place is not None:
        if tensor.get("data") is not None:
            raise InvalidRequest(f'{where}: "data" and "shared_memory_region" exclude each other; send one')
        return stand_in(name, datatype, shape, place, where)
    if size is None:
        return Tensor(name, datatype, to_array(tensor.get("data"), shape, datatype, where, booleans))
    if blobs is None:
        raise InvalidRequest(f'{where}: "binary_data_size" needs the header Inference-Header-Content-Length')
    if tensor.get("data") is not None:
        raise InvalidRequest(f'{where}: "data" and "binary_data_size" exclude each other; send one')
    return Tensor(name, datatype, array_of(blobs.take(size, where), shape, datatype, where))


def _outputs(value: object, members: Members) -> tuple[RequestedOutput, ...] | None:
    """The requested outputs; None for an absent, null or empty list, which ask for all of them."""
    if value is None or value == []:
        return None
    outputs = []
    for index, item in enumerate(list_of(value, '"outputs"')):
        output = object_of(item, f"outputs[{index}]")
        members.count(output, _OUTPUT, depth=3)
        name = _name(output, "outputs", index)
        outputs.append(RequestedOutput(name, *output_form(output, f'output "{name}"', members)))
    return tuple(outputs)


def _datatype(value: object, where: str) -> Datatype:
    datatype = _DATATYPES.get(value) if isinstance(value, str) else None
    if datatype is None:
        shown = value[:16] if isinstance(value, str) else "not a string"
        raise InvalidRequest(f'{where}: datatype "{shown}" is none of {", ".join(Datatype)}')
    return datatype


def _id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value.encode()) > MAX_ID_BYTES:
        raise InvalidRequest(f'"id" must be a string of at most {MAX_ID_BYTES} bytes')
    return value


def _name(owner: dict[str, Any], where: str, index: int) -> str:
    name = owner.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 1024:
        raise InvalidRequest(f'{where}[{index}]: "name" must be a string of 1 to 1024 characters')
    return name
