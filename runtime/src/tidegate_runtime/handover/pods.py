"""The pods that requests are handed over to: which of them take any, and the connections that are kept to them."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from tidegate_runtime.share.client import Asking
from tidegate_runtime.share.document import Target

logger = logging.getLogger(__name__)

MAX_PODS: Final = 32
"""Of more pods some get nothing from this process; which ones differs from process to process."""

MAX_CONNECTIONS: Final = 256
"""To each pod."""

LOOK_SECONDS: Final = 1.0
"""From one look at whether a pod is ready to the next."""

LOOK_SOON_SECONDS: Final = 0.1
"""The same while it has never been ready: its revision waits for that."""

ANSWER_SECONDS: Final = 1.0
"""For which a pod may take to say whether it is."""

LATE_LOOKS: Final = 3
"""In a row, after which a pod that takes longer isn't any more: a large request may hold it up for a while."""

MAX_BYTES: Final = 256 * 1024 * 1024
"""Of the bodies of all requests that are under way, and of what has come of their answers."""

MAX_ANSWER_BYTES: Final = 64 * 1024

Connect = Callable[[Target], Asking]


class Pod:
    """A pod, whether it takes requests, and how many it has."""

    def __init__(self, target: Target, path: Callable[[], bytes], connect: Connect) -> None:
        self.ready = False
        self.looked = False
        self.busy = 0
        self.gone = False
        self._target = target
        self._path = path
        self._connect = connect
        self._idle: list[Asking] = []
        self._noted = False
        self._looking = asyncio.create_task(self._look())

    def take(self) -> Asking:
        """A connection that nobody else uses; `give_back` follows."""
        self.busy += 1
        return self._idle.pop() if self._idle else self._connect(self._target)

    def give_back(self, line: Asking) -> None:
        """It can be used by others."""
        self.busy -= 1
        if self.gone:
            line.close()
        else:
            self._idle.append(line)

    def leave(self) -> asyncio.Task[None]:
        """It gets nothing more; what it has is answered. What comes back ends soon."""
        self.gone, self.ready = True, False
        self._looking.cancel()
        for line in self._idle:
            line.close()
        return self._looking

    async def _look(self) -> None:
        line = self._connect(self._target)
        seen, late = False, 0
        try:
            while True:
                answer = await self._answers(line)
                late = late + 1 if answer is None else 0
                ready = self.ready and late < LATE_LOOKS if answer is None else answer
                if ready is not self.ready:
                    told = {"pod": f"{self._target.host}:{self._target.port}", "ready": ready}
                    logger.info("a pod that requests are handed over to", extra=told)
                self.ready, self.looked = ready, True
                seen = seen or ready
                await asyncio.sleep(LOOK_SECONDS if seen else LOOK_SOON_SECONDS)
        finally:
            line.close()

    async def _answers(self, line: Asking) -> bool | None:
        """Whether it says that it is ready; None if it says nothing in time."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await line.ask(b"GET", self._path(), (), most=MAX_ANSWER_BYTES)
        except TimeoutError:
            return None
        except OSError:
            return False
        except Exception:
            # Whatever it is, it may be over at the next look.
            if not self._noted:
                logger.exception("a pod could not be asked whether it is ready")
            self._noted = True
            return False
        return answer.status == 200


class Held:
    """What one request holds of the bytes that may be under way, from its body to its whole answer."""

    def __init__(self, pods: "Pods", size: int) -> None:
        self._pods = pods
        self._size = size
        pods.bytes += size

    def more(self, size: int) -> bool:
        """Whether it may hold so many more, which it does then."""
        if self._pods.bytes + size > MAX_BYTES:
            return False
        self._pods.bytes += size
        self._size += size
        return True

    def over(self) -> None:
        """It holds nothing any more."""
        self._pods.bytes -= self._size
        self._size = 0


class Pods:
    """Called from the event loop."""

    def __init__(self, connect: Connect, ready_path: Callable[[str], bytes], draw: random.Random) -> None:
        """`connect` makes a connection to a pod, which isn't made before it is used.

        A pod takes requests while it answers 200 at the `ready_path` of its revision.
        """
        self._connect = connect
        self._ready_path = ready_path
        self._draw = draw
        self._salt = draw.getrandbits(64)
        self.bytes = 0
        """Of the bodies that are under way, and of what has come of their answers."""
        self._revision = ""
        self._pods: dict[Target, Pod] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def told(self) -> bool:
        """Whether there is any, ready or not."""
        return bool(self._pods)

    @property
    def reachable(self) -> int | None:
        """How many take requests; None as long as none has been asked."""
        pods = self._pods.values()
        return sum(pod.ready for pod in pods) if not pods or any(pod.looked for pod in pods) else None

    def to(self, targets: Sequence[Target], revision: str = "") -> None:
        """From here on requests go to these, of that revision; what is under way to others is answered."""
        if revision != self._revision:
            # The same addresses may be other pods'.
            self._revision, self._pods, left = revision, {}, self._pods
            self._forget(left.values())
        chosen = sorted(targets, key=lambda target: hash((self._salt, target)))[:MAX_PODS]
        self._forget([self._pods.pop(target) for target in self._pods.keys() - set(chosen)])
        for target in chosen:
            if target not in self._pods:
                self._pods[target] = Pod(target, partial(self._ready_path, revision), self._connect)

    def pick(self, size: int) -> Pod | None:
        """A pod that takes a request of so many bytes, of two the one that has fewer; None if all have too many.

        Raises `ConnectionError` where there is no such pod.
        """
        ready = [pod for pod in self._pods.values() if pod.ready]
        if not ready:
            raise ConnectionError("no pod of it is ready")
        count = len(ready)
        place = self._draw.randrange(count)
        pod = ready[place]
        if count > 1:
            other = ready[(place + 1 + self._draw.randrange(count - 1)) % count]
            pod = other if other.busy < pod.busy else pod
        return pod if pod.busy < MAX_CONNECTIONS and self.bytes + size <= MAX_BYTES else None

    def _forget(self, pods: Iterable[Pod]) -> None:
        for pod in pods:
            leaving = pod.leave()
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Hands nothing more over."""
        self.to(())
        if self._leaving:
            await asyncio.wait(self._leaving)
