"""Checks of a case: sent to the server over each wire, answers must be ONNX Runtime's bit by bit, alone and batched."""

import json
from collections.abc import Callable, Sequence

from tidegate_conformance.check import Check, Level, Run, Wire
from tidegate_conformance.checks.binary import ALL_BINARY, EXTENSION, packed
from tidegate_conformance.models.known import Feeds, KnownModel
from tidegate_conformance.nodes.cases import Case
from tidegate_conformance.nodes.rows import TOTAL, Together
from tidegate_conformance.nodes.together import Answers, Packed, Paused, in_batches, over_grpc, over_rest
from tidegate_conformance.rest.infer import check_answer, decode, document
from tidegate_conformance.rpc import infer as rpc_infer
from tidegate_conformance.subject import Subject

SOURCE = "onnx.backend.test, node cases"
AREA = "onnx"
ROWS = "onnx.rows"
BATCHED = "onnx.batched"
LENGTH = "Inference-Header-Content-Length"
TIMES = 3
"""A request is sent more than once: what a server has met before, it may read in another way."""

PLACES = (0, 1, 4, 8, 12)
"""Where binary data begin, by `begun_at`. Whatever reads them where they are adds them up in another order there."""

_WIRES = {"json": (Wire.REST, ""), "binary": (Wire.REST, EXTENSION), "grpc": (Wire.GRPC, "")}


def alone(case: Case) -> list[Check]:
    """The checks of one case by itself."""
    return _alone(AREA, case.name, case.model, [(case.feeds, case.model.answer(case.feeds))], finite=case.in_json)


def rows_alone(case: Together) -> list[Check]:
    """The checks of requests that might share a batch and don't: one of a single row, one of several."""
    asked = list(zip(case.requests[:2], case.alone[:2], strict=True))
    return _alone(ROWS, case.name, case.model, asked, finite=case.in_json)


def _alone(
    area: str, case: str, model: KnownModel, asked: Sequence[tuple[Feeds, Feeds]], *, finite: bool
) -> list[Check]:
    """The checks of requests one by one: inputs and the outputs that are right."""

    def over_json(subject: Subject) -> None:
        for feeds, expected in asked:
            _over_rest(subject, [in_json(model, feeds)] * TIMES, expected)

    def over_binary(subject: Subject) -> None:
        for feeds, expected in asked:
            whole = packed(model, feeds, **ALL_BINARY)
            _over_rest(subject, [begun_at(whole, place) for place in PLACES for _ in range(TIMES)], expected)

    def over_grpc_raw(subject: Subject) -> None:
        for feeds, expected in asked:
            for _ in range(TIMES):
                rpc_infer.check_answer(model, subject.rpc.call("ModelInfer", rpc_infer.raw(model, feeds)), expected)

    ways = {"json": over_json} if finite else {}
    ways |= {"binary": over_binary, "grpc": over_grpc_raw}
    return [_made(area, wire, case, model.name, run) for wire, run in ways.items()]


def in_json(model: KnownModel, feeds: Feeds) -> Packed:
    """The request with all tensors in JSON."""
    return json.dumps(document(model, feeds), ensure_ascii=False).encode(), {}


def _over_rest(subject: Subject, requests: Sequence[Packed], expected: Feeds) -> None:
    """Asks one after the other on one connection."""
    client = subject.rest
    with client.connect() as connection:
        for body, headers in requests:
            answer = client.request("POST", subject.infer_path, body, headers, connection)
            check_answer(subject.model, decode(answer), expected)


def begun_at(request: Packed, place: int) -> Packed:
    """The request with its binary data `place` bytes behind a multiple of 16 from its first byte on."""
    body, headers = request
    length = int(headers[LENGTH])
    spaces = (place - length) % 16
    return body[:length] + b" " * spaces + body[length:], headers | {LENGTH: str(length + spaces)}


def batched(case: Together, paused: Paused) -> list[Check]:
    """The checks of requests that share a batch; `paused` keeps their server from running."""

    def over_json(subject: Subject) -> Answers:
        return over_rest(subject, [in_json(case.model, feeds) for feeds in case.requests], paused)

    def over_binary(subject: Subject) -> Answers:
        return over_rest(subject, [packed(case.model, feeds, **ALL_BINARY) for feeds in case.requests], paused)

    def over_grpc_raw(subject: Subject) -> Answers:
        return over_grpc(subject, [rpc_infer.raw(case.model, feeds) for feeds in case.requests], paused)

    def checked(ask: Callable[[Subject], Answers]) -> Run:
        return lambda subject: case.check(*in_batches(subject, TOTAL, lambda: ask(subject)))

    ways = {"json": over_json} if case.in_json else {}
    ways |= {"binary": over_binary, "grpc": over_grpc_raw}
    return [_made(BATCHED, wire, case.name, case.model.name, checked(ask)) for wire, ask in ways.items()]


def left_out(area: str, case: str, model: str = "") -> Check:
    """What stands for a case that isn't sent, so that it is told by its name."""

    def never(_subject: Subject) -> None:
        raise AssertionError("it is left out")

    return Check(f"{area}.none.{case}", f"{case} is sent.", SOURCE, Level.REQUIRED, model, Wire.REST, "", never)


def _made(area: str, wire: str, case: str, model: str, run: Run) -> Check:
    port, extension = _WIRES[wire]
    title = f"{case} over {wire} is bit-equal to ONNX Runtime{' on the same batch' if area == BATCHED else ''}."
    return Check(f"{area}.{wire}.{case}", title, SOURCE, Level.REQUIRED, model, port, extension, run)
