"""gRPC: bad input and the code that each gets."""

import struct
from collections.abc import Callable

from tidegate_conformance import datatypes, sources
from tidegate_conformance.check import Level, Wire, check
from tidegate_conformance.checks.bad_body import LEAKS
from tidegate_conformance.datatypes import Datatype
from tidegate_conformance.expect import true
from tidegate_conformance.rpc.infer import check_answer, raw, typed
from tidegate_conformance.rpc.messages import Message, message
from tidegate_conformance.subject import Subject

Build = Callable[[Subject], Message]
INVALID = "INVALID_ARGUMENT"


def _refused(name: str, row: int, title: str, build: Build, model: str = "rows", *codes: str) -> None:
    def run(subject: Subject) -> None:
        details = subject.rpc.refusal("ModelInfer", build(subject), *(codes or (INVALID,)))
        true("the details say something", bool(details.strip()), details)
        true("the details hold no traceback, path or address", not any(leak in details for leak in LEAKS), details)
        feeds = subject.model.example(9)
        answer = subject.rpc.call("ModelInfer", raw(subject.model, feeds))
        check_answer(subject.model, answer, subject.expected(feeds))

    check(f"grpc.bad.{name}", sources.bad_input(row), level=Level.ROBUSTNESS, wire=Wire.GRPC, model=model, title=title)(
        run
    )


def _raw(**fields: object) -> Build:
    """A raw request of one row, with fields of the request replaced."""

    def build(subject: Subject) -> Message:
        return _changed(raw(subject.model, subject.model.example(free=1)), **fields)

    return build


def _changed(request: Message, **fields: object) -> Message:
    for name, value in fields.items():
        if isinstance(value, list):
            request.ClearField(name)
            getattr(request, name).extend(value)
        else:
            setattr(request, name, value)
    return request


def _tensor(**fields: object) -> Build:
    """A raw request of one row, with fields of its first input replaced."""

    def build(subject: Subject) -> Message:
        request = raw(subject.model, subject.model.example(free=1))
        _changed(request.inputs[0], **fields)
        return request

    return build


def _contents(field: str, values: list[object]) -> Build:
    """A typed request whose first input has `values` in `field` alone."""

    def build(subject: Subject) -> Message:
        request = typed(subject.model, subject.model.example(free=1))
        contents = message("inference.InferTensorContents", **{field: values})
        request.inputs[0].contents.CopyFrom(contents)
        return request

    return build


def _twice(subject: Subject) -> Message:
    request = raw(subject.model, subject.model.example(free=1))
    request.inputs.extend(list(request.inputs))
    request.raw_input_contents.extend(list(request.raw_input_contents))
    return request


def _both(subject: Subject) -> Message:
    request = typed(subject.model, subject.model.example(free=1))
    request.raw_input_contents.append(b"\0" * 16)
    return request


def _no_contents(subject: Subject) -> Message:
    request = typed(subject.model, subject.model.example(free=1))
    request.inputs[0].ClearField("contents")
    return request


def _one_of_two(subject: Subject) -> Message:
    request = raw(subject.model, subject.model.example())
    del request.inputs[1:], request.raw_input_contents[1:]
    return request


def _outputs(*names: str) -> Build:
    return _raw(outputs=[message("inference.RequestedOutput", name=name) for name in names])


_refused("unknown-model", 8, "An unknown model.", _raw(model_name="no-such-model"), "rows", "NOT_FOUND")
_refused("unknown-version", 8, "An unknown version.", _raw(model_version="987654"), "rows", "NOT_FOUND")
_refused("path-as-name", 9, "A path in place of a name.", _raw(model_name="../rows"), "rows", "NOT_FOUND")
_refused("no-name", 8, "No model's name.", _raw(model_name=""), "rows", "NOT_FOUND", INVALID)
_refused("no-inputs", 11, "No inputs.", _raw(inputs=[], raw_input_contents=[]))
_refused("input-missing", 11, "One input of two.", _one_of_two, "add_sub")
_refused("input-misnamed", 11, "A misnamed input.", _tensor(name="nothing_called_so"))
_refused("input-twice", 11, "An input given twice.", _twice)
_refused("datatype-other", 12, "FP64 for FP32.", _tensor(datatype="FP64"))
_refused("datatype-unknown", 12, "An unknown datatype.", _tensor(datatype="FLOAT"))
_refused("datatype-absent", 12, "No datatype.", _tensor(datatype=""))
_refused("shape-rank", 13, "A wrong rank.", _tensor(shape=[4]))
_refused("shape-fixed", 13, "A wrong fixed dimension.", _tensor(shape=[2, 2]))
_refused("shape-negative", 13, "-1 in a request's shape.", _tensor(shape=[-1, 4]))
_refused("shape-overflow", 14, "A shape whose product overflows.", _tensor(shape=[2**62, 4]))
_refused("shape-huge", 14, "A shape of a billion rows with four data.", _tensor(shape=[10**9, 4]))
_refused("zero-rows", 16, "A batch of no rows.", lambda s: _changed(_tensor(shape=[0, 4])(s), raw_input_contents=[b""]))
_refused("contents-few", 15, "Too few typed data.", _contents("fp32_contents", [1, 2, 3]))
_refused("contents-many", 15, "Too many typed data.", _contents("fp32_contents", [1, 2, 3, 4, 5]))
_refused("contents-field", 12, "FP32's data in INT64's field.", _contents("int64_contents", [1, 2, 3, 4]))
_refused("contents-int8", 6, "300 for INT8.", _contents("int_contents", [300, 0, 0, 0]), "identity_int8")
_refused("contents-uint8", 6, "300 for UINT8.", _contents("uint_contents", [300, 0, 0, 0]), "identity_uint8")
_refused("contents-none", 15, "Neither typed nor raw data.", _no_contents)
_refused("contents-both", 26, "Typed and raw data.", _both)
_refused("raw-count", 26, "More raw contents than inputs.", _raw(raw_input_contents=[b"\0" * 16, b""]))
_refused("raw-missing", 26, "Fewer raw contents than inputs.", lambda s: _changed(
    raw(s.model, s.model.example()), raw_input_contents=[b"\0" * 32]), "add_sub")  # fmt: skip
_refused("raw-odd", 26, "Raw data whose length is no multiple of the size.", _raw(raw_input_contents=[b"\0" * 15]))
_refused("raw-short", 26, "Raw data shorter than the shape.", _raw(raw_input_contents=[b"\0" * 12]))
_refused("raw-long", 26, "Raw data longer than the shape.", _raw(raw_input_contents=[b"\0" * 20]))
_refused(
    "raw-bytes-lie",
    28,
    "Raw BYTES whose element is longer than what is left.",
    _raw(raw_input_contents=[struct.pack("<I", 2**32 - 1) + b"ab"]),
    "identity_bytes",
)
_refused(
    "raw-bytes-few",
    28,
    "Too few elements of raw BYTES.",
    _raw(raw_input_contents=[datatypes.to_bytes(datatypes.byte_strings([b"a", b"b"], (2,)), Datatype.BYTES)]),
    "identity_bytes",
)
_refused("output-unknown", 29, "An unknown output.", _outputs("nothing_called_so"))
_refused("output-twice", 29, "An output asked for twice.", _outputs("y", "y"))
_refused("id-1mb", 30, "An id of 1 MB.", _raw(id="i" * 10**6))


def _call(name: str, row: int, title: str, method: str, body: bytes, *codes: str) -> None:
    def run(subject: Subject) -> None:
        subject.rpc.refusal(method, body, *codes)
        subject.rpc.call("ServerLive")

    check(f"grpc.bad.{name}", sources.bad_input(row), level=Level.ROBUSTNESS, wire=Wire.GRPC, title=title)(run)


_call("garbage", 27, "Bytes that are no message.", "ModelInfer", b"\xff\xff\xff\xff", INVALID, "INTERNAL")
_call("truncated", 27, "A message that ends early.", "ModelInfer", b"\x0a\x20rows", INVALID, "INTERNAL")
_call("invalid-utf8", 27, "A name that isn't UTF-8.", "ModelInfer", b"\x0a\x02\xff\xfe", INVALID, "INTERNAL")
_call("unknown-method", 27, "An unknown method.", "UnheardOf", b"", "UNIMPLEMENTED")
_call("unknown-service", 27, "An unknown service.", "/no.such.Service/Method", b"", "UNIMPLEMENTED")
_call("too-large", 25, "A message of 200 MB.", "ModelInfer", b"\x3a" + b"\x80\x84\xaf\x5f" + b"\0" * 200_000_000,
      "RESOURCE_EXHAUSTED")  # fmt: skip


@check("grpc.error.unknown-model", sources.GRPC, wire=Wire.GRPC, model="rows")
def unknown_model(subject: Subject) -> None:
    """Inference with an unknown model fails, with a code and details."""
    true("details", bool(subject.rpc.refusal("ModelInfer", _raw(model_name="no-such-model")(subject))), "none")


@check("grpc.error.bad-request", sources.GRPC, wire=Wire.GRPC, model="rows")
def bad_request(subject: Subject) -> None:
    """A wrong datatype, a wrong shape and a wrong length fail, with a code and details."""
    for build in (_tensor(datatype="INT32"), _tensor(shape=[1, 3]), _raw(raw_input_contents=[b""])):
        true("details", bool(subject.rpc.refusal("ModelInfer", build(subject))), "none")
