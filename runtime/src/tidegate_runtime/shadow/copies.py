"""Copies on their way: what each holds, and how many may wait, which is bounded before anybody is delayed."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tidegate_runtime.shadow.figures import ShadowFigures
from tidegate_runtime.tensors import Array, Feeds, Tensor, TensorSpec

MAX_COPIES: Final = 64
"""That wait."""

MAX_BYTES: Final = 32 * 1024 * 1024
"""Of the tensors of all copies, those under way included."""

PACE_SECONDS: Final = 0.01
"""From one copy to the next. To send one and compare answers takes the event loop 0.2 to 0.4 ms, so that requests lose
at most a twenty-fifth of it, however many come; and 100 comparisons a second tell as much as more would."""

SMALL_BYTES: Final = 4096
"""To look at what such an array lies in takes as long as to copy it."""


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """A request that was answered, and its answer. `path` is the canary's; `timeout_seconds` bounds its answer."""

    path: bytes
    inputs: tuple[TensorSpec, ...]
    feeds: Feeds
    outputs: tuple[Tensor, ...]
    size: int
    timeout_seconds: float
    figures: ShadowFigures
    authorization: str | None = field(default=None, repr=False)
    """What the request showed, where that was asked for: the canary asks, too."""


class Waiting:
    """Copies in the order in which they came, given out one at a time."""

    def __init__(self, most: int = MAX_COPIES, most_bytes: int = MAX_BYTES) -> None:
        self._copies: asyncio.Queue[Copy] = asyncio.Queue(most)
        self._most_bytes = most_bytes
        self._turn = asyncio.Lock()
        self._next_at = 0.0
        self.bytes = 0
        """Of all that were added and aren't over."""

    def room(self, size: int) -> bool:
        """Whether a copy of so many bytes may be added now."""
        return not self._copies.full() and self.bytes + size <= self._most_bytes

    def add(self, copy: Copy) -> None:
        """Has it wait; there is room for it."""
        self.bytes += copy.size
        self._copies.put_nowait(copy)

    async def take(self) -> Copy:
        """The next one, once there is one and the last is a while ago; `over` follows."""
        time = asyncio.get_running_loop().time
        async with self._turn:
            if (left := self._next_at - time()) > 0:
                await asyncio.sleep(left)
            copy = await self._copies.get()
            self._next_at = time() + PACE_SECONDS
        return copy

    def over(self, copy: Copy) -> None:
        """It isn't held any more."""
        self.bytes -= copy.size

    def clear(self) -> list[Copy]:
        """Takes all that wait, which are over."""
        copies = []
        while not self._copies.empty():
            copies.append(self._copies.get_nowait())
            self.over(copies[-1])
        return copies


def lasting(array: Array) -> Array:
    """The array, or a copy of it: of a small one, and of one that lies in memory that others use, or much larger.

    Arrays over a request's body or an engine's result stay where they are; a share of a batch would keep all of it, and
    what lies in another process's memory would keep that from being used.
    """
    if array.nbytes <= SMALL_BYTES:
        return array.copy()
    base: object = array
    while isinstance(base, np.ndarray):
        if base.base is None:
            return array if base.nbytes <= 2 * array.nbytes else array.copy()
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    kept = isinstance(base, bytes | bytearray) and len(base) <= 2 * array.nbytes
    return array if kept else array.copy()
