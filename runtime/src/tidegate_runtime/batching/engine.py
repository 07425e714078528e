"""What the scheduler needs of an engine."""

from collections.abc import Sequence
from typing import Protocol

from tidegate_runtime.tensors import Array, Feeds

Ran = tuple[Sequence[Array], float]
"""The model's outputs in declared order, and the seconds the engine was busy with them."""


class Engine(Protocol):
    """What runs a batch, one at a time: a thread of this process, or a child process behind the same face."""

    async def hop(self) -> float:
        """Seconds that going to where runs happen and back takes; 0 if nothing may run on the event loop."""

    def run_inline(self, feeds: Feeds) -> Ran:
        """Runs on the calling thread.

        Raises a `RuntimeFault` if this batch can't be computed, `RunEnded` if it would block the loop for too long.
        """

    async def run(self, feeds: Feeds) -> Ran:
        """Runs elsewhere; raises as `run_inline` does."""

    def interrupt(self) -> None:
        """Ends the `run` in progress as soon as the engine allows; it then raises `RunEnded`."""
