"""One process of the engine, and the connection to it."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from tidegate_runtime.errors import EngineLost
from tidegate_runtime.model.child import messages
from tidegate_runtime.model.child.connection import Connection
from tidegate_runtime.model.child.report import LoadTask, encode_task
from tidegate_runtime.model.child.spawned import Spawned, how_it_ended

# -P: the working directory may be the model's, and what lies there must not be imported.
CHILD: Final = (sys.executable, "-P", "-m", "tidegate_runtime.model.child")


class EngineProcess:
    """A started process; where it may be made, `Spawned` says."""

    def __init__(self, task: LoadTask, command: Sequence[str] = CHILD) -> None:
        """Starts `command`, given two descriptors and the task as JSON. Raises `OSError` if it can't be started."""
        (line, child_line), (second_line, child_second_line) = messages.pair(), messages.pair()
        with child_line, child_second_line, ExitStack() as undo:
            undo.enter_context(line)
            undo.enter_context(second_line)
            descriptors = [child_line.fileno(), child_second_line.fileno()]
            arguments = [*command, *map(str, descriptors), encode_task(task)]
            self._spawned = Spawned(arguments, descriptors, self._on_end)
            undo.pop_all()
        self.pid = self._spawned.pid
        self.connection = Connection(line, second_line, self.kill)

    @property
    def ended(self) -> "asyncio.Future[int]":
        """Its exit code; a signal's number below 0."""
        return self._spawned.ended

    def kill(self) -> None:
        """Ends the process; without effect on one that has ended."""
        self._spawned.kill()

    async def end(self) -> None:
        """Kills the process and returns once it is gone."""
        await self._spawned.end()

    def _on_end(self, code: int) -> None:
        self.connection.lost(EngineLost(f"the engine's process ended by {how_it_ended(code)}; send the request again"))
