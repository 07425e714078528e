"""The same request over each wire gets the same answer, bit by bit."""

import numpy as np

from tidegate_conformance import datatypes
from tidegate_conformance.check import Level, Wire, check
from tidegate_conformance.checks.binary import ALL_BINARY, EXTENSION, send
from tidegate_conformance.expect import fail
from tidegate_conformance.rest.infer import Output, decode, document
from tidegate_conformance.rpc import infer as rpc_infer
from tidegate_conformance.subject import Subject

SOURCE = "follows from the specifications of both wires"


def _same(left: dict[str, Output], right: dict[str, Output], names: str) -> None:
    for name, output in left.items():
        if not datatypes.same(output.array, right[name].array):
            fail(f'output "{name}" over {names}', output.array.tolist(), right[name].array.tolist())


def _feeds() -> dict[str, datatypes.Array]:
    return {"x": np.random.default_rng(0).normal(scale=1000, size=(5, 4)).astype(np.float32)}


@check("agreement.json-and-grpc", SOURCE, wire=Wire.GRPC, model="rows")
def json_and_grpc(subject: Subject) -> None:
    """Arbitrary FP32 values give the same bits over REST's JSON as over gRPC, raw and typed."""
    feeds = _feeds()
    over_json = decode(subject.post(document(subject.model, feeds))).outputs
    for build in (rpc_infer.raw, rpc_infer.typed):
        over_grpc = rpc_infer.decode(subject.rpc.call("ModelInfer", build(subject.model, feeds)))
        _same(over_json, over_grpc, "JSON and gRPC")


@check("agreement.json-and-binary", SOURCE, level=Level.EXTENSION, extension=EXTENSION, model="rows")
def json_and_binary(subject: Subject) -> None:
    """Arbitrary FP32 values give the same bits over JSON as over binary tensors."""
    feeds = _feeds()
    over_json = decode(subject.post(document(subject.model, feeds))).outputs
    _same(over_json, decode(send(subject, feeds, **ALL_BINARY)).outputs, "JSON and binary")


@check("agreement.alone-and-in-a-batch", SOURCE, model="rows")
def alone_and_batched(subject: Subject) -> None:
    """Each row alone gives the same bits as within a batch."""
    feeds = _feeds()
    whole = subject.check_infer(feeds).outputs["y"].array
    for at in range(len(whole)):
        alone = subject.check_infer({"x": feeds["x"][at : at + 1]}).outputs["y"].array
        if not datatypes.same(alone[0], whole[at]):
            fail(f"row {at}", whole[at].tolist(), alone[0].tolist())
