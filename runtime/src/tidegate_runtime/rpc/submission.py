"""An infer request on its way through the service, without a coroutine, whose cost is what a fast transport saves."""

from collections.abc import Callable
from typing import Final

from tidegate_runtime.access.guard import AUTHORIZATION
from tidegate_runtime.batching.tickets import Outputs, Ticket
from tidegate_runtime.errors import DeadlineExceeded, Overloaded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.naming import HOP_HEADER
from tidegate_runtime.rpc import codec
from tidegate_runtime.rpc.call import Call, check_answer
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.tracing import UNARY, begin
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import InferRequest

CLIENT_GONE: Final = 499
"""Counted for calls that were cancelled before their answer."""

DEADLINE_SLACK_SECONDS: Final = 0.01
"""How far the clocks of transport and service may be apart about a call whose deadline is over."""

Deliver = Callable[[bytes | Exception], None]
Withdraw = Callable[[], None]


def code_of_gone(call: Call, now: float) -> int:
    """What is counted for a call that was cancelled: its time was over, or its client left."""
    late = call.seconds_left is not None and now - call.received >= call.seconds_left - DEADLINE_SLACK_SECONDS
    return 504 if late else CLIENT_GONE


def status_of_gone(code: int) -> str:
    """The name of the gRPC status that goes with a code of `code_of_gone`."""
    return "CANCELLED" if code == CLIENT_GONE else "DEADLINE_EXCEEDED"


def version_of(request: pb.ModelInferRequest, metrics: ModelMetrics | None) -> str:
    """What a trace names as the version: the one asked for, else the one that it counts for."""
    return request.model_version or (metrics.version if metrics is not None else "")


class Submission:
    """Delivers the serialized answer or any exception, once: later, or already while it is made. Counts the request."""

    __slots__ = (
        "_call",
        "_deliver",
        "_infer",
        "_metrics",
        "_model",
        "_name",
        "_parsed",
        "_service",
        "_ticket",
        "_trace",
        "_version",
    )

    def __init__(
        self,
        service: Service,
        request: pb.ModelInferRequest,
        call: Call,
        deliver: Deliver,
        learn: Callable[[InferRequest, ServedModel], None] = lambda *_: None,
    ) -> None:
        """`learn` is told of the request once it is known to fit its model."""
        self._service = service
        self._call = call
        self._deliver = deliver
        self._metrics = service.counts(request.model_name, request.model_version or None)
        self._name, self._version = request.model_name, version_of(request, self._metrics)
        self._ticket: Ticket | None = None
        self._trace = None if service.tracer is None else begin(service, call, UNARY, self._name)
        try:
            codec.check_names(request)
            self._model = service.model(request.model_name, request.model_version or None)
            self._infer = codec.decode(request, call.seconds_left)
            try:
                self._ticket = ticket = self._model.submit(
                    self._infer, call.received, self._on_outcome, call.peer, call.limit_seconds
                )
            except (Overloaded, DeadlineExceeded):
                # It fits the model; under load it is the refusals that have to be cheap.
                learn(self._infer, self._model)
                raise
            ticket.trace = self._trace
            ticket.hop = HOP_HEADER in call.metadata
            if service.guard is not None:
                ticket.authorization = call.metadata.get(AUTHORIZATION)
            self._parsed = ticket.arrived
            learn(self._infer, self._model)
        except Exception as error:
            self._fail(error)

    def withdraw(self) -> None:
        """Forgets the request, its client being gone; without effect once it is delivered."""
        if self._ticket is not None:
            self._model.withdraw(self._ticket)
            self._ticket = None
            code = code_of_gone(self._call, self._service.clock())
            self._count(code, status_of_gone(code))

    def _on_outcome(self, outcome: Outputs | RuntimeFault) -> None:
        ticket, self._ticket = self._ticket, None
        service = self._service
        delivered = service.clock()
        try:
            if isinstance(outcome, RuntimeFault):
                raise outcome
            answer = codec.encode(self._model.answer(self._infer, outcome), self._infer).SerializeToString()
            check_answer(len(answer), self._model.max_body_bytes)
        except Exception as error:
            self._fail(error)
            return
        received, parsed, written = self._call.received, self._parsed, service.clock()
        leads = ticket is not None and ticket.leads and not self._call.chosen
        self._model.metrics.served(received, parsed, delivered, written, leads=leads)
        if self._trace is not None:
            self._trace.served(received, parsed, delivered, written)
        self._count(200)
        self._deliver(answer)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, RuntimeFault):
            self._count(error.http_status, error.grpc_status)
        else:
            self._count(500, "INTERNAL")
        self._deliver(error)

    def _count(self, code: int, status: str = "") -> None:
        if self._metrics is not None:
            seconds = self._service.clock() - self._call.received
            self._metrics.answered(code, 0.0 if code == 200 else seconds)
            if self._call.handed is not None:
                self._call.handed.figures.fell_back(code)
        if self._trace is not None:
            self._trace.end(self._name, self._version, code, status)
