"""The protocol's infer request and response over gRPC, with typed and with raw contents."""

from collections.abc import Mapping
from typing import Any, Final

from tidegate_conformance import datatypes
from tidegate_conformance.datatypes import Array, Datatype, WrongBytes, byte_strings
from tidegate_conformance.expect import Mismatch, equal, fail, true
from tidegate_conformance.models.known import Feeds, KnownModel
from tidegate_conformance.rest.infer import Output, check_outputs, datatype_of
from tidegate_conformance.rpc.messages import Message, message

CONTENTS: Final[dict[Datatype, str]] = {
    Datatype.BOOL: "bool_contents",
    Datatype.INT8: "int_contents",
    Datatype.INT16: "int_contents",
    Datatype.INT32: "int_contents",
    Datatype.INT64: "int64_contents",
    Datatype.UINT8: "uint_contents",
    Datatype.UINT16: "uint_contents",
    Datatype.UINT32: "uint_contents",
    Datatype.UINT64: "uint64_contents",
    Datatype.FP32: "fp32_contents",
    Datatype.FP64: "fp64_contents",
    Datatype.BYTES: "bytes_contents",
}
"""Which field of InferTensorContents has which datatype; 16-bit floats have none."""


def typed(model: KnownModel, feeds: Feeds, **fields: Any) -> Message:
    """An infer request whose tensors are in `contents`."""
    inputs = []
    for name, array in feeds.items():
        kind = datatype_of(model, name)
        contents = {CONTENTS[kind]: array.ravel().tolist()}
        inputs.append(_tensor(model, name, array, contents=message("inference.InferTensorContents", **contents)))
    return message("inference.ModelInferRequest", model_name=model.name, inputs=inputs, **fields)


def raw(model: KnownModel, feeds: Feeds, **fields: Any) -> Message:
    """An infer request whose tensors are in `raw_input_contents`."""
    inputs = [_tensor(model, name, array) for name, array in feeds.items()]
    contents = [datatypes.to_bytes(array, datatype_of(model, name)) for name, array in feeds.items()]
    fields = {"raw_input_contents": contents} | fields
    return message("inference.ModelInferRequest", model_name=model.name, inputs=inputs, **fields)


def _tensor(model: KnownModel, name: str, array: Array, **fields: Any) -> Message:
    kind = datatype_of(model, name)
    return message("inference.InferTensor", name=name, datatype=kind.value, shape=array.shape, **fields)


def parameter(value: bool | int | str | float) -> Message:
    """`value` as InferParameter."""
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    return message("inference.InferParameter", **{kinds[type(value)]: value})


def decode(answer: Message, elsewhere: Mapping[str, bytes] | None = None) -> dict[str, Output]:
    """The answer's tensors by name. Raises `Mismatch` where it isn't what the specification calls a response.

    `elsewhere` are the bytes of outputs that the answer must not hold, since they were to be left in shared memory.
    """
    elsewhere = elsewhere or {}
    blobs = list(answer.raw_output_contents)
    if blobs:
        equal("number of raw_output_contents", len(answer.outputs), len(blobs))
    outputs: dict[str, Output] = {}
    for index, tensor in enumerate(answer.outputs):
        true("each output is there once", tensor.name not in outputs, tensor.name)
        if tensor.datatype not in set(Datatype):
            fail(f'datatype of output "{tensor.name}"', "one of the specification's", tensor.datatype)
        if blobs:
            true("an answer has raw contents or typed ones", not tensor.HasField("contents"), tensor)
        blob = blobs[index] if blobs else None
        if tensor.name in elsewhere:
            empty = not blob and not tensor.HasField("contents")
            true(f'output "{tensor.name}" has no contents, its place being in shared memory', empty, tensor)
            blob = elsewhere[tensor.name]
        outputs[tensor.name] = _output(tensor, blob)
    return outputs


def _output(tensor: Message, blob: bytes | None) -> Output:
    datatype, shape = Datatype(tensor.datatype), tuple(tensor.shape)
    try:
        if blob is not None:
            return Output(datatype, datatypes.from_bytes(blob, datatype, shape), True)
        if datatype not in CONTENTS:
            raise Mismatch(f'output "{tensor.name}": {datatype} must be raw, it has no typed contents')
        used = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
        if used and used != [CONTENTS[datatype]]:
            fail(f"field of the contents of {datatype}", CONTENTS[datatype], used)
        values = list(getattr(tensor.contents, CONTENTS[datatype]))
        if datatype is Datatype.BYTES:
            return Output(datatype, byte_strings(values, shape), False)
        return Output(datatype, datatypes.from_json(values, datatype, shape), False)
    except WrongBytes as error:
        raise Mismatch(f'output "{tensor.name}": {error}') from None


def check_answer(model: KnownModel, answer: Message, expected: Feeds, request_id: str = "") -> None:
    """Raises `Mismatch` unless the answer is this model's, has the request's id, if any, and the expected outputs."""
    equal("model_name", model.name, answer.model_name)
    if request_id:
        equal("id", request_id, answer.id)
    check_outputs(model, decode(answer), expected)
