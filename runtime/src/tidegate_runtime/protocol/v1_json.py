"""The V1 protocol of TensorFlow Serving and KServe: predictions without names and types where they can be left out.

Sources: TensorFlow Serving's RESTful API ("Request format", row and column), KServe's V1 protocol. The model's
signature tells what the JSON leaves open; numbers are held to its datatypes as strictly as in V2.
"""

import base64
import binascii
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import orjson

from tidegate_runtime.errors import InvalidRequest, InvalidTensor
from tidegate_runtime.protocol.json_document import MAX_DEPTH, Members, list_of, may_hold_booleans, object_of, parse
from tidegate_runtime.protocol.json_tensors import MAX_RANK, data_of, parse_data
from tidegate_runtime.protocol.number_lists import NumberLists, Unproved
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, Tensor, TensorSpec
from tidegate_runtime.wording import quoted

SIGNATURE: Final = "serving_default"
_MEMBERS: Final = frozenset({"signature_name", "instances", "inputs"})
"""TensorFlow Serving's name for the one signature that a model has here."""


class V1Request(NamedTuple):
    """A request, and whether it came as rows: its answer has the same format."""

    infer: InferRequest
    rows: bool


def decode(body: bytes | bytearray, inputs: Sequence[TensorSpec]) -> V1Request:
    """The request in `body` for a model that takes `inputs`: `instances` as rows, or `inputs` as columns.

    Raises `Malformed`, `InvalidRequest` or `InvalidTensor`, each naming the place.
    """
    lists = NumberLists.cut(body, named=False)
    if lists is not None:
        # What is wrong with it is found, and its place told, by the parse of the whole alone.
        with suppress(Unproved, InvalidRequest):
            request = _request(lists.rest, inputs, lists)
            lists.end()
            return request
    return _request(body, inputs, None)


def _request(text: bytes | bytearray, inputs: Sequence[TensorSpec], lists: NumberLists | None) -> V1Request:
    root = object_of(parse(text), "the body")
    if text.count(b":") != len(root) or not root.keys() <= _MEMBERS:
        members = Members(text)
        members.total = len(root)
        members.walk(list(root.values()), MAX_DEPTH - 1)
        members.refuse_duplicates()
    if root.get("signature_name") not in (None, "", SIGNATURE):
        raise InvalidRequest(f'"signature_name": the model has one signature, "{SIGNATURE}"')
    if ("instances" in root) == ("inputs" in root):
        raise InvalidRequest('send either "instances", a list of rows, or "inputs", a column for each input')
    rows = "instances" in root
    columns = _columns_of_rows(root["instances"], inputs) if rows else _columns(root["inputs"], inputs)
    booleans = may_hold_booleans(text)
    specs = {spec.name: spec for spec in inputs}
    tensors = []
    for name, data in columns.items():
        if name not in specs:
            raise InvalidRequest(f"input {quoted([name])} does not exist; the model takes {quoted(specs)}")
        tensors.append(_tensor(specs[name], data, booleans, lists))
    return V1Request(InferRequest(tuple(tensors)), rows)


def encode(response: InferResponse, rows: bool) -> bytes:
    """`predictions`, one for each row, or `outputs`: bare for a model of one output, else objects by output name.

    NaN and infinities are null. Raises `InvalidTensor` for FP16 and BF16, and for outputs that don't have as many rows
    as each other, of which no row can be made.
    """
    shaped = {tensor.name: _nested(tensor) for tensor in response.outputs}
    values: Any
    if not rows:
        values = shaped if len(shaped) > 1 else next(iter(shaped.values()))
    elif len({tensor.array.shape[:1] for tensor in response.outputs}) > 1 or response.outputs[0].array.ndim == 0:
        shapes = ", ".join(f'"{tensor.name}" {list(tensor.array.shape)}' for tensor in response.outputs)
        raise InvalidTensor(f'the outputs {shapes} have no common rows; send "inputs" in place of "instances"')
    elif len(shaped) > 1:
        values = [dict(zip(shaped, row, strict=True)) for row in zip(*shaped.values(), strict=True)]
    else:
        values = next(iter(shaped.values()))
    return orjson.dumps({"predictions" if rows else "outputs": values}, option=orjson.OPT_SERIALIZE_NUMPY)


def _columns_of_rows(value: object, inputs: Sequence[TensorSpec]) -> dict[str, list[Any]]:
    instances = list_of(value, '"instances"')
    if not instances:
        raise InvalidRequest('"instances" is empty; at least one row is needed')
    if not _named(instances[0]):
        return {_only(inputs, '"instances"').name: instances}
    names = list(instances[0])
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict) or instance.keys() != instances[0].keys():
            raise InvalidRequest(f"instances[{index}] must be an object of the same members as instances[0]")
    return {name: [instance[name] for instance in instances] for name in names}


def _columns(value: object, inputs: Sequence[TensorSpec]) -> dict[str, Any]:
    if isinstance(value, dict) and _named(value):
        return value
    return {_only(inputs, '"inputs"').name: value}


def _named(value: object) -> bool:
    """Whether `value` holds tensors by input name; `{"b64": …}` is one element of BYTES."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _only(inputs: Sequence[TensorSpec], where: str) -> TensorSpec:
    if len(inputs) != 1:
        raise InvalidRequest(
            f"{where} must name the inputs, of which the model takes {quoted(spec.name for spec in inputs)}"
        )
    return inputs[0]


def _tensor(spec: TensorSpec, data: object, booleans: bool, lists: NumberLists | None) -> Tensor:
    where = f'input "{spec.name}"'
    array = lists.column(data, spec.datatype, where) if lists is not None else None
    if array is not None:
        return Tensor(spec.name, spec.datatype, array)
    shape: list[int] = []
    level = data
    while isinstance(level, list):
        if not level or len(shape) == MAX_RANK:
            raise InvalidTensor(f"{where}: lists must have elements, in at most {MAX_RANK} levels")
        shape.append(len(level))
        level = level[0]
    if spec.datatype is Datatype.BYTES:
        data = _plain(data, where, MAX_RANK)
    nested = data if isinstance(data, list) else [data]
    return Tensor(spec.name, spec.datatype, parse_data(nested, tuple(shape), spec.datatype, where, booleans))


def _plain(data: object, where: str, levels: int) -> object:
    """`data` with the text in place of each `{"b64": …}`, down to `levels` levels; below, nothing is a tensor."""
    if isinstance(data, list) and levels:
        return [_plain(value, where, levels - 1) for value in data]
    if not isinstance(data, dict) or data.keys() != {"b64"}:
        return data
    try:
        return base64.b64decode(data["b64"], validate=True).decode()
    except (TypeError, binascii.Error):
        raise InvalidTensor(f'{where}: "b64" must be a string in base64') from None
    except UnicodeDecodeError:
        raise InvalidTensor(f"{where}: the bytes are not UTF-8, and ONNX Runtime takes text alone") from None


def _nested(tensor: Tensor) -> Any:
    """As `data_of`, but in the tensor's shape; a scalar bare, which orjson doesn't take as an array."""
    flat = data_of(tensor.array, tensor.datatype, tensor.name)
    if isinstance(flat, list):
        return tensor.array.tolist()
    return flat.reshape(tensor.array.shape) if tensor.array.ndim else flat[0]
