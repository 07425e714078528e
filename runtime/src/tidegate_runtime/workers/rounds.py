"""Work that all who ask for it before it begins share."""

import asyncio
from collections.abc import Awaitable, Callable


class Rounds:
    """Does `work` again and again as it is asked for, one round at a time."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._alone = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def whole(self) -> None:
        """Returns after a round that began after this call, so that what was so before it is seen.

        Raises what that round raises. A round goes on if its callers are cancelled.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._round())
        await asyncio.shield(self._next)

    async def _round(self) -> None:
        async with self._alone:
            self._next = None
            await self._work()
