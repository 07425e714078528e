"""The front ends: so many processes on the same listeners, each started again when it ends, and what they have counted.

All accept from one queue, which the hub holds open: connections that wait in it are not lost with a front end.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import orjson

from tidegate_runtime import logs
from tidegate_runtime.administration import Administration
from tidegate_runtime.listening import listener
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.child.restarts import in_a_row, restart_delay
from tidegate_runtime.model.child.slab import sealed
from tidegate_runtime.model.child.spawned import how_it_ended
from tidegate_runtime.rpc.transports import check_inheritable
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.service import Service, State
from tidegate_runtime.settings import ServeSettings, encode_settings
from tidegate_runtime.tls import Certificate
from tidegate_runtime.workers import questions, tally
from tidegate_runtime.workers.accepting import Board, board_bytes
from tidegate_runtime.workers.budget import Budget
from tidegate_runtime.workers.front_end import FrontEnd
from tidegate_runtime.workers.link import Link
from tidegate_runtime.workers.numbering import Numbers
from tidegate_runtime.workers.pulse import start_seconds
from tidegate_runtime.workers.rounds import Rounds
from tidegate_runtime.workers.snapshot import Snapshot, ToldModel, ToldVersion, encode
from tidegate_runtime.workers.tally import Counts
from tidegate_runtime.workers.usage import Account, Accounts

logger = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-P", "-m", "tidegate_runtime.workers")

MAX_FAILED_STARTS: Final = 3
"""So many processes in a row that end, or hang, before they listen, while no other does: the next one will, too."""

LEAVE_SECONDS: Final = 5.0
"""How long, beyond the last requests' time, a front end may take to end."""

SETTLE_SECONDS: Final = 5.0
"""How long a change waits for a front end to go by it."""

RPC_BACKLOG: Final = 1024


class FrontEnds:
    """`settings.workers` front ends of a service, from here on until `close`."""

    def __init__(
        self,
        service: Service,
        settings: ServeSettings,
        data: socket.socket,
        administered: Administration | None = None,
    ) -> None:
        """`data` is the data port's listener. What may be `administered` there, if anything may.

        Raises `OSError` if that of gRPC can't be had, `StartupFailure` for a certificate that can't be used.
        """
        if settings.tls:
            # Front ends read it themselves; what they would all end for is said once.
            Certificate(*settings.tls)
        self._service = service
        self._settings = settings
        self._data = data
        self._administered = administered
        self._rpc: socket.socket | None = None
        if settings.grpc_port >= 0:
            check_inheritable(settings.grpc_transport)
            self._rpc = listener(settings.host, settings.grpc_port, " for gRPC", RPC_BACKLOG)
            logger.info("listening for gRPC", extra={"data": self._rpc.getsockname()[1]})
        self._board_file = sealed("tidegate-connections", board_bytes(settings.workers))
        self._board = Board(self._board_file, settings.workers)
        self.restarts = 0
        """How often a front end was started in place of one that had ended."""
        self._links: dict[Link, FrontEnd] = {}
        self._numbers = Numbers()
        self._told = 0
        self._past: Counts = {}
        self._counting = Rounds(self._count)
        self._accounts = Accounts(settings.workers)
        self._past_spans_lost = 0
        self._leaving = asyncio.Event()
        self._complete = False
        service.reachable = False
        service.gather = self.gather
        service.spread = self.spread
        if service.tracer is not None:
            service.tracer.share = Budget.of
        self._keeping = [asyncio.create_task(self._keep(place), name="front end") for place in range(settings.workers)]

    @property
    def running(self) -> int:
        """How many front ends listen."""
        return sum(link.ready for link in self._links)

    def usage(self) -> Iterator[Account]:
        """What the front ends have used, each by its place, those before them there included."""
        return self._accounts.read()

    @property
    def lost(self) -> int:
        """Spans that front ends could not send, as of the last `gather`."""
        return self._past_spans_lost + sum(link.counting.spans_lost for link in self._links)

    def readiness_changed(self) -> None:
        """Tells the front ends all that is served."""
        self._told += 1
        told = self._all_told()
        for front in self._links.values():
            self._tell(front, *told)

    async def spread(self) -> None:
        """As `Service.spread`."""
        self.readiness_changed()
        await self.settled()

    async def settled(self) -> None:
        """Returns once every front end that listens does as it was told last, or is gone, or hangs."""
        shown = [asyncio.create_task(link.shows(self._told)) for link in self._links if link.ready]
        if shown:
            _, hanging = await asyncio.wait(shown, timeout=SETTLE_SECONDS)
            for task in hanging:
                task.cancel()

    async def failed(self) -> None:
        """Waits until front ends can't be started, and raises `OSError`."""
        over, _ = await asyncio.wait(self._keeping, return_when=asyncio.FIRST_COMPLETED)
        for task in over:
            task.result()

    async def gather(self) -> Sequence[ModelMetrics]:
        """The sums of what is counted here and in the front ends, also in those that are gone."""
        await self._counting.whole()
        every = [self._past, *(link.counting.counts for link in self._links)]
        return [tally.total(known.metrics, every) for known in self._service.index()]

    async def _count(self) -> None:
        await asyncio.gather(*(link.count() for link in list(self._links)))

    async def close(self) -> None:
        """Has the front ends answer what they have, and returns once they have ended."""
        self._leaving.set()
        self._data.close()
        if self._rpc is not None:
            self._rpc.close()
        for link, front in self._links.items():
            if link.ready:
                link.leave()
            else:
                front.kill()
        seconds = self._settings.limits.timeout_seconds + LEAVE_SECONDS
        _, stuck = await asyncio.wait(self._keeping, timeout=seconds)
        if stuck:
            logger.error("front ends don't end and are killed", extra={"front_ends": len(stuck)})
            for front in list(self._links.values()):
                front.kill()
            await asyncio.wait(stuck)

    async def _keep(self, place: int) -> None:
        """Has one front end run, again and again; raises `OSError` once that can't help, and no other serves."""
        loop = asyncio.get_running_loop()
        crashes = failed_starts = 0
        while not self._leaving.is_set():
            began = loop.time()
            try:
                listened, by = await self._run_one(place, again=crashes > 0)
            except OSError as error:
                if not self._complete:
                    raise
                listened, by = False, str(error)
            if self._leaving.is_set():
                return
            # Those that serve go on without it.
            failed_starts = 0 if listened or (self._complete and self.running) else failed_starts + 1
            if failed_starts == MAX_FAILED_STARTS:
                raise OSError(f"front ends end as they start, the last by {by}; the log says more")
            crashes = in_a_row(crashes, loop.time() - began)
            delay = restart_delay(crashes)
            logger.error("a front end ended", extra={"by": by, "restart_in_seconds": delay})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), delay)

    async def _run_one(self, place: int, *, again: bool) -> tuple[bool, str]:
        """Returns once it has ended: whether it had listened, and by what it ended.

        Raises `OSError` if it can't be started.
        """
        self._board.gone(place)
        arguments = [*COMMAND, encode_settings(self._settings), str(place)]
        seconds = start_seconds(self._settings.workers)
        front = FrontEnd(arguments, self._descriptors(), self._on_link_change, self._answering, seconds)
        self.restarts += again
        link = front.link
        self._links[link] = front
        self._accounts.began(place, front.usage)
        self._tell(front, *self._all_told())
        code = await front.ended
        self._board.gone(place)
        self._accounts.ended(place)
        del self._links[link]
        self._past = tally.merged(self._past, link.counting.counts)
        self._past_spans_lost += link.counting.spans_lost
        self._on_link_change(None)
        return link.ready, link.pulse.hung or how_it_ended(code)

    def _tell(self, front: FrontEnd, models: dict[int, ServedModel], told: bytes, handed: dict[int, int]) -> None:
        try:
            front.link.tell(self._told, models, told, handed)
        except OSError as error:  # It would go by what it was told before, or wait for ever.
            logger.error("a front end can't be told what is served", extra={"error": str(error)})
            front.kill()

    def _descriptors(self) -> list[int]:
        shared = [self._board_file, self._data.fileno()]
        return shared if self._rpc is None else [*shared, self._rpc.fileno()]

    def _on_link_change(self, told: bytes | None) -> None:
        """A front end listens, shows something new, or is gone."""
        if told is not None:
            self._service.grpc_transport = orjson.loads(told)["grpc_transport"]
        listening = [link for link in self._links if link.ready]
        # At first all, so that they share what comes first; then those that are left while one is started again.
        self._complete = self._complete or len(listening) == self._settings.workers
        self._service.reachable = self._complete and bool(listening) and all(link.started for link in listening)

    def _answering(self, question: bytes) -> Awaitable[bytes]:
        return questions.answering(question, self._totals, self._administered)

    async def _totals(self) -> bytes:
        return tally.encode_totals(await self.gather())

    def _all_told(self) -> tuple[dict[int, ServedModel], bytes, dict[int, int]]:
        """What `Link.tell` takes."""
        regions, tracer, number_of = self._service.regions, self._service.tracer, self._numbers.of
        tenants = self._service.guard.tenants if self._service.guard is not None else None
        known = [] if regions is None else list(regions.known().values())
        handed = {number_of(segment): segment.descriptor for _, segment in known}
        snapshot, models = self._snapshot()
        shared = tuple([(number_of(segment), region) for region, segment in known])
        snapshot = replace(snapshot, regions=shared, log_levels=logs.levels(), tenants=tenants)
        if tracer is not None:
            budgets = {whose: budget for whose, budget in tracer.budgets.items() if isinstance(budget, Budget)}
            handed |= {number_of(budget): budget.descriptor for budget in budgets.values()}
            numbers = tuple([(whose, number_of(budget)) for whose, budget in budgets.items()])
            snapshot = replace(snapshot, traces=tracer.settings, budgets=numbers)
        return models, encode(snapshot), handed

    def _snapshot(self) -> tuple[Snapshot, dict[int, ServedModel]]:
        service, models, versions = self._service, dict[int, ServedModel](), []
        for known in service.index():
            model, metrics = known.model, known.metrics
            told = None
            if model is not None and known.state is State.READY:
                number = self._numbers.of(model)
                models[number] = model
                told = ToldModel(number, model.signature, model.verdict, model.labels, model.config, model.limits)
            ready = model is None or model.engine_ready()
            versions.append(
                ToldVersion(metrics.model, metrics.version, metrics.device, known.state, known.reason, told, ready)
            )
        return Snapshot(tuple(versions), service.started, service.draining), models
