"""The `controller` command: builds the parts and runs them until a signal."""

import asyncio
import contextlib
import logging
import os
import socket
import uuid

import aiohttp
from prometheus_client import CollectorRegistry

from tidegate_operator import errors, naming
from tidegate_operator.analyst import Analyst
from tidegate_operator.controller.keyqueue import KeyQueue
from tidegate_operator.controller.metrics import ControllerMetrics
from tidegate_operator.controller.workers import Workers
from tidegate_operator.install import Install
from tidegate_operator.kube import lease, listing, watching
from tidegate_operator.kube.client import ApiServer
from tidegate_operator.kube.objects import CHILDREN, ENDPOINT_SLICE, POD, SERVICES, Kind, Object
from tidegate_operator.kube.recorder import Recorder
from tidegate_operator.kube.store import Key, Store, key_of
from tidegate_operator.process.administration import administration
from tidegate_operator.process.pages import http_fetch
from tidegate_operator.process.serving import serving
from tidegate_operator.process.ticks import ticks
from tidegate_operator.reconcile import Reconciler, utc_now
from tidegate_operator.routing.callers import Callers
from tidegate_operator.routing.router import Router

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 600.0
"""How often everything is listed anew, for what the watches may have missed."""

WATCHED: dict[Kind, str] = {
    SERVICES: "",
    **{kind: naming.CHILDREN_SELECTOR for kind in (*CHILDREN, POD)},
    ENDPOINT_SLICE: f"kubernetes.io/service-name={naming.ROUTER_SERVICE}",
}
"""What the controller looks at, and the label selectors that narrow it."""


class Controller:
    """The controller's parts, wired."""

    def __init__(self, cluster: ApiServer, session: aiohttp.ClientSession, install: Install) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ControllerMetrics(self.registry)
        self.store = Store()
        self.queue: KeyQueue[Key] = KeyQueue()
        self.listed = False
        self._cluster = cluster
        self._namespaces = install.watched
        router = Router(install, self.store, session)
        recorder = Recorder(cluster, utc_now)
        analyst = Analyst(Callers(router, http_fetch(session)))
        reconciler = Reconciler(cluster, self.store, router, analyst, recorder, install)
        self.workers = Workers(self.queue, reconciler, utc_now, self.metrics)

    def ready(self) -> tuple[bool, str]:
        """Whether everything was listed, so that this replica could lead."""
        return self.listed, "ok\n" if self.listed else "still listing\n"

    async def see(self, item: Object, deleted: bool) -> None:
        """Take in one event of a watch."""
        news = self.store.remove(item) if deleted else self.store.put(item)
        if news:
            self._wake(item)

    async def refresh(self) -> None:
        """List everything now, and make due what had changed unnoticed."""
        for key in await listing.refresh(self._cluster, self.store, WATCHED, self._namespaces):
            self.queue.add(key)
        self.listed = True

    async def refresh_regularly(self) -> None:
        """List everything each `REFRESH_SECONDS`, until cancelled."""
        async for _ in ticks(REFRESH_SECONDS):
            try:
                await self.refresh()
            except errors.Unavailable as error:
                if not self.listed:
                    raise
                # What is known may be late, but it is no worse than a restart.
                logger.warning("listing failed", extra={"error": str(error)})

    async def work(self) -> None:
        """Run passes, until cancelled; every service is due at first."""
        self.metrics.leader.set(1)
        await self.refresh()
        for key in self.store.services():
            self.queue.add(key)
        await self.workers.run()

    def _wake(self, item: Object) -> None:
        if item["kind"] == ENDPOINT_SLICE.name:
            # A router came or went: what is routable may have changed for every service.
            for service in self.store.services():
                self.queue.add(service)
        elif key := key_of(item):
            self.queue.add(key)


async def run(install: Install) -> None:
    """Reconcile until SIGTERM or SIGINT; raises when a part of it ends before it should."""
    identity = f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    async with contextlib.AsyncExitStack() as stack:
        cluster = await ApiServer.open()
        stack.push_async_callback(cluster.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        controller = Controller(cluster, session, install)
        admin = administration(controller.registry, ready=controller.ready)
        await stack.enter_async_context(serving(admin, "0.0.0.0", naming.ADMIN_PORT))
        stack.push_async_callback(lease.release, cluster, install.namespace, naming.LEASE, identity)
        election = lease.lead(cluster.configuration, install.namespace, naming.LEASE, identity, controller.work)
        handlers = dict.fromkeys(WATCHED, controller.see)
        tasks = [
            asyncio.create_task(watching.watch(handlers, _selectors(), namespaces=install.watched), name="watch"),
            asyncio.create_task(election, name="election"),
            asyncio.create_task(controller.refresh_regularly(), name="refresh"),
        ]
        await _first_to_end(tasks)


async def _first_to_end(tasks: list[asyncio.Task[None]]) -> None:
    """Return when the watch ends (as it does on a signal), or raise what ended another task; the rest is cancelled."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _selectors() -> dict[Kind, str]:
    return {kind: selector for kind, selector in WATCHED.items() if selector}
