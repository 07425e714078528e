"""Binary tensors over REST: in, out, mixed, by output, raw; and lengths that lie."""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tidegate_conformance import datatypes, sources
from tidegate_conformance.check import Level, Run, check
from tidegate_conformance.datatypes import JSON, Datatype
from tidegate_conformance.expect import equal, true
from tidegate_conformance.models.known import Feeds, KnownModel
from tidegate_conformance.rest.answer import Answer
from tidegate_conformance.rest.infer import (
    LENGTH,
    Inferred,
    binary_input,
    check_answer,
    decode,
    document,
    json_input,
    with_blobs,
)
from tidegate_conformance.subject import Subject

EXTENSION = "binary_tensor_data"


def _check(name: str, *, model: str = "add_sub", title: str = "") -> Callable[[Run], Run]:
    return check(
        f"rest.infer.binary.{name}",
        sources.BINARY,
        level=Level.EXTENSION,
        extension=EXTENSION,
        model=model,
        title=title,
    )


def packed(
    model: KnownModel, feeds: Feeds, binary: set[str] | None = None, **members: Any
) -> tuple[bytes, dict[str, str]]:
    """A request whose inputs in `binary` (default: all) come behind the JSON: its body and its headers."""
    entries, blobs = [], []
    for name, array in feeds.items():
        if binary is None or name in binary:
            entry, blob = binary_input(model, name, array)
            entries.append(entry)
            blobs.append(blob)
        else:
            entries.append(json_input(model, name, array))
    return with_blobs({"inputs": entries} | members, *blobs)


def send(subject: Subject, feeds: Feeds, binary: set[str] | None = None, **members: Any) -> Answer:
    """The answer to such a request."""
    return subject.post(*packed(subject.model, feeds, binary, **members))


def _infer(subject: Subject, feeds: Feeds, binary: set[str] | None = None, **members: Any) -> Inferred:
    inferred = decode(send(subject, feeds, binary, **members))
    check_answer(subject.model, inferred, subject.expected(feeds), members.get("id"))
    return inferred


def _forms(inferred: Inferred, **expected: bool) -> None:
    equal("which outputs are binary", expected, {name: output.binary for name, output in inferred.outputs.items()})


ALL_BINARY: dict[str, Any] = {"parameters": {"binary_data_output": True}}


def _in(subject: Subject) -> None:
    _infer(subject, subject.model.example())


def _out(subject: Subject) -> None:
    feeds = subject.model.example(1)
    outputs = [{"name": "y", "parameters": {"binary_data": True}}]
    inferred = decode(subject.post(document(subject.model, feeds, outputs=outputs)))
    check_answer(subject.model, inferred, subject.expected(feeds))
    _forms(inferred, y=True)


def _both(subject: Subject) -> None:
    _forms(_infer(subject, subject.model.example(2, free=5), **ALL_BINARY), y=True)


for _datatype in Datatype:
    _name, _model = _datatype.lower(), f"identity_{_datatype.lower()}"
    _check(f"both.{_name}", model=_model, title=f"{_datatype} in and out as bytes comes back bit by bit.")(_both)
    if _datatype in JSON:
        _check(f"in.{_name}", model=_model, title=f"{_datatype} in as bytes comes back as JSON.")(_in)
        _check(f"out.{_name}", model=_model, title=f"{_datatype} in as JSON comes back as bytes.")(_out)


@_check("all-inputs")
def all_inputs(subject: Subject) -> None:
    """Several inputs come behind the JSON in the order of "inputs"."""
    _forms(_infer(subject, subject.model.example()), sum=False, difference=False)


@_check("inputs-swapped")
def inputs_swapped(subject: Subject) -> None:
    """Blobs follow the request's order of inputs, not the model's."""
    _infer(subject, dict(reversed(subject.model.example(3).items())))


@_check("mixed-inputs")
def mixed_inputs(subject: Subject) -> None:
    """One input as JSON beside one as bytes, either way round."""
    _infer(subject, subject.model.example(4), {"a"})
    _infer(subject, subject.model.example(5), {"b"})


@_check("mixed-outputs")
def mixed_outputs(subject: Subject) -> None:
    """One output as bytes beside one as JSON."""
    outputs = [{"name": "sum"}, {"name": "difference", "parameters": {"binary_data": True}}]
    _forms(_infer(subject, subject.model.example(6), outputs=outputs), sum=False, difference=True)


@_check("output-overrides")
def output_overrides(subject: Subject) -> None:
    """An output's binary_data goes before the request's binary_data_output."""
    outputs = [{"name": "sum", "parameters": {"binary_data": False}}, {"name": "difference"}]
    inferred = _infer(subject, subject.model.example(7), outputs=outputs, **ALL_BINARY)
    _forms(inferred, sum=False, difference=True)


@_check("all-outputs")
def all_outputs(subject: Subject) -> None:
    """binary_data_output makes all outputs bytes, also for inputs in JSON."""
    feeds = subject.model.example(8)
    inferred = decode(subject.post(document(subject.model, feeds, **ALL_BINARY)))
    check_answer(subject.model, inferred, subject.expected(feeds))
    _forms(inferred, sum=True, difference=True)


@_check("binary-data-false")
def binary_data_false(subject: Subject) -> None:
    """binary_data: false asks for JSON."""
    outputs = [{"name": name, "parameters": {"binary_data": False}} for name in ("sum", "difference")]
    inferred = _infer(subject, subject.model.example(9), outputs=outputs)
    _forms(inferred, sum=False, difference=False)


@_check("one-of-two-outputs")
def one_output(subject: Subject) -> None:
    """An output that isn't asked for sends no bytes."""
    feeds = subject.model.example(10)
    outputs = [{"name": "difference", "parameters": {"binary_data": True}}]
    inferred = decode(send(subject, feeds, outputs=outputs))
    check_answer(subject.model, inferred, {"difference": subject.expected(feeds)["difference"]})


@_check("id")
def with_id(subject: Subject) -> None:
    """The id is in the JSON of a binary answer."""
    _infer(subject, subject.model.example(), id="binary-1", **ALL_BINARY)


@_check("response-headers")
def response_headers(subject: Subject) -> None:
    """A binary answer is application/octet-stream and says the length of its JSON; one in JSON doesn't."""
    answer = send(subject, subject.model.example(), **ALL_BINARY).must_be(200)
    equal("Content-Type", "application/octet-stream", answer.header("content-type"))
    length = answer.header(LENGTH) or ""
    true(f"{LENGTH} is less than the body's length", length.isdigit() and int(length) < len(answer.body), length)
    plain = subject.post(document(subject.model, subject.model.example())).must_be(200)
    true(
        f"{LENGTH} of JSON is absent or its length", plain.header(LENGTH) in (None, str(len(plain.body))), plain.headers
    )


@_check("header-case", model="rows")
def header_case(subject: Subject) -> None:
    """The header's name may be in lower case, as HTTP/2 proxies write it."""
    feeds = subject.model.example()
    entry, blob = binary_input(subject.model, "x", feeds["x"])
    text = json.dumps({"inputs": [entry]}).encode()
    headers = {"inference-header-content-length": str(len(text)), "Content-Type": "application/octet-stream"}
    check_answer(subject.model, decode(subject.post(text + blob, headers)), subject.expected(feeds))


@_check("content-type-absent", model="rows")
def content_type_json(subject: Subject) -> None:
    """The header alone says that the body is binary: Triton's clients send another Content-Type, or none."""
    feeds = subject.model.example()
    entry, blob = binary_input(subject.model, "x", feeds["x"])
    text = json.dumps({"inputs": [entry]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/json"}
    check_answer(subject.model, decode(subject.post(text + blob, headers)), subject.expected(feeds))


@_check("non-finite", model="identity_fp32")
def non_finite(subject: Subject) -> None:
    """NaN with its payload, infinities and -0 pass bit by bit."""
    values = np.frombuffer(struct.pack("<4I", 0x7FC00001, 0x7F800000, 0xFF800000, 0x80000000), "<f4").reshape(1, 4)
    _infer(subject, {"x": values}, **ALL_BINARY)


@_check("bytes-any", model="identity_bytes")
def bytes_any(subject: Subject) -> None:
    """BYTES hold NUL, empty elements and long ones."""
    values = datatypes.byte_strings([b"", b"a\x00b", b"x" * 5000, "漢字".encode()], (1, 4))
    _infer(subject, {"x": values}, **ALL_BINARY)


@_check("bytes-not-utf8", model="identity_bytes")
def bytes_not_utf8(subject: Subject) -> None:
    """BYTES that aren't UTF-8 pass bit by bit, or are refused with 400: never changed."""
    values = datatypes.byte_strings([b"\xff\xfe", b"\x80", b"ok", b""], (1, 4))
    answer = send(subject, {"x": values}, **ALL_BINARY)
    if answer.status == 200:
        check_answer(subject.model, decode(answer), {"y": values})
    else:
        answer.refusal(400)


@_check("large", model="rows")
def large(subject: Subject) -> None:
    """32 rows as bytes are answered whole."""
    _infer(subject, {"x": np.linspace(-1e6, 1e6, 128, dtype=np.float32).reshape(32, 4)}, **ALL_BINARY)


@_check("raw-request", model="rank1")
def raw_request(subject: Subject) -> None:
    """With a header length of 0 the body is the one input's bytes, and all outputs come as bytes."""
    feeds = subject.model.example()
    body = datatypes.to_bytes(feeds["x"], Datatype.FP32)
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"}
    inferred = decode(subject.post(body, headers))
    check_answer(subject.model, inferred, subject.expected(feeds))
    _forms(inferred, y=True)


@_check("raw-request-two-inputs")
def raw_request_refused(subject: Subject) -> None:
    """A raw request for a model with two inputs is refused."""
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "0"}
    subject.post(b"\0" * 32, headers).refusal()
