"""A front end: `python -m tidegate_runtime.workers SETTINGS PLACE LINE BOARD DATA [RPC]`.

The settings are JSON, the place is this front end's among them, the rest are descriptors of the hub's.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence

import orjson

from tidegate_runtime import logs
from tidegate_runtime.access.guard import Guard
from tidegate_runtime.access.tenants import Tenants
from tidegate_runtime.access.tenants_file import wall_seconds
from tidegate_runtime.collecting import freeze
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.child.spawned import detach_from_terminal
from tidegate_runtime.settings import ServeSettings, decode_settings
from tidegate_runtime.shared_memory.regions import Regions
from tidegate_runtime.web.doors import Doors, trace_sender
from tidegate_runtime.workers import tally
from tidegate_runtime.workers.accepting import Board, SharingLoop, listeners_of
from tidegate_runtime.workers.mirror import Mirror
from tidegate_runtime.workers.questions import TOTALS, Asking
from tidegate_runtime.workers.snapshot import Snapshot
from tidegate_runtime.workers.uplink import Uplink

logger = logging.getLogger(__name__)


def main() -> None:
    """Serves for the hub that started this process."""
    detach_from_terminal()
    logs.set_up()
    settings = decode_settings(sys.argv[1])
    place, line, board, *listeners = [int(number) for number in sys.argv[2:]]
    data, *rpc = [socket.socket(fileno=listener) for listener in listeners]

    def new_loop() -> SharingLoop:
        loop = SharingLoop()
        loop.share(listeners_of(Board(board, settings.workers), data, *rpc), place)
        return loop

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(attend(settings, socket.socket(fileno=line), data, rpc[0] if rpc else None))
    sys.stderr.flush()
    os._exit(0)


async def attend(settings: ServeSettings, line: socket.socket, data: socket.socket, rpc: socket.socket | None) -> None:
    """Serves until the hub says that it is enough, and all is answered."""
    front = _FrontEnd(settings, line)
    await front.told.wait()
    administered = Asking(front.uplink.ask) if settings.admin_on_data_port else None
    # Not before it is known what there is: others accept meanwhile.
    front.doors = await Doors.open(front.service, administered, settings, data, rpc)
    uplink = front.uplink
    freeze()
    uplink.ready(orjson.dumps({"grpc_transport": front.service.grpc_transport}))
    await uplink.leave.wait()
    front.service.begin_drain()
    await front.doors.close()
    await front.service.close()
    if front.sender is not None:
        await asyncio.to_thread(front.sender.close)
    await uplink.close()


class _FrontEnd:
    def __init__(self, settings: ServeSettings, line: socket.socket) -> None:
        self.told = asyncio.Event()
        self.doors: Doors | None = None
        self._workers = settings.workers
        self.uplink = uplink = Uplink(line, timed=bool(settings.trace_endpoint))
        self.service = Mirror(settings.limits, uplink, uplink.let_go)
        self.service.gather = self._gather
        if settings.shared_memory_bytes:
            self.service.regions = Regions(settings.shared_memory_bytes)
        self.sender = sender = trace_sender(self.service, settings)
        if sender is not None:
            uplink.spans_lost = lambda: sender.lost
        uplink.on_models = self._show
        uplink.counted = self._counted

    def _show(self, snapshot: Snapshot) -> None:
        logs.set_levels(snapshot.log_levels)
        if snapshot.tenants is not None:
            self._guard(snapshot.tenants)
        self.service.show(snapshot, self.uplink.handed)
        if self.doors is not None:
            self.doors.readiness_changed()
        self.told.set()

    def _guard(self, tenants: Tenants) -> None:
        """Each front end lets in an equal part of what a tenant may send, so that all of them let in no more."""
        service = self.service
        if service.guard is None:
            service.guard = Guard(tenants, service.clock, wall_seconds, 1 / self._workers)
        elif tenants != service.guard.tenants:
            service.guard.replace(tenants)

    def _counted(self) -> Sequence[ModelMetrics]:
        return [known.metrics for known in self.service.index()]

    async def _gather(self) -> Sequence[ModelMetrics]:
        return tally.decode_totals(await self.uplink.ask(TOTALS))


if __name__ == "__main__":
    main()
