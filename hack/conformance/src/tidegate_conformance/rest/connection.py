"""A socket on which any bytes can be sent, well-formed or not, and answers are parsed strictly (by h11)."""

import fcntl
import socket
import termios
import time
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

import h11

from tidegate_conformance.expect import Mismatch
from tidegate_conformance.rest.answer import Answer

ANSWER_SECONDS = 15.0
_POLL_SECONDS = 0.001
_READ = 1 << 16


class Connection:
    """One connection to `base`. Keeps what was sent and received last, for the error that may be raised."""

    def __init__(self, base: str, seconds: float = ANSWER_SECONDS) -> None:
        parts = urlsplit(base)
        self.host = parts.netloc
        self.prefix = parts.path.rstrip("/")
        self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self.sent = b""
        self.received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def half_close(self) -> None:
        """Says that nothing more will be sent."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes, *, fresh: bool = True) -> None:
        """Sends `data` as it is. A server that has answered and closed may not read it all: that is no error here."""
        if fresh:
            self.sent, self.received = b"", b""
        self.sent += data
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def wait_sent(self) -> None:
        """Returns once the server's system has all that was sent, read or not. Raises `Mismatch` if it never does."""
        ends_at = time.monotonic() + ANSWER_SECONDS
        while any(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4))):
            if time.monotonic() >= ends_at:
                raise Mismatch(f"the server hasn't read a request within {ANSWER_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)

    def receive(self, method: str = "POST") -> Answer:
        """The next answer, to a request of `method`. Raises `Mismatch` if none comes, or none that is HTTP/1.1."""
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        parser.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        parser.send(h11.EndOfMessage())
        if self._unread:
            parser.receive_data(self._unread)
            self._unread = b""
        try:
            return self._read(parser)
        except h11.RemoteProtocolError as error:
            raise Mismatch(f"the answer is not HTTP/1.1: {error}") from None

    def interim(self) -> int:
        """The status of the next answer, which is to be an interim one; what follows it stays unread."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._more()
            if not more:
                raise Mismatch("the connection was closed without an answer")
            data += more
        answer, _, self._unread = data.partition(b"\r\n\r\n")
        words = answer.split(None, 2)
        if len(words) < 2 or not words[1].isdigit():
            raise Mismatch(f"the answer is not HTTP/1.1: {data[:100]!r}")
        if not words[1].startswith(b"1"):
            self._unread = data
        return int(words[1])

    def read_all(self) -> bytes:
        """All that comes until the server closes."""
        data = self._unread
        with suppress(OSError):
            while more := self._socket.recv(_READ):
                data += more
        return data

    def is_closed(self) -> bool:
        """Whether the server has closed the connection, waiting for it as long as for an answer."""
        try:
            return not self._socket.recv(_READ)
        except TimeoutError:
            return False
        except OSError:
            return True

    def _read(self, parser: h11.Connection) -> Answer:
        head: h11.Response | None = None
        interim: list[int] = []
        body = bytearray()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = self._more()
                if not data and head is None:
                    raise Mismatch("the connection was closed without an answer")
                parser.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                self._unread = bytes(parser.trailing_data[0])
                headers = tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers)
                closes = parser.their_state is h11.MUST_CLOSE or ("connection", "close") in headers
                return Answer(head.status_code, headers, bytes(body), tuple(interim), closes)
            else:
                raise Mismatch(f"no answer came; the connection gave {type(event).__name__}")

    def _more(self) -> bytes:
        try:
            data = self._socket.recv(_READ)
        except TimeoutError:
            raise Mismatch(f"no whole answer within {self._socket.gettimeout():g} s") from None
        except OSError as error:
            raise Mismatch(f"the connection was cut before a whole answer: {error}") from None
        if len(self.received) < _READ:
            self.received += data
        return data
