"""The process' life: listen at once, load, serve, and on SIGTERM leave without losing a request.

On SIGTERM uvicorn by itself closes its listeners first and so drops whoever still arrives; but a router learns of a
pod's end seconds later. So the signal is ours: readiness fails at once, requests are answered for the drain time with
`Connection: close`, and only then do the listeners close, what is queued is answered, and the process exits.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import uvicorn
from fastapi import FastAPI

from tidegate_runtime.batching.costs import CostTable
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.child.engine import ChildEngine
from tidegate_runtime.model.child.report import LoadReport, LoadTask
from tidegate_runtime.model.costing import cost_table
from tidegate_runtime.rpc.transports import Server, make_server
from tidegate_runtime.service import Service
from tidegate_runtime.settings import ServeSettings
from tidegate_runtime.tls import Certificate
from tidegate_runtime.tracing.request import Tracer
from tidegate_runtime.web.admin import create_admin_app
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.hot import HotConnection, protocol_class
from tidegate_runtime.web.traced import TracedConnection

if TYPE_CHECKING:
    from tidegate_runtime.model.loading import LoadedModel
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
        self, app: FastAPI, listener: socket.socket, service: Service, certificate: Certificate | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol_class(service, HotConnection if service.tracer is None else TracedConnection),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                ssl_context_factory=(lambda *_: certificate.server_context()) if certificate else None,
                timeout_graceful_shutdown=round(_grace_seconds(service)),
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
    async def start(cls, service: Service, settings: ServeSettings) -> "_Rpc":
        """Listens, unless it is off. Raises `OSError` if the port can't be had."""
        if settings.grpc_port < 0:
            return cls(None, 0)
        server = make_server(service, settings.grpc_transport)
        port = await server.start(settings.host, settings.grpc_port, settings.tls)
        logger.info("listening for gRPC", extra={"data": port, "transport": service.metrics.grpc_transport})
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
    # By default, 5 ms, the launch thread waits that long for the interpreter after a run while the loop is busy.
    sys.setswitchinterval(SWITCH_SECONDS)
    service = Service(ModelMetrics(settings.name, settings.model_version, settings.device), settings.limits)
    certificate = Certificate(*settings.tls) if settings.tls else None
    sender = _sender(service, settings)
    with _listener(settings.host, settings.port) as data, _listener(settings.host, settings.admin_port) as admin:
        stop = Stop()
        stop.listen()
        rpc = await _Rpc.start(service, settings)
        data_server = _Server(create_app(service), data, service, certificate)
        child = ChildEngine(_task(settings), readiness_changed=rpc.readiness_changed) if settings.isolate else None
        admin_app = create_admin_app(service, child, sender, triton=settings.triton_metrics)
        admin_server = _Server(admin_app, admin, service)
        logger.info("listening", extra={"data": data.getsockname()[1], "admin": admin.getsockname()[1]})
        launch = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launch")
        try:
            opening = _open_child(service, child) if child else _open_here(service, settings, launch)
            if await _unless_asked(stop, opening):
                rpc.readiness_changed()
                logger.info("ready", extra={"model": settings.name, "version": settings.model_version})
                await (_unless_asked(stop, child.failed()) if child else stop.asked.wait())
                service.begin_drain()
                rpc.readiness_changed()
                await _drain(stop, settings.drain_seconds)
        finally:
            service.begin_drain()
            await asyncio.gather(data_server.close(), rpc.stop())
            await service.close()
            await admin_server.close()
            if child is not None:
                await child.close()
            if sender is not None:
                await asyncio.to_thread(sender.close)
            launch.shutdown(wait=False, cancel_futures=True)
    logger.info("stopped")


def _sender(service: Service, settings: ServeSettings) -> "Sender | None":
    """What sends traces; None where requests are not recorded. Raises `StartupFailure`."""
    if not settings.trace_endpoint:
        return None
    # Not imported above: its SDK is an extra, and costs memory.
    from tidegate_runtime.tracing.export import Sender  # noqa: PLC0415

    service.tracer = Tracer(settings.trace_ratio, service.clock)
    return Sender(service.tracer, settings.trace_endpoint)


async def _open_here(service: Service, settings: ServeSettings, launch: ThreadPoolExecutor) -> bool:
    """The model in this process."""
    loaded = await asyncio.get_running_loop().run_in_executor(launch, _load_here, settings)
    from tidegate_runtime.model.engine import ThreadEngine  # noqa: PLC0415

    engine = ThreadEngine(loaded.session, launch, inline=settings.device == "cpu")
    service.open(loaded.signature, loaded.verdict, engine, _costs(service, loaded), _give_up)
    return True


def _load_here(settings: ServeSettings) -> "LoadedModel":
    # Not imported above: ONNX Runtime takes memory, and has no business here while a child process runs the model.
    from tidegate_runtime.model.loading import load_model  # noqa: PLC0415
    from tidegate_runtime.model.vetting import load_vetted  # noqa: PLC0415

    load = load_vetted if settings.vetting else load_model
    return load(settings.path, settings.device, settings.threads, settings.limits.max_batch_size)


async def _open_child(service: Service, child: ChildEngine) -> bool:
    """The model in a process of its own. That ends itself when a run can't be ended, and this process stays."""
    report = await child.start()
    costs = _costs(service, report)
    service.open(report.signature, report.verdict, child, costs, engine_ready=lambda: child.ready)
    return True


def _costs(service: Service, loaded: "LoadedModel | LoadReport") -> CostTable:
    max_rows = service.limits.max_batch_size if loaded.verdict.batched else 1
    return cost_table(loaded.costs, loaded.signature, max_rows)


def _task(settings: ServeSettings) -> LoadTask:
    max_rows = settings.limits.max_batch_size
    return LoadTask(str(settings.path), settings.device, settings.threads, max_rows, settings.vetting)


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
