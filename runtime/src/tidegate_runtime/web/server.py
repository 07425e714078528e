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
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.costing import cost_table
from tidegate_runtime.model.engine import ThreadEngine
from tidegate_runtime.model.loading import LoadedModel, load_model
from tidegate_runtime.model.vetting import load_vetted
from tidegate_runtime.rpc.transports import Server, make_server
from tidegate_runtime.service import Service
from tidegate_runtime.settings import ServeSettings
from tidegate_runtime.tls import Certificate
from tidegate_runtime.web.admin import create_admin_app
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.hot import protocol_class

logger = logging.getLogger(__name__)

WRITE_SECONDS: Final = 2.0
"""How long, beyond a request's own time, its answer may take to be written when the process is leaving."""

SWITCH_SECONDS: Final = 0.001


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
                http=protocol_class(service),
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
    with _listener(settings.host, settings.port) as data, _listener(settings.host, settings.admin_port) as admin:
        stop = Stop()
        stop.listen()
        rpc = await _Rpc.start(service, settings)
        data_server = _Server(create_app(service), data, service, certificate)
        admin_server = _Server(create_admin_app(service), admin, service)
        logger.info("listening", extra={"data": data.getsockname()[1], "admin": admin.getsockname()[1]})
        launch = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launch")
        try:
            loaded = await _load(settings, stop, launch)
            if loaded is not None:
                engine = ThreadEngine(loaded.session, launch, inline=settings.device == "cpu")
                max_rows = settings.limits.max_batch_size if loaded.verdict.batched else 1
                costs = cost_table(loaded.costs, loaded.signature, max_rows)
                service.open(loaded.signature, loaded.verdict, engine, costs, _give_up)
                rpc.readiness_changed()
                logger.info("ready", extra={"model": settings.name, "version": settings.model_version})
                await stop.asked.wait()
                service.begin_drain()
                rpc.readiness_changed()
                await _drain(stop, settings.drain_seconds)
        finally:
            service.begin_drain()
            await asyncio.gather(data_server.close(), rpc.stop())
            await service.close()
            await admin_server.close()
            launch.shutdown(wait=False, cancel_futures=True)
    logger.info("stopped")


async def _load(settings: ServeSettings, stop: Stop, launch: ThreadPoolExecutor) -> LoadedModel | None:
    """The model; None if the process was told to stop first."""
    loader = load_vetted if settings.vetting else load_model
    load = partial(loader, settings.path, settings.device, settings.threads, settings.limits.max_batch_size)
    loading: asyncio.Future[LoadedModel] = asyncio.get_running_loop().run_in_executor(launch, load)
    stopping = asyncio.ensure_future(stop.asked.wait())
    waited: set[asyncio.Future[Any]] = {loading, stopping}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return loading.result() if loading.done() else None


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
