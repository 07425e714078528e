"""The methods on grpcio's asyncio server. The one module that knows it.

Messages reach the table as bytes, so that what parses, refuses and counts is the same on any transport.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, NoReturn

import grpc
from grpc import aio

from tidegate_runtime.administration import Administration
from tidegate_runtime.errors import BodyTooLarge, DeadlineExceeded, NotServed
from tidegate_runtime.rpc.access import authenticate
from tidegate_runtime.rpc.administrator import Administrator
from tidegate_runtime.rpc.call import Call, status_of
from tidegate_runtime.rpc.grpcio_patience import idle_seconds, message_seconds
from tidegate_runtime.rpc.health import Health
from tidegate_runtime.rpc.http2_patience import FIRST_BYTES_SECONDS, PING_AFTER_SECONDS, PONG_SECONDS
from tidegate_runtime.rpc.key_pair import KeyPair
from tidegate_runtime.rpc.methods import BothStream, Method, ServerStream, Unary, methods
from tidegate_runtime.rpc.room import Room, UnderWay, room_bytes
from tidegate_runtime.rpc.servicer import Servicer
from tidegate_runtime.service import Service

logger = logging.getLogger(__name__)

Context = aio.ServicerContext[bytes, bytes]

MAX_STREAMS: Final = 128
"""Calls at a time on one connection."""

MAX_METADATA_BYTES: Final = 32 * 1024
"""As a head over HTTP/1.1."""

MAX_MESSAGE_BYTES: Final = 2**31 - 1
"""The most that grpcio, and a serialized message, can have; a larger `--max-body-bytes` is for REST alone."""


class RpcServer:
    """A server of the service's methods. It listens from `start` on, whether or not the model is loaded."""

    def __init__(self, service: Service, administered: Administration | None = None) -> None:
        """With what may be `administered`, administrative methods are served, too."""
        self._servicer = Servicer(service, administrative=administered is not None)
        self._health = Health(service)
        self._server = aio.server(options=_options(service.limits.max_body_bytes))
        table = methods(self._servicer, self._health, Administrator(administered, service.guard))
        handlers = _Handlers(service, table)
        self._server.add_generic_rpc_handlers((handlers,))

    async def start(
        self,
        host: str,
        port: int,
        tls: tuple[Path, Path] | None = None,
        inherited: socket.socket | None = None,
    ) -> int:
        """The port that is listened on, over TLS if there are a certificate chain and its key, in PEM.

        Raises `OSError` if the port can't be had, or `ssl.SSLError` if certificate and key don't belong together.
        """
        if inherited is not None:
            raise OSError("grpcio can't listen on an inherited socket; give --grpc-port -1, or --workers 1")
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        credentials = _credentials(KeyPair(*tls)) if tls else None
        try:
            if credentials is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            raise OSError(f"can't listen on {host} port {port} for gRPC; it may be taken, choose another") from None
        await self._server.start()
        return bound

    def readiness_changed(self) -> None:
        """Tells those who watch the health service."""
        self._health.changed()

    async def stop(self, grace_seconds: float) -> None:
        """Sends GOAWAY, refuses new calls, and returns once those in progress are answered or the grace is over."""
        self._health.close()
        self._servicer.close()
        await self._server.stop(grace_seconds)


def _credentials(pair: KeyPair) -> grpc.ServerCredentials:
    """Credentials that grpcio asks for again in each handshake, on a thread of its own."""

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        newest = pair.renewed()
        return None if newest is None else grpc.ssl_server_certificate_configuration([newest])

    first = grpc.ssl_server_certificate_configuration([pair.read()])
    # None, which the stubs don't know, leaves the certificate as it is.
    return grpc.dynamic_ssl_server_credentials(first, renewed)  # type: ignore[arg-type]


def _max_message_bytes(max_body_bytes: int) -> int:
    return min(max_body_bytes, MAX_MESSAGE_BYTES)


def _options(max_body_bytes: int) -> list[tuple[str, int]]:
    max_message_bytes = _max_message_bytes(max_body_bytes)
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        # On, it counts calls that have ended for the client, too, and refuses clients that keep to the bound: 218 of
        # 1,500 calls in bursts of 300.
        ("grpc.http.overload_protection", 0),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        # Without this a second process on the same port would silently take half of its connections.
        ("grpc.so_reuseport", 0),
        # Of TLS and HTTP/2.
        ("grpc.server_handshake_timeout_ms", _milliseconds(FIRST_BYTES_SECONDS)),
        ("grpc.max_connection_idle_ms", _milliseconds(idle_seconds(max_message_bytes))),
        # A peer that is gone without a word, or reads nothing, is noticed after 80 s: on its host the system answers no
        # more, or it answers no PING. Its own may come every 10 s.
        ("grpc.keepalive_time_ms", _milliseconds(PING_AFTER_SECONDS)),
        ("grpc.keepalive_timeout_ms", _milliseconds(PONG_SECONDS)),
        ("grpc.http2.ping_timeout_ms", _milliseconds(PONG_SECONDS)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


class _Handlers(grpc.GenericRpcHandler):
    """Finds a call's method in the table."""

    def __init__(self, service: Service, table: tuple[Method, ...]) -> None:
        adapt = _Adapter(service)
        self._handlers = {method.path: adapt.handler(method) for method in table}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """The method's handler; None makes the server answer UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)


class _Adapter:
    """Makes grpcio's handlers from methods."""

    def __init__(self, service: Service) -> None:
        self._clock = service.clock
        self._guard = service.guard
        self._max_bytes = _max_message_bytes(service.limits.max_body_bytes)
        self._message_seconds = message_seconds(self._max_bytes)

    def handler(self, method: Method) -> Any:
        """What grpcio calls for `method`. Without a serializer of its own it hands bytes over.

        To grpcio all requests are streams: of others it reads the message itself, however long that takes.
        """
        if isinstance(method, Unary):
            return grpc.stream_unary_rpc_method_handler(self._unary(method))
        return grpc.stream_stream_rpc_method_handler(self._stream(method))

    def _unary(self, method: Unary[Any, Any]) -> Callable[[Any, Context], Awaitable[bytes]]:
        async def handle(_: Any, context: Context) -> bytes:
            try:
                self._let_in(method, context)
                data = await self._message(method, context)
                return await method.answer(data, self._call(context))
            except Exception as error:
                await _abort(context, error)

        return handle

    def _stream(
        self, method: ServerStream[Any, Any] | BothStream[Any, Any]
    ) -> Callable[[Any, Context], AsyncIterator[bytes]]:
        async def handle(messages: Any, context: Context) -> AsyncGenerator[bytes, None]:
            under_way = UnderWay(Room(room_bytes(self._max_bytes)))
            try:
                self._let_in(method, context)
                if isinstance(method, BothStream):
                    data = self._one_by_one(method, messages, under_way)
                    answering = method.answers(data, self._call(context), under_way.made)
                else:
                    answering = method.answers(await self._message(method, context), self._call(context))
                async with aclosing(answering) as answers:
                    async for answer in answers:
                        yield answer
                        del answer
                        under_way.answered()
            except Exception as error:
                await _abort(context, error)

        return handle

    def _let_in(self, method: Method, context: Context) -> None:
        """By its head alone. Raises `Unauthenticated`."""
        if self._guard is not None and not method.public:
            authenticate(self._guard, _texts(context))

    async def _one_by_one(
        self, method: Method, messages: AsyncIterator[bytes], under_way: UnderWay
    ) -> AsyncIterator[bytes]:
        """The messages, each once there is room for it. grpcio has read and unpacked it before that can be asked."""
        async for message in messages:
            self._check(method, message)
            await under_way.begin(len(message))
            yield message
            del message

    def _check(self, method: Method, message: bytes) -> None:
        """Raises `BodyTooLarge`: the one bound that grpcio knows is for all methods."""
        limit = method.max_bytes(self._max_bytes)
        if len(message) > limit:
            raise BodyTooLarge(f"a message of {len(message)} bytes; the limit is {limit}")

    async def _message(self, method: Method, context: Context) -> bytes:
        """The request's one message.

        Raises `DeadlineExceeded` if it doesn't come in time, `NotServed` for none, `BodyTooLarge`.
        """
        reading: asyncio.Future[Any] = asyncio.ensure_future(context.read())
        # It ends with the call, and is never cancelled: grpcio's core would write to memory that is gone.
        reading.add_done_callback(_look_away)
        await asyncio.wait((reading,), timeout=self._message_seconds)
        if not reading.done():
            late = f"the request's message was not whole within {self._message_seconds:.0f} s"
            raise DeadlineExceeded(f"{late}; send a smaller one, or faster")
        if reading.result() is aio.EOF:
            raise NotServed("the method takes one message; the request has none")
        message: bytes = reading.result()
        self._check(method, message)
        return message

    def _call(self, context: Context) -> Call:
        seconds_left = context.time_remaining()
        if seconds_left is not None and seconds_left <= 0:
            raise DeadlineExceeded("the request's deadline was over before it was read")
        return Call(self._clock(), seconds_left, _texts(context), context.peer())


def _texts(context: Context) -> dict[str, str]:
    """The metadata that are text; of those that come twice the last."""
    metadata = context.invocation_metadata() or ()
    return {key: value for key, value in metadata if isinstance(value, str)}


def _look_away(reading: "asyncio.Future[Any]") -> None:
    """Keeps asyncio from reporting how it ended."""
    if not reading.cancelled():
        reading.exception()


async def _abort(context: Context, error: Exception) -> NoReturn:
    """Ends the call with the status of `error`, by raising as grpcio wants it."""
    status = status_of(error)
    await context.abort(grpc.StatusCode[status.code], status.message, status.trailers)
