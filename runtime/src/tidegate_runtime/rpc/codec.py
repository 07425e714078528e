"""ModelInferRequest → `InferRequest`, `InferResponse` → ModelInferResponse.

As strict as the JSON codec, with its bounds: what can't be honoured and would change the answer is refused, parameters
that are merely unknown are ignored.
"""

from collections.abc import Mapping
from typing import Final

from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.protocol.binary_tensors import array_of, blob_of
from tidegate_runtime.protocol.json_tensors import parse_shape
from tidegate_runtime.protocol.parameters import MAX_PARAMETERS_BYTES
from tidegate_runtime.protocol.v2_request import MAX_ID_BYTES
from tidegate_runtime.rpc.protos.inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse
from tidegate_runtime.rpc.tensors import from_contents, to_contents
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, RequestedOutput, Tensor

MICROSECONDS: Final = 1e-6
MAX_NAME: Final = 1024

_NO_SEQUENCES: Final = "sequences are not served; send each request by itself"
_NO_SHARED_MEMORY: Final = "shared memory is not served; send the tensor in the message"
_UNSERVED: Final = {
    "classification": "the classification extension is not served; take the scores and sort them",
    "sequence_end": _NO_SEQUENCES,
    "sequence_id": _NO_SEQUENCES,
    "sequence_start": _NO_SEQUENCES,
    "shared_memory_byte_size": _NO_SHARED_MEMORY,
    "shared_memory_offset": _NO_SHARED_MEMORY,
    "shared_memory_region": _NO_SHARED_MEMORY,
}

Parameters = Mapping[str, InferParameter]


def decode(message: ModelInferRequest, seconds_left: float | None = None) -> InferRequest:
    """The request; its arrays are views of the message's bytes. `seconds_left` is what the call's own deadline leaves.

    `binary` is how the tensors came: raw, or in `contents`. Raises `InvalidRequest` or `InvalidTensor`, each naming the
    place.
    """
    if len(message.id.encode()) > MAX_ID_BYTES:
        raise InvalidRequest(f'"id" must be a string of at most {MAX_ID_BYTES} bytes')
    if not message.inputs:
        raise InvalidRequest('"inputs" is empty; at least one tensor is needed')
    _check_parameters(message.parameters, "the request")
    return InferRequest(
        inputs=_inputs(message),
        outputs=_outputs(message),
        id=message.id or None,
        binary=_is_raw(message),
        priority=_natural(message.parameters, "priority"),
        timeout_seconds=_timeout(message.parameters, seconds_left),
    )


def encode(response: InferResponse, raw: bool) -> ModelInferResponse:
    """The answer, raw or in `contents`. Raises `InvalidTensor` for an FP16 output that is not to be raw."""
    message = ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id or ""
    )
    for tensor in response.outputs:
        output = message.outputs.add(name=tensor.name, datatype=tensor.datatype.value, shape=tensor.array.shape)
        if raw:
            message.raw_output_contents.append(bytes(blob_of(tensor.array, tensor.datatype)))
        else:
            contents = to_contents(tensor.array, tensor.datatype, f'output "{tensor.name}"')
            output.contents.CopyFrom(contents)
    return message


def _is_raw(message: ModelInferRequest) -> bool:
    return len(message.raw_input_contents) > 0


def _inputs(message: ModelInferRequest) -> tuple[Tensor, ...]:
    raws, inputs = message.raw_input_contents, message.inputs
    if raws and len(raws) != len(inputs):
        raise InvalidRequest(
            f"raw_input_contents has {len(raws)} parts for {len(inputs)} inputs; send one for each input, in order"
        )
    return tuple(_input(tensor, index, raws[index] if raws else None) for index, tensor in enumerate(inputs))


def _input(message: ModelInferRequest.InferInputTensor, index: int, raw: bytes | None) -> Tensor:
    name = _name(message.name, f"inputs[{index}]")
    where = f'input "{name}"'
    _check_parameters(message.parameters, where)
    datatype = _datatype(message.datatype, where)
    shape = parse_shape(list(message.shape), where)
    if raw is None:
        return Tensor(name, datatype, from_contents(message.contents, shape, datatype, where))
    if message.contents.ListFields():
        raise InvalidRequest(f"{where} has contents, but the request has raw_input_contents; send one of the two")
    return Tensor(name, datatype, array_of(memoryview(raw), shape, datatype, where))


def _outputs(message: ModelInferRequest) -> tuple[RequestedOutput, ...] | None:
    """The requested outputs; None for an empty list, which asks for all of them."""
    for index, output in enumerate(message.outputs):
        _check_parameters(output.parameters, f'output "{_name(output.name, f"outputs[{index}]")}"')
    return tuple(RequestedOutput(output.name) for output in message.outputs) or None


def _datatype(value: str, where: str) -> Datatype:
    try:
        return Datatype(value)
    except ValueError:
        raise InvalidRequest(f'{where}: datatype "{value[:16]}" is none of {", ".join(Datatype)}') from None


def _name(name: str, where: str) -> str:
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidRequest(f'{where}: "name" must be a string of 1 to {MAX_NAME} characters')
    return name


def _check_parameters(parameters: Parameters, where: str) -> None:
    """Together at most 4 KiB, each with a value, none that asks for what isn't served."""
    if not parameters:
        return
    if sum(len(name.encode()) + value.ByteSize() for name, value in parameters.items()) > MAX_PARAMETERS_BYTES:
        raise InvalidRequest(f'"parameters" of {where} are over {MAX_PARAMETERS_BYTES} bytes')
    for name, value in parameters.items():
        if value.WhichOneof("parameter_choice") is None:
            raise InvalidRequest(f'parameter "{name[:64]}" of {where} must be a string, a number or a boolean')
        if name in _UNSERVED:
            raise InvalidRequest(f'parameter "{name}" of {where}: {_UNSERVED[name]}')


def _timeout(parameters: Parameters, seconds_left: float | None) -> float | None:
    """The smaller of `timeout`, in microseconds, 0 standing for none, and what the call's deadline leaves."""
    own = _natural(parameters, "timeout") * MICROSECONDS or None
    bounds = [bound for bound in (own, seconds_left) if bound is not None]
    return min(bounds, default=None)


def _natural(parameters: Parameters, name: str) -> int:
    """A reserved parameter that is an integer of at least 0; 0 where it is absent."""
    if name not in parameters:
        return 0
    parameter = parameters[name]
    choice = parameter.WhichOneof("parameter_choice")
    value = parameter.int64_param if choice == "int64_param" else parameter.uint64_param
    if choice not in ("int64_param", "uint64_param") or value < 0:
        raise InvalidRequest(f'parameter "{name}" of the request must be an integer of at least 0')
    return value
