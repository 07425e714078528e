"""Inference with JSON: forms of the data, ids, requested outputs, parameters."""

import json
from typing import Any

import numpy as np

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.datatypes import INTEGERS, JSON, Datatype
from tidegate_conformance.expect import equal, true
from tidegate_conformance.models.known import Feeds
from tidegate_conformance.rest.infer import check_answer, decode, document
from tidegate_conformance.subject import Subject


def _flat(subject: Subject) -> None:
    subject.check_infer(subject.model.example())


def _nested(subject: Subject) -> None:
    subject.check_infer(subject.model.example(1), nested=True)


def _limits(subject: Subject) -> None:
    kind = subject.model.inputs[0].datatype.numpy
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    subject.check_infer({"x": np.array([[low, high, 0, high // 2]], kind)})


def _declare_datatypes() -> None:
    for datatype in JSON:
        name, model = datatype.lower(), f"identity_{datatype.lower()}"
        check(
            f"rest.infer.json.flat.{name}",
            sources.TENSOR_DATA,
            model=model,
            title=f"{datatype} comes back bit by bit from flat data.",
        )(_flat)
        check(
            f"rest.infer.json.nested.{name}",
            sources.TENSOR_DATA,
            model=model,
            title=f"{datatype} comes back bit by bit from nested data.",
        )(_nested)
    for integer in INTEGERS:
        check(
            f"rest.infer.json.limits.{integer.lower()}",
            sources.DATATYPES,
            model=f"identity_{integer.lower()}",
            title=f"The least and the greatest {integer} are exact.",
        )(_limits)
    for rank in range(6):
        check(
            f"rest.infer.json.rank{rank}",
            sources.TENSOR_DATA,
            model=f"rank{rank}",
            title=f"A tensor of rank {rank} is answered in its shape.",
        )(_flat if rank == 0 else _nested)


_declare_datatypes()


def _floats(datatype: Datatype, values: list[float]) -> Feeds:
    return {"x": np.array([values], datatype.numpy)}


@check("rest.infer.json.fp32-exact", sources.DATATYPES, model="identity_fp32")
def fp32_exact(subject: Subject) -> None:
    """FP32 values that need nine digits come back bit by bit."""
    subject.check_infer(_floats(Datatype.FP32, [0.1, 1 / 3, 16777217.0, 3.4028235e38]))


@check("rest.infer.json.fp64-exact", sources.DATATYPES, model="identity_fp64")
def fp64_exact(subject: Subject) -> None:
    """FP64 values that need seventeen digits come back bit by bit."""
    subject.check_infer(_floats(Datatype.FP64, [0.1 + 0.2, 1 / 3, 1.7976931348623157e308, 5e-324]))


@check("rest.infer.json.negative-zero", sources.DATATYPES, model="identity_fp32")
def negative_zero(subject: Subject) -> None:
    """-0.0 stays -0.0, and the least subnormal isn't flushed."""
    subject.check_infer(_floats(Datatype.FP32, [-0.0, 1e-45, -1e-45, 1.1754942e-38]))


@check("rest.infer.json.number-forms", "RFC 8259, 6", model="identity_fp32")
def number_forms(subject: Subject) -> None:
    """Whole numbers, exponents and fractions are all FP32 values."""
    body = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1, 25e-1, -0.5E+1, 1.50]}]}'
    feeds = _floats(Datatype.FP32, [1, 2.5, -5, 1.5])
    check_answer(subject.model, decode(subject.post(body)), subject.expected(feeds))


@check("rest.infer.json.bytes-unicode", sources.DATATYPES, model="identity_bytes")
def bytes_unicode(subject: Subject) -> None:
    """BYTES may hold any Unicode text: empty, escaped, beyond the basic plane, control characters."""
    values = ["", 'quote " slash \\ line\n', "\N{GRINNING FACE} 漢字 é", "\x01\x7f\x85\u2028"]
    array = np.array([[value.encode() for value in values]], np.object_)
    subject.check_infer({"x": array})


@check("rest.infer.json.escapes", "RFC 8259, 7", model="identity_bytes")
def escapes(subject: Subject) -> None:
    """Escaped characters, surrogate pairs among them, mean what JSON says; in names as well."""
    body = (
        rb'{"inputs":[{"\u006eame":"\u0078","shape":[1,4],"datatype":"BYTES",'
        rb'"data":["\u00e9","\ud83d\ude00","\/","\t"]}]}'
    )
    expected = {"y": np.array([["é".encode(), "\N{GRINNING FACE}".encode(), b"/", b"\t"]], np.object_)}
    check_answer(subject.model, decode(subject.post(body)), expected)


@check("rest.infer.json.whitespace", "RFC 8259, 2")
def whitespace(subject: Subject) -> None:
    """White space around JSON's tokens means nothing."""
    feeds = subject.model.example()
    body = "\r\n\t " + json.dumps(document(subject.model, feeds), indent="\t ") + "\n \t"
    check_answer(subject.model, decode(subject.post(body.encode())), subject.expected(feeds))


@check("rest.infer.json.member-order", "RFC 8259, 4")
def member_order(subject: Subject) -> None:
    """The order of an object's members means nothing: data may come before shape."""
    feeds = subject.model.example()
    request = document(subject.model, feeds)
    inputs = [dict(reversed(entry.items())) for entry in request["inputs"]]
    check_answer(subject.model, decode(subject.post({"inputs": inputs})), subject.expected(feeds))


@check("rest.infer.json.input-order", sources.REQUEST)
def input_order(subject: Subject) -> None:
    """Inputs are known by their names, not by their order."""
    feeds = subject.model.example(2)
    swapped = dict(reversed(feeds.items()))
    check_answer(subject.model, decode(subject.post(document(subject.model, swapped))), subject.expected(feeds))


@check("rest.infer.json.unlike-requests", sources.INFERENCE)
def unlike(subject: Subject) -> None:
    """Unlike requests one after another each get their own answer."""
    for seed in range(5):
        subject.check_infer(subject.model.example(seed))


def _rows(rows: int) -> Any:
    def run(subject: Subject) -> None:
        subject.check_infer(subject.model.example(rows, free=rows))

    return run


for _count in (1, 2, 7, 32):
    check(
        f"rest.infer.json.rows-{_count}",
        sources.REQUEST,
        model="rows",
        title=f"A batch of {_count} is answered whole and in order.",
    )(_rows(_count))


@check("rest.infer.json.free-shapes", sources.REQUEST, model="add_sub_free")
def free_shapes(subject: Subject) -> None:
    """A model with free dimensions takes different shapes one after another."""
    for shape in ((1, 1), (3, 5), (5, 3), (1, 17)):
        values = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
        subject.check_infer({"a": values, "b": values[::-1].copy()})


@check("rest.infer.id.echo", sources.RESPONSE)
def id_echo(subject: Subject) -> None:
    """The request's id is in the answer."""
    subject.check_infer(subject.model.example(), id="42")


@check("rest.infer.id.exact", sources.RESPONSE)
def id_exact(subject: Subject) -> None:
    """An id with quotes, control characters and Unicode comes back exactly, and in no header."""
    odd = '"quoted" \\ \t\r\nSet-Cookie: a=b \u202e é \N{GRINNING FACE}'
    subject.check_infer(subject.model.example(), id=odd)
    true("the id makes no header", b"\nset-cookie" not in subject.rest.last.received.lower(), odd)


@check("rest.infer.id.empty-string", sources.RESPONSE, level=Level.ROBUSTNESS)
def id_empty(subject: Subject) -> None:
    """An empty id comes back as an empty string or not at all."""
    inferred = decode(subject.post(document(subject.model, subject.model.example(), id="")))
    true("id is empty or absent", inferred.document.get("id", "") == "", inferred.document.get("id"))


@check("rest.infer.outputs.all-by-default", sources.REQUEST)
def outputs_default(subject: Subject) -> None:
    """Without "outputs" all outputs come."""
    inferred = subject.check_infer(subject.model.example())
    equal("number of outputs", 2, len(inferred.outputs))


@check("rest.infer.outputs.one", sources.REQUEST)
def outputs_one(subject: Subject) -> None:
    """Only the requested output comes."""
    feeds = subject.model.example()
    for name in ("sum", "difference"):
        inferred = decode(subject.post(document(subject.model, feeds, outputs=[{"name": name}])))
        check_answer(subject.model, inferred, {name: subject.expected(feeds)[name]})


@check("rest.infer.outputs.all-named", sources.REQUEST)
def outputs_all(subject: Subject) -> None:
    """All outputs may be named, in any order."""
    subject.check_infer(subject.model.example(), outputs=[{"name": "difference"}, {"name": "sum"}])


@check("rest.infer.outputs.order", sources.REQUEST, level=Level.ROBUSTNESS)
def outputs_order(subject: Subject) -> None:
    """Outputs come in the order in which they were asked for."""
    request = document(subject.model, subject.model.example(), outputs=[{"name": "difference"}, {"name": "sum"}])
    equal("order of the outputs", ["difference", "sum"], list(decode(subject.post(request)).outputs))


@check("rest.infer.outputs.empty-list", sources.REQUEST, level=Level.ROBUSTNESS)
def outputs_empty(subject: Subject) -> None:
    """An empty "outputs" asks for all of them, as Triton reads it."""
    subject.check_infer(subject.model.example(), outputs=[])


@check("rest.infer.outputs.parameters", sources.PARAMETERS)
def outputs_parameters(subject: Subject) -> None:
    """Parameters of a requested output that nobody knows change nothing."""
    outputs = [{"name": name, "parameters": {"unheard_of": 1}} for name in ("sum", "difference")]
    subject.check_infer(subject.model.example(), outputs=outputs)


@check("rest.infer.parameters.request", sources.PARAMETERS)
def parameters_request(subject: Subject) -> None:
    """Parameters of a request may be strings, numbers and booleans; unknown ones change nothing."""
    parameters = {"text": "a", "whole": 1, "fraction": 0.5, "yes": True, "no": False}
    subject.check_infer(subject.model.example(), parameters=parameters)


@check("rest.infer.parameters.input", sources.PARAMETERS)
def parameters_input(subject: Subject) -> None:
    """Parameters of an input that nobody knows change nothing."""
    feeds = subject.model.example()
    request = document(subject.model, feeds)
    for entry in request["inputs"]:
        entry["parameters"] = {"content_type": "np", "unheard_of": 3}
    check_answer(subject.model, decode(subject.post(request)), subject.expected(feeds))


@check("rest.infer.parameters.empty", sources.PARAMETERS)
def parameters_empty(subject: Subject) -> None:
    """Empty parameters are as good as none."""
    subject.check_infer(subject.model.example(), parameters={})


@check(
    "rest.infer.parameters.priority",
    "triton-inference-server/server, docs/protocol/extension_schedule_policy.md",
    level=Level.EXTENSION,
    extension="schedule_policy",
)
def parameters_priority(subject: Subject) -> None:
    """A priority and a timeout that leaves time enough are taken."""
    subject.check_infer(subject.model.example(), parameters={"priority": 1, "timeout": 10_000_000})


@check("rest.infer.json.unknown-members", sources.REQUEST, level=Level.ROBUSTNESS)
def unknown_members(subject: Subject) -> None:
    """Members of later versions of the protocol are passed over."""
    subject.check_infer(subject.model.example(), model_name=subject.model.name, unheard_of={"deep": [1, {"a": None}]})


@check("rest.infer.json.content-type-absent", "tritonclient.http sends none", level=Level.ROBUSTNESS)
def content_type_absent(subject: Subject) -> None:
    """A request without Content-Type is read as JSON."""
    feeds = subject.model.example()
    body = json.dumps(document(subject.model, feeds)).encode()
    with subject.rest.connect() as connection:
        head = f"POST {connection.prefix}{subject.infer_path} HTTP/1.1\r\nHost: {connection.host}\r\n"
        answer = subject.rest.raw(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body, "POST", connection)
    check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("rest.infer.json.charset", "RFC 9110, 8.3.1", level=Level.ROBUSTNESS)
def charset(subject: Subject) -> None:
    """`application/json; charset=utf-8` is JSON."""
    feeds = subject.model.example()
    headers = {"Content-Type": "Application/JSON; charset=UTF-8"}
    answer = subject.post(document(subject.model, feeds), headers)
    check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("rest.infer.json.header-length-equal", sources.BINARY, level=Level.ROBUSTNESS)
def header_length_equal(subject: Subject) -> None:
    """Inference-Header-Content-Length may be the whole length of a body that is JSON alone."""
    feeds = subject.model.example()
    body = json.dumps(document(subject.model, feeds)).encode()
    answer = subject.post(body, {"Inference-Header-Content-Length": str(len(body))})
    check_answer(subject.model, decode(answer), subject.expected(feeds))


@check("rest.infer.json.response-names", sources.RESPONSE)
def response_names(subject: Subject) -> None:
    """The answer names the model, and a version that the metadata lists."""
    inferred = subject.check_infer(subject.model.example())
    version = inferred.document.get("model_version")
    if version is not None and subject.versions:
        true("model_version is one of the metadata's versions", version in subject.versions, version)


@check("rest.infer.json.large", sources.TENSOR_DATA, model="rows")
def large(subject: Subject) -> None:
    """A request with 32 rows of long numbers, sent in one piece, is answered whole."""
    values = np.linspace(-1e6, 1e6, 32 * 4, dtype=np.float32).reshape(32, 4)
    subject.check_infer({"x": values})
