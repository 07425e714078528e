"""The protocol's infer request and response over REST, as JSON and with binary tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidegate_conformance import datatypes
from tidegate_conformance.datatypes import Array, Datatype, WrongBytes
from tidegate_conformance.expect import Mismatch, equal, fail, member, true
from tidegate_conformance.models.known import Feeds, KnownModel
from tidegate_conformance.rest.answer import Answer, parse_json

LENGTH = "inference-header-content-length"


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor of an answer. `binary` is whether its data came behind the JSON."""

    datatype: Datatype
    array: Array
    binary: bool


@dataclass(frozen=True, slots=True)
class Inferred:
    """A decoded answer: the JSON object and its tensors by name, in order."""

    document: dict[str, Any]
    outputs: dict[str, Output]


def document(model: KnownModel, feeds: Feeds, *, nested: bool = False, **members: Any) -> dict[str, Any]:
    """An infer request with all tensors in JSON; `members` are added."""
    return {"inputs": [json_input(model, name, feeds[name], nested=nested) for name in feeds]} | members


def json_input(model: KnownModel, name: str, array: Array, *, nested: bool = False) -> dict[str, Any]:
    """One element of `inputs` with its data."""
    kind = datatype_of(model, name)
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": kind.value,
        "data": datatypes.to_json(array, kind, nested=nested),
    }


def binary_input(model: KnownModel, name: str, array: Array) -> tuple[dict[str, Any], bytes]:
    """One element of `inputs` whose data is the bytes, and those."""
    kind = datatype_of(model, name)
    data = datatypes.to_bytes(array, kind)
    parameters = {"binary_data_size": len(data)}
    return {"name": name, "shape": list(array.shape), "datatype": kind.value, "parameters": parameters}, data


def datatype_of(model: KnownModel, name: str) -> Datatype:
    """The datatype of the model's input of that name."""
    return next(spec.datatype for spec in model.inputs if spec.name == name)


def with_blobs(request: Mapping[str, Any], *blobs: bytes) -> tuple[bytes, dict[str, str]]:
    """A body of `request` and the blobs behind it, and its headers."""
    text = json.dumps(request, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    return text + b"".join(blobs), headers


def decode(answer: Answer, elsewhere: Mapping[str, bytes] | None = None) -> Inferred:
    """The answer taken apart. Raises `Mismatch` where it isn't what the specification calls an inference response.

    `elsewhere` are the bytes of outputs that the answer must not hold, since they were to be left in shared memory.
    """
    elsewhere = elsewhere or {}
    answer.must_be(200)
    length = answer.header(LENGTH)
    if length is None:
        found = answer.json()
        rest = b""
    else:
        true(f"{LENGTH} is a number within the body", length.isdigit() and int(length) <= len(answer.body), length)
        found, rest = parse_json(answer.body[: int(length)]), answer.body[int(length) :]
    outputs: dict[str, Output] = {}
    for value in member(found, "outputs", list, "the answer"):
        name = member(value, "name", str, "an output")
        true("each output is there once", name not in outputs, name)
        outputs[name], rest = _output(value, rest, elsewhere.get(name))
    equal("bytes behind the last binary output", b"", rest)
    return Inferred(found, outputs)


def _output(value: dict[str, Any], rest: bytes, elsewhere: bytes | None) -> tuple[Output, bytes]:
    where = f'output "{value["name"]}"'
    shape = member(value, "shape", list, where)
    true(f"shape of {where} is a list of whole numbers", all(type(size) is int and size >= 0 for size in shape), shape)
    kind = member(value, "datatype", str, where)
    if kind not in set(Datatype):
        fail(f"datatype of {where}", "one of the specification's", kind)
    datatype = Datatype(kind)
    parameters = value.get("parameters") or {}
    size = parameters.get("binary_data_size")
    try:
        if elsewhere is not None:
            true(f"{where} has no data, its place being in shared memory", "data" not in value and size is None, value)
            return Output(datatype, datatypes.from_bytes(elsewhere, datatype, tuple(shape)), True), rest
        if size is None:
            data = member(value, "data", list, where)
            return Output(datatype, datatypes.from_json(data, datatype, tuple(shape)), False), rest
        true(f"{where} has binary data or JSON data, not both", "data" not in value, value)
        true(f"binary_data_size of {where} fits the body", type(size) is int and 0 <= size <= len(rest), size)
        return Output(datatype, datatypes.from_bytes(rest[:size], datatype, tuple(shape)), True), rest[size:]
    except WrongBytes as error:
        raise Mismatch(f"{where}: {error}") from None


def check_outputs(model: KnownModel, got: Mapping[str, Output], expected: Feeds) -> None:
    """Raises `Mismatch` unless the outputs are those expected, in any order, bit by bit."""
    equal("names of the outputs", sorted(expected), sorted(got))
    specs = {spec.name: spec for spec in model.outputs}
    for name, value in expected.items():
        output, array = got[name], np.asarray(value)
        equal(f'datatype of output "{name}"', specs[name].datatype.value, output.datatype.value)
        equal(f'shape of output "{name}"', list(array.shape), list(output.array.shape))
        if not datatypes.same(array, output.array):
            fail(f'data of output "{name}"', array.tolist(), output.array.tolist())


def check_answer(model: KnownModel, inferred: Inferred, expected: Feeds, request_id: str | None = None) -> None:
    """Raises `Mismatch` unless the answer is this model's, has the request's id and the expected outputs."""
    equal("model_name", model.name, member(inferred.document, "model_name", str, "the answer"))
    if inferred.document.get("model_version") is not None:
        member(inferred.document, "model_version", str, "the answer")
    if request_id is not None:
        equal("id", request_id, member(inferred.document, "id", str, "the answer"))
    check_outputs(model, inferred.outputs, expected)
