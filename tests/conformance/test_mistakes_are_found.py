"""The checks can fail: each kind of mistake, made by an otherwise right server, is found by the check that names it."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from tidegate_conformance import checks
from tidegate_conformance.run import Verdict

from .one_check import result_of

checks.load()

Reply = Any
Change = Callable[[Reply], Reply]


def in_answers(change: Callable[[dict[str, Any]], Any]) -> Change:
    """The mistake `change` in the JSON of every inference that succeeds."""

    def mistake(reply: Reply) -> Reply:
        if reply.request is None or reply.status != 200:
            return reply
        document = json.loads(json.dumps(reply.document))
        return replace(reply, document=change(document) or document)

    return mistake


def in_outputs(change: Callable[[dict[str, Any]], None]) -> Change:
    def each(document: dict[str, Any]) -> None:
        for output in document["outputs"]:
            change(output)

    return in_answers(each)


def in_data(change: Callable[[list[Any]], list[Any]]) -> Change:
    return in_outputs(lambda output: output.update(data=change(output["data"])))


def at(path: str, **members: Any) -> Change:
    """Other members in the answer at `path`; `None` takes one away."""

    def mistake(reply: Reply) -> Reply:
        if reply.path != path:
            return reply
        document = {name: value for name, value in (reply.document | members).items() if value is not None}
        return replace(reply, document=document)

    return mistake


def in_refusals(change: Change) -> Change:
    return lambda reply: change(reply) if reply.status >= 400 else reply


def stale() -> Change:
    """Each inference is answered with the one before."""
    lock, before = threading.Lock(), [None]

    def mistake(reply: Reply) -> Reply:
        if reply.request is None:
            return reply
        with lock:
            document, before[0] = before[0] or reply.document, reply.document
        return replace(reply, document=document)

    return mistake


def through(kind: Any) -> Change:
    return in_data(lambda data: np.array(data).astype(kind).tolist())


def ids_away(document: dict[str, Any]) -> None:
    document.pop("id", None)


MISTAKES: dict[str, tuple[str, Change]] = {
    "a shape turned round": ("rest.infer.json.rows-2", in_outputs(lambda o: o.update(shape=o["shape"][::-1]))),
    "a shape flattened": ("rest.infer.json.rank5", in_outputs(lambda o: o.update(shape=[len(o["data"])]))),
    "a scalar with a dimension": ("rest.infer.json.rank0", in_outputs(lambda o: o.update(shape=[1]))),
    "a wrong datatype": ("rest.infer.json.flat.fp32", in_outputs(lambda o: o.update(datatype="FP64"))),
    "numpy's name of a datatype": ("rest.infer.json.flat.fp32", in_outputs(lambda o: o.update(datatype="float32"))),
    "no datatype": ("rest.infer.json.flat.fp32", in_outputs(lambda o: o.pop("datatype"))),
    "no id": ("rest.infer.id.echo", in_answers(ids_away)),
    "an id of its own": ("rest.infer.id.echo", in_answers(lambda d: d | {"id": "another"})),
    "an id as a number": ("rest.infer.id.echo", in_answers(lambda d: d | {"id": 42})),
    "a datum too few": ("rest.infer.json.flat.fp32", in_data(lambda data: data[:-1])),
    "a wrong value": ("rest.infer.json.flat.fp32", in_data(lambda data: [*data[:-1], data[-1] + 1])),
    "rows turned round": ("rest.infer.json.rows-7", in_data(lambda data: data[::-1])),
    "floats rounded": ("rest.infer.json.fp32-exact", through(np.float16)),
    "doubles rounded": ("rest.infer.json.fp64-exact", through(np.float32)),
    "long integers through doubles": ("rest.infer.json.limits.int64", in_data(lambda d: [int(float(v)) for v in d])),
    "integers as floats": ("rest.infer.json.flat.int32", in_data(lambda data: [float(value) for value in data])),
    "negative zero lost": ("rest.infer.json.negative-zero", in_data(lambda data: [value + 0.0 for value in data])),
    "booleans as numbers": ("rest.infer.json.flat.bool", in_data(lambda data: [int(value) for value in data])),
    "text through Latin-1": (
        "rest.infer.json.bytes-unicode",
        in_data(lambda data: [value.encode().decode("latin-1") for value in data]),
    ),
    "an output away": ("rest.infer.outputs.all-by-default", in_answers(lambda d: d["outputs"].pop())),
    "an output twice": ("rest.infer.outputs.one", in_answers(lambda d: d | {"outputs": d["outputs"] * 2})),
    "outputs in the model's order": (
        "rest.infer.outputs.order",
        in_answers(lambda d: d | {"outputs": sorted(d["outputs"], key=lambda output: output["name"] != "sum")}),
    ),
    "no model_name": ("rest.infer.json.response-names", in_answers(lambda d: d.pop("model_name") and None)),
    "another model_name": ("rest.infer.json.response-names", in_answers(lambda d: d | {"model_name": "m"})),
    "a version that isn't listed": (
        "rest.infer.json.response-names",
        in_answers(lambda d: d | {"model_version": "7"}),
    ),
    "the answer before": ("rest.infer.json.unlike-requests", stale()),
    "answers mixed up between clients": ("concurrency.json", stale()),
    "an answer as HTML": (
        "rest.infer.json.flat.fp32",
        lambda reply: replace(reply, content_type="text/html") if reply.request else reply,
    ),
    "a member twice": (
        "rest.infer.json.flat.fp32",
        lambda reply: (
            replace(reply, text=json.dumps(reply.document)[:-1].encode() + b',"model_name":"identity_fp32"}')
            if reply.request
            else reply
        ),
    ),
    # The small server writes infinities as Python does, so that it needs no help with this one.
    "Infinity in JSON": (
        "rest.bad.non-finite-answer",
        lambda reply: reply,
    ),
    "an error as text": (
        "rest.error.unknown-model",
        in_refusals(lambda reply: replace(reply, text=b"no", content_type="text/plain")),
    ),
    "an error as FastAPI says it": (
        "rest.error.not-json",
        in_refusals(lambda reply: replace(reply, document={"detail": "no"})),
    ),
    "an error that is an object": (
        "rest.error.misnamed-input",
        in_refusals(lambda reply: replace(reply, document={"error": {"message": "no"}})),
    ),
    "an error that is empty": (
        "rest.error.wrong-datatype",
        in_refusals(lambda reply: replace(reply, document={"error": ""})),
    ),
    "an error with status 200": ("rest.error.wrong-shape", in_refusals(lambda reply: replace(reply, status=200))),
    "no answer to a bad request": ("rest.error.wrong-count", in_refusals(lambda reply: replace(reply, drop=True))),
    "400 for an unknown model": ("rest.bad.path.unknown-model", in_refusals(lambda r: replace(r, status=400))),
    "500 for bad input": ("rest.bad.data-many", in_refusals(lambda reply: replace(reply, status=500))),
    "a traceback in an error": (
        "rest.bad.data-few",
        in_refusals(lambda reply: replace(reply, document={"error": 'Traceback: File "server.py"'})),
    ),
    "a liveness that fails": (
        "rest.health.live",
        lambda reply: replace(reply, status=500) if reply.path.endswith("live") else reply,
    ),
    "a readiness that says no": ("rest.health.ready-body", at("/v2/health/ready", ready=False)),
    "a model readiness without a name": ("rest.health.model-ready-body", at("/v2/models/add_sub/ready", name=None)),
    "every model ready": (
        "rest.health.unknown-model",
        lambda reply: replace(reply, status=200) if reply.path.endswith("/ready") else reply,
    ),
    "a server without extensions": ("rest.server.extensions", at("/v2", extensions=None)),
    "a model without a platform": ("rest.model-metadata.name", at("/v2/models/add_sub", platform=None)),
    "versions as numbers": ("rest.model-metadata.versions", at("/v2/models/add_sub", versions=[1])),
    "free dimensions as names": (
        "rest.model-metadata.free-shape",
        at("/v2/models/add_sub_free", inputs=[{"name": "a", "datatype": "INT32", "shape": ["n", "m"]}]),
    ),
    "blobs in another order": (
        "rest.infer.binary.all-outputs",
        lambda reply: replace(reply, blobs=reply.blobs[::-1]),
    ),
    "a blob in the other byte order": (
        "rest.infer.binary.both.int32",
        lambda reply: replace(reply, blobs=[np.frombuffer(b, "<i4").byteswap().tobytes() for b in reply.blobs]),
    ),
    "a blob too short": (
        "rest.infer.binary.both.fp32",
        lambda reply: replace(reply, blobs=[blob[:-1] for blob in reply.blobs]),
    ),
    "a blob too long": (
        "rest.infer.binary.both.fp32",
        lambda reply: replace(reply, blobs=[blob + b"\0" for blob in reply.blobs]),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_found_on_rest_is(serve: Any, name: str) -> None:
    check, mistake = MISTAKES[name]
    with serve(mistake) as endpoint:
        result = result_of(check, endpoint)
    assert result.verdict is Verdict.FAILED, result
    assert result.detail


@pytest.mark.parametrize("check", sorted({check for check, _ in MISTAKES.values()} - {"rest.bad.non-finite-answer"}))
def test_a_right_server_passes(serve: Any, check: str) -> None:
    with serve() as endpoint:
        result = result_of(check, endpoint)
    assert (result.verdict, result.detail) == (Verdict.PASSED, "")


def on(method: str, change: Callable[[Any], Any]) -> Any:
    return lambda name, answer: (change(answer) or answer) if name == method else answer


def _typed_in_another_field(answer: Any) -> None:
    del answer.raw_output_contents[:]
    for output in answer.outputs:
        output.contents.int64_contents.extend([1] * int(np.prod(output.shape)))


RPC_MISTAKES: dict[str, tuple[str, Any]] = {
    "no id": ("grpc.infer.id", on("ModelInfer", lambda a: a.ClearField("id"))),
    "another model_name": ("grpc.infer.raw.fp32", on("ModelInfer", lambda a: setattr(a, "model_name", "m"))),
    "a raw content too many": ("grpc.infer.raw.fp32", on("ModelInfer", lambda a: a.raw_output_contents.append(b""))),
    "typed contents beside raw ones": (
        "grpc.infer.raw.fp32",
        on("ModelInfer", lambda a: a.outputs[0].contents.fp32_contents.append(1)),
    ),
    "typed contents of another datatype": ("grpc.infer.raw.fp32", on("ModelInfer", _typed_in_another_field)),
    "raw contents in another order": (
        "grpc.infer.two-inputs",
        on("ModelInfer", lambda a: a.raw_output_contents.reverse()),
    ),
    "a wrong shape": ("grpc.infer.raw.fp32", on("ModelInfer", lambda a: a.outputs[0].shape.reverse())),
    "a wrong datatype": ("grpc.infer.raw.fp32", on("ModelInfer", lambda a: setattr(a.outputs[0], "datatype", "FP64"))),
    "metadata of another shape": ("grpc.metadata.model", on("ModelMetadata", lambda a: a.inputs[0].shape.append(1))),
    "not live": ("grpc.health.live", on("ServerLive", lambda a: setattr(a, "live", False))),
    "never ready": ("grpc.health.model-ready", on("ModelReady", lambda a: setattr(a, "ready", False))),
}


@pytest.mark.parametrize("name", RPC_MISTAKES)
def test_found_on_grpc_is(serve_grpc: Any, name: str) -> None:
    check, mistake = RPC_MISTAKES[name]
    with serve_grpc(mistake) as endpoint:
        result = result_of(check, endpoint)
    assert result.verdict is Verdict.FAILED, result
    assert result.detail


def test_refusals_that_say_unknown_are_found(serve_grpc: Any) -> None:
    with serve_grpc(refusal=grpc.StatusCode.UNKNOWN) as endpoint:
        result = result_of("grpc.error.bad-request", endpoint)
    assert result.verdict is Verdict.FAILED, result


@pytest.mark.parametrize("check", sorted({check for check, _ in RPC_MISTAKES.values()} | {"grpc.error.bad-request"}))
def test_a_right_server_passes_on_grpc(serve_grpc: Any, check: str) -> None:
    with serve_grpc() as endpoint:
        result = result_of(check, endpoint)
    assert (result.verdict, result.detail) == (Verdict.PASSED, "")
