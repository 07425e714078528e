"""A message that is another server's to answer: sent on as it came, and answered here where that fails.

It goes by the unary form of the Connect protocol (https://connectrpc.com/docs/protocol): the message alone is the body
of a POST, which needs no second kind of connection beside that of requests over HTTP.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, Self

from tidegate_runtime.access.guard import AUTHORIZATION
from tidegate_runtime.errors import Malformed, RuntimeFault
from tidegate_runtime.handover.handing import Given, Handing
from tidegate_runtime.members import sooner
from tidegate_runtime.naming import HOP_HEADER, ROUTE_HEADER, HandoverReason
from tidegate_runtime.rpc.call import Call
from tidegate_runtime.rpc.messages import parsed
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.submission import Deliver, Withdraw
from tidegate_runtime.service import Service
from tidegate_runtime.share.client import Answer

PATH: Final = "/inference.GRPCInferenceService/ModelInfer"
MEDIA_TYPE: Final = "application/proto"
TIMEOUT_HEADER: Final = "connect-timeout-ms"

_CARRIED: Final = (AUTHORIZATION, "traceparent", "tracestate")


class Answered(NamedTuple):
    """What came back, as it came, and as it was read."""

    data: bytes
    message: pb.ModelInferResponse


class Elsewhere(NamedTuple):
    """Where a message goes, and why."""

    handing: Handing
    reason: HandoverReason
    given: Given

    @classmethod
    def of(cls, service: Service, request: pb.ModelInferRequest, call: Call) -> Self | None:
        """None for a message that is to be answered here.

        What another server has sent on, or a router has chosen a revision for, is answered where it arrives, and so is
        what names a version.
        """
        decided = HOP_HEADER in call.metadata or ROUTE_HEADER in call.metadata
        if not service.hands_over or decided or request.model_version:
            return None
        try:
            model = service.model(request.model_name)
        except RuntimeFault:
            return None
        handing = model.handing
        reason = handing.reason(call.metadata.get) if handing is not None else None
        if handing is None or reason is None:
            return None
        given = handing.given(model.limits.timeout_seconds, sooner(call.seconds_left, _own_seconds(request)))
        return None if given is None else cls(handing, reason, given)

    async def ask(self, message: bytes, call: Call) -> Answered | None:
        """The answer; None: it is to be answered here. It may be cancelled."""
        seconds, hurried = self.given
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (TIMEOUT_HEADER.encode(), b"%d" % max(1, int(seconds * 1000))),
            *((name.encode(), call.metadata[name].encode("latin-1")) for name in _CARRIED if name in call.metadata),
        ]
        read: list[pb.ModelInferResponse] = []

        def good(answer: Answer) -> bool:
            told = _message(answer)
            if told is not None:
                read.append(told)
            return told is not None

        answer = await self.handing.ask(self.reason, PATH.encode(), headers, message, seconds, good, hurried=hurried)
        return None if answer is None else Answered(answer.body, read[0])


def _message(answer: Answer) -> pb.ModelInferResponse | None:
    """None where it is something else: a caller who waits for a message would have nothing of it."""
    media_type = answer.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != MEDIA_TYPE.encode():
        return None
    try:
        return parsed(pb.ModelInferResponse, answer.body)
    except Malformed:
        return None


def _own_seconds(request: pb.ModelInferRequest) -> float | None:
    """What the request gives itself, in its parameter; what is wrong with that is told by whoever reads it."""
    return request.parameters["timeout"].int64_param / 1e6 or None if "timeout" in request.parameters else None


class HandedCall:
    """Delivers the serialized answer or any exception, once."""

    def __init__(
        self, elsewhere: Elsewhere, message: bytes, call: Call, deliver: Deliver, submit: Callable[[Call], Withdraw]
    ) -> None:
        """`submit` has it answered here."""
        self._elsewhere = elsewhere
        self._message = message
        self._call = call
        self._deliver = deliver
        self._submit = submit
        self._withdraw: Withdraw | None = None
        self._asking = asyncio.create_task(self._ask())

    def withdraw(self) -> None:
        """Forgets the call, its client being gone; without effect once it is delivered."""
        self._asking.cancel()
        if self._withdraw is not None:
            self._withdraw()

    async def _ask(self) -> None:
        try:
            answered = await self._elsewhere.ask(self._message, self._call)
            if answered is None:
                self._withdraw = self._submit(replace(self._call, handed=self._elsewhere.handing))
                return
        except Exception as error:
            self._deliver(error)
        else:
            self._deliver(answered.data)
