"""The Open Inference Protocol's infer request and response as JSON.

Strict where silence would change an answer: unknown datatypes, members given twice and extensions that would alter the
result are refused; members and parameters that are merely unknown are ignored, as the protocol asks.
"""

import re
from typing import Any, Final

import orjson

from tidegate_runtime.errors import InvalidRequest, Malformed
from tidegate_runtime.protocol.json_tensors import data_of, parse_data, parse_shape
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, RequestedOutput, Tensor

MAX_DEPTH: Final = 64
MAX_ID_BYTES: Final = 256
MAX_PARAMETERS_BYTES: Final = 4096

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NON_FINITE: Final = re.compile(rb"[+-]?(nan|inf)", re.IGNORECASE)
_UNSERVED: Final = {
    "binary_data_size": 'binary tensor data is not served; send the numbers in "data"',
    "shared_memory_region": 'shared memory is not served; send the numbers in "data"',
    "classification": "the classification extension is not served; take the scores and sort them",
}


def decode(body: bytes | bytearray) -> InferRequest:
    """The request in `body`. Raises `Malformed`, `InvalidRequest` or `InvalidTensor`, each naming the place."""
    document = _parse(body)
    root = _object(document, "the body")
    members = _Members()
    members.count(root, known=("id", "parameters", "inputs", "outputs"), depth=1)
    inputs = _list(root.get("inputs"), '"inputs"')
    if not inputs:
        raise InvalidRequest('"inputs" is empty; at least one tensor is needed')
    request = InferRequest(
        inputs=tuple(_input(value, index, members) for index, value in enumerate(inputs)),
        outputs=_outputs(root.get("outputs"), members),
        id=_id(root.get("id")),
    )
    members.parameters(root, "the request")
    _refuse_duplicate_members(body, members.total)
    return request


def encode(response: InferResponse) -> bytes:
    """The response's JSON; `data` is flat, NaN and infinities are null. Raises `InvalidTensor` for FP16."""
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        document["id"] = response.id
    document["outputs"] = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype.value,
            "shape": tensor.array.shape,
            "data": data_of(tensor.array, tensor.datatype, f'output "{tensor.name}"'),
        }
        for tensor in response.outputs
    ]
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _parse(body: bytes | bytearray) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        literal = _NON_FINITE.match(body, error.pos)
        if literal or "infinity" in error.msg:
            index = body.count(b",", body.rfind(b"[", 0, error.pos) + 1, error.pos)
            what = literal.group().decode() if literal else "a number too large for a double"
            raise Malformed(f"data[{index}] is {what} (byte {error.pos}); JSON numbers must be finite") from None
        raise Malformed(f"the body is not JSON in UTF-8: {error.msg} at byte {error.pos}") from None


class _Members:
    """How many members the parsed objects have, to find those that the parser dropped as duplicates."""

    def __init__(self) -> None:
        self.total = 0

    def count(self, value: dict[str, Any], known: tuple[str, ...], depth: int) -> None:
        """Counts the members of `value`, an object at `depth`, and of all that its unknown members hold."""
        self.total += len(value)
        level = [member for name, member in value.items() if name not in known]
        if level:
            self._walk(level, MAX_DEPTH - depth)

    def _walk(self, level: list[Any], levels: int) -> None:
        for _ in range(levels):
            objects = [value for value in level if type(value) is dict]
            self.total += sum(map(len, objects))
            level = [item for value in level if type(value) is list for item in value]
            level += [item for value in objects for item in value.values()]
            if not level:
                return
        raise Malformed(f"the body is nested deeper than {MAX_DEPTH} levels")

    def parameters(self, owner: dict[str, Any], where: str) -> None:
        """Checks `owner`'s parameters: scalars, together at most 4 KiB, none that asks for what isn't served."""
        value = owner.get("parameters")
        if value is None:
            return
        parameters = _object(value, f'"parameters" of {where}')
        self.total += len(parameters)
        for name, parameter in parameters.items():
            if type(parameter) not in (str, int, float, bool):
                raise InvalidRequest(f'parameter "{name[:64]}" of {where} must be a string, a number or a boolean')
            if name in _UNSERVED:
                raise InvalidRequest(f'parameter "{name}" of {where}: {_UNSERVED[name]}')
        if len(orjson.dumps(parameters)) > MAX_PARAMETERS_BYTES:
            raise InvalidRequest(f'"parameters" of {where} are over {MAX_PARAMETERS_BYTES} bytes')


def _input(value: object, index: int, members: _Members) -> Tensor:
    tensor = _object(value, f"inputs[{index}]")
    members.count(tensor, known=("name", "shape", "datatype", "parameters", "data"), depth=3)
    name = _name(tensor, f"inputs[{index}]")
    where = f'input "{name}"'
    members.parameters(tensor, where)
    datatype = _datatype(tensor.get("datatype"), where)
    shape = parse_shape(tensor.get("shape"), where)
    return Tensor(name, datatype, parse_data(tensor.get("data"), shape, datatype, where))


def _outputs(value: object, members: _Members) -> tuple[RequestedOutput, ...] | None:
    """The requested outputs; None for an absent, null or empty list, which ask for all of them."""
    if value is None or value == []:
        return None
    outputs = []
    for index, item in enumerate(_list(value, '"outputs"')):
        output = _object(item, f"outputs[{index}]")
        members.count(output, known=("name", "parameters"), depth=3)
        name = _name(output, f"outputs[{index}]")
        members.parameters(output, f'output "{name}"')
        outputs.append(RequestedOutput(name))
    return tuple(outputs)


def _datatype(value: object, where: str) -> Datatype:
    try:
        return Datatype(value)  # type: ignore[arg-type]
    except ValueError:
        shown = value[:16] if isinstance(value, str) else "not a string"
        raise InvalidRequest(f'{where}: datatype "{shown}" is none of {", ".join(Datatype)}') from None


def _id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value.encode()) > MAX_ID_BYTES:
        raise InvalidRequest(f'"id" must be a string of at most {MAX_ID_BYTES} bytes')
    return value


def _name(owner: dict[str, Any], where: str) -> str:
    name = owner.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 1024:
        raise InvalidRequest(f'{where}: "name" must be a string of 1 to 1024 characters')
    return name


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what} must be a JSON object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(f"{what} must be a list")
    return value


def _refuse_duplicate_members(body: bytes | bytearray, members: int) -> None:
    """Raises if an object names a member twice, which the parser resolves silently to the last.

    Every member has one colon outside of strings, so more such colons than members that were kept means that some were
    dropped. Counting bytes is far cheaper than a second parse, and strings are cut out only if the quick count differs.
    """
    if body.count(b":") != members and _STRING.sub(b"", body).count(b":") != members:
        raise Malformed("an object in the body has two members of the same name; send each once")
