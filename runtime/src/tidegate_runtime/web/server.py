"""The process' life: listen at once, load, serve, and on SIGTERM leave without losing a request.

On SIGTERM uvicorn by itself closes its listeners first and so drops whoever still arrives; but a router learns of a
pod's end seconds later. So the signal is ours: readiness fails at once, requests are answered for the drain time with
`Connection: close`, and only then do the listeners close, what is queued is answered, and the process exits.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import uvicorn
from fastapi import FastAPI

from tidegate_runtime.hosting import Host, Placement
from tidegate_runtime.model.store import open_store
from tidegate_runtime.rpc.transports import Server, make_server
from tidegate_runtime.service import Service
from tidegate_runtime.settings import ServeSettings
from tidegate_runtime.tls import Certificate
from tidegate_runtime.tracing.request import Tracer
from tidegate_runtime.web.admin import create_admin_app
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.connection import bounded_class
from tidegate_runtime.web.hot import HotConnection, protocol_class
from tidegate_runtime.web.traced import TracedConnection

if TYPE_CHECKING:
    from tidegate_runtime.tracing.export import Sender

logger = logging.getLogger(__name__)

WRITE_SECONDS: Final = 2.0
"""How long, beyond a request's own time, its answer may take to be written when the process is leaving."""

SWITCH_SECONDS: Final = 0.001

_T = TypeVar("_T")


class Stop:
    """What the signals asked for. SIGTERM drains, sent again or not; SIGINT, from a keyboard, cuts the drain short."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def listen(self) -> None:
        """Takes over both signals from here on."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.asked.set)
        loop.add_signal_handler(signal.SIGINT, self._hurry)

    def _hurry(self) -> None:
        self.asked.set()
        self.hurried.set()


class _Server(uvicorn.Server):
    """uvicorn on a socket that is already bound, without signal handlers of its own."""

    def __init__(
        self,
        app: FastAPI,
        connection: type[asyncio.Protocol],
        listener: socket.socket,
        grace_seconds: float,
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                ssl_context_factory=(lambda *_: certificate.server_context()) if certificate else None,
                timeout_graceful_shutdown=round(grace_seconds),
            )
        )
        self._task = asyncio.create_task(self.serve(sockets=[listener]))

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves the signals alone."""
        yield

    async def close(self) -> None:
        """Closes the listener and idle connections, and returns once requests in progress are answered."""
        self.should_exit = True
        await self._task


class _Rpc:
    """gRPC, or nothing where it is off."""

    def __init__(self, server: Server | None, grace_seconds: float) -> None:
        self._server = server
        self._grace_seconds = grace_seconds

    @classmethod
    async def start(cls, service: Service, host: Host | None, settings: ServeSettings) -> "_Rpc":
        """Listens, unless it is off. Raises `OSError` if the port can't be had."""
        if settings.grpc_port < 0:
            return cls(None, 0)
        server = make_server(service, host, settings.grpc_transport)
        port = await server.start(settings.host, settings.grpc_port, settings.tls)
        logger.info("listening for gRPC", extra={"data": port, "transport": service.grpc_transport})
        return cls(server, _grace_seconds(service))

    def readiness_changed(self) -> None:
        """Tells those who watch."""
        if self._server is not None:
            self._server.readiness_changed()

    async def stop(self) -> None:
        """Returns once calls in progress are answered."""
        if self._server is not None:
            await self._server.stop(self._grace_seconds)


async def serve(settings: ServeSettings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises `OSError` if a port can't be had, and `StartupFailure` if the model can't be served. A load that hangs is
    left behind on its thread when the process is told to stop.
    """
    _allow_connections()
    # By default, 5 ms, the launch thread waits that long for the interpreter after a run while the loop is busy.
    sys.setswitchinterval(SWITCH_SECONDS)
    service = Service(settings.limits, on_stuck=_give_up)
    store = open_store(settings.path, settings.name, settings.model_version)
    host = Host(service, store, Placement(settings.device, settings.threads, settings.vetting, settings.isolate))
    on_data_port = host if settings.admin_on_data_port else None
    certificate = Certificate(*settings.tls) if settings.tls else None
    sender = _sender(service, settings)
    with _listener(settings.host, settings.port) as data, _listener(settings.host, settings.admin_port) as admin:
        stop = Stop()
        stop.listen()
        rpc = await _Rpc.start(service, on_data_port, settings)
        host.changed = rpc.readiness_changed
        grace_seconds = _grace_seconds(service)
        hot = protocol_class(service, HotConnection if service.tracer is None else TracedConnection)
        data_server = _Server(create_app(service, on_data_port), hot, data, grace_seconds, certificate)
        admin_app = create_admin_app(service, host, sender, triton=settings.triton_metrics)
        # Not the hot class: it would answer inference requests on this port, too.
        admin_server = _Server(admin_app, bounded_class(lambda: service.draining), admin, grace_seconds)
        logger.info("listening", extra={"data": data.getsockname()[1], "admin": admin.getsockname()[1]})
        try:
            if await _unless_asked(stop, _started(host)):
                await _unless_asked(stop, host.failed())
                service.begin_drain()
                rpc.readiness_changed()
                await _drain(stop, settings.drain_seconds)
        finally:
            service.begin_drain()
            await asyncio.gather(data_server.close(), rpc.stop())
            await asyncio.gather(service.close(), host.close())
            await admin_server.close()
            if sender is not None:
                await asyncio.to_thread(sender.close)
    logger.info("stopped")


def _allow_connections() -> None:
    """Lets this process have as many open files as it may, each connection being one; the default is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _sender(service: Service, settings: ServeSettings) -> "Sender | None":
    """What sends traces; None where requests are not recorded. Raises `StartupFailure`."""
    if not settings.trace_endpoint:
        return None
    # Not imported above: its SDK is an extra, and costs memory.
    from tidegate_runtime.tracing.export import Sender  # noqa: PLC0415

    service.tracer = Tracer(settings.trace_ratio, service.clock)
    return Sender(service.tracer, settings.trace_endpoint)


async def _started(host: Host) -> bool:
    await host.start()
    return True


async def _unless_asked(stop: Stop, awaitable: Awaitable[_T]) -> _T | None:
    """What `awaitable` returns, or raises; None if the process was told to stop first."""
    waiting = asyncio.ensure_future(awaitable)
    stopping = asyncio.ensure_future(stop.asked.wait())
    waited: set[asyncio.Future[Any]] = {waiting, stopping}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    for future in waited:
        future.cancel()
    return waiting.result() if waiting.done() else None


async def _drain(stop: Stop, seconds: float) -> None:
    logger.info("draining", extra={"seconds": seconds})
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.hurried.wait(), seconds)


def _grace_seconds(service: Service) -> float:
    return service.limits.timeout_seconds + WRITE_SECONDS


def _give_up() -> None:
    """Ends the process: a run that can't be ended holds the launch thread, and with it the model, for good."""
    logger.critical("the engine hangs; leaving")
    os._exit(1)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")
    except OSError as error:
        raise OSError(f"can't listen on {host} port {port}: {error.strerror}") from None
