"""The methods on libnghttp2: the listener, and what concerns all of its connections."""

import asyncio
import contextlib
import socket
from functools import partial
from pathlib import Path
from typing import Final

from tidegate_nghttp2 import Scratch
from tidegate_runtime.administration import Administration
from tidegate_runtime.listening import listener
from tidegate_runtime.rpc.access import authenticate
from tidegate_runtime.rpc.administrator import Administrator
from tidegate_runtime.rpc.health import Health
from tidegate_runtime.rpc.http2_connection import Connection
from tidegate_runtime.rpc.http2_shared import Shared
from tidegate_runtime.rpc.methods import methods
from tidegate_runtime.rpc.servicer import Servicer
from tidegate_runtime.rpc.tracing import refused
from tidegate_runtime.service import Service
from tidegate_runtime.tls import HTTP_2, Certificate

SWEEP_SECONDS: Final = 5.0
BACKLOG: Final = 1024

MAX_MESSAGE_BYTES: Final = 2**31 - 1
"""The most that a serialized message can have; a larger `--max-body-bytes` is for REST alone."""


class Http2Server:
    """A server of the service's methods. It listens from `start` on, whether or not the model is loaded."""

    def __init__(self, service: Service, administered: Administration | None = None) -> None:
        """With what may be `administered`, administrative methods are served, too.

        Raises `Unavailable` if libnghttp2 isn't there.
        """
        self._service = service
        self._servicer = Servicer(service, administrative=administered is not None)
        self._health = Health(service)
        guard = service.guard
        administrator = Administrator(administered, guard)
        table = {method.path: method for method in methods(self._servicer, self._health, administrator)}
        max_message_bytes = min(service.limits.max_body_bytes, MAX_MESSAGE_BYTES)
        on_refused = partial(refused, service)

        def oldest_seconds() -> float | None:
            return 0.0 if service.last_answers else service.connection_seconds

        self._shared = Shared(
            Scratch(),
            table,
            service.clock,
            max_message_bytes,
            on_refused,
            oldest_seconds,
            None if guard is None else partial(authenticate, guard),
        )
        self._server: asyncio.Server
        self._sweeping: asyncio.Task[None]

    async def start(
        self,
        host: str,
        port: int,
        tls: tuple[Path, Path] | None = None,
        inherited: socket.socket | None = None,
    ) -> int:
        """The port that is listened on, over TLS if there are a certificate chain and its key, in PEM.

        Raises `OSError` if the port can't be had, or `StartupFailure` if certificate and key don't belong together.
        """
        context = Certificate(*tls, HTTP_2).server_context() if tls else None
        listens = inherited if inherited is not None else listener(host, port, " for gRPC", BACKLOG)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._shared), sock=listens, ssl=context, backlog=BACKLOG
        )
        self._sweeping = loop.create_task(self._sweep(), name="gRPC sweep")
        bound: int = listens.getsockname()[1]
        return bound

    def readiness_changed(self) -> None:
        """Tells those who watch the health service; a server that drains or leaves sends its clients elsewhere."""
        self._health.changed()
        if self._service.last_answers:
            for connection in list(self._shared.connections):
                connection.leave()

    async def stop(self, grace_seconds: float) -> None:
        """Sends GOAWAY, refuses new calls, and returns once those in progress are answered or the grace is over."""
        self._health.close()
        self._servicer.close()
        self._server.close()
        for connection in list(self._shared.connections):
            connection.leave()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._shared.empty(), grace_seconds)
        self._sweeping.cancel()
        for connection in list(self._shared.connections):
            connection.abort()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._service.clock()
            for connection in list(self._shared.connections):
                connection.sweep(now)
