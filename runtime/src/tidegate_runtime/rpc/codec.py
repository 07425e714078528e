"""ModelInferRequest → `InferRequest`, `InferResponse` → ModelInferResponse.

As strict as the JSON codec, with its bounds: what can't be honoured and would change the answer is refused, parameters
that are merely unknown are ignored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from tidegate_runtime.errors import InvalidRequest, NotFound
from tidegate_runtime.protocol.binary_tensors import array_of, blob_of
from tidegate_runtime.protocol.classification import top_classes
from tidegate_runtime.protocol.json_tensors import parse_shape
from tidegate_runtime.protocol.parameters import (
    MAX_PARAMETERS_BYTES,
    REGION,
    Place,
    Scalar,
    asked,
    classes,
    output_place,
    refuse_unserved,
    shared_slice,
)
from tidegate_runtime.protocol.shared_tensors import in_shared_memory, stand_in, told_place
from tidegate_runtime.protocol.v2_request import MAX_ID_BYTES
from tidegate_runtime.rpc.protos.inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse
from tidegate_runtime.rpc.tensors import from_contents, to_contents
from tidegate_runtime.tensors import Datatype, InferRequest, InferResponse, RequestedOutput, SharedTensor, Tensor

MAX_NAME: Final = 1024
"""Characters of a tensor's name, of a model's, and of its version."""

Parameters = Mapping[str, InferParameter]


def check_names(message: ModelInferRequest) -> None:
    """Raises `NotFound` for a model's name or version that is too long for any, `InvalidRequest` for such an id."""
    if len(message.model_name) > MAX_NAME or len(message.model_version) > MAX_NAME:
        raise NotFound(f"no model has a name or a version of more than {MAX_NAME} characters")
    if len(message.id.encode()) > MAX_ID_BYTES:
        raise InvalidRequest(f'"id" must be a string of at most {MAX_ID_BYTES} bytes')


def echoed(message: ModelInferRequest) -> ModelInferResponse:
    """The beginning of an answer that says which request failed, cut where that is no name at all."""
    return ModelInferResponse(
        model_name=message.model_name[:MAX_NAME],
        model_version=message.model_version[:MAX_NAME],
        id=message.id[:MAX_ID_BYTES],
    )


def decode(message: ModelInferRequest, seconds_left: float | None = None) -> InferRequest:
    """The request; its arrays are views of the message's bytes. `seconds_left` is what the call's own deadline leaves.

    The message has passed `check_names`. `binary` is how the tensors came: raw, or in `contents`; those in shared
    memory count as raw.

    Raises `InvalidRequest` or `InvalidTensor`, each naming the place.
    """
    if not message.inputs:
        raise InvalidRequest('"inputs" is empty; at least one tensor is needed')
    given = asked(_scalars(message.parameters, Place.REQUEST, "the request"))
    bounds = [bound for bound in (given.timeout_seconds, seconds_left) if bound is not None]
    inputs, outputs = _inputs(message), _outputs(message)
    shared = in_shared_memory(inputs, outputs)
    return InferRequest(
        inputs=inputs,
        outputs=outputs,
        id=message.id or None,
        binary=_is_raw(message, inputs),
        priority=given.priority,
        timeout_seconds=min(bounds, default=None),
        shared=shared,
    )


def encode(response: InferResponse, request: InferRequest) -> ModelInferResponse:
    """The answer in the form of `request`, raw or in `contents`. An output in shared memory has its place alone.

    Of raw contents each output has one, empty in shared memory: Triton's clients find them by the output's number.

    Raises `InvalidTensor` for FP16 and BF16 that are not to be raw, and for classes of an output that has none.
    """
    message = ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id or ""
    )
    for tensor in _as_wanted(response, request):
        output = message.outputs.add(name=tensor.name, datatype=tensor.datatype.value, shape=tensor.array.shape)
        if isinstance(tensor, SharedTensor):
            for name, value in told_place(tensor.place).items():
                kind = "string_param" if isinstance(value, str) else "int64_param"
                setattr(output.parameters[name], kind, value)
            if request.binary:
                message.raw_output_contents.append(b"")
        elif request.binary:
            message.raw_output_contents.append(bytes(blob_of(tensor.array, tensor.datatype)))
        else:
            contents = to_contents(tensor.array, tensor.datatype, f'output "{tensor.name}"')
            output.contents.CopyFrom(contents)
    return message


def _as_wanted(response: InferResponse, request: InferRequest) -> Iterable[Tensor]:
    if request.outputs is None:
        return response.outputs
    labels = response.labels or {}
    return [
        top_classes(tensor, wanted.classes, labels.get(tensor.name)) if wanted.classes else tensor
        for tensor, wanted in zip(response.outputs, request.outputs, strict=True)
    ]


def _is_raw(message: ModelInferRequest, inputs: Sequence[Tensor]) -> bool:
    return len(message.raw_input_contents) > 0 or all([type(tensor) is SharedTensor for tensor in inputs])


def _inputs(message: ModelInferRequest) -> tuple[Tensor, ...]:
    raws, inputs = message.raw_input_contents, message.inputs
    if raws and len(raws) != len(inputs) and len(raws) != _sent(inputs):
        raise _uneven(message)
    parts = iter(raws) if raws else None
    tensors = tuple([_input(tensor, index, parts) for index, tensor in enumerate(inputs)])
    if parts is not None and next(parts, None) is not None:
        raise _uneven(message)
    return tensors


def _sent(inputs: Iterable[ModelInferRequest.InferInputTensor]) -> int:
    """How many inputs come in the message."""
    return sum(REGION not in tensor.parameters for tensor in inputs)


def _uneven(message: ModelInferRequest) -> InvalidRequest:
    return InvalidRequest(
        f"raw_input_contents has {len(message.raw_input_contents)} parts for {_sent(message.inputs)} inputs; "
        "send one for each input that isn't in shared memory, in order"
    )


def _input(message: ModelInferRequest.InferInputTensor, index: int, raws: Iterator[bytes] | None) -> Tensor:
    """`raws` are the raw contents that no input has taken yet."""
    name = _name(message.name, f"inputs[{index}]")
    where = f'input "{name}"'
    parameters = _scalars(message.parameters, Place.INPUT, where)
    datatype = _datatype(message.datatype, where)
    shape = parse_shape(list(message.shape), where)
    place = shared_slice(parameters, where) if parameters else None
    if raws is None and place is None:
        return Tensor(name, datatype, from_contents(message.contents, shape, datatype, where))
    if message.contents.ListFields():
        other = "the request has raw_input_contents" if place is None else "is in shared memory"
        raise InvalidRequest(f"{where} has contents, but {other}; send one of the two")
    if place is not None:
        return stand_in(name, datatype, shape, place, where)
    assert raws is not None
    return Tensor(name, datatype, array_of(memoryview(next(raws)), shape, datatype, where))


def _outputs(message: ModelInferRequest) -> tuple[RequestedOutput, ...] | None:
    """The requested outputs; None for an empty list, which asks for all of them."""
    return tuple(_requested(output, index) for index, output in enumerate(message.outputs)) or None


def _requested(output: ModelInferRequest.InferRequestedOutputTensor, index: int) -> RequestedOutput:
    where = f'output "{_name(output.name, f"outputs[{index}]")}"'
    given = _scalars(output.parameters, Place.OUTPUT, where)
    return RequestedOutput(output.name, classes=classes(given, where), place=output_place(given, where))


def _datatype(value: str, where: str) -> Datatype:
    try:
        return Datatype(value)
    except ValueError:
        raise InvalidRequest(f'{where}: datatype "{value[:16]}" is none of {", ".join(Datatype)}') from None


def _name(name: str, where: str) -> str:
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidRequest(f'{where}: "name" must be a string of 1 to {MAX_NAME} characters')
    return name


def _scalars(parameters: Parameters, place: Place, where: str) -> dict[str, Scalar]:
    """The parameters' values: together at most 4 KiB, none that asks for what isn't served."""
    if not parameters:
        return {}
    if sum(len(name.encode()) + value.ByteSize() for name, value in parameters.items()) > MAX_PARAMETERS_BYTES:
        raise InvalidRequest(f'"parameters" of {where} are over {MAX_PARAMETERS_BYTES} bytes')
    scalars: dict[str, Scalar] = {}
    for name, value in parameters.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(f'parameter "{name[:64]}" of {where} must be a string, a number or a boolean')
        scalars[name] = getattr(value, choice)
    refuse_unserved(scalars, place, where)
    return scalars
