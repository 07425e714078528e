"""Inference with JSON: forms of the data, ids, requested outputs, parameters."""

import json
from typing import Any

import numpy as np

from tidegate_conformance import sources
from tidegate_conformance.check import check
from tidegate_conformance.datatypes import INTEGERS, JSON, Datatype
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


@check("rest.infer.json.large", sources.TENSOR_DATA, model="rows")
def large(subject: Subject) -> None:
    """A request with 32 rows of long numbers, sent in one piece, is answered whole."""
    values = np.linspace(-1e6, 1e6, 32 * 4, dtype=np.float32).reshape(32, 4)
    subject.check_infer({"x": values})
