"""The data ports of one process, over HTTP and gRPC, on a service."""

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, Protocol, cast

from tidegate_runtime.administration import Administration
from tidegate_runtime.rpc.transports import Server, make_server
from tidegate_runtime.service import Service
from tidegate_runtime.settings import ServeSettings
from tidegate_runtime.tls import Certificate
from tidegate_runtime.tracing.request import Tracer
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.connection import BoundedHttpProtocol
from tidegate_runtime.web.hot import HotConnection, protocol_class
from tidegate_runtime.web.http_server import HttpServer
from tidegate_runtime.web.traced import TracedConnection

if TYPE_CHECKING:
    from tidegate_runtime.tracing.export import Sender

logger = logging.getLogger(__name__)

WRITE_SECONDS: Final = 2.0
"""How long, beyond a request's own time, its answer may take to be written when the process is leaving."""


SWEEP_SECONDS: Final = 5.0
"""From one look at how old connections are to the next."""


class Front(Protocol):
    """What answers on the data ports: this process, or front ends of it."""

    def readiness_changed(self) -> None:
        """What is served has changed, or the service drains."""

    async def settled(self) -> None:
        """Returns once whoever asks gets what was served when `readiness_changed` was called last."""

    async def failed(self) -> None:
        """Waits for what can't be mended, and raises it: `OSError`."""

    async def close(self) -> None:
        """Listens no more, and returns once requests in progress are answered."""


class Doors:
    """The ports that are open in this process."""

    def __init__(self, http: HttpServer, rpc: Server | None, grace: float, ageing: "asyncio.Task[None]") -> None:
        self._http = http
        self._ageing = ageing
        self._rpc = rpc
        self._grace_seconds = grace

    @classmethod
    async def open(
        cls,
        service: Service,
        administered: Administration | None,
        settings: ServeSettings,
        data: socket.socket,
        rpc_listener: socket.socket | None = None,
    ) -> "Doors":
        """Listens. With what may be `administered`, administrative methods are served, too.

        gRPC is served on `rpc_listener`; without one, on the port of the settings, unless it is off. Raises `OSError`
        if that can't be had, `StartupFailure` for a certificate that can't be used.
        """
        certificate = Certificate(*settings.tls) if settings.tls else None
        rpc = None
        if settings.grpc_port >= 0:
            rpc = make_server(service, administered, settings.grpc_transport)
            port = await rpc.start(settings.host, settings.grpc_port, settings.tls, rpc_listener)
            logger.info("listening for gRPC", extra={"data": port, "transport": service.grpc_transport})
        grace = grace_seconds(settings)
        hot = protocol_class(service, HotConnection if service.tracer is None else TracedConnection)
        http = HttpServer(create_app(service, administered), hot, data, grace, certificate)
        return cls(http, rpc, grace, asyncio.create_task(_age(http, service), name="connections' age"))

    def readiness_changed(self) -> None:
        """Tells those who watch."""
        if self._rpc is not None:
            self._rpc.readiness_changed()

    async def settled(self) -> None:
        """Returns at once."""

    async def failed(self) -> None:
        """Never returns: open doors stay open."""
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Listens no more, and returns once requests in progress are answered."""
        self._ageing.cancel()
        await asyncio.gather(self._http.close(), *([self._rpc.stop(self._grace_seconds)] if self._rpc else []))


async def _age(http: HttpServer, service: Service) -> None:
    """Has connections that are old end with their next answer."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        oldest = service.connection_seconds
        if oldest is not None:
            for connection in list(http.server_state.connections):
                cast("BoundedHttpProtocol", connection).part_if_old(oldest)


def trace_sender(service: Service, settings: ServeSettings) -> "Sender | None":
    """What sends traces; None where requests are not recorded. Raises `StartupFailure`."""
    if not settings.trace_endpoint:
        return None
    # Not imported above: its SDK is an extra, and costs memory.
    from tidegate_runtime.tracing.export import Sender  # noqa: PLC0415

    service.tracer = Tracer(settings.trace_ratio, service.clock)
    return Sender(service.tracer, settings.trace_endpoint)


def grace_seconds(settings: ServeSettings) -> float:
    """How long the last requests may take when the process is leaving."""
    return settings.limits.timeout_seconds + WRITE_SECONDS
