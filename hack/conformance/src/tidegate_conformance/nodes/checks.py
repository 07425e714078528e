"""One check a case and a wire: sent to the server, the answer must be ONNX Runtime's bit by bit."""

from collections.abc import Sequence

from tidegate_conformance.check import Check, Level, Run, Wire
from tidegate_conformance.checks.binary import ALL_BINARY, EXTENSION, send
from tidegate_conformance.nodes.cases import Case
from tidegate_conformance.rest.infer import check_answer, decode, document
from tidegate_conformance.rpc import infer as rpc_infer
from tidegate_conformance.subject import Subject

SOURCE = "onnx.backend.test, node cases"


def node_checks(cases: Sequence[Case]) -> list[Check]:
    """The checks of all cases, those of one case together, so that its server is started once."""
    return [check for case in cases for check in _of_case(case)]


def _of_case(case: Case) -> list[Check]:
    def made(wire: str, port: Wire, run: Run, extension: str = "") -> Check:
        name, title = f"onnx.{wire}.{case.name}", f"{case.name} over {wire} is bit-equal to ONNX Runtime."
        return Check(name, title, SOURCE, Level.REQUIRED, case.model.name, port, extension, run)

    def over_json(subject: Subject) -> None:
        check_answer(case.model, decode(subject.post(document(case.model, case.feeds))), case.model.answer(case.feeds))

    def over_binary(subject: Subject) -> None:
        check_answer(case.model, decode(send(subject, case.feeds, **ALL_BINARY)), case.model.answer(case.feeds))

    def over_grpc(subject: Subject) -> None:
        answer = subject.rpc.call("ModelInfer", rpc_infer.raw(case.model, case.feeds))
        rpc_infer.check_answer(case.model, answer, case.model.answer(case.feeds))

    checks = [made("json", Wire.REST, over_json)] if case.in_json else []
    return [*checks, made("binary", Wire.REST, over_binary, EXTENSION), made("grpc", Wire.GRPC, over_grpc)]
