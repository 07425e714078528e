"""Bad input in a request's body: what each row of the table gets, and that the server lives on."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tidegate_conformance import sources
from tidegate_conformance.check import Level, check
from tidegate_conformance.expect import true
from tidegate_conformance.rest.infer import document
from tidegate_conformance.subject import Subject

Change = Callable[[dict[str, Any]], Any]
LEAKS = ("Traceback", 'File "', "/home/", "/usr/", "/opt/", "/tmp/", "site-packages", ".py:", "0x7f")


def refused(subject: Subject, body: Any, statuses: tuple[int, ...], headers: dict[str, str] | None = None) -> str:
    """The message of the refusal. Raises `Mismatch` if there is none, or if it tells of the server's inside."""
    message = subject.post(body, headers).refusal(*statuses)
    true("the error holds no traceback, path or address", not any(leak in message for leak in LEAKS), message)
    return message


def good(subject: Subject) -> dict[str, Any]:
    """A request that is right, one row where rows are free; numbers are 1, 2, 3 and so on."""
    feeds = subject.model.example(free=1)
    if subject.model.inputs[0].datatype.numpy.kind in "iuf":
        feeds = {
            name: np.arange(1, value.size + 1).astype(value.dtype).reshape(value.shape) for name, value in feeds.items()
        }
    return document(subject.model, feeds)


def _declare(name: str, row: int, title: str, change: Change, model: str = "rows", *statuses: int) -> None:
    def run(subject: Subject) -> None:
        refused(subject, change(good(subject)), statuses or (400,))

    check(f"rest.bad.{name}", sources.bad_input(row), level=Level.ROBUSTNESS, model=model, title=title)(run)


def _text(change: Callable[[bytes], bytes]) -> Change:
    return lambda request: change(json.dumps(request).encode())


def _input(**members: Any) -> Change:
    """The request with members of its first input replaced; None takes one away."""

    def change(request: dict[str, Any]) -> dict[str, Any]:
        entry = {key: value for key, value in (request["inputs"][0] | members).items() if value is not ...}
        return request | {"inputs": [entry, *request["inputs"][1:]]}

    return change


def _literal(text: str) -> Change:
    """The request with `text` in place of its first datum, as JSON text."""
    return _text(lambda body: body.replace(b'"data": [1', b'"data": [' + text.encode(), 1))


def _put(**members: Any) -> Change:
    return lambda request: request | members


def _with_one_more(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*inputs, inputs[0] | {"name": "z"}]


_HALF_NESTED = [[1, 2, 3, 4], 5, 6, 7, 8]
_PAIRS = [[1, 2], [3, 4], [5, 6], [7, 8]]

_BODIES: list[tuple[str, int, str, Change]] = [
    ("empty-body", 1, "An empty body is refused.", lambda _: b""),
    ("not-json", 1, "A body that is no JSON is refused.", lambda _: b"hello"),
    ("truncated", 1, "JSON that ends early is refused.", _text(lambda body: body[:-5])),
    ("trailing", 1, "Anything behind the JSON is refused.", _text(lambda body: body + b"}")),
    ("two-documents", 1, "Two documents in one body are refused.", _text(lambda body: body + body)),
    ("not-an-object", 1, "A body that is a list is refused.", lambda request: [request]),
    ("null", 1, "A body that is null is refused.", lambda _: None),
    ("utf16", 2, "UTF-16 is refused.", _text(lambda body: body.decode().encode("utf-16"))),
    ("utf32", 2, "UTF-32 is refused.", _text(lambda body: body.decode().encode("utf-32-le"))),
    ("byte-order-mark", 2, "A byte order mark is refused.", _text(lambda body: b"\xef\xbb\xbf" + body)),
    ("invalid-utf8", 2, "Bytes that are not UTF-8 are refused.", _text(lambda body: body.replace(b'"x"', b'"\xff"'))),
    ("overlong-utf8", 2, "Overlong UTF-8 is refused.", _text(lambda body: body.replace(b'"x"', b'"\xc1\xb8"'))),
    ("depth-65", 3, "65 levels of nesting are refused.", lambda r: b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"),
    ("depth-100000", 3, "100,000 levels of nesting are refused.", lambda r: b"[" * 100_000),
    ("deep-data", 3, "Data nested 100,000 deep is refused.", _literal("[" * 100_000 + "1")),
    (
        "duplicate-member",
        4,
        'An object with two members "inputs" is refused.',
        _text(lambda body: body[:-1] + b', "inputs": []}'),
    ),
    (
        "duplicate-data",
        4,
        'A tensor with "data" twice is refused.',
        _text(lambda body: body.replace(b'"data":', b'"data": [9, 9, 9, 9], "data":')),
    ),
    ("nan", 5, "NaN as a literal is refused.", _literal("NaN")),
    ("infinity", 5, "Infinity as a literal is refused.", _literal("-Infinity")),
    ("overflow-double", 5, "1e999 is refused.", _literal("1e999")),
    ("overflow-fp32", 6, "1e39 for FP32 is refused, not turned into infinity.", _literal("1e39")),
    ("long-integer", 6, "An integer of 10,000 digits is refused.", _literal("1" * 10_000)),
    ("boolean-in-floats", 7, "true among FP32 is refused.", _literal("true")),
    ("string-in-floats", 7, "A string among FP32 is refused.", _literal('"1"')),
    ("null-in-floats", 7, "null among FP32 is refused.", _literal("null")),
    ("object-in-floats", 7, "An object among FP32 is refused.", _literal("{}")),
    ("no-inputs", 11, 'A request without "inputs" is refused.', lambda _: {}),
    ("inputs-empty", 11, 'Empty "inputs" are refused.', _put(inputs=[])),
    ("inputs-null", 11, '"inputs": null is refused.', _put(inputs=None)),
    ("inputs-object", 11, '"inputs" that are an object are refused.', _put(inputs={})),
    ("input-no-object", 11, "An input that is a number is refused.", _put(inputs=[1])),
    ("input-misnamed", 11, "A misnamed input is refused.", _input(name="nothing_called_so")),
    ("input-extra", 11, "An input too many is refused.", lambda r: {"inputs": _with_one_more(r["inputs"])}),
    ("input-twice", 11, "An input given twice is refused.", lambda r: {"inputs": r["inputs"] * 2}),
    ("input-nameless", 11, "An input without a name is refused.", _input(name=...)),
    ("name-number", 11, "An input whose name is a number is refused.", _input(name=1)),
    ("datatype-other", 12, "FP64 for FP32 is refused.", _input(datatype="FP64")),
    ("datatype-unknown", 12, "An unknown datatype is refused.", _input(datatype="FLOAT")),
    ("datatype-lower-case", 12, "A datatype in lower case is refused.", _input(datatype="fp32")),
    ("datatype-absent", 12, "An input without a datatype is refused.", _input(datatype=...)),
    ("datatype-number", 12, "A datatype that is a number is refused.", _input(datatype=32)),
    ("shape-rank-less", 13, "A rank too small is refused.", _input(shape=[4])),
    ("shape-rank-more", 13, "A rank too large is refused.", _input(shape=[1, 4, 1])),
    ("shape-fixed", 13, "A wrong fixed dimension is refused.", _input(shape=[2, 2])),
    ("shape-negative", 13, "-1 in a request's shape is refused.", _input(shape=[-1, 4])),
    ("shape-fraction", 13, "1.5 in a shape is refused.", _input(shape=[1.5, 4])),
    ("shape-float", 13, "1.0 in a shape is refused.", _input(shape=[1.0, 4])),
    ("shape-boolean", 13, "true in a shape is refused.", _input(shape=[True, 4])),
    ("shape-string", 13, "A string in a shape is refused.", _input(shape=["1", 4])),
    ("shape-2-63", 13, "2^63 in a shape is refused.", _input(shape=[2**63, 4])),
    ("shape-absent", 13, "An input without a shape is refused.", _input(shape=...)),
    ("shape-number", 13, "A shape that is a number is refused.", _input(shape=4)),
    ("shape-overflow", 14, "A shape whose product overflows is refused.", _input(shape=[2**62, 4])),
    ("shape-huge", 14, "A shape of a billion rows with four data is refused.", _input(shape=[10**9, 4])),
    ("data-few", 15, "Too few data are refused.", _input(data=[1, 2, 3])),
    ("data-many", 15, "Too many data are refused.", _input(data=[1, 2, 3, 4, 5])),
    ("data-empty", 15, "No data are refused.", _input(data=[])),
    ("data-absent", 15, "An input without data is refused.", _input(data=...)),
    ("data-number", 15, "Data that is a number is refused.", _input(data=1)),
    ("data-string", 15, "Data that is a string is refused.", _input(data="1234")),
    ("data-ragged", 15, "Ragged data is refused.", _input(shape=[2, 4], data=[[1, 2, 3, 4, 5], [6, 7, 8]])),
    ("data-half-nested", 15, "Data nested in places alone is refused.", _input(shape=[2, 4], data=_HALF_NESTED)),
    (
        "data-nested-otherwise",
        15,
        "Data nested otherwise than its shape is refused.",
        _input(shape=[2, 4], data=_PAIRS),
    ),
    ("zero-rows", 16, "A batch of no rows is refused.", _input(shape=[0, 4], data=[])),
    ("output-unknown", 29, "An unknown output is refused.", _put(outputs=[{"name": "nothing_called_so"}])),
    ("output-twice", 29, "An output asked for twice is refused.", _put(outputs=[{"name": "y"}, {"name": "y"}])),
    ("output-nameless", 29, "A requested output without a name is refused.", _put(outputs=[{}])),
    ("outputs-object", 29, '"outputs" that are an object are refused.', _put(outputs={"name": "y"})),
    ("id-1mb", 30, "An id of 1 MB is refused.", _put(id="i" * 10**6)),
    ("id-number", 30, "An id that is a number is refused.", _put(id=7)),
    ("parameters-list", 31, "Parameters that are a list are refused.", _put(parameters=["a"])),
    ("parameter-nested", 31, "A parameter that is a list is refused.", _put(parameters={"a": [1]})),
    ("parameter-object", 31, "A parameter that is an object is refused.", _put(parameters={"a": {"b": 1}})),
    ("parameter-5kb", 31, "Parameters of 5 kB are refused.", _put(parameters={"a": "b" * 5000})),
]

for _name, _row, _title, _change in _BODIES:
    _declare(_name, _row, _title, _change)

_BY_DATATYPE: list[tuple[str, str, str, str]] = [
    ("int32-fraction", "identity_int32", "1.5", "1.5 for INT32 is refused."),
    ("int32-float", "identity_int32", "1.0", "1.0 for INT32 is refused: it is no integer."),
    ("int32-overflow", "identity_int32", str(2**31), "2^31 for INT32 is refused, not wrapped."),
    ("int64-overflow", "identity_int64", str(2**63), "2^63 for INT64 is refused, not wrapped."),
    ("int8-underflow", "identity_int8", "-129", "-129 for INT8 is refused, not wrapped."),
    ("uint8-overflow", "identity_uint8", "300", "300 for UINT8 is refused, not wrapped."),
    ("uint8-negative", "identity_uint8", "-1", "-1 for UINT8 is refused, not wrapped."),
    ("uint64-overflow", "identity_uint64", str(2**64), "2^64 for UINT64 is refused."),
    ("int32-boolean", "identity_int32", "true", "true for INT32 is refused."),
    ("int32-string", "identity_int32", '"1"', "A string for INT32 is refused."),
    ("fp64-overflow", "identity_fp64", "1e309", "1e309 for FP64 is refused."),
]
for _name, _model, _value, _title in _BY_DATATYPE:
    _declare(f"value.{_name}", 6, _title, _literal(_value), _model)

_declare("value.bool-number", 7, "1 for BOOL is refused.", _input(data=[1, 0, 1, 0]), "identity_bool")
_declare("value.bool-string", 7, '"true" for BOOL is refused.', _input(data=["true"] * 4), "identity_bool")
_declare("value.bytes-number", 7, "A number for BYTES is refused.", _input(data=[1, 2, 3, 4]), "identity_bytes")
_declare("value.bytes-null", 7, "null for BYTES is refused.", _input(data=[None] * 4), "identity_bytes")
_declare(
    "value.bytes-surrogate",
    7,
    "Half a surrogate pair for BYTES is refused.",
    lambda request: json.dumps(request | {"inputs": [request["inputs"][0] | {"data": ["\ud83d"] * 4}]}).encode(),
    "identity_bytes",
)
_declare("value.fp16-json", 39, "FP16 as JSON, which has no such form, is refused.", _input(), "identity_fp16")
_declare(
    "input-missing",
    11,
    "A model's second input missing is refused.",
    lambda request: {"inputs": request["inputs"][:1]},
    "add_sub",
)
_declare(
    "rows-unlike",
    11,
    "Inputs whose shapes don't fit each other are refused.",
    lambda r: {"inputs": [r["inputs"][0] | {"shape": [3, 1], "data": [1, 2, 3]}, r["inputs"][1]]},
    "add_sub",
)
_declare(
    "batch-too-large",
    17,
    "A million rows are refused, with 400 or 413.",
    lambda r: {"inputs": [r["inputs"][0] | {"shape": [10**6, 4], "data": [0] * 4 * 10**6}]},
    "rows",
    400,
    413,
)


def _required(name: str, title: str, change: Change) -> None:
    def run(subject: Subject) -> None:
        subject.post(change(good(subject))).refusal()

    check(f"rest.error.{name}", sources.ERROR, model="rows", title=title)(run)


_required("not-json", "A body that is no JSON gets an error status and an error object.", lambda _: b"{")
_required("misnamed-input", "A misnamed input gets an error status and an error object.", _input(name="unheard_of"))
_required("wrong-datatype", "A wrong datatype gets an error status and an error object.", _input(datatype="INT32"))
_required(
    "wrong-shape", "A wrong shape gets an error status and an error object.", _input(shape=[1, 3], data=[1, 2, 3])
)
_required("wrong-count", "Data that don't fill the shape get an error status and an error object.", _input(data=[1]))
_required("no-inputs", "A request without inputs gets an error status and an error object.", lambda _: {"id": "1"})
_required(
    "unknown-output", "An unknown output gets an error status and an error object.", _put(outputs=[{"name": "q"}])
)


@check("rest.error.unknown-model", sources.ERROR, model="rows")
def unknown_model(subject: Subject) -> None:
    """Inference with an unknown model gets an error status and an error object."""
    subject.rest.post("/v2/models/no-such-model/infer", good(subject)).refusal()


@check("rest.error.content-type", sources.ERROR, level=Level.ROBUSTNESS, model="rows")
def error_content_type(subject: Subject) -> None:
    """An error object is declared as JSON, whatever it is for."""
    for answer in (subject.post(b"{"), subject.rest.get("/v2/models/no-such-model"), subject.rest.get("/no-such-path")):
        answer.json()


@check("rest.error.serves-on", sources.INFERENCE, model="rows")
def serves_on(subject: Subject) -> None:
    """A good request between bad ones is answered as if there were none."""
    for body in (b"{", b'{"inputs": []}', b'{"inputs": [{"name": "x"}]}'):
        subject.post(body).refusal()
        subject.check_infer(subject.model.example(7))


@check("rest.bad.error-names-value", sources.bad_input(6), level=Level.ROBUSTNESS, model="rows")
def error_names_value(subject: Subject) -> None:
    """The error for a value out of range says which datum it is."""
    message = refused(subject, _input(data=[1, 2, 3, 1e39])(good(subject)), (400,))
    true("the message names data[3]", "data[3]" in message, message)


@check("rest.bad.error-names-inputs", sources.bad_input(11), level=Level.ROBUSTNESS, model="add_sub")
def error_names_inputs(subject: Subject) -> None:
    """The error for a missing input names it."""
    request = good(subject)
    message = refused(subject, {"inputs": request["inputs"][:1]}, (400,))
    true('the message names "b"', '"b"' in message or "'b'" in message, message)


@check("rest.bad.error-names-datatypes", sources.bad_input(12), level=Level.ROBUSTNESS, model="rows")
def error_names_datatypes(subject: Subject) -> None:
    """The error for a wrong datatype says which was expected and which came."""
    message = refused(subject, _input(datatype="FP64")(good(subject)), (400,))
    true("the message names FP32 and FP64", "FP32" in message and "FP64" in message, message)


@check("rest.bad.error-names-counts", sources.bad_input(15), level=Level.ROBUSTNESS, model="rows")
def error_names_counts(subject: Subject) -> None:
    """The error for a wrong number of data says both numbers."""
    message = refused(subject, _input(data=[1, 2, 3])(good(subject)), (400,))
    true("the message has 4 and 3", "4" in message and "3" in message, message)


@check("rest.bad.non-finite-answer", sources.bad_input(38), level=Level.ROBUSTNESS, model="rows")
def non_finite_answer(subject: Subject) -> None:
    """An answer with an infinity is valid JSON, with null or a string in its place."""
    answer = subject.post(_input(data=[3e38, 1, -3e38, 0])(good(subject))).must_be(200)
    data = answer.json()["outputs"][0]["data"]
    flat = data[0] if isinstance(data[0], list) else data
    true("infinities are null or strings", all(flat[at] is None or isinstance(flat[at], str) for at in (0, 2)), flat)
