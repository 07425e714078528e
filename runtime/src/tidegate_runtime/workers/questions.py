"""What a front end asks the hub beside requests, and the answers: administration that comes in on its ports.

JSON, and each question of a known form: what comes from a front end, which reads what anybody may send, is taken for
no more than that.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from tidegate_runtime.administration import Administration
from tidegate_runtime.errors import ExecutionFailed
from tidegate_runtime.shared_memory.regions import Region
from tidegate_runtime.trace_settings import Told

Ask = Callable[[bytes], Awaitable[bytes]]
"""The hub's answer to a question. Raises the `RuntimeFault` that it has instead."""

TOTALS: Final = b"totals"
"""Asks what all processes have counted; answered by what `tally.decode_totals` takes."""


class Asking:
    """`Administration` by the hub."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def index(self, *, ready: bool) -> list[dict[str, str]]:
        """As `Administration` says."""
        entries: list[dict[str, str]] = await self._answer("index", ready)
        return entries

    async def load(self, name: str) -> None:
        """As `Administration` says."""
        await self._answer("load", name)

    async def unload(self, name: str) -> None:
        """As `Administration` says."""
        await self._answer("unload", name)

    async def log_levels(self, wanted: Mapping[str, object]) -> dict[str, bool | int]:
        """As `Administration` says."""
        levels: dict[str, bool | int] = await self._answer("log levels", wanted)
        return levels

    async def traces(self, model: str, wanted: Mapping[str, object]) -> Told:
        """As `Administration` says."""
        told: Told = await self._answer("traces", model, wanted)
        return told

    async def regions(self, name: str) -> list[Region]:
        """As `Administration` says."""
        return [Region(**told) for told in await self._answer("regions", name)]

    async def register(self, region: Region) -> None:
        """As `Administration` says."""
        await self._answer("register", region.name, region.key, region.offset, region.size)

    async def unregister(self, name: str) -> None:
        """As `Administration` says."""
        await self._answer("unregister", name)

    async def _answer(self, *question: object) -> Any:
        return orjson.loads(await self._ask(orjson.dumps(question)))


async def answer(administration: Administration, question: bytes) -> bytes:
    """The hub's answer to what `Asking` asks.

    Raises what the method asked for raises, and `ExecutionFailed` for a question that nobody asks here.
    """
    return orjson.dumps(await _done(administration, orjson.loads(question)))


async def _done(administration: Administration, question: object) -> object:
    match question:
        case ["index", bool(ready)]:
            return await administration.index(ready=ready)
        case ["log levels", dict(wanted)]:
            return await administration.log_levels(wanted)
        case ["traces", str(model), dict(wanted)]:
            return await administration.traces(model, wanted)
        case ["regions", str(name)]:
            return await administration.regions(name)
        case ["register", str(name), str(key), int(offset), int(size)]:
            await administration.register(Region(name, key, offset, size))
        case ["unregister", str(name)]:
            await administration.unregister(name)
        case ["load", str(name)]:
            await administration.load(name)
        case ["unload", str(name)]:
            await administration.unload(name)
        case _:
            raise ExecutionFailed("a front end asks what the hub can't answer")
    return None
