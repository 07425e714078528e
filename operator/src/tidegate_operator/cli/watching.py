"""Looks at a service again and again: drawn for people, or until what a pipeline waits for has come."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.live import Live
from rich.tree import Tree

from tidegate_operator import errors
from tidegate_operator.cli.desk import Desk, now
from tidegate_operator.cli.exits import Code, Stop
from tidegate_operator.cli.service import Service, understand
from tidegate_operator.cli.sparkline import Seen
from tidegate_operator.cli.tree import tree
from tidegate_operator.cli.waiting import Goal, Outlook, outlook

if TYPE_CHECKING:
    from tidegate_operator.cli.cluster import Cluster

PERIOD_SECONDS = 1.0
"""Looks are evenly apart, so that a graph's columns are equally long; a watch would tell of changes alone."""

Show = Callable[["Watch"], None]


class Watch:
    """Repeated looks at one service."""

    def __init__(self, cluster: "Cluster", name: str, goal: Goal | None) -> None:
        self.seen = Seen()
        self.service: Service | None = None
        self.outlook: Outlook | None = None
        """Where the wait for the goal stands; for the rollout where there is no goal."""
        self._cluster = cluster
        self._name = name
        self._goal = goal

    async def run(self, show: Show, say: Callable[[str], None]) -> None:
        """Look until the goal has come, or can't come any more; an API server that is away isn't the end."""
        away = False
        while True:
            try:
                self.service = understand(await self._cluster.service(self._name))
            except errors.Unavailable as error:
                if not away:
                    say(f"{error}; trying again")
                away = True
            else:
                away = False
                self.seen.take(self.service)
                self.outlook = outlook(self.service, self._goal or "rollout")
                show(self)
                if self._goal and self.outlook.state != "under way":
                    return
            await asyncio.sleep(PERIOD_SECONDS)


async def follow(
    desk: Desk, cluster: "Cluster", name: str, goal: Goal | None, seconds: float | None, *, drawn: bool
) -> None:
    """Look at a service until `goal` has come, or for ever; `drawn` each time, or told where something changes.

    Raises Stop when the goal can't come any more, or didn't within `seconds`.
    """
    watch = Watch(cluster, name, goal)
    try:
        async with asyncio.timeout(seconds):
            with _drawing(desk) if drawn else contextlib.nullcontext(_lines(desk)) as show:
                await watch.run(show, desk.say)
    except TimeoutError as error:
        last = watch.outlook.message if watch.outlook else "it was never seen"
        raise Stop(f"not reached within {seconds or 0:g} s: {last}", Code.TIMED_OUT) from error
    if watch.service is None or watch.outlook is None:
        return
    if not drawn:
        desk.show(watch.service.live, tree(watch.service, now()))
    if watch.outlook.state == "failed":
        raise Stop(watch.outlook.message, Code.FAILED)


@contextlib.contextmanager
def _drawing(desk: Desk) -> Iterator[Show]:
    """Trees, each in the place of the one before; in a file or a pipe, one below the other."""
    if not desk.console.is_terminal:
        yield lambda watch: desk.console.print(_tree(watch))
        return
    with Live(console=desk.console, auto_refresh=False, vertical_overflow="visible") as live:
        yield lambda watch: live.update(_tree(watch), refresh=True)


def _lines(desk: Desk) -> Show:
    """A line on standard error for each change of what is waited for."""
    told = ""

    def show(watch: Watch) -> None:
        nonlocal told
        if watch.outlook and watch.outlook.message != told:
            told = watch.outlook.message
            desk.say(told)

    return show


def _tree(watch: Watch) -> Tree:
    assert watch.service is not None
    return tree(watch.service, now(), watch.seen)
