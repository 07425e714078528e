"""One connection to an HTTP/1.1 server, kept open, with one question on it at a time.

The framing is httptools', which the server uses, too. There is no client among what the runtime depends on, and the
smallest that keeps connections would bring more than this.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, cast

import httptools

MAX_HEAD_BYTES: Final = 32 * 1024
"""Of what may stand before an answer's body, what is told before the answer itself included, and of what goes on around
it without a piece of it."""

CONNECT_SECONDS: Final = 3.0

JOINED_BYTES: Final = 16 * 1024
"""Bodies up to this are copied behind their head, which is cheaper than more buffers to write."""

Header = tuple[bytes, bytes]

Room = Callable[[int], bool]
"""Whether there is room for so many bytes more of an answer."""


class Answer(NamedTuple):
    """Header names are in lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class BadAnswer(OSError):
    """What came is no answer, or one that is too long."""


class TooLong(BadAnswer):
    """An answer that is longer than it may be, or than there is room for."""


class Unreachable(ConnectionError):
    """No connection could be made: nothing was asked."""


class _Stale(ConnectionError):
    """The server closed a connection before it answered: it may have been idle for too long."""


class Asking(Protocol):
    """Whom questions are put to."""

    async def ask(
        self,
        method: bytes,
        path: bytes,
        headers: Iterable[Header],
        parts: Sequence[bytes | bytearray | memoryview] = (),
        most: int = 0,
        room: Room | None = None,
    ) -> Answer:
        """The answer, whose body has at most `most` bytes. Raises `OSError`: `Unreachable` if nothing was asked.

        `room` is asked for each piece of the body as it comes. It may be cancelled.
        """

    def close(self) -> None:
        """Ends the connection. It may be asked again."""


class HttpClient:
    """Asks one server. The connection is made by the first question, and by one that finds it closed."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        bracketed = f"[{host}]" if ":" in host else host
        self._name = f"{bracketed}:{port}".encode()
        self._line: _Line | None = None

    async def ask(
        self,
        method: bytes,
        path: bytes,
        headers: Iterable[Header],
        parts: Sequence[bytes | bytearray | memoryview] = (),
        most: int = 0,
        room: Room | None = None,
    ) -> Answer:
        """As `Asking` says. What a server closed while it was idle is asked again, once, on a new connection."""
        head: list[bytes | bytearray | memoryview] = [b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method, path, self._name)]
        head += [b"%b: %b\r\n" % header for header in headers]
        if parts:
            head.append(b"content-length: %d\r\n" % sum(map(len, parts)))
        message = [*head, b"\r\n", *parts]
        if sum(map(len, parts)) <= JOINED_BYTES:
            message = [b"".join(message)]
        kept = self._line
        if kept is not None and kept.usable:
            with contextlib.suppress(_Stale):
                return await self._answer(kept, message, most, room)
        self._line = line = await self._connected()
        return await self._answer(line, message, most, room)

    def close(self) -> None:
        """As `Asking` says."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    async def _connected(self) -> "_Line":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return (await loop.create_connection(_Line, self._host, self._port))[1]
        except TimeoutError:
            raise Unreachable(f"no connection within {CONNECT_SECONDS:g} s") from None
        except (OSError, UnicodeError) as error:  # The latter of a name that can't be asked for.
            raise Unreachable(str(error)) from error

    async def _answer(
        self, line: "_Line", message: Sequence[bytes | bytearray | memoryview], most: int, room: Room | None
    ) -> Answer:
        try:
            return await line.ask(message, most, room)
        except BaseException:
            # Whatever else came on it would be taken for the next answer.
            self.close()
            raise


class _Line(asyncio.Protocol):
    """A connection, from its making to its end."""

    def __init__(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._most = 0
        self._unheard_bytes = 0
        """Read since its head's end, or the last piece of its body."""
        self._room: Room | None = None
        self._begin()

    @property
    def usable(self) -> bool:
        """Whether it can take a question."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(
        self, message: Sequence[bytes | bytearray | memoryview], most: int, room: Room | None
    ) -> "asyncio.Future[Answer]":
        """The answer to come."""
        assert self._transport is not None
        self._begin()
        self._most, self._room = most, room
        self._answer = answer = asyncio.get_running_loop().create_future()
        if len(message) == 1:
            self._transport.write(message[0])
        else:
            self._transport.writelines(message)
        return answer

    def close(self) -> None:
        """Ends it at once: nothing that is still to be written is wanted."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """A piece of an answer."""
        self._heard = True
        if self._answer is None or self._answer.done():
            self.close()  # Nothing was asked.
            return
        self._further = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__ or error
            self._fail(cause if isinstance(cause, BadAnswer) else BadAnswer(str(cause)))
            return
        # A field or a chunk's head that goes on and on is kept by the parser, and looked at by nobody.
        self._unheard_bytes = 0 if self._further else self._unheard_bytes + len(data)
        if self._unheard_bytes > MAX_HEAD_BYTES and not self._answer.done():
            self._fail(BadAnswer(f"its head, or what stands around its body, is over {MAX_HEAD_BYTES} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        kind = ConnectionResetError if self._heard else _Stale
        self._fail(kind(f"the connection was closed before the answer was whole{f' ({exc})' if exc else ''}"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the answer. Of trailers nothing is kept, or they would be taken for headers."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError(f"its head is over {MAX_HEAD_BYTES} bytes")
        if not self._headed:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Its body follows; not so behind what comes before an answer."""
        if self._parser.get_status_code() >= 200:
            self._headed = self._further = True

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._further = True
        if len(self._body) + len(body) > self._most:
            raise TooLong(f"its body is over {self._most} bytes")
        if self._room is not None and not self._room(len(body)):
            raise TooLong("there is no room for more of its body")
        self._body += body

    def on_message_complete(self) -> None:
        """It is whole."""
        status = self._parser.get_status_code()
        if status < 200:
            # An answer of its own to the parser, and to us nothing yet (RFC 9110, 15.2).
            self._headers, self._body, self._head_bytes = {}, bytearray(), 0
            return
        if self._answer is None or self._answer.done():
            self.close()  # What comes behind an answer would be taken for the next one.
            return
        self._answer.set_result(Answer(status, self._headers, bytes(self._body)))
        # A connection may be idle for long: it doesn't hold an answer of megabytes meanwhile.
        self._headers, self._body, self._room = {}, bytearray(), None
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers = {}
        self._body = bytearray()
        self._head_bytes = 0
        self._unheard_bytes = 0
        self._heard = False
        """Whether anything came."""
        self._headed = False
        """Whether its head is whole."""
        self._further = False
        """Whether the latest read had its head's end, or a piece of its body."""

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self._body, self._room = bytearray(), None
        self.close()
