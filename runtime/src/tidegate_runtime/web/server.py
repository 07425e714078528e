"""The process' life: listen at once, load, serve, and on SIGTERM leave without losing a request.

On SIGTERM uvicorn by itself closes its listeners first and so drops whoever still arrives; but a router learns of a
pod's end seconds later. So the signal is ours: readiness fails at once, requests are answered for the drain time with
`Connection: close`, and only then do the listeners close, what is queued is answered, and the process exits.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import uvicorn
from fastapi import FastAPI

from tidegate_runtime.batching.scheduler import Engine
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.batchability import Verdict
from tidegate_runtime.model.child.engine import ChildEngine
from tidegate_runtime.model.child.report import LoadTask
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.service import Service
from tidegate_runtime.settings import ServeSettings
from tidegate_runtime.web.admin import create_admin_app
from tidegate_runtime.web.app import create_app
from tidegate_runtime.web.hot import protocol_class
from tidegate_runtime.web.tls import Certificate

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
                http=protocol_class(service),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                ssl_context_factory=(lambda *_: certificate.server_context()) if certificate else None,
                timeout_graceful_shutdown=round(service.limits.timeout_seconds + WRITE_SECONDS),
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
        data_server = _Server(create_app(service), data, service, certificate)
        child = ChildEngine(_task(settings)) if settings.isolate else None
        admin_server = _Server(create_admin_app(service, child), admin, service)
        logger.info("listening", extra={"data": data.getsockname()[1], "admin": admin.getsockname()[1]})
        launch = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launch")
        try:
            opening = _open_child(service, child) if child else _open_here(service, settings, launch)
            if await _unless_asked(stop, opening):
                logger.info("ready", extra={"model": settings.name, "version": settings.model_version})
                await (_unless_asked(stop, child.failed()) if child else stop.asked.wait())
                await _drain(service, stop, settings.drain_seconds)
        finally:
            service.begin_drain()
            await data_server.close()
            await service.close()
            await admin_server.close()
            if child is not None:
                await child.close()
            launch.shutdown(wait=False, cancel_futures=True)
    logger.info("stopped")


async def _open_here(service: Service, settings: ServeSettings, launch: ThreadPoolExecutor) -> bool:
    """The model in this process."""
    loop = asyncio.get_running_loop()
    signature, verdict, engine = await loop.run_in_executor(launch, _load_here, settings, launch)
    service.open(signature, verdict, engine)
    return True


def _load_here(settings: ServeSettings, launch: ThreadPoolExecutor) -> tuple[Signature, Verdict, Engine]:
    # Not imported above: ONNX Runtime takes memory, and has no business here while a child process runs the model.
    from tidegate_runtime.model.engine import ThreadEngine  # noqa: PLC0415
    from tidegate_runtime.model.loading import load_model  # noqa: PLC0415

    loaded = load_model(settings.path, settings.device, settings.threads, settings.limits.max_batch_size)
    return loaded.signature, loaded.verdict, ThreadEngine(loaded.session, launch)


async def _open_child(service: Service, child: ChildEngine) -> bool:
    """The model in a process of its own."""
    report = await child.start()
    service.open(report.signature, report.verdict, child, lambda: child.ready)
    return True


def _task(settings: ServeSettings) -> LoadTask:
    return LoadTask(str(settings.path), settings.device, settings.threads, settings.limits.max_batch_size)


async def _unless_asked(stop: Stop, awaitable: Awaitable[_T]) -> _T | None:
    """What `awaitable` returns, or raises; None if the process was told to stop first."""
    waiting = asyncio.ensure_future(awaitable)
    stopping = asyncio.ensure_future(stop.asked.wait())
    waited: set[asyncio.Future[Any]] = {waiting, stopping}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    for future in waited:
        future.cancel()
    return waiting.result() if waiting.done() else None


async def _drain(service: Service, stop: Stop, seconds: float) -> None:
    logger.info("draining", extra={"seconds": seconds})
    service.begin_drain()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.hurried.wait(), seconds)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")
    except OSError as error:
        raise OSError(f"can't listen on {host} port {port}: {error.strerror}") from None
