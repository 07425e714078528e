"""A process that this one has started for itself, and its end, which the kernel tells through a descriptor."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from tidegate_runtime.model.child.messages import DEVICE_LOST
from tidegate_runtime.process_usage import Usage, usage_of

_PR_SET_PDEATHSIG: Final = 1


class Spawned:
    """A started process, a session of its own, so that a terminal's signals don't reach it.

    Must be made on a thread that lives as long as this process: the child dies with the thread that started it.
    """

    def __init__(self, arguments: Sequence[str], descriptors: Sequence[int], on_end: Callable[[int], None]) -> None:
        """Starts it with these descriptors open. `on_end` is called with what `ended` gets, and before it.

        Raises `OSError` if it can't be started.
        """
        with ExitStack() as undo:
            self._popen = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, pass_fds=descriptors, start_new_session=True
            )
            undo.callback(self._popen.wait)
            undo.callback(self._popen.kill)
            self._pidfd = os.pidfd_open(self._popen.pid)
            undo.pop_all()
        self.pid = self._popen.pid
        self._used: Usage | None = None
        self._over = False
        self._loop = asyncio.get_running_loop()
        self._told = on_end
        self.ended: asyncio.Future[int] = self._loop.create_future()
        """Its exit code; a signal's number below 0."""
        self._loop.add_reader(self._pidfd, self._on_end)

    def usage(self) -> Usage | None:
        """What it has used, also once it has ended; None if that can't be read."""
        return self._used or usage_of(self.pid)

    def kill(self) -> None:
        """Ends the process; without effect on one that has ended."""
        # By its descriptor: `Popen.kill` waits for one that has ended, and what that has used nobody could read then.
        if not self._over:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def end(self) -> None:
        """Kills the process and returns once it is gone."""
        self.kill()
        await asyncio.wait({self.ended})

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._over = True
        os.close(self._pidfd)
        # Not later: whom its parent has waited for the kernel forgets.
        self._used = usage_of(self.pid)
        code = self._popen.wait()
        try:
            self._told(code)
        finally:  # Or whoever waits for its end would wait for ever.
            self.ended.set_result(code)


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code == DEVICE_LOST:
        return "a fault of the device"
    if code >= 0:
        return f"code {code}"
    return f"signal {-code} ({signal.strsignal(-code) or 'unknown'})"


def detach_from_terminal() -> None:
    """In the child: leaves the signals to the parent, which drains and ends it when it is done; and dies with it.

    The end of the parent ends its sockets, too, and with them this process; but not while native code that holds the
    interpreter keeps the thread from seeing it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
