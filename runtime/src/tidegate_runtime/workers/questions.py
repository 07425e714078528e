"""What a front end asks the hub beside requests: what all processes have counted, and administration on its ports.

Administration is JSON, each act of a known form: what comes from a front end, which reads what anybody may send, is
taken for no more than that.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from tidegate_runtime.administration import Administration
from tidegate_runtime.errors import InvalidRequest
from tidegate_runtime.shared_memory.regions import Region
from tidegate_runtime.trace_settings import Told
from tidegate_runtime.workers.records import MAX_TEXT_BYTES

Ask = Callable[[bytes], Awaitable[bytes]]
"""The hub's answer to a question. Raises the `RuntimeFault` that it has instead."""

Act = Callable[[Administration], Awaitable[object]]

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

    async def _answer(self, *act: object) -> Any:
        try:
            question = orjson.dumps(act)
        except orjson.JSONEncodeError as error:
            raise InvalidRequest(f"what is asked for can't be told to the process with the models: {error}") from None
        if len(question) > MAX_TEXT_BYTES:
            raise InvalidRequest(f"what is asked for is {len(question)} bytes of JSON; the limit is {MAX_TEXT_BYTES}")
        return orjson.loads(await self._ask(question))


def answering(
    question: bytes, totals: Callable[[], Awaitable[bytes]], administration: Administration | None
) -> Awaitable[bytes]:
    """The hub's answer, to come: `totals`, or what `Asking` asks, whose faults it raises.

    Raises `ValueError` at once for what no front end asks, such as any act where `administration` isn't open to them.
    """
    if question == TOTALS:
        return totals()
    act = _act(orjson.loads(question))
    if administration is None:
        raise ValueError("administration isn't open to front ends")
    return _done(act, administration)


async def _done(act: Act, administration: Administration) -> bytes:
    return orjson.dumps(await act(administration))


def _act(asked: object) -> Act:
    match asked:
        case ["index", bool(ready)]:
            return lambda administration: administration.index(ready=ready)
        case ["load", str(name)]:
            return lambda administration: administration.load(name)
        case ["unload", str(name)]:
            return lambda administration: administration.unload(name)
        case ["log levels", dict(wanted)]:
            return lambda administration: administration.log_levels(wanted)
        case ["traces", str(model), dict(wanted)]:
            return lambda administration: administration.traces(model, wanted)
        case ["regions", str(name)]:
            return lambda administration: administration.regions(name)
        case ["register", str(name), str(key), int(offset), int(size)]:
            region = Region(name, key, offset, size)
            return lambda administration: administration.register(region)
        case ["unregister", str(name)]:
            return lambda administration: administration.unregister(name)
    raise ValueError("no act of administration")
