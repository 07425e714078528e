"""One process of the engine: its start, and its end, which the kernel tells through a descriptor."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from tidegate_runtime.errors import EngineLost
from tidegate_runtime.model.child import messages
from tidegate_runtime.model.child.connection import Connection
from tidegate_runtime.model.child.report import LoadTask, encode_task

# -P: the working directory may be the model's, and what lies there must not be imported.
CHILD: Final = (sys.executable, "-P", "-m", "tidegate_runtime.model.child")


class EngineProcess:
    """A started process, a session of its own, so that a terminal's signals don't reach it.

    Must be made on a thread that lives as long as this process: the child dies with the thread that started it.
    """

    def __init__(self, task: LoadTask, command: Sequence[str] = CHILD) -> None:
        """Starts `command`, given two descriptors and the task as JSON. Raises `OSError` if it can't be started."""
        (line, child_line), (second_line, child_second_line) = messages.pair(), messages.pair()
        with child_line, child_second_line, ExitStack() as undo:
            undo.enter_context(line)
            undo.enter_context(second_line)
            descriptors = [child_line.fileno(), child_second_line.fileno()]
            arguments = [*command, *map(str, descriptors), encode_task(task)]
            self._popen = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, pass_fds=descriptors, start_new_session=True
            )
            undo.callback(self._popen.wait)
            undo.callback(self._popen.kill)
            self._pidfd = os.pidfd_open(self._popen.pid)
            undo.pop_all()
        self.pid = self._popen.pid
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        """Its exit code; a signal's number below 0."""
        self.connection = Connection(line, second_line, self.kill)
        self._loop.add_reader(self._pidfd, self._on_end)

    def kill(self) -> None:
        """Ends the process; without effect on one that has ended."""
        self._popen.kill()

    async def end(self) -> None:
        """Kills the process and returns once it is gone."""
        self.kill()
        await asyncio.wait({self.ended})

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._popen.wait()
        self.connection.lost(EngineLost(f"the engine's process ended by {how_it_ended(code)}; send the request again"))
        self.ended.set_result(code)


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code == messages.DEVICE_LOST:
        return "a fault of the device"
    if code >= 0:
        return f"code {code}"
    return f"signal {-code} ({signal.strsignal(-code) or 'unknown'})"
