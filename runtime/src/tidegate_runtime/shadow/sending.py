"""Sends copies to a canary's pods, and holds what they answer against the answers that were given."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.naming import HOP_HEADER, ROUTE_HEADER, ROUTED_BY_MATCH, SHADOW, ShadowOutcome
from tidegate_runtime.shadow.comparison import Difference, differences
from tidegate_runtime.shadow.copies import Copy, Waiting
from tidegate_runtime.shadow.wire import decode, encode
from tidegate_runtime.share.client import Answer, Asking, Unreachable
from tidegate_runtime.share.document import Target

logger = logging.getLogger(__name__)

CONNECTIONS: Final = 2
"""To each pod."""

MAX_PODS: Final = 8
"""Of more pods some get no copies from this process; which ones differs from process to process."""

PAUSE_SECONDS: Final = 1.0
"""For which a pod that can't be reached, or refuses for load, is left alone by a connection."""

SPARE_BYTES: Final = 64 * 1024
"""By how much an answer may be longer than twice the tensors of the copy, our own outputs included."""

OFF_LOOP_BYTES: Final = 256 * 1024
"""Copies and answers from this size on are written, read and compared in a thread: half a millisecond that requests
would wait."""

TEXT_BYTES: Final = 64
"""What an element of BYTES counts for beside its pointer: Python writes, reads and compares them one by one."""

_BUSY: Final = (429, 503)
_NOT_ASKED: Final = (404, 429)
"""Answers that tell nothing of the canary: its address went to another pod, or it has too much to do."""


class Refused(Exception):
    """An answer that isn't good, and what it says."""

    def __init__(self, status: int, said: bytes) -> None:
        super().__init__(f"it answered {status}: {said[:200].decode(errors='replace')}")
        self.busy = status in _BUSY
        self.telling = status not in _NOT_ASKED


class Sending:
    """Takes what waits, as many copies at a time as there are connections. Called from the event loop."""

    def __init__(self, waiting: Waiting, connect: Callable[[Target], Asking]) -> None:
        self._waiting = waiting
        self._connect = connect
        self._salt = random.getrandbits(64)
        self._ways: dict[Target, list[asyncio.Task[None]]] = {}

    def to(self, targets: Sequence[Target]) -> None:
        """From here on copies go to these; what is under way to others is given up."""
        chosen = sorted(targets, key=lambda target: hash((self._salt, target)))[:MAX_PODS]
        for target in self._ways.keys() - set(chosen):
            for way in self._ways.pop(target):
                way.cancel()
        for target in chosen:
            if target not in self._ways:
                self._ways[target] = [asyncio.create_task(self._serve(target)) for _ in range(CONNECTIONS)]

    async def close(self) -> None:
        """Sends nothing more."""
        ways = [way for those in self._ways.values() for way in those]
        self.to(())
        await asyncio.gather(*ways, return_exceptions=True)

    async def _serve(self, target: Target) -> None:
        pod = self._connect(target)
        failing = False
        try:
            while True:
                copy = await self._waiting.take()
                try:
                    failed = await _settled(copy, pod)
                finally:
                    self._waiting.over(copy)
                if failed is not None and not failing:
                    told = {"pod": f"{target.host}:{target.port}", "detail": str(failed) or type(failed).__name__}
                    logger.warning("a copy for the canary failed", extra=told)
                failing = failed is not None
                if isinstance(failed, OSError) or (isinstance(failed, Refused) and failed.busy):
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            pod.close()


async def _settled(copy: Copy, pod: Asking) -> Exception | None:
    """Counts what becomes of the copy; what failed, if anything did."""
    figures = copy.figures
    try:
        figures.compared(await _compared(copy, pod))
    except asyncio.CancelledError:
        figures.count(ShadowOutcome.DROPPED)
        raise
    except TimeoutError:
        figures.count(ShadowOutcome.TIMEOUT)
        return TimeoutError(f"no answer within {copy.timeout_seconds:g} s")
    except (OSError, Refused, RuntimeFault) as error:
        untold = isinstance(error, Unreachable) or (isinstance(error, Refused) and not error.telling)
        figures.count(ShadowOutcome.DROPPED if untold else ShadowOutcome.FAILED)
        return error
    except Exception as error:
        logger.exception("a copy could not be compared")
        figures.count(ShadowOutcome.FAILED)
        return error
    return None


async def _compared(copy: Copy, pod: Asking) -> dict[str, Difference]:
    """Raises `OSError`, `Refused`, and `RuntimeFault` for an answer that can't be understood."""
    heavy = _weight(copy) >= OFF_LOOP_BYTES
    if heavy:
        body = await asyncio.to_thread(encode, copy.inputs, copy.feeds)
    else:
        body = encode(copy.inputs, copy.feeds)
    headers = {
        b"content-type": b"application/octet-stream",
        b"inference-header-content-length": b"%d" % len(body.parts[0]),
        HOP_HEADER.encode(): SHADOW.encode(),
        # How long the canary takes for a copy says nothing of how long its callers will wait.
        ROUTE_HEADER.encode(): ROUTED_BY_MATCH.encode(),
    }
    if copy.authorization is not None:
        headers[b"authorization"] = copy.authorization.encode("latin-1")
    async with asyncio.timeout(copy.timeout_seconds):
        answer = await pod.ask(b"POST", copy.path, headers.items(), body.parts, 2 * copy.size + SPARE_BYTES)
    if answer.status != 200:
        raise Refused(answer.status, answer.body)
    if heavy or len(answer.body) >= OFF_LOOP_BYTES:
        return await asyncio.to_thread(_held_against, copy, answer)
    return _held_against(copy, answer)


def _held_against(copy: Copy, answer: Answer) -> dict[str, Difference]:
    """Raises `RuntimeFault` for an answer that can't be understood."""
    theirs = decode(answer.body, answer.headers.get(b"inference-header-content-length"))
    return differences(copy.outputs, theirs)


def _weight(copy: Copy) -> int:
    """In bytes: what it takes to write the copy, and to read and compare as large an answer."""
    arrays = [*copy.feeds.values(), *(tensor.array for tensor in copy.outputs)]
    return copy.size + TEXT_BYTES * sum([array.size for array in arrays if array.dtype == object])
