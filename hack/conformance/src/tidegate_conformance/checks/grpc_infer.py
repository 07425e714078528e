"""gRPC: inference with typed and raw contents, streams, deadlines, cancellation, compression, sizes."""

import time
from collections.abc import Callable

import grpc
import numpy as np

from tidegate_conformance import datatypes, sources
from tidegate_conformance.check import Level, Run, Wire, check
from tidegate_conformance.checks.classification import VALUES, expect_classes
from tidegate_conformance.datatypes import INTEGERS, Datatype
from tidegate_conformance.expect import equal, fail, true
from tidegate_conformance.rpc.infer import CONTENTS, check_answer, decode, parameter, raw, typed
from tidegate_conformance.rpc.messages import Message, message
from tidegate_conformance.subject import Subject


def _check(name: str, *, model: str = "add_sub", title: str = "", level: Level = Level.REQUIRED,
           extension: str = "", source: str = sources.GRPC) -> Callable[[Run], Run]:  # fmt: skip
    return check(
        f"grpc.infer.{name}",
        source,
        level=level,
        wire=Wire.GRPC,
        model=model,
        title=title,
        extension=extension,
    )


def _holds(subject: Subject, request: Message, feeds: dict[str, datatypes.Array], **options: object) -> Message:
    answer = subject.rpc.call("ModelInfer", request, **options)
    check_answer(subject.model, answer, subject.expected(feeds), request.id)
    return answer


def _typed(subject: Subject) -> None:
    feeds = subject.model.example()
    _holds(subject, typed(subject.model, feeds), feeds)


def _raw(subject: Subject) -> None:
    feeds = subject.model.example(1, free=5)
    _holds(subject, raw(subject.model, feeds), feeds)


def _limits(subject: Subject) -> None:
    kind = subject.model.inputs[0].datatype.numpy
    feeds = {"x": np.array([[np.iinfo(kind).min, np.iinfo(kind).max, 0, 1]], kind)}
    _holds(subject, typed(subject.model, feeds), feeds)


def _declare() -> None:
    for datatype in Datatype:
        name, model = datatype.lower(), f"identity_{datatype.lower()}"
        _check(f"raw.{name}", model=model, title=f"Raw {datatype} comes back bit by bit.")(_raw)
        if datatype in CONTENTS:
            _check(f"typed.{name}", model=model, title=f"Typed {datatype} comes back bit by bit.")(_typed)
        if datatype in INTEGERS:
            title = f"The least and the greatest {datatype} are exact in typed contents."
            _check(f"limits.{name}", model=model, title=title)(_limits)
    for rank in (0, 1, 5):
        _check(f"rank{rank}", model=f"rank{rank}", title=f"A tensor of rank {rank} is answered in its shape.")(_raw)


_declare()


@_check("two-inputs")
def two_inputs(subject: Subject) -> None:
    """Raw contents follow the request's order of inputs, not the model's."""
    feeds = subject.model.example()
    _holds(subject, raw(subject.model, dict(reversed(feeds.items()))), feeds)


@_check("id")
def with_id(subject: Subject) -> None:
    """The id comes back exactly."""
    feeds = subject.model.example()
    _holds(subject, raw(subject.model, feeds, id='"42" é\t\N{GRINNING FACE}'), feeds)


@_check("version")
def version(subject: Subject) -> None:
    """The answer says which version answered, and a version may be asked for."""
    feeds = subject.model.example()
    answer = _holds(subject, raw(subject.model, feeds), feeds)
    if subject.versions:
        true("model_version is one of the metadata's", answer.model_version in subject.versions, answer.model_version)
        again = _holds(subject, raw(subject.model, feeds, model_version=answer.model_version), feeds)
        equal("model_version", answer.model_version, again.model_version)


@_check("each-version", model="versioned")
def each_version(subject: Subject) -> None:
    """Each version answers with its own result."""
    feeds = subject.model.example()
    for number in subject.versions:
        answer = subject.rpc.call("ModelInfer", raw(subject.model, feeds, model_version=number))
        check_answer(subject.model, answer, subject.model.answer(feeds, number))
        equal("model_version", number, answer.model_version)


@_check("outputs")
def outputs(subject: Subject) -> None:
    """Only the requested output comes, with one raw content."""
    feeds = subject.model.example()
    for name in ("sum", "difference"):
        wanted = [message("inference.RequestedOutput", name=name)]
        answer = subject.rpc.call("ModelInfer", raw(subject.model, feeds, outputs=wanted))
        check_answer(subject.model, answer, {name: subject.expected(feeds)[name]})


@_check("raw-answers-raw", level=Level.ROBUSTNESS)
def raw_answers_raw(subject: Subject) -> None:
    """A raw request is answered with raw contents, as all clients expect."""
    feeds = subject.model.example()
    answer = subject.rpc.call("ModelInfer", raw(subject.model, feeds))
    equal("number of raw_output_contents", 2, len(answer.raw_output_contents))


@_check("parameters")
def parameters(subject: Subject) -> None:
    """Parameters of all kinds that nobody knows change nothing."""
    feeds = subject.model.example()
    known = {"text": parameter("a"), "yes": parameter(True), "whole": parameter(1), "fraction": parameter(0.5)}
    _holds(subject, raw(subject.model, feeds, parameters=known), feeds)


@_check("rows", model="rows")
def rows(subject: Subject) -> None:
    """Batches of 1, 2, 7 and 32 rows are answered whole and in order."""
    for count in (1, 2, 7, 32):
        feeds = subject.model.example(count, free=count)
        _holds(subject, raw(subject.model, feeds), feeds)
        _holds(subject, typed(subject.model, feeds), feeds)


@_check("non-finite", model="identity_fp32")
def non_finite(subject: Subject) -> None:
    """NaN and infinities pass bit by bit, raw."""
    feeds = {"x": np.array([[np.nan, np.inf, -np.inf, -0.0]], np.float32)}
    _holds(subject, raw(subject.model, feeds), feeds)


@_check("bytes", model="identity_bytes")
def any_bytes(subject: Subject) -> None:
    """BYTES hold NUL, empty elements and long ones, raw and typed."""
    values = datatypes.byte_strings([b"", b"a\x00b", b"x" * 5000, "漢字".encode()], (1, 4))
    _holds(subject, raw(subject.model, {"x": values}), {"x": values})
    _holds(subject, typed(subject.model, {"x": values}), {"x": values})


@_check("classification", model="identity_fp32", level=Level.EXTENSION, extension="classification",
        source=sources.CLASSIFICATION)  # fmt: skip
def classification(subject: Subject) -> None:
    """The two best classes of each row."""
    wanted = message("inference.RequestedOutput", name="y", parameters={"classification": parameter(2)})
    answer = subject.rpc.call("ModelInfer", raw(subject.model, {"x": VALUES}, outputs=[wanted]))
    output = decode(answer)["y"]
    equal("shape", [2, 2], list(output.array.shape))
    expect_classes(output.array.ravel().tolist(), [(10, 2), (4, 3), (8, 1), (0.25, 0)])


@_check("deadline", model="counting", source=sources.GRPC_CORE)
def deadline(subject: Subject) -> None:
    """A call whose deadline passes fails with DEADLINE_EXCEEDED, and the server goes on."""
    request = raw(subject.model, {"n": np.array([2_000_000], np.int64)})
    subject.rpc.refusal("ModelInfer", request, "DEADLINE_EXCEEDED", timeout=0.2)
    feeds = {"n": np.array([10], np.int64)}
    _holds(subject, raw(subject.model, feeds), feeds)


@_check("cancel", model="counting", source=sources.GRPC_CORE)
def cancel(subject: Subject) -> None:
    """A cancelled call leaves the server to the others."""
    call = subject.rpc.callable("ModelInfer")
    future = call.future(raw(subject.model, {"n": np.array([2_000_000], np.int64)}), timeout=15)  # type: ignore[attr-defined]
    time.sleep(0.1)
    true("the call was still running", future.cancel(), "an answer")
    feeds = {"n": np.array([7], np.int64)}
    _holds(subject, raw(subject.model, feeds), feeds)


def _compressed(algorithm: grpc.Compression) -> Run:
    def run(subject: Subject) -> None:
        feeds = subject.model.example(2, free=32)
        _holds(subject, raw(subject.model, feeds), feeds, compression=algorithm)

    return run


for _name, _algorithm in (("gzip", grpc.Compression.Gzip), ("deflate", grpc.Compression.Deflate)):
    _check(
        f"compression.{_name}",
        model="rows",
        source=sources.GRPC_CORE,
        title=f"A request in {_name} is answered.",
    )(_compressed(_algorithm))


@_check("large", model="add_sub_free")
def large(subject: Subject) -> None:
    """A message of 3 MB, near grpc's own limit, goes in and out."""
    values = np.arange(3 * 2**17, dtype=np.int32).reshape(512, -1)
    _holds(subject, raw(subject.model, {"a": values, "b": values}), {"a": values, "b": values})


@_check("larger", model="add_sub_free", level=Level.ROBUSTNESS, source=sources.bad_input(25))
def larger(subject: Subject) -> None:
    """A message of 8 MB, twice grpc's own limit, goes in and out: the bound is REST's."""
    values = np.arange(2**20, dtype=np.int32).reshape(1024, 1024)
    _holds(subject, raw(subject.model, {"a": values, "b": values}), {"a": values, "b": values})


@_check("together", model="rows")
def together(subject: Subject) -> None:
    """16 calls at once on one connection each get their own answer."""
    call = subject.rpc.callable("ModelInfer")
    many = [subject.model.example(seed, free=1 + seed % 3) for seed in range(16)]
    futures = [call.future(raw(subject.model, feeds, id=str(at)), timeout=15) for at, feeds in enumerate(many)]  # type: ignore[attr-defined]
    for at, (feeds, future) in enumerate(zip(many, futures, strict=True)):
        check_answer(subject.model, future.result(), subject.expected(feeds), str(at))


@_check("stream.one", model="rows", level=Level.EXTENSION, source=sources.GRPC_TRITON)
def stream_one(subject: Subject) -> None:
    """One request on a stream gets one answer."""
    feeds = subject.model.example()
    (answer,) = subject.rpc.stream([raw(subject.model, feeds, id="s")])
    equal("error_message", "", answer.error_message)
    check_answer(subject.model, answer.infer_response, subject.expected(feeds), "s")


@_check("stream.many", model="rows", level=Level.EXTENSION, source=sources.GRPC_TRITON)
def stream_many(subject: Subject) -> None:
    """Twenty requests on a stream get twenty answers, each with its id."""
    many = {str(seed): subject.model.example(seed, free=1 + seed % 4) for seed in range(20)}
    answers = subject.rpc.stream([raw(subject.model, feeds, id=name) for name, feeds in many.items()])
    found = {answer.infer_response.id: answer for answer in answers}
    equal("ids", sorted(many), sorted(found))
    for name, feeds in many.items():
        equal("error_message", "", found[name].error_message)
        check_answer(subject.model, found[name].infer_response, subject.expected(feeds), name)


@_check("stream.error", model="rows", level=Level.EXTENSION, source=sources.GRPC_TRITON)
def stream_error(subject: Subject) -> None:
    """A bad request on a stream gets an error_message, and the stream goes on."""
    feeds = subject.model.example()
    bad = raw(subject.model, feeds, id="bad")
    bad.inputs[0].datatype = "FP64"
    answers = subject.rpc.stream([bad, raw(subject.model, feeds, id="good")])
    equal("number of answers", 2, len(answers))
    errors = [answer for answer in answers if answer.error_message]
    equal("number of errors", 1, len(errors))
    (right,) = [answer for answer in answers if not answer.error_message]
    check_answer(subject.model, right.infer_response, subject.expected(feeds), "good")


@_check("stream.empty", model="rows", level=Level.EXTENSION, source=sources.GRPC_TRITON)
def stream_empty(subject: Subject) -> None:
    """A stream without requests ends without answers."""
    answers = subject.rpc.stream([])
    if answers:
        fail("answers", "none", answers)
