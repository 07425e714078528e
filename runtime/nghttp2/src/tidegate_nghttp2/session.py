"""One connection's HTTP/2 state, on the library that the build put beside this file.

Calls go by cffi's ABI mode, so the library needs no Python to be built; they are few: one for all that was received,
one for an answer, one for all that is to be sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cffi

HEAD: Final = 1
DATA: Final = 2
END: Final = 3
CLOSED: Final = 4
PONG: Final = 5

NO_ERROR: Final = 0
INTERNAL_ERROR: Final = 2
CANCEL: Final = 8
ENHANCE_YOUR_CALM: Final = 11

LIBRARY: Final = Path(__file__).with_name("_shim.so")
DECLARATIONS: Final = Path(__file__).with_name("shim.h")

Event = tuple[int, int, Any]
"""Kind, stream and what comes with it: HEAD a head as `fields` reads it, or None if it was over the bound; DATA bytes;
CLOSED, for a stream that is gone without a whole answer, HTTP/2's error code."""


class Unavailable(ImportError):
    """The library isn't there; the text says why."""


class PeerFault(Exception):
    """The peer doesn't speak HTTP/2, or floods: send what there is to send, and close.

    Attributes:
        flood: it speaks HTTP/2, and may be told to calm down.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"libnghttp2 error {code}")
        self.flood = code in _FLOODS


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What a peer may do. Windows, in bytes, are how much it may send ahead; resets are those of its own streams."""

    max_streams: int
    stream_window: int
    connection_window: int
    max_head_bytes: int
    reset_burst: int
    resets_per_second: int


class Scratch:
    """The library, and memory for what its calls leave to be read. One is enough for all sessions of an event loop."""

    def __init__(self) -> None:
        """Raises `Unavailable`."""
        self.ffi = cffi.FFI()
        try:
            self.ffi.cdef(DECLARATIONS.read_text())
            self.library: Any = self.ffi.dlopen(str(LIBRARY))
        except OSError:
            raise Unavailable(
                "tidegate-nghttp2 was built without libnghttp2; build it with a C compiler or the package ziglang"
            ) from None
        memory = self.library.tg_scratch_new()
        if memory == self.ffi.NULL:
            raise MemoryError
        self.memory: Any = self.ffi.gc(memory, self.library.tg_scratch_free)

    @property
    def version(self) -> str:
        """libnghttp2's."""
        text: bytes = self.ffi.string(self.library.tg_version())
        return text.decode()


class Session:
    """A server's side of one connection. It does no I/O: what `pull` returns has to reach the peer.

    Answers to a stream that its client has reset meanwhile go nowhere, without an error.
    """

    __slots__ = ("_answer", "_buffer", "_library", "_memory", "_receive", "_scratch", "_send", "_session", "_unpack")

    def __init__(self, scratch: Scratch, limits: SessionLimits) -> None:
        self._scratch = scratch
        self._library = library = scratch.library
        self._memory = scratch.memory
        self._unpack = scratch.ffi.unpack
        self._buffer = scratch.ffi.buffer
        self._receive = library.tg_receive
        self._send = library.tg_send
        self._answer = library.tg_answer
        session = library.tg_session_new(
            limits.max_streams,
            limits.stream_window,
            limits.connection_window,
            limits.max_head_bytes,
            limits.reset_burst,
            limits.resets_per_second,
        )
        if session == scratch.ffi.NULL:
            raise MemoryError
        self._session: Any = scratch.ffi.gc(session, library.tg_session_free)

    def receive(self, data: bytes) -> list[Event]:
        """What the bytes mean. Raises `PeerFault`."""
        count = self._receive(self._session, self._memory, data, len(data))
        if count < 0:
            raise PeerFault(count)
        return self._events(count, data)

    def pull(self, limit: int) -> tuple[bytes, Sequence[Event]]:
        """About `limit` bytes for the peer, empty if there are none that may be sent; and what their making meant."""
        length = self._send(self._session, self._memory, limit)
        if length < 0:
            raise PeerFault(length)
        count = self._memory.events_count
        events = self._events(count, b"") if count else ()
        return (self._buffer(self._memory.output, length)[:] if length else b""), events

    @property
    def over(self) -> bool:
        """Whether nothing was left to read or to write after the last `pull`."""
        return bool(self._memory.over)

    @property
    def unsent(self) -> int:
        """Bytes of messages that are held back, by windows or because they weren't pulled."""
        return int(self._library.tg_unsent(self._session))

    @property
    def delivered(self) -> int:
        """Bytes of messages that were pulled, since the beginning."""
        return int(self._library.tg_delivered(self._session))

    def unsent_of(self, stream: int) -> int:
        """The same of one stream; 0 if it is gone."""
        return max(0, int(self._library.tg_unsent_of(self._session, stream)))

    def answer(self, stream: int, head: bytes, message: bytes, trailers: bytes) -> None:
        """A whole answer of one message."""
        self._check(
            self._answer(self._session, stream, head, len(head), message, len(message), trailers, len(trailers))
        )

    def head(self, stream: int, head: bytes) -> None:
        """Begins an answer."""
        self._check(self._library.tg_head(self._session, stream, head, len(head)))

    def message(self, stream: int, message: bytes) -> None:
        """Goes on with it."""
        self._check(self._library.tg_message(self._session, stream, message, len(message)))

    def finish(self, stream: int, trailers: bytes) -> None:
        """Ends it."""
        self._check(self._library.tg_finish(self._session, stream, trailers, len(trailers)))

    def refuse(self, stream: int, head: bytes, body: bytes = b"") -> None:
        """A whole answer that is no message: a head, and a body if there is one."""
        self._check(self._library.tg_refuse(self._session, stream, head, len(head), body, len(body)))

    def reset(self, stream: int, code: int) -> None:
        """Drops the stream."""
        self._check(self._library.tg_reset(self._session, stream, code))

    def consume(self, stream: int, length: int) -> None:
        """Lets the client send so many bytes more."""
        self._check(self._library.tg_consume(self._session, stream, length))

    def ping(self) -> None:
        """Asks for a PONG."""
        self._check(self._library.tg_ping(self._session))

    def notice(self) -> None:
        """Asks the client to begin no more streams. It may have begun some that are still on their way."""
        self._check(self._library.tg_notice(self._session))

    def goaway(self, code: int) -> None:
        """Streams that begin from here on are ignored; the client knows which."""
        self._check(self._library.tg_goaway(self._session, code))

    def _events(self, count: int, data: bytes) -> list[Event]:
        numbers = self._unpack(self._memory.events, 4 * count) if count else ()
        events: list[Event] = []
        for at in range(0, 4 * count, 4):
            kind, stream, first, second = numbers[at : at + 4]
            if kind == DATA:
                events.append((DATA, stream, data[first : first + second]))
            elif kind == HEAD:
                head = None if second < 0 else self._buffer(self._memory.text + first, second)[:]
                events.append((HEAD, stream, head))
            else:
                events.append((kind, stream, first))
        return events

    def _check(self, code: int) -> None:
        if code < 0 and code not in _GONE:
            raise MemoryError if code in _NO_MEMORY else RuntimeError(f"libnghttp2 error {code}")


_GONE: Final = frozenset({-1, -501, -510, -511, -512, -530})
"""The stream is gone, or closing: TG_GONE, and nghttp2's INVALID_ARGUMENT, STREAM_CLOSED, STREAM_CLOSING,
STREAM_SHUT_WR and SESSION_CLOSING."""

_NO_MEMORY: Final = frozenset({-2, -901})

_FLOODS: Final = frozenset({-537, -904, -905})
"""nghttp2's TOO_MANY_SETTINGS, FLOODED, TOO_MANY_CONTINUATIONS."""
