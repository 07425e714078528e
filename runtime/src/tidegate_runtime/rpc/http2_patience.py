"""How long a connection may take for what, as a decision that somebody asks for every few seconds. Pure."""

from enum import Enum
from typing import Final

MIN_BYTES_PER_SECOND: Final = 1024
"""Of a request whose method takes one message, and of answers; less is taken for a client that wants to hold on."""
FIRST_BYTES_SECONDS: Final = 10.0
REQUEST_IDLE_SECONDS: Final = 30.0
"""How often it is looked at what came of requests whose method takes one message; their first time isn't."""
REQUEST_BYTES: Final = int(MIN_BYTES_PER_SECOND * REQUEST_IDLE_SECONDS)
STALL_SECONDS: Final = 30.0
"""For answers that their client doesn't read."""
STALL_BYTES: Final = int(MIN_BYTES_PER_SECOND * STALL_SECONDS)
PING_AFTER_SECONDS: Final = 60.0
PONG_SECONDS: Final = 20.0
IDLE_SECONDS: Final = 300.0
"""Without a call."""


class Step(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    PING = "ask whether the client lives"
    LEAVE = "send the client elsewhere"
    ABORT = "end the connection"


class Patience:
    """One connection's. `heard` is set by whoever hears from the client: it is the one thing that is done often."""

    __slots__ = (
        "_ageing",
        "_began_at",
        "_delivered",
        "_heard_at",
        "_opened",
        "_pinged_at",
        "_read_at",
        "_swept_at",
        "_used_at",
        "heard",
    )

    def __init__(self, now: float, ageing: float = 1.0) -> None:
        """`ageing` is how fast it gets old: not all connections that were made together are to end together."""
        self._began_at = now
        self._ageing = ageing
        self.heard = False
        self._opened = False
        self._heard_at = self._read_at = self._swept_at = self._used_at = now
        self._delivered: int | None = None
        self._pinged_at: float | None = None

    def step(self, now: float, *, busy: bool, held: bool, delivered: int, oldest_seconds: float | None = None) -> Step:
        """What is to be done now, at the given second of any clock; connections get about `oldest_seconds` old.

        `busy` is whether there are calls, `held` whether there is anything for the client that it doesn't take;
        `delivered` counts the bytes of answers that it took, while something is held.
        """
        if self.heard:
            self.heard, self._opened = False, True
            self._heard_at, self._pinged_at = now, None
        if busy:
            self._used_at = now
        if not held:
            self._delivered, self._read_at = None, now
        elif self._delivered is None or delivered - self._delivered >= STALL_BYTES:
            self._delivered, self._read_at = delivered, now
        silent = now - self._heard_at
        mute = not self._opened and silent > FIRST_BYTES_SECONDS
        dead = self._pinged_at is not None and now - self._pinged_at > PONG_SECONDS
        if mute or dead or now - self._read_at > STALL_SECONDS:
            return Step.ABORT
        old = oldest_seconds is not None and (now - self._began_at) * self._ageing > oldest_seconds
        if old or now - self._used_at > IDLE_SECONDS:
            return Step.LEAVE
        if self._pinged_at is None and silent > PING_AFTER_SECONDS:
            self._pinged_at = now
            return Step.PING
        return Step.NOTHING

    def look_at_requests(self, now: float) -> bool:
        """Whether it is time to drop requests of which too little came since the last time."""
        if now - self._swept_at < REQUEST_IDLE_SECONDS:
            return False
        self._swept_at = now
        return True
