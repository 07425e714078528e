"""The engine in this process: one launch thread, which alone touches the device."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from tidegate_runtime.model.session import OnnxSession, RunOptions
from tidegate_runtime.tensors import Array, Feeds


class ThreadEngine:
    """Runs a session on `thread`, an executor with a single worker."""

    def __init__(self, session: OnnxSession, thread: Executor) -> None:
        self._session = session
        self._thread = thread
        self._options: Any = None

    async def run(self, feeds: Feeds) -> Sequence[Array]:
        """The model's outputs in declared order. Raises `RejectedByModel` or `ExecutionFailed`."""
        self._options = RunOptions()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._session.run, feeds, self._options)

    def interrupt(self) -> None:
        """Ends the run in progress between two operators or iterations of a loop."""
        if self._options is not None:
            self._options.terminate = True
