"""A front end as the hub has it: its process, and the line to that."""

import asyncio
from collections.abc import Callable, Sequence

from tidegate_runtime.model.child import messages
from tidegate_runtime.model.child.spawned import Spawned
from tidegate_runtime.process_usage import Usage
from tidegate_runtime.workers.inquiries import Answering
from tidegate_runtime.workers.link import Link


class FrontEnd:
    """One process, and the line to it."""

    def __init__(
        self,
        arguments: Sequence[str],
        shared: Sequence[int],
        changed: Callable[[bytes | None], None],
        answering: Answering,
        starting_seconds: float,
    ) -> None:
        """Starts it with the descriptors `shared`; `Link` says the rest. Raises `OSError` if it can't be started."""
        line, other = messages.pair()
        with other:
            descriptors = [other.fileno(), *shared]
            try:
                self._spawned = Spawned([*arguments, *map(str, descriptors)], descriptors, self._on_end)
            except BaseException:
                line.close()
                raise
        self.pid = self._spawned.pid
        self.link = Link(line, self.kill, changed, answering, starting_seconds)

    @property
    def ended(self) -> "asyncio.Future[int]":
        """Its exit code; a signal's number below 0."""
        return self._spawned.ended

    def usage(self) -> Usage | None:
        """What it has used, also once it has ended."""
        return self._spawned.usage()

    def kill(self) -> None:
        """Ends the process; without effect on one that has ended."""
        self._spawned.kill()

    def _on_end(self, _code: int) -> None:
        self.link.lost()
