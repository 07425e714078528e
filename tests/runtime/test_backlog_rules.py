"""Whatever comes, leaves, runs and fails: the rules that the backlog never breaks."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.device import Device
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.tickets import OVER, RUNNING, WAITING, Batch, Outputs, Queue, Ticket
from tidegate_runtime.errors import ExecutionFailed, Overloaded, RejectedByModel, RuntimeFault

MAX_ROWS, QUEUE_SIZE, QUEUE_BYTES = 4, 8, 200


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


def slack(queue: Queue) -> float:
    """A queue's virtual deadline less the p99 of what it would run."""
    head = min(queue, key=lambda ticket: ticket.due)
    rows = queue.rows
    if queue.alone:
        rows = head.rows
    elif not queue.together:
        rows = max(head.rows, queue.shape.best(min(rows, MAX_ROWS)))
    cost = head.shape.at(rows)
    return head.due - (cost.p99 if cost is not None else 0.0)


class Rules(RuleBasedStateMachine):
    """Tickets by their fate. `bad` ones are refused by the model."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.backlog = Backlog(BatchPolicy(MAX_ROWS, 0.0, QUEUE_SIZE, QUEUE_BYTES), CostTable(MAX_ROWS))
        self.device = Device()
        self.device.join(self.backlog)
        self.open: dict[Ticket, bool] = {}
        self.over: set[Ticket] = set()
        self.batch: Batch | None = None

    def close(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            assert ticket not in self.over, "told twice"
            ticket.state = OVER
            self.over.add(ticket)
            del self.open[ticket]

    @rule(
        rows=st.integers(1, MAX_ROWS),
        width=st.integers(1, 3),
        within=st.sampled_from([0.1, 1.0, 1.0, 5.0]),
        priority=st.integers(0, 4),
        client=st.sampled_from(["a", "b", None]),
        bad=st.sampled_from([False, False, False, True]),
    )
    def come(self, bad: bool, rows: int, width: int, within: float, **options: Any) -> None:
        feeds = {"x": np.zeros((rows, width), np.float32)}
        depth = self.backlog.depth
        refused: Overloaded | None = None
        try:
            ticket = self.backlog.admit(feeds, rows, self.now, self.now + within, ignored, **options)
        except Overloaded as fault:
            refused = fault
        else:
            assert depth < QUEUE_SIZE
            assert ticket.state == WAITING
            self.open[ticket] = bad
        assert self.backlog.depth == depth + (refused is None)
        if refused is not None:
            assert (refused.retry_after_seconds or 0) >= 1
            assert (refused.refusal == "QueueFull") == (depth >= QUEUE_SIZE)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(list(self.open)))
        self.backlog.withdraw(ticket)
        self.close([ticket])

    @rule(seconds=st.floats(0.001, 2.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.close(self.backlog.expire(self.now))
        assert all(ticket.deadline > self.now for ticket in self.open)

    @precondition(lambda self: self.batch is None)
    @rule()
    def cut(self) -> None:
        waiting = {ticket for ticket in self.open if ticket.state == WAITING}
        slacks = {ticket.queue: slack(ticket.queue) for ticket in waiting}
        cut = self.device.cut(self.now)
        self.batch = cut[1] if cut is not None else None
        dropped = [ticket for _, ticket in self.device.dropped]
        assert waiting.issuperset(dropped)
        self.close(dropped)
        if self.batch is None:
            assert not waiting - self.over
            return
        tickets = self.batch.tickets
        assert waiting.issuperset(tickets)
        assert all(ticket.state == RUNNING for ticket in tickets)
        assert len({compatibility(ticket.feeds or {}) for ticket in tickets}) == 1
        assert self.batch.rows == sum(ticket.rows for ticket in tickets)
        assert self.batch.rows <= MAX_ROWS
        if not dropped:
            assert slacks[tickets[0].queue] == min(slacks.values())
        self.check_order(tickets, waiting - self.over - set(tickets))

    def check_order(self, tickets: list[Ticket], left: set[Ticket]) -> None:
        """Nobody in the queue that was served is overtaken; of equal deadlines the first come goes first."""
        rest = [ticket for ticket in left if ticket.queue is tickets[0].queue]
        assert tickets == sorted(tickets, key=lambda ticket: ticket.due)
        assert all(ticket.due >= tickets[-1].due for ticket in rest)
        equal = [ticket for ticket in rest if ticket.due == tickets[-1].due and ticket.arrived < tickets[-1].arrived]
        assert not equal

    @precondition(lambda self: self.batch is not None)
    @rule(seconds=st.floats(0.001, 0.5), breaks=st.sampled_from([False] * 9 + [True]))
    def end(self, seconds: float, breaks: bool) -> None:
        batch, self.batch = self.batch, None
        assert batch is not None
        self.now += seconds
        self.close(self.backlog.expire(self.now))
        live = [ticket for ticket in batch.tickets if ticket.state == RUNNING]
        if breaks:
            told = self.backlog.failed(batch, ExecutionFailed("broken"), seconds, self.now)
            assert told == live
            self.close(told)
        elif any(self.open.get(ticket, False) for ticket in batch.tickets):
            told = self.backlog.failed(batch, RejectedByModel("bad"), seconds, self.now)
            assert all(self.open[ticket] for ticket in told), "another's fault"
            assert set(live) == set(told) | {ticket for ticket in live if ticket.state == WAITING}
            self.close(told)
        else:
            self.backlog.ended(batch, seconds, self.now)
            self.close(live)

    @invariant()
    def sums_hold(self) -> None:
        waiting = [ticket for ticket in self.open if ticket.state == WAITING]
        running = [ticket for ticket in self.open if ticket.state == RUNNING]
        assert self.backlog.depth == len(waiting)
        assert self.backlog.bytes == sum(ticket.size for ticket in waiting)
        assert (self.backlog.running is None) == (self.batch is None)
        if self.batch is not None:
            assert self.batch.awaited == len(running)
        earliest = min((ticket.deadline for ticket in self.open), default=float("inf"))
        assert self.backlog.nearest_deadline() == earliest

    def teardown(self) -> None:
        """Nothing is lost: what waits runs in the end, in a bounded number of runs."""
        for _ in range(20 * QUEUE_SIZE):
            if self.batch is not None:
                self.end(0.0, False)
            self.cut()
            if self.batch is None:
                break
        assert not self.open
        super().teardown()


Rules.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRules = Rules.TestCase
