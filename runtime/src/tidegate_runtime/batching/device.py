"""Which of a device's models runs next. Pure.

The rule is that of one model's queues (`policy`), over the queues of all models: the least slack first. What a model
runs on the event loop takes less than the way to the device and back, so it doesn't wait for its turn there.
"""

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cutting import chosen, foreseen
from tidegate_runtime.batching.load import Load
from tidegate_runtime.batching.tickets import Batch, Ticket


class Device:
    """Backlogs that take turns. `now` is in the clock's seconds and never goes back."""

    def __init__(self) -> None:
        self.load = Load()
        self.dropped: list[tuple[Backlog, Ticket]] = []
        """What the latest `cut` gave up, since its deadline can't be met any more; to be told so."""
        self.held_until = 0.0
        """Until when the latest `cut` that returned None waits for company; 0 if it doesn't."""
        self._backlogs: list[Backlog] = []
        self._sole: Backlog | None = None
        """The one backlog there is; None where there are several."""

    def join(self, backlog: Backlog) -> None:
        """The backlog's requests wait for this device from here on."""
        self._backlogs.append(backlog)
        backlog.take_to(self.load)
        self._counted()

    def leave(self, backlog: Backlog) -> None:
        """They don't any more. None of its runs is in progress."""
        self._backlogs.remove(backlog)
        backlog.take_to(Load())
        self._counted()

    def cut(self, now: float) -> tuple[Backlog, Batch] | None:
        """The next batch, which runs from here on, and whose it is; None if nothing may run.

        While a run is in progress that is only what runs on the event loop, of other models.
        """
        if self.dropped:
            self.dropped = []
        self.held_until = 0.0
        load, sole = self.load, self._sole
        while True:
            backlog = sole or self._next(now)
            if backlog is None or not backlog.active:
                return None
            if load.running is None:
                batch = backlog.cut(now, backlog.depth if sole else self._depth())
                if batch is not None:
                    batch.on_loop = backlog.place.on_loop(batch.shape, batch.rows, now)
                    load.running, load.holder = batch, backlog
                    return backlog, batch
            elif sole:
                return None
            else:
                batch = backlog.cut(now, self._depth(), beside=True)
                if batch is not None:
                    if backlog.place.on_loop(batch.shape, batch.rows, now):
                        batch.on_loop = True
                        return backlog, batch
                    # It isn't what was foreseen, for somebody's sake: it waits for the device.
                    backlog.put_back(batch)
                    continue
            if backlog.held_until:
                self.held_until = backlog.held_until
                return None
            self.dropped += [(backlog, ticket) for ticket in backlog.dropped]

    def _counted(self) -> None:
        self.load.shared = len(self._backlogs) > 1
        self._sole = self._backlogs[0] if len(self._backlogs) == 1 else None

    def _depth(self) -> int:
        return sum([backlog.depth for backlog in self._backlogs])

    def _next(self, now: float) -> Backlog | None:
        """The backlog to cut, of several."""
        load = self.load
        waiting = [one for one in self._backlogs if one.active and not (load.running and load.holder is one)]
        if not waiting:
            if load.running is None:
                load.mean = load.spread = 0.0
            return None
        short = [one for one in waiting if _short(one, now)]
        # What the loop can run beside the device doesn't keep it waiting.
        others = [one for one in waiting if one not in short] if load.running is None else []
        return min(others or short, key=_latest_start, default=None)


def _latest_start(backlog: Backlog) -> float:
    """The latest moment at which something that waits has to begin; the one with the least slack has the earliest."""
    heads = [foreseen(queue, backlog.policy) for queue in backlog.active]
    return min(head.due - head.seconds for head in heads)


def _short(backlog: Backlog, now: float) -> bool:
    """Whether what would run next takes so little that it runs on the event loop."""
    queue = chosen(backlog.active, backlog.policy, now)
    return backlog.place.on_loop(queue.head().shape, foreseen(queue, backlog.policy).rows, now)
