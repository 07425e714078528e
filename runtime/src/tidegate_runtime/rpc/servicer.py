"""The methods of GRPCInferenceService: messages in, messages out, on the service; nothing of a transport."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Final, NoReturn

from google.protobuf.message import Message

from tidegate_runtime import __version__
from tidegate_runtime.errors import NotReady, NotServed, RuntimeFault
from tidegate_runtime.model.signature import shown_shape
from tidegate_runtime.naming import ADMIN_PORT, PLATFORM, SERVER_NAME
from tidegate_runtime.protocol.v2_response import EXTENSIONS
from tidegate_runtime.rpc import codec
from tidegate_runtime.rpc.call import Call, status_of
from tidegate_runtime.rpc.protos import inference_pb2 as pb
from tidegate_runtime.rpc.streams import InOrder
from tidegate_runtime.rpc.submission import Deliver, Submission, Withdraw, code_of_gone, status_of_gone
from tidegate_runtime.rpc.tracing import STREAMED, UNARY, begin
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import TensorSpec
from tidegate_runtime.tracing.request import Asked, current

STREAM_INFLIGHT: Final = 64
"""Requests of one stream that are worked on at a time; the next one is read when the first is answered."""

ERRORS_END_STREAM: Final = "triton_grpc_error"
"""Metadata with which Triton's clients ask for a stream to end, with a status, at its first failure."""


class Servicer:
    """Answers for one service. `close` ends streams that would else go on."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams: set[InOrder[pb.ModelInferRequest, pb.ModelStreamInferResponse]] = set()
        self._closed = False

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

    async def model_ready(self, request: pb.ModelReadyRequest, _call: Call) -> pb.ModelReadyResponse:
        """Whether requests for the model should be sent here. Raises `NotFound` once it is known what there is."""
        try:
            self._service.model(request.name, request.version or None)
        except NotReady:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self._service.ready)

    async def server_metadata(self, _request: pb.ServerMetadataRequest, _call: Call) -> pb.ServerMetadataResponse:
        """Name and version of this server, what of the protocol's extensions it serves, and what carries its gRPC."""
        carried = f"grpc_transport({self._service.metrics.grpc_transport})"
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=__version__, extensions=[*EXTENSIONS, carried])

    async def model_metadata(self, request: pb.ModelMetadataRequest, _call: Call) -> pb.ModelMetadataResponse:
        """The model's signature. Raises `NotFound` or `NotReady`."""
        model = self._service.model(request.name, request.version or None)
        return pb.ModelMetadataResponse(
            name=model.name,
            versions=[model.version],
            platform=PLATFORM,
            inputs=_tensors(model.signature.inputs),
            outputs=_tensors(model.signature.outputs),
        )

    async def model_infer(
        self, request: pb.ModelInferRequest, call: Call, method: Asked = UNARY
    ) -> pb.ModelInferResponse:
        """The answer, counted. Raises any `RuntimeFault`; if it is cancelled, so is the request, wherever it is."""
        code, status = 500, "INTERNAL"
        trace = begin(self._service, call, method)
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
            if request.model_name == self._service.metrics.model:
                self._service.metrics.answered(code)
            if trace is not None:
                trace.end(request.model_name, request.model_version or self._service.metrics.version, code, status)
        return answer

    def submit_infer(self, request: pb.ModelInferRequest, call: Call, deliver: Deliver) -> Withdraw:
        """`model_infer` without a coroutine, for transports that can do without: see `Submission`."""
        return Submission(self._service, request, call, deliver).withdraw

    async def model_stream_infer(
        self, requests: AsyncIterator[pb.ModelInferRequest], call: Call
    ) -> AsyncGenerator[pb.ModelStreamInferResponse, None]:
        """An answer to each request, in their order; a failed one has an error message and doesn't end the stream."""
        strict = call.metadata.get(ERRORS_END_STREAM) == "true"

        async def answer(request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
            now = self._service.clock()
            left = None if call.seconds_left is None else call.received + call.seconds_left - now
            try:
                response = await self.model_infer(request, Call(now, left, call.metadata), STREAMED)
                message = ""
            except Exception as error:
                if strict:
                    raise
                response = pb.ModelInferResponse(
                    model_name=request.model_name, model_version=request.model_version, id=request.id
                )
                message = status_of(error).message
            # Clients of models with many answers to one request wait for the last one to say so.
            response.parameters["triton_final_response"].bool_param = True
            return pb.ModelStreamInferResponse(error_message=message, infer_response=response)

        stream = InOrder(requests, answer, STREAM_INFLIGHT)
        self._streams.add(stream)
        try:
            if self._closed:
                stream.stop_reading()
            async for response in stream.answers():
                yield response
        finally:
            self._streams.discard(stream)
            await stream.close()
        if stream.stopped:
            raise NotReady("the server is shutting down; send what was not answered on another stream")

    async def repository_index(self, request: pb.RepositoryIndexRequest, _call: Call) -> pb.RepositoryIndexResponse:
        """The one model and its state; with `ready`, only if it is."""
        metrics, ready = self._service.metrics, self._service.ready
        response = pb.RepositoryIndexResponse()
        if ready or not request.ready:
            state, reason = (
                ("READY", "") if ready else ("UNAVAILABLE", "unloading" if self._service.draining else "loading")
            )
            response.models.add(name=metrics.model, version=metrics.version, state=state, reason=reason)
        return response

    async def not_served(self, _request: Message, _call: Call) -> NoReturn:
        """Raises `NotServed`."""
        raise NotServed("this method is not served; see the server's metrics")

    async def administrative(self, _request: Message, _call: Call) -> NoReturn:
        """Raises `NotServed`: whoever may send requests may not, by that alone, change what is served."""
        raise NotServed(
            f"administrative methods are not on this port; they belong to the administration port, {ADMIN_PORT}"
        )

    async def _infer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        service = self._service
        model = service.model(request.model_name, request.model_version or None)
        decoded = codec.decode(request, call.seconds_left)
        parsed = service.clock()
        response = await model.infer(decoded, call.received)
        delivered = service.clock()
        answer = codec.encode(response, decoded)
        written = service.clock()
        service.metrics.served(call.received, parsed, delivered, written)
        trace = current.get()
        if trace is not None:
            trace.served(call.received, parsed, delivered, written)
        return answer


def _tensors(specs: Iterable[TensorSpec]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype.value, shape=shown_shape(spec))
        for spec in specs
    ]
