"""The methods of GRPCInferenceService: messages in, messages out, on the service; nothing of a transport."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Final

from google.protobuf.json_format import ParseDict

from tidegate_runtime import __version__
from tidegate_runtime.access.guard import AUTHORIZATION
from tidegate_runtime.describing import configuration, extensions, metadata, statistics_of
from tidegate_runtime.errors import NotReady, RuntimeFault
from tidegate_runtime.naming import HOP_HEADER, SERVER_NAME
from tidegate_runtime.rpc import codec
from tidegate_runtime.rpc.access import permit
from tidegate_runtime.rpc.call import Call, check_answer, status_of
from tidegate_runtime.rpc.handed_call import Elsewhere, HandedCall
from tidegate_runtime.rpc.messages import parsed
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.repeated_call import CallTurn, RepeatedCall
from tidegate_runtime.rpc.repeats import Repeats
from tidegate_runtime.rpc.room import Made
from tidegate_runtime.rpc.streams import InOrder
from tidegate_runtime.rpc.submission import Deliver, Submission, Withdraw, code_of_gone, status_of_gone, version_of
from tidegate_runtime.rpc.tracing import STREAMED, UNARY, begin
from tidegate_runtime.service import Service
from tidegate_runtime.tracing.request import Asked, current

STREAM_INFLIGHT: Final = 64
"""Requests of one stream that are worked on at a time; the next one is read when the first is answered."""

ERRORS_END_STREAM: Final = "triton_grpc_error"
"""Metadata with which Triton's clients ask for a stream to end, with a status, at its first failure."""


class Servicer:
    """Answers for one service. `close` ends streams that would else go on."""

    def __init__(self, service: Service, *, administrative: bool = False) -> None:
        """`administrative`: whether the methods of an `Administrator` are served beside these."""
        self._service = service
        self._extensions = extensions(service, administrative=administrative)
        self._streams: set[InOrder[pb.ModelInferRequest, pb.ModelStreamInferResponse]] = set()
        self._closed = False
        self._repeats = Repeats(service)
        self._turn = CallTurn(service.clock)

    def close(self) -> None:
        """Reads no more from streams; what was read is answered."""
        self._closed = True
        for stream in self._streams:
            stream.stop_reading()

    async def server_live(self, _request: pb.ServerLiveRequest, _call: Call) -> pb.ServerLiveResponse:
        """Always true: who can answer is alive."""
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, _request: pb.ServerReadyRequest, _call: Call) -> pb.ServerReadyResponse:
        """Whether requests should be sent here."""
        return pb.ServerReadyResponse(ready=self._service.ready)

    async def model_ready(self, request: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:
        """Whether requests for the model should be sent here. Raises `NotFound` once it is known what there is."""
        permit(self._service.guard, call, request.name)
        try:
            self._service.model(request.name, request.version or None)
        except NotReady:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=not self._service.draining)

    async def server_metadata(self, _request: pb.ServerMetadataRequest, _call: Call) -> pb.ServerMetadataResponse:
        """Name and version of this server, and what of the protocol's extensions it serves."""
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=__version__, extensions=self._extensions)

    async def model_metadata(self, request: pb.ModelMetadataRequest, call: Call) -> pb.ModelMetadataResponse:
        """The model's signature. Raises `NotFound` or `NotReady`."""
        permit(self._service.guard, call, request.name)
        model = self._service.model(request.name, request.version or None)
        told = metadata(model, self._service.versions(model.name))
        return ParseDict(told, pb.ModelMetadataResponse())

    async def model_config(self, request: pb.ModelConfigRequest, call: Call) -> pb.ModelConfigResponse:
        """The model's configuration. Raises `NotFound` or `NotReady`."""
        permit(self._service.guard, call, request.name)
        model = self._service.model(request.name, request.version or None)
        return ParseDict({"config": configuration(model)}, pb.ModelConfigResponse())

    async def model_statistics(self, request: pb.ModelStatisticsRequest, call: Call) -> pb.ModelStatisticsResponse:
        """Statistics of one version or of all of them, without a name of all models. Raises `NotFound`, `NotReady`."""
        may = permit(self._service.guard, call, request.name or None).may
        now = datetime.now(UTC).timestamp()
        told = await statistics_of(self._service, request.name, request.version or None, now, may)
        return ParseDict(told, pb.ModelStatisticsResponse())

    async def model_infer(
        self, request: pb.ModelInferRequest, call: Call, method: Asked = UNARY
    ) -> pb.ModelInferResponse:
        """The answer, counted where it is given. Raises any `RuntimeFault`.

        If it is cancelled, so is the request, wherever it is.
        """
        self._admit(request, call)
        elsewhere = Elsewhere.of(self._service, request, call)
        if elsewhere is not None:
            answered = await elsewhere.ask(request.SerializeToString(), call)
            if answered is not None:
                return answered.message
            call = replace(call, handed=elsewhere.handing)
        return await self._answered(request, call, method)

    async def _answered(self, request: pb.ModelInferRequest, call: Call, method: Asked) -> pb.ModelInferResponse:
        code, status = 500, "INTERNAL"
        metrics = self._service.counts(request.model_name, request.model_version or None)
        trace = begin(self._service, call, method, request.model_name)
        current.set(trace)
        try:
            answer = await self._infer(request, call)
            code, status = 200, ""
        except RuntimeFault as fault:
            code, status = fault.http_status, fault.grpc_status
            raise
        except asyncio.CancelledError:
            code = code_of_gone(call, self._service.clock())
            status = status_of_gone(code)
            raise
        finally:
            if metrics is not None:
                metrics.answered(code, 0.0 if code == 200 else self._service.clock() - call.received)
                if call.handed is not None:
                    call.handed.figures.fell_back(code)
            if trace is not None:
                trace.end(request.model_name, version_of(request, metrics), code, status)
        return answer

    def _admit(self, request: pb.ModelInferRequest, call: Call) -> None:
        """Lets it in, or raises what the guard says, counted as any answer."""
        service, name, version = self._service, request.model_name, request.model_version or None
        try:
            service.admit(call.metadata.get(AUTHORIZATION), name, version)
        except RuntimeFault as fault:
            metrics = service.counts(name, version)
            if metrics is not None:
                metrics.answered(fault.http_status, service.clock() - call.received)
            raise

    def submit_infer(self, data: bytes, call: Call, deliver: Deliver) -> Withdraw:
        """`model_infer` of a serialized message without a coroutine, for transports that can do without.

        `deliver` is given the serialized answer, or what `model_infer` raises, once: later, or before this returns.
        What comes back forgets the call, its client being gone. Raises `Malformed`, and what the guard says.
        """
        if self._service.hands_over or self._service.guard is not None:
            request = parsed(pb.ModelInferRequest, data)
            self._admit(request, call)
            elsewhere = Elsewhere.of(self._service, request, call)
            if elsewhere is not None:
                submit = partial(self._submit, data, request, deliver=deliver)
                return HandedCall(elsewhere, data, call, deliver, submit).withdraw
            return self._submit_here(data, call, deliver, request)
        return self._submit_here(data, call, deliver)

    def _submit_here(
        self, data: bytes, call: Call, deliver: Deliver, request: pb.ModelInferRequest | None = None
    ) -> Withdraw:
        service = self._service
        repeat = None if service.tracer is not None else self._repeats.find(data)
        # What is recorded is told apart by its ticket; where some are copied, so is what goes no further, and whose
        # copies show tokens.
        if repeat is not None and not (repeat.model.copied and (service.guard or HOP_HEADER in call.metadata)):
            repeated = RepeatedCall(service, repeat, call, deliver, self._turn)
            self._turn.join(repeated)
            return repeated.withdraw
        request = request if request is not None else parsed(pb.ModelInferRequest, data)
        return self._submit(data, request, call, deliver)

    def _submit(self, data: bytes, request: pb.ModelInferRequest, call: Call, deliver: Deliver) -> Withdraw:
        learn = partial(self._repeats.learn, data, request)
        return Submission(self._service, request, call, deliver, learn).withdraw

    async def model_stream_infer(
        self, requests: AsyncIterator[pb.ModelInferRequest], call: Call, made: Made = lambda *_: None
    ) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
        """An answer to each request, in their order; a failed one has an error message and doesn't end the stream."""
        strict = call.metadata.get(ERRORS_END_STREAM) == "true"
        numbers = count()

        async def answer(request: pb.ModelInferRequest, number: int) -> pb.ModelStreamInferResponse:
            now = self._service.clock()
            left = None if call.seconds_left is None else call.received + call.seconds_left - now
            try:
                response = await self.model_infer(request, Call(now, left, call.metadata, call.peer), STREAMED)
                message = ""
            except Exception as error:
                if strict:
                    raise
                response = codec.echoed(request)
                message = status_of(error).message
            # Clients of models with many answers to one request wait for the last one to say so.
            response.parameters["triton_final_response"].bool_param = True
            answered = pb.ModelStreamInferResponse(error_message=message, infer_response=response)
            made(number, answered.ByteSize())
            return answered

        stream = InOrder(requests, lambda request: answer(request, next(numbers)), STREAM_INFLIGHT)
        self._streams.add(stream)
        try:
            if self._closed:
                stream.stop_reading()
            async for response in stream.answers():
                yield response
                del response
        finally:
            self._streams.discard(stream)
            await stream.close()
        if stream.stopped:
            raise NotReady("the server is shutting down; send what was not answered on another stream")

    async def _infer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        service = self._service
        codec.check_names(request)
        model = service.model(request.model_name, request.model_version or None)
        decoded = codec.decode(request, call.seconds_left)
        parsed = service.clock()
        response = await model.infer(
            decoded,
            call.received,
            call.peer,
            hop=HOP_HEADER in call.metadata,
            authorization=call.metadata.get(AUTHORIZATION) if service.guard is not None else None,
            limit_seconds=call.limit_seconds,
        )
        delivered = service.clock()
        answer = codec.encode(response, decoded)
        check_answer(answer.ByteSize(), model.max_body_bytes)
        written = service.clock()
        leads = response.leads and not call.chosen
        model.metrics.served(call.received, parsed, delivered, written, leads=leads)
        trace = current.get()
        if trace is not None:
            trace.served(call.received, parsed, delivered, written)
        return answer
