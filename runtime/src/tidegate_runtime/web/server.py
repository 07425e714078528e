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
import socket
import sys
from collections.abc import Sequence
from typing import Final

from prometheus_client.registry import Collector

from tidegate_numbers import Reader, Unavailable
from tidegate_runtime.access.guard import Guard
from tidegate_runtime.access.tenants import Tenants
from tidegate_runtime.access.tenants_file import TenantsFile, wall_seconds
from tidegate_runtime.administration import Administered
from tidegate_runtime.collecting import freeze
from tidegate_runtime.hosting import Host
from tidegate_runtime.listening import listener
from tidegate_runtime.model.store import open_store
from tidegate_runtime.placing import Placement
from tidegate_runtime.rollout_share import RolloutShare
from tidegate_runtime.service import Service
from tidegate_runtime.settings import ServeSettings
from tidegate_runtime.shared_memory.regions import Regions
from tidegate_runtime.web.admin import create_admin_app
from tidegate_runtime.web.connection import bounded_class
from tidegate_runtime.web.doors import Doors, Front, grace_seconds, trace_sender
from tidegate_runtime.web.handover_exposition import HandoverCollector
from tidegate_runtime.web.http_server import HttpServer
from tidegate_runtime.web.shadow_exposition import ShadowCollector
from tidegate_runtime.web.stopping import Stop
from tidegate_runtime.workers.pool import FrontEnds

logger = logging.getLogger(__name__)

SWITCH_SECONDS: Final = 0.001


async def serve(settings: ServeSettings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises `OSError` if a port can't be had, and `StartupFailure` if the model can't be served. A load that hangs is
    left behind on its thread when the process is told to stop.
    """
    _allow_connections()
    # By default, 5 ms, the launch thread waits that long for the interpreter after a run while the loop is busy.
    sys.setswitchinterval(SWITCH_SECONDS)
    service = Service(settings.limits, on_stuck=_give_up)
    tenants = _guarded(service, settings)
    if settings.shared_memory_bytes:
        service.regions = Regions(settings.shared_memory_bytes)
    store = open_store(settings.path, settings.name, settings.model_version)
    placement = Placement(
        settings.device,
        settings.threads,
        settings.vetting,
        settings.isolate,
        settings.options,
        settings.warmup_seconds,
    )
    host = Host(service, store, placement)
    sender = trace_sender(service, settings)
    with listener(settings.host, settings.port) as data, listener(settings.host, settings.admin_port) as admin:
        stop = Stop()
        stop.listen()
        front = await _front(service, host, settings, data)
        host.changed, host.settled = front.readiness_changed, front.settled
        following = _following(tenants, service, front)
        front_ends = front if isinstance(front, FrontEnds) else None
        # Front ends send their own; this process' sender, which has nothing to send, has checked that they can.
        traces = (front_ends or sender) if sender is not None else None
        share = RolloutShare.begun(service, settings.share_url, front.readiness_changed)
        triton, more = settings.triton_metrics, _collectors(share)
        admin_app = create_admin_app(service, host, traces, triton=triton, front_ends=front_ends, more=more)
        # Not the hot class: it would answer inference requests on this port, too.
        admin_class = bounded_class(lambda: service.draining)
        admin_server = HttpServer(admin_app, admin_class, admin, grace_seconds(settings))
        _tell_how_numbers_are_read()
        logger.info("listening", extra={"data": data.getsockname()[1], "admin": admin.getsockname()[1]})
        try:
            if await stop.unless_asked(_started(host), front.failed()):
                await stop.unless_asked(host.failed(), front.failed())
                service.begin_drain()
                front.readiness_changed()
                logger.info("draining", extra={"seconds": settings.drain_seconds})
                await stop.drained(settings.drain_seconds)
        finally:
            service.begin_drain()
            following.cancel()
            await front.close()
            await asyncio.gather(service.close(), host.close())
            await admin_server.close()
            if share is not None:
                await share.close()
            if sender is not None:
                await asyncio.to_thread(sender.close)
    logger.info("stopped")


def _guarded(service: Service, settings: ServeSettings) -> TenantsFile | None:
    """The file by which the service asks callers for tokens from here on; None: it doesn't. Raises `StartupFailure`."""
    if settings.tenants_file is None:
        return None
    file = TenantsFile(settings.tenants_file)
    service.guard = Guard(file.tenants, service.clock, wall_seconds)
    return file


def _following(file: TenantsFile | None, service: Service, front: Front) -> "asyncio.Task[None]":
    """Has all go by the file as it changes, until it is cancelled."""

    def changed(tenants: Tenants) -> None:
        assert service.guard is not None
        service.guard.replace(tenants)
        front.readiness_changed()

    async def follow() -> None:
        if file is not None:
            await file.follow(changed)

    return asyncio.create_task(follow(), name="tenants")


def _collectors(share: RolloutShare | None) -> Sequence[Collector]:
    if share is None:
        return ()
    return ShadowCollector(share.shadowing, share.answers), HandoverCollector(share.handing_over)


def _tell_how_numbers_are_read() -> None:
    try:
        Reader()
    except Unavailable as error:
        logger.info("JSON's numbers are read by Python, for more CPU time", extra={"reason": str(error)})


def _allow_connections() -> None:
    """Lets this process have as many open files as it may, each connection being one; the default is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _front(service: Service, host: Host, settings: ServeSettings, data: socket.socket) -> Front:
    administered = Administered(service, host) if settings.admin_on_data_port else None
    if settings.workers > 1:
        return FrontEnds(service, settings, data, administered)
    return await Doors.open(service, administered, settings, data)


async def _started(host: Host) -> bool:
    await host.start()
    freeze()
    return True


def _give_up() -> None:
    """Ends the process: a run that can't be ended, or a scheduler that failed, holds the model for good."""
    logger.critical("the engine is lost; leaving")
    os._exit(1)
