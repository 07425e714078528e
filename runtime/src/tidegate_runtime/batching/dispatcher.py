"""The asyncio side of a device: when it is cut, and whose batch begins.

Requests that are read in one turn of the event loop share a batch: the first one asks for a cut at the next turn.
While the device is busy, arrivals gather, and when a run ends the next batch is cut at once, or when waiting for
company doesn't pay off any more.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.place import AT_ONCE_SECONDS
from tidegate_runtime.batching.tickets import Batch, Ticket

Clock = Callable[[], float]


class Member(Protocol):
    """What a model does when its turn comes. All is called from the event loop."""

    @property
    def available(self) -> Callable[[], bool]:
        """Says whether its engine can take a batch."""

    def begin(self, batch: Batch, now: float) -> None:
        """Runs the batch, or has it run; the dispatcher is asked again when it is over."""

    def gave_up(self, ticket: Ticket) -> None:
        """Tells a request that its time is over."""


class Dispatcher:
    """Takes the models of one device in turn. All is called from one event loop; `clock` runs with it, in seconds."""

    def __init__(self, clock: Clock) -> None:
        self.asked = False
        """Whether a cut is under way."""
        self.load = (device := Device()).load
        self._clock = clock
        self._device = device
        self._members: dict[Backlog, Member] = {}
        self._held: asyncio.TimerHandle | None = None
        self._aside: set[Backlog] = set()
        """Those whose engine could take no batch when their turn came."""

    def join(self, backlog: Backlog, member: Member) -> None:
        """From here on the model's requests wait for this device, and its batches begin."""
        self._members[backlog] = member
        self._device.join(backlog)
        self.cut()

    def leave(self, backlog: Backlog) -> None:
        """They don't any more. None of its runs is in progress."""
        del self._members[backlog]
        if backlog in self._aside:
            self._aside.remove(backlog)
        else:
            self._device.leave(backlog)

    def review(self) -> None:
        """An engine that could take no batch may be able to again."""
        for backlog in [one for one in self._aside if self._members[one].available()]:
            self._aside.remove(backlog)
            self._device.join(backlog)
            self.ask()

    def ask(self) -> None:
        """Has the next batch cut at the loop's next turn."""
        if not self.asked:
            self.asked = True
            asyncio.get_running_loop().call_soon(self.cut)

    @property
    def free(self) -> bool:
        """Whether a batch may run now, if only one on the event loop beside another model's on the device."""
        return self.load.running is None or self.load.shared

    @property
    def waited_for(self) -> bool:
        """Whether any request waits for the device."""
        return any(backlog.depth for backlog in self._members)

    def cut_if_free(self) -> None:
        """Cuts the next batch at once if one may run and nobody has asked for it: all that a turn brought has come."""
        if not self.asked and self.free:
            self.cut()

    def cut(self) -> None:
        """Cuts the next batch, if one may run, and has its model run it.

        Those that run on the event loop follow each other at once for a while: who waits is answered in one turn of it,
        and what the next one brings finds the engine idle, past the queue.
        """
        self.asked = False
        began = now = self._clock()
        while self._cut(now):
            now = self._clock()
            if now - began >= AT_ONCE_SECONDS:
                self.ask()
                break

    def _cut(self, now: float) -> bool:
        """Whether a batch ran, on the loop, and the next one may."""
        device = self._device
        next_ = device.cut(now)
        if device.dropped:
            for backlog, ticket in device.dropped:
                self._members[backlog].gave_up(ticket)
        if next_ is None:
            if device.held_until:
                self._hold(device.held_until - now)
            return False
        backlog, batch = next_
        member = self._members[backlog]
        if batch.on_loop or member.available():
            member.begin(batch, now)
            return batch.on_loop and bool(backlog.depth) and not self.load.shared
        # Its requests wait for the engine without keeping the device from others.
        backlog.put_back(batch)
        device.leave(backlog)
        self._aside.add(backlog)
        self.ask()
        return False

    def _hold(self, seconds: float) -> None:
        """Cuts after `seconds`, if nothing has it done before."""
        if self._held is not None:
            self._held.cancel()
        self._held = asyncio.get_running_loop().call_later(seconds, self.cut)
