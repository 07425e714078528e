"""The `controller` command: builds the parts and runs them until a signal."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import uuid
from functools import partial

import aiohttp
from prometheus_client import CollectorRegistry

from tidegate_operator import errors, naming
from tidegate_operator.analyst import Analyst
from tidegate_operator.controller.counting import Counted
from tidegate_operator.controller.keyqueue import KeyQueue
from tidegate_operator.controller.metrics import ControllerMetrics
from tidegate_operator.controller.settings import ControllerSettings
from tidegate_operator.controller.workers import Workers
from tidegate_operator.foresight import Foresight
from tidegate_operator.install import Install
from tidegate_operator.kube import lease, listing, watching
from tidegate_operator.kube.census import Census
from tidegate_operator.kube.client import ApiServer, Cluster
from tidegate_operator.kube.fence import Fence, Fenced
from tidegate_operator.kube.keeping import kept
from tidegate_operator.kube.objects import CHILDREN, ENDPOINT_SLICE, POD, SERVICES, Kind, Object, matters
from tidegate_operator.kube.pulse import Pulse, loop_clock
from tidegate_operator.kube.recorder import Recorder
from tidegate_operator.kube.store import Key, Reference, Store, key_of, reference_of
from tidegate_operator.kube.version import kubernetes_version
from tidegate_operator.process.administration import administration
from tidegate_operator.process.pages import http_fetch
from tidegate_operator.process.prometheus import Prometheus
from tidegate_operator.reconcile import Reconciler, utc_now
from tidegate_operator.routing.callers import Callers
from tidegate_operator.routing.direct import Direct
from tidegate_operator.routing.gateway import Gateway
from tidegate_operator.routing.plain import PlainService
from tidegate_operator.routing.router import Router
from tidegate_operator.routing.ways import Ways

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 600.0
"""How often everything is listed anew, for what the watches may have missed."""
RETRY_SECONDS = 2.0
"""The pause after a listing that failed."""

WATCHED: dict[Kind, str] = {
    SERVICES: "",
    **{kind: naming.CHILDREN_SELECTOR for kind in (*CHILDREN, POD)},
    ENDPOINT_SLICE: f"kubernetes.io/service-name={naming.ROUTER_SERVICE}",
}
"""What the controller looks at, and the label selectors that narrow it."""


class Controller:
    """The controller's parts, wired; `cluster` writes whatever it is asked to, `fence` or not."""

    def __init__(self, cluster: Cluster, session: aiohttp.ClientSession, install: Install, fence: Fence) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ControllerMetrics(self.registry)
        self.store = Store()
        self.queue: KeyQueue[Key] = KeyQueue(self.metrics.queue_seconds.observe)
        self.namespaces = install.watched
        self.pulse = Pulse(WATCHED, loop_clock(), self.namespaces)
        self.listed = asyncio.Event()
        self._cluster = cluster
        self._relist = asyncio.Event()
        guarded = Fenced(Counted(cluster, self.metrics.writes), fence)
        router = Router(install, self.store, session)
        recorder = Recorder(guarded, utc_now)
        plain, gateway = PlainService(install, self.store, guarded), Gateway(install, self.store, guarded)
        fetch = http_fetch(session)
        direct = Direct(install, self.store, guarded, fetch)
        ways = Ways({"Router": router, "Service": plain, "Gateway": gateway, "Direct": direct}, self.store)
        analyst = Analyst(Callers(ways, fetch), Prometheus(session, install))
        # Who is for some namespaces alone has no right to see nodes.
        foresight = Foresight(None if install.watched else Census(cluster, loop_clock()), install)
        reconciler = Reconciler(guarded, self.store, ways, analyst, foresight, recorder, install)
        self.workers = Workers(self.queue, reconciler, utc_now, self.metrics)
        self.metrics.queue_keys.set_function(lambda: len(self.queue))
        for kind in WATCHED:
            self.metrics.watch_silence.labels(kind.name).set_function(partial(self._silence, kind.name))

    def _silence(self, kind: str) -> float:
        return self.pulse.silence()[kind]

    def ready(self) -> tuple[bool, str]:
        """Whether everything was listed, so that this replica could lead."""
        listed = self.listed.is_set()
        return listed, "ok\n" if listed else "still listing\n"

    async def see(self, item: Object, deleted: bool) -> None:
        """Take in one event of a watch."""
        self.metrics.watch_events.labels(item["kind"]).inc()
        reference = reference_of(item)
        before = self.store.get(reference)
        if deleted:
            if self.store.remove(item):
                self._wake(item)
        elif self.store.put(item) and matters(before, kept(item)):
            self._wake(item)

    async def keep_listed(self) -> None:
        """List everything each `REFRESH_SECONDS` and when asked to, until cancelled; make due what had changed."""
        while True:
            self._relist.clear()
            pause = REFRESH_SECONDS
            try:
                for key in await listing.refresh(self._cluster, self.store, WATCHED, self.namespaces):
                    self._add(key)
                self.listed.set()
            except errors.ApiError as error:
                # What is known may be late, but it is no worse than a restart.
                logger.warning("listing failed", extra={"error": str(error), "retry_seconds": RETRY_SECONDS})
                pause = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._relist.wait()

    async def work(self) -> None:
        """Run passes, until cancelled; every service is due at first."""
        self.metrics.leader.set(1)
        # Not from a half-filled view: what isn't known yet would look lost. Nor only after another listing: the watches
        # have kept the view, and a write from a stale one is a Conflict.
        await self.listed.wait()
        self._relist.set()
        for key in self.store.services():
            self.queue.add(key, news=self._is_new(key))
        await self.workers.run()

    def _wake(self, item: Object) -> None:
        if item["kind"] == ENDPOINT_SLICE.name:
            # A router came or went: what is routable may have changed for every service.
            for service in self.store.services():
                self.queue.add(service)
        elif key := key_of(item):
            self._add(key)

    def _add(self, key: Key) -> None:
        # What is there at a start is told by listing and streams: it is no news, unless nobody has answered it yet.
        self.queue.add(key, news=self.listed.is_set() or self._is_new(key))

    def _is_new(self, key: Key) -> bool:
        """Whether a service's spec hasn't been acted on."""
        live = self.store.get(Reference(naming.KIND, key.namespace, key.name))
        return live is not None and live["metadata"]["generation"] != live.get("status", {}).get("observedGeneration")


async def run(install: Install, settings: ControllerSettings) -> None:
    """Reconcile until SIGTERM or SIGINT; raises when a part of it ends before it should.

    That is `watching.WatchFailed` if all may simply begin anew.
    """
    identity = f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    async with contextlib.AsyncExitStack() as stack:
        cluster = await ApiServer.open()
        stack.push_async_callback(cluster.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        install = install.model_copy(update={"kubernetes": await _version_of(cluster)})
        fence = Fence()
        controller = Controller(cluster, session, install, fence)
        where = (settings.host, settings.admin_port)
        admin = administration(controller.registry, *where, ready=controller.ready, healthy=controller.pulse.health)
        await stack.enter_async_context(admin)
        await _until_stopped(controller, cluster, install.namespace, identity, fence)


async def _version_of(cluster: ApiServer) -> tuple[int, int] | None:
    try:
        return await kubernetes_version(cluster)
    except errors.ApiError as error:
        # No reason not to begin: what depends on it is one field, and whoever can't be asked takes no spec either.
        logger.warning("the version of Kubernetes isn't known", extra={"error": str(error)})
        return None


async def _until_stopped(
    controller: Controller, cluster: ApiServer, namespace: str, identity: str, fence: Fence
) -> None:
    stop, stop_watching, watching_began = asyncio.Event(), asyncio.Event(), asyncio.Event()
    election = lease.lead(cluster.configuration, namespace, naming.LEASE, identity, controller.work, fence)
    # These before kopf: at its end it cancels every task that is younger than it.
    leading = asyncio.create_task(election, name="election")
    around = [
        asyncio.create_task(_set(stop), name="stop"),
        asyncio.create_task(_keep_signals(watching_began, stop), name="signals"),
        asyncio.create_task(controller.pulse.listen(), name="pulse"),
        asyncio.create_task(controller.keep_listed(), name="listing"),
    ]
    watch = watching.watch(
        dict.fromkeys(WATCHED, controller.see),
        {kind: selector for kind, selector in WATCHED.items() if selector},
        namespaces=controller.namespaces,
        began=watching_began,
        stop=stop_watching,
        pulse=controller.pulse,
    )
    watch_task = asyncio.create_task(watch, name="watch")
    try:
        await _first_to_end([leading, watch_task, *around])
    finally:
        # The Lease before all else: a successor waits for it alone.
        await _over([leading])
        await lease.release(cluster, namespace, naming.LEASE, identity)
        # Told that it is meant, or it would kill the process in a while; asked to end, it would take five seconds.
        stop_watching.set()
        await _over([watch_task, *around])


async def _first_to_end(tasks: list[asyncio.Task[None]]) -> None:
    """Return when the first of `tasks` ends, or raise what ended it."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _over(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_signals(watching_began: asyncio.Event, stop: asyncio.Event) -> None:
    """Take SIGTERM and SIGINT back from kopf, which takes seconds to end, for good."""
    _on_signals(stop)
    await watching_began.wait()
    _on_signals(stop)
    await asyncio.Event().wait()


def _on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
