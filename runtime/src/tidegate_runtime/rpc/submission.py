"""An infer request on its way through the service, without a coroutine, whose cost is what a fast transport saves."""

from collections.abc import Callable
from typing import Final

from tidegate_runtime.batching.tickets import Outputs, Ticket
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.rpc import codec
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.service import Service

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


class Submission:
    """Delivers the serialized answer or any exception, once: later, or already while it is made. Counts the request."""

    __slots__ = ("_call", "_deliver", "_infer", "_metrics", "_model", "_service", "_ticket")

    def __init__(self, service: Service, request: pb.ModelInferRequest, call: Call, deliver: Deliver) -> None:
        self._service = service
        self._call = call
        self._deliver = deliver
        self._metrics = service.counts(request.model_name, request.model_version or None)
        self._ticket: Ticket | None = None
        try:
            self._model = service.model(request.model_name, request.model_version or None)
            self._infer = codec.decode(request, call.seconds_left)
            self._ticket = self._model.submit(self._infer, call.received, self._on_outcome)
        except Exception as error:
            self._fail(error)

    def withdraw(self) -> None:
        """Forgets the request, its client being gone; without effect once it is delivered."""
        if self._ticket is not None:
            self._model.withdraw(self._ticket)
            self._ticket = None
            self._count(code_of_gone(self._call, self._service.clock()))

    def _on_outcome(self, outcome: Outputs | RuntimeFault) -> None:
        self._ticket = None
        try:
            if isinstance(outcome, RuntimeFault):
                raise outcome
            answer = codec.encode(self._model.answer(self._infer, outcome), self._infer).SerializeToString()
        except Exception as error:
            self._fail(error)
            return
        self._model.metrics.request_duration.observe(self._service.clock() - self._call.received)
        self._count(200)
        self._deliver(answer)

    def _fail(self, error: Exception) -> None:
        self._count(error.http_status if isinstance(error, RuntimeFault) else 500)
        self._deliver(error)

    def _count(self, code: int) -> None:
        if self._metrics is not None:
            seconds = self._service.clock() - self._call.received
            self._metrics.answered(code, 0.0 if code == 200 else seconds)
